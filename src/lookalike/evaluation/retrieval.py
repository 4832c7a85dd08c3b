"""The one protocol by which retrieval quality is reported (docs/evaluation.md).

The gallery pictures are indexed as any user's are; each query is embedded as any query is, and the whole gallery
ranked by its distance. A hit is right when it is of the query's class. Nothing is fitted on a query.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lookalike.encoders import find_learner, learned_parts
from lookalike.errors import DatasetError, UsageError
from lookalike.gallery import Gallery
from lookalike.indexing.learned import learn
from lookalike.metrics import measure_retrieval
from lookalike.vectors.exact import Matrix, prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.datasets.labelled import Dataset, LabelledPicture
    from lookalike.indexing.update import Progress
    from lookalike.search.rerank import Order
    from lookalike.vectors.metric import Metric

    Queries = list[tuple[str, NDArray[np.float32]]]
    """Of each query its class and its embeddings, float32 (views, dim)."""


__all__ = ["WAYS", "Adaptation", "evaluate_retrieval", "measure_gallery"]

Adaptation = Literal["none", "projected", "blended"]
"""Embeddings as they are, their principal directions, or these blended: see `lookalike.indexing.adapt`."""

WAYS: dict[str, tuple[bool, Metric]] = {
    "raw_euclidean": (False, "euclidean"),
    "raw_cosine": (False, "cosine"),
    "adapted_euclidean": (True, "euclidean"),
    "adapted_cosine": (True, "cosine"),
}
"""How embeddings can be compared: whether adapted to the gallery, and by which distance."""


def evaluate_retrieval(  # noqa: PLR0913  (by name, all but two)
    dataset: Dataset,
    encoder: str | Path | None = None,
    *,
    adaptation: Adaptation | None = None,
    order: Order = "distance",
    also: Collection[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Quality of an encoder on a labelled and split collection, as `lookalike evaluate --json` prints it.

    adaptation: how embeddings are adapted to the gallery, by default as the gallery does by itself. order: of what is
    found, as `Gallery.search` has it. also: "ways" tells, under `retrieval`, the figures of each of the four `WAYS` as
    well, "labels", under `with_labels`, what comes of adapting to the classes of the gallery pictures, and under
    `learned_with_labels` what comes of an encoder that is learned with them. Gallery pictures are encoded once, queries
    once for each look. Raises DatasetError when a side has no readable picture.
    """
    labels = {picture.path: picture.label for picture in dataset.gallery}
    way = _Way(adaptation, order, also)
    found = _evaluated(dataset, encoder, way, progress)
    if "labels" in also and any(find_learner(part).takes_labels for part in learned_parts(encoder or "")):
        found["learned_with_labels"] = _evaluated(dataset, encoder, way._replace(also=()), progress, labels)
    return found


def measure_gallery(gallery: Gallery, dataset: Dataset) -> dict[str, Any]:
    """The same of a gallery that has the gallery pictures in it, and no others."""
    return _figures(gallery, dataset, _Way())


class _Way(NamedTuple):
    """How a gallery is made and measured: what `evaluate_retrieval` is told."""

    adaptation: Adaptation | None = None
    order: Order = "distance"
    also: Collection[str] = ()


def _evaluated(
    dataset: Dataset,
    encoder: str | Path | None,
    way: _Way,
    progress: Progress | None,
    labels: Mapping[bytes, str] | None = None,
) -> dict[str, Any]:
    """Figures of a gallery made for it. labels: of gallery pictures, to learn the encoder with."""
    paths = [picture.path for picture in dataset.gallery]
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        # From the gallery pictures, as a user's would be.
        learn(encoder or "", paths, Path(folder), labels=labels, on_progress=progress)
        with Gallery.open(folder, encoder=encoder, create=True) as gallery:
            gallery.index(*paths, progress=progress)
            if way.adaptation == "none":
                with gallery.store.writing():
                    gallery.store.set_projection(None)
            elif way.adaptation is not None:
                gallery.adapt(blend=way.adaptation == "blended")
            return _figures(gallery, dataset, way)


def _figures(gallery: Gallery, dataset: Dataset, way: _Way) -> dict[str, Any]:
    queries, labels = _embedded(gallery, dataset.queries), _labels_by_id(gallery, dataset.gallery)
    if not queries or not len(gallery):
        raise DatasetError("no picture of the queries or none of the gallery can be read")
    figures = _measured(gallery, queries, labels, way.order)
    if "ways" in way.also:
        figures["retrieval"] = dict(_ways(gallery, queries, labels))
    if "labels" in way.also:
        choice = gallery.adapt_to_labels({picture.path: picture.label for picture in dataset.gallery})
        chosen = {"adapted": choice.is_better, "cross_validated_mAP": choice.with_labels["mAP"]}
        figures["with_labels"] = _measured(gallery, queries, labels, way.order) | chosen
    return figures


def _embedded(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> Queries:
    wanted = {picture.path: picture.label for picture in pictures}
    looks: dict[bytes, list[NDArray[np.float32]]] = {path: [] for path in wanted}
    for view in gallery.views:
        for path, found in gallery.embed_files(wanted, view=view):
            if not isinstance(found, str):
                looks[path].append(found)
    return [(wanted[path], np.stack(rows)) for path, rows in looks.items() if len(rows) == len(gallery.views)]


def _measured(gallery: Gallery, queries: Queries, labels: NDArray[np.str_], order: Order) -> dict[str, Any]:
    """The figures of the gallery as it is, searched as any user's is."""
    relevant = [labels[_ranking(gallery, looks, order)] == label for label, looks in queries]
    info = gallery.info()
    return {
        "encoder": info["encoder"],
        "dim": info["dim"],
        "adapted": bool(info["adapted_on"]),
        "order": order,
        "n_gallery": len(gallery),
        "n_queries": len(relevant),
        **measure_retrieval(np.stack(relevant)),
    }


def _ranking(gallery: Gallery, looks: NDArray[np.float32], order: Order) -> list[int]:
    """The ids of the whole gallery, in the order of a search."""
    return [id_ for id_, _ in gallery.nearest([looks], len(gallery), order=order)[0]]


def _ways(gallery: Gallery, queries: Queries, labels: NDArray[np.str_]) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each way, by the encoder's own view of a query.

    Without two different pictures there is nothing to adapt to: only the raw ones.
    """
    with contextlib.suppress(UsageError):
        gallery.adapt(blend=False)
    chunks = list(gallery.store.embeddings())
    ids, rows = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    sides = {False: (rows, np.stack([looks[0] for _, looks in queries]))}
    if (projection := gallery.store.projection) is not None:
        sides[True] = (projection.apply(rows), projection.apply(sides[False][1]))
    for name, (adapted, metric) in WAYS.items():
        if adapted in sides:
            searched, asked = sides[adapted]
            matrix = Matrix(ids, prepare_vectors(searched, metric), metric)
            found = matrix.search(prepare_vectors(asked, metric), len(ids))
            relevant = [labels[near.ids] == label for near, (label, _) in zip(found, queries, strict=True)]
            yield name, {"dim": asked.shape[1], **measure_retrieval(np.stack(relevant))}


def _labels_by_id(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> NDArray[np.str_]:
    labels = {picture.path: picture.label for picture in pictures}
    by_id = {item.id: labels[item.path] for item in gallery.pictures()}
    return np.array([by_id.get(id_, "") for id_ in range(max(by_id, default=0) + 1)])
