"""The one protocol by which retrieval quality is reported (docs/evaluation.md).

Gallery pictures are indexed and queries are encoded as they are for any user, and every query ranks the whole gallery
by distance. A hit is relevant when it is of the query's class. Nothing is fitted to a query.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np

from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import split_again
from lookalike.encoders import find_learner, learned_parts
from lookalike.errors import DatasetError, UsageError
from lookalike.evaluation.figures import Figures
from lookalike.gallery import Gallery
from lookalike.indexing.adapt import adapt_if_grown
from lookalike.indexing.learned import learn
from lookalike.metrics import measure_queries
from lookalike.store import Record, open_store
from lookalike.vectors.exact import Matrix, prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.datasets.labelled import Dataset, LabelledPicture
    from lookalike.images.pool import OnProgress
    from lookalike.search.rerank import Order
    from lookalike.vectors.metric import Metric

    Queries = list["_Query"]

__all__ = ["WAYS", "Adaptation", "Method", "evaluate_retrieval", "measure_dataset", "measure_gallery"]

Adaptation = Literal["none", "projected", "blended"]
"""Embeddings as they are, projected to principal directions, or these blended: see `lookalike.adaptation.plan`."""

WAYS: dict[str, tuple[bool, Metric]] = {
    "raw_euclidean": (False, "euclidean"),
    "raw_cosine": (False, "cosine"),
    "adapted_euclidean": (True, "euclidean"),
    "adapted_cosine": (True, "cosine"),
}
"""How embeddings can be compared: whether they are adapted to the gallery, and by which distance."""


class _Query(NamedTuple):
    """A query: its file, its class and its embeddings, float32 (views, dim)."""

    path: bytes
    label: str
    views: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Method:
    """How a gallery is adapted, searched and measured.

    adaptation: how embeddings are adapted to the gallery; by default as a gallery does by itself.
    order: of the hits, as for `Gallery.search`.
    also: further figures. "ways": under `retrieval`, those of each of the four `WAYS`. "labels": under `with_labels`,
    those of a gallery that is adapted to the classes of its pictures, and under `learned_with_labels`, those of an
    encoder that is learned with them.
    repeats: for how many other splits the same is measured, each with the same share of every class in the gallery.
    """

    adaptation: Adaptation | None = None
    order: Order = "distance"
    also: Collection[str] = ()
    repeats: int = 0


def evaluate_retrieval(  # noqa: PLR0913  (by name, all but two)
    dataset: Dataset,
    encoder: str | Path | None = None,
    *,
    adaptation: Adaptation | None = None,
    order: Order = "distance",
    also: Collection[str] = (),
    repeats: int = 0,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The retrieval quality of an encoder on a labelled collection, as `lookalike evaluate --json` prints it.

    adaptation, order, also, repeats: see `Method`. Raises what `measure_dataset` raises.
    """
    method = Method(adaptation, order, also, repeats)
    return measure_dataset(dataset, encoder, method, on_progress=on_progress).to_dict()


def measure_dataset(
    dataset: Dataset,
    encoder: str | Path | None = None,
    method: Method | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> Figures:
    """The retrieval quality of an encoder on a labelled collection, with the values of each query.

    Gallery pictures are encoded once, and queries once for each query view. Another split of the same pictures needs
    only the views that no split before it has needed, unless the encoder is learned from the gallery. Raises
    DatasetError when no gallery picture or no query can be read.
    """
    method = method or Method()
    others = split_again(dataset, range(1, method.repeats + 1)) if method.repeats else []
    if others and learned_parts(encoder or ""):
        found = _measure_dataset(dataset, encoder, method, on_progress=on_progress)
        repeated = [_measure_dataset(other, encoder, method, on_progress=on_progress) for other in others]
        return replace(found, repeats=_number(repeated))
    return _measure_dataset(dataset, encoder, method, others=others, on_progress=on_progress)


def measure_gallery(gallery: Gallery, dataset: Dataset) -> Figures:
    """The same figures for a gallery that holds exactly the gallery pictures."""
    return _measure_all(gallery, dataset, _embed_queries(gallery, dataset.queries), Method())


def _measure_dataset(
    dataset: Dataset,
    encoder: str | Path | None,
    method: Method,
    *,
    others: Sequence[Dataset] = (),
    on_progress: OnProgress | None,
) -> Figures:
    """The figures of one split, and for an encoder that is not learned those of others."""
    labels = {picture.path: picture.label for picture in dataset.gallery}
    found = _evaluate(dataset, encoder, method, others=others, on_progress=on_progress)
    if "labels" in method.also and any(find_learner(part).takes_labels for part in learned_parts(encoder or "")):
        plain = replace(method, also=())
        learned = _evaluate(dataset, encoder, plain, labels=labels, on_progress=on_progress)
        return found.with_part("learned_with_labels", learned)
    return found


def _evaluate(  # noqa: PLR0913  (by name, all but three)
    dataset: Dataset,
    encoder: str | Path | None,
    method: Method,
    *,
    others: Sequence[Dataset] = (),
    labels: Mapping[bytes, str] | None = None,
    on_progress: OnProgress | None,
) -> Figures:
    """The figures of a temporary gallery. labels: of gallery pictures, to learn the encoder with."""
    paths = [picture.path for picture in dataset.gallery]
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        # From the gallery pictures, as a user's would be.
        learn(encoder or "", paths, Path(folder), labels=labels, on_progress=on_progress)
        with Gallery.open(folder, encoder=encoder, create=True) as gallery:
            gallery.index(*paths, on_progress=on_progress)
            _adapt(gallery, method.adaptation)
            queries = _embed_queries(gallery, dataset.queries)
            embedded = _Embedded.collect(gallery, queries) if others else None
            found = _measure_all(gallery, dataset, queries, method)
            if embedded is None:
                return found
            embedded.add_views(gallery, others, on_progress)
            repeated = [_measure_again(gallery, embedded, other, method) for other in others]
            return replace(found, repeats=_number(repeated))


def _adapt(gallery: Gallery, adaptation: Adaptation | None) -> None:
    if adaptation == "none":
        with gallery.store.writing():
            gallery.store.set_projection(None)
    elif adaptation is not None:
        gallery.adapt(blend=adaptation == "blended")


def _number(repeated: Sequence[Figures]) -> tuple[Figures, ...]:
    """The figures of other splits, each with the seed of its split."""
    return tuple(replace(each, facts={"seed": seed, **each.facts}) for seed, each in enumerate(repeated, 1))


@dataclass
class _Embedded:
    """The embeddings of a collection, whichever side of a split a picture is on.

    digests: of each file that can be read. views: the embedding of each picture in each query view that was needed.
    """

    digests: dict[bytes, bytes]
    views: list[dict[bytes, NDArray[np.float32]]]

    @classmethod
    def collect(cls, gallery: Gallery, queries: Queries) -> Self:
        """What a gallery and its queries have already."""
        records = {record.id: record for record in gallery.pictures()}
        digests = {record.path: record.digest or b"" for record in records.values()}
        digests |= {query.path: file_digest(query.path) for query in queries}
        views = [{query.path: query.views[number] for query in queries} for number in range(len(gallery.views))]
        for ids, rows in gallery.store.embeddings():
            views[0].update(zip([records[id_].path for id_ in ids.tolist()], rows, strict=True))
        return cls(digests, views)

    def add_views(self, gallery: Gallery, datasets: Sequence[Dataset], on_progress: OnProgress | None) -> None:
        """Encode the views of pictures that were not queries and are one in these splits."""
        asked = dict.fromkeys(query.path for dataset in datasets for query in dataset.queries)
        for view, known in zip(gallery.views, self.views, strict=True):
            missing = [path for path in asked if path in self.digests and path not in known]
            for done, (path, found) in enumerate(gallery.embed_files(missing, view=view), 1):
                if on_progress is not None:
                    on_progress(done, len(missing))
                if not isinstance(found, str):
                    known[path] = found

    def queries(self, pictures: Sequence[LabelledPicture]) -> Queries:
        """The queries among these pictures whose views are all known."""
        known = [picture for picture in pictures if all(picture.path in view for view in self.views)]
        return [_Query(p.path, p.label, np.stack([view[p.path] for view in self.views])) for p in known]

    def fill(self, gallery: Gallery, pictures: Sequence[LabelledPicture]) -> None:
        """Put these pictures into an empty gallery and adapt it, as indexing their files would."""
        records = [Record(p.path, digest=self.digests[p.path]) for p in pictures if p.path in self.digests]
        rows = {record.digest: self.views[0][record.path] for record in records if record.digest is not None}
        with gallery.store.writing():
            gallery.store.put(records, rows)
            adapt_if_grown(gallery.store, gallery.encoder)


def _measure_again(first: Gallery, embedded: _Embedded, dataset: Dataset, method: Method) -> Figures:
    """The figures of another split, from embeddings. first: the gallery of the first split."""
    with (
        tempfile.TemporaryDirectory(prefix="lookalike-") as folder,
        Gallery(open_store(folder, create=first.store.space), first.encoder) as gallery,
    ):
        embedded.fill(gallery, dataset.gallery)
        _adapt(gallery, method.adaptation)
        return _measure_all(gallery, dataset, embedded.queries(dataset.queries), method)


def _measure_all(gallery: Gallery, dataset: Dataset, queries: Queries, method: Method) -> Figures:
    labels = _list_labels(gallery, dataset.gallery)
    if not queries or not len(gallery):
        raise DatasetError("none of the queries, or none of the gallery's pictures, can be read")
    figures = _measure(gallery, queries, labels, method.order)
    if "ways" in method.also:
        figures = figures.with_part("retrieval", Figures({}, parts=dict(_measure_ways(gallery, queries, labels))))
    if "labels" in method.also:
        choice = gallery.adapt_to_labels({picture.path: picture.label for picture in dataset.gallery})
        chosen = {"adapted": choice.is_better, "cross_validated_mAP": choice.with_labels["mAP"]}
        adapted = _measure(gallery, queries, labels, method.order)
        figures = figures.with_part("with_labels", replace(adapted, facts={**adapted.facts, **chosen}))
    return figures


def _embed_queries(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> Queries:
    wanted = {picture.path: picture.label for picture in pictures}
    views: dict[bytes, list[NDArray[np.float32]]] = {path: [] for path in wanted}
    for view in gallery.views:
        for path, found in gallery.embed_files(wanted, view=view):
            if not isinstance(found, str):
                views[path].append(found)
    known = {path: rows for path, rows in views.items() if len(rows) == len(gallery.views)}
    return [_Query(path, wanted[path], np.stack(rows)) for path, rows in known.items()]


def _measure(gallery: Gallery, queries: Queries, labels: NDArray[np.str_], order: Order) -> Figures:
    """The figures of the gallery as it is, searched as it is for any user."""
    relevant = [labels[_rank(gallery, query.views, order)] == query.label for query in queries]
    info = gallery.info()
    facts = {
        "encoder": info["encoder"],
        "dim": info["dim"],
        "adapted": bool(info["adapted_on"]),
        "order": order,
        "n_gallery": len(gallery),
        "n_queries": len(relevant),
    }
    return Figures(facts, measure_queries(np.stack(relevant)))


def _rank(gallery: Gallery, views: NDArray[np.float32], order: Order) -> list[int]:
    """The ids of the whole gallery, in the order of a search."""
    return [id_ for id_, _ in gallery.nearest([views], len(gallery), order=order)[0]]


def _measure_ways(gallery: Gallery, queries: Queries, labels: NDArray[np.str_]) -> Iterator[tuple[str, Figures]]:
    """The figures of each way, with the encoder's own view of a query.

    A gallery without two different pictures cannot be adapted and has only the raw ones.
    """
    with contextlib.suppress(UsageError):
        gallery.adapt(blend=False)
    chunks = list(gallery.store.embeddings())
    ids, rows = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    sides = {False: (rows, np.stack([query.views[0] for query in queries]))}
    if (projection := gallery.store.projection) is not None:
        sides[True] = (projection.apply(rows), projection.apply(sides[False][1]))
    for name, (adapted, metric) in WAYS.items():
        if adapted in sides:
            searched, asked = sides[adapted]
            matrix = Matrix(ids, prepare_vectors(searched, metric), metric)
            found = matrix.search(prepare_vectors(asked, metric), len(ids))
            relevant = [labels[near.ids] == query.label for near, query in zip(found, queries, strict=True)]
            yield name, Figures({"dim": asked.shape[1]}, measure_queries(np.stack(relevant)))


def _list_labels(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> NDArray[np.str_]:
    labels = {picture.path: picture.label for picture in pictures}
    by_id = {item.id: labels[item.path] for item in gallery.pictures()}
    return np.array([by_id.get(id_, "") for id_ in range(max(by_id, default=0) + 1)])
