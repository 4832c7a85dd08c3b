"""The one protocol by which retrieval quality is reported (docs/evaluation.md).

Gallery pictures are indexed and queries are encoded as they are for any user, and every query ranks the whole gallery
by distance. A hit is relevant when it is of the query's class. Nothing is fitted to a query.
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
    from lookalike.images.pool import OnProgress
    from lookalike.search.rerank import Order
    from lookalike.vectors.metric import Metric

    Queries = list[tuple[str, NDArray[np.float32]]]
    """The class of each query, and its embeddings, float32 (views, dim)."""


__all__ = ["WAYS", "Adaptation", "evaluate_retrieval", "measure_gallery"]

Adaptation = Literal["none", "projected", "blended"]
"""Embeddings as they are, projected to principal directions, or these blended: see `lookalike.adaptation.plan`."""

WAYS: dict[str, tuple[bool, Metric]] = {
    "raw_euclidean": (False, "euclidean"),
    "raw_cosine": (False, "cosine"),
    "adapted_euclidean": (True, "euclidean"),
    "adapted_cosine": (True, "cosine"),
}
"""How embeddings can be compared: whether they are adapted to the gallery, and by which distance."""


def evaluate_retrieval(  # noqa: PLR0913  (by name, all but two)
    dataset: Dataset,
    encoder: str | Path | None = None,
    *,
    adaptation: Adaptation | None = None,
    order: Order = "distance",
    also: Collection[str] = (),
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The retrieval quality of an encoder on a labelled collection, as `lookalike evaluate --json` prints it.

    adaptation: how embeddings are adapted to the gallery; by default as a gallery does by itself.
    order: of the hits, as for `Gallery.search`.
    also: further figures. "ways": under `retrieval`, those of each of the four `WAYS`. "labels": under `with_labels`,
    those of a gallery that is adapted to the classes of its pictures, and under `learned_with_labels`, those of an
    encoder that is learned with them.

    Gallery pictures are encoded once, and queries once for each query view. Raises DatasetError when no gallery picture
    or no query can be read.
    """
    labels = {picture.path: picture.label for picture in dataset.gallery}
    way = _Way(adaptation, order, also)
    found = _evaluate(dataset, encoder, way, on_progress)
    if "labels" in also and any(find_learner(part).takes_labels for part in learned_parts(encoder or "")):
        found["learned_with_labels"] = _evaluate(dataset, encoder, way._replace(also=()), on_progress, labels)
    return found


def measure_gallery(gallery: Gallery, dataset: Dataset) -> dict[str, Any]:
    """The same figures for a gallery that holds exactly the gallery pictures."""
    return _measure_all(gallery, dataset, _Way())


class _Way(NamedTuple):
    """How a gallery is adapted and measured: see `evaluate_retrieval`."""

    adaptation: Adaptation | None = None
    order: Order = "distance"
    also: Collection[str] = ()


def _evaluate(
    dataset: Dataset,
    encoder: str | Path | None,
    way: _Way,
    on_progress: OnProgress | None,
    labels: Mapping[bytes, str] | None = None,
) -> dict[str, Any]:
    """The figures of a temporary gallery. labels: of gallery pictures, to learn the encoder with."""
    paths = [picture.path for picture in dataset.gallery]
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        # From the gallery pictures, as a user's would be.
        learn(encoder or "", paths, Path(folder), labels=labels, on_progress=on_progress)
        with Gallery.open(folder, encoder=encoder, create=True) as gallery:
            gallery.index(*paths, on_progress=on_progress)
            if way.adaptation == "none":
                with gallery.store.writing():
                    gallery.store.set_projection(None)
            elif way.adaptation is not None:
                gallery.adapt(blend=way.adaptation == "blended")
            return _measure_all(gallery, dataset, way)


def _measure_all(gallery: Gallery, dataset: Dataset, way: _Way) -> dict[str, Any]:
    queries, labels = _embed_queries(gallery, dataset.queries), _list_labels(gallery, dataset.gallery)
    if not queries or not len(gallery):
        raise DatasetError("no picture of the queries or none of the gallery can be read")
    figures = _measure(gallery, queries, labels, way.order)
    if "ways" in way.also:
        figures["retrieval"] = dict(_measure_ways(gallery, queries, labels))
    if "labels" in way.also:
        choice = gallery.adapt_to_labels({picture.path: picture.label for picture in dataset.gallery})
        chosen = {"adapted": choice.is_better, "cross_validated_mAP": choice.with_labels["mAP"]}
        figures["with_labels"] = _measure(gallery, queries, labels, way.order) | chosen
    return figures


def _embed_queries(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> Queries:
    wanted = {picture.path: picture.label for picture in pictures}
    views: dict[bytes, list[NDArray[np.float32]]] = {path: [] for path in wanted}
    for view in gallery.views:
        for path, found in gallery.embed_files(wanted, view=view):
            if not isinstance(found, str):
                views[path].append(found)
    return [(wanted[path], np.stack(rows)) for path, rows in views.items() if len(rows) == len(gallery.views)]


def _measure(gallery: Gallery, queries: Queries, labels: NDArray[np.str_], order: Order) -> dict[str, Any]:
    """The figures of the gallery as it is, searched as it is for any user."""
    relevant = [labels[_rank(gallery, views, order)] == label for label, views in queries]
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


def _rank(gallery: Gallery, views: NDArray[np.float32], order: Order) -> list[int]:
    """The ids of the whole gallery, in the order of a search."""
    return [id_ for id_, _ in gallery.nearest([views], len(gallery), order=order)[0]]


def _measure_ways(
    gallery: Gallery, queries: Queries, labels: NDArray[np.str_]
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each way, with the encoder's own view of a query.

    A gallery without two different pictures cannot be adapted and has only the raw ones.
    """
    with contextlib.suppress(UsageError):
        gallery.adapt(blend=False)
    chunks = list(gallery.store.embeddings())
    ids, rows = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    sides = {False: (rows, np.stack([views[0] for _, views in queries]))}
    if (projection := gallery.store.projection) is not None:
        sides[True] = (projection.apply(rows), projection.apply(sides[False][1]))
    for name, (adapted, metric) in WAYS.items():
        if adapted in sides:
            searched, asked = sides[adapted]
            matrix = Matrix(ids, prepare_vectors(searched, metric), metric)
            found = matrix.search(prepare_vectors(asked, metric), len(ids))
            relevant = [labels[near.ids] == label for near, (label, _) in zip(found, queries, strict=True)]
            yield name, {"dim": asked.shape[1], **measure_retrieval(np.stack(relevant))}


def _list_labels(gallery: Gallery, pictures: Sequence[LabelledPicture]) -> NDArray[np.str_]:
    labels = {picture.path: picture.label for picture in pictures}
    by_id = {item.id: labels[item.path] for item in gallery.pictures()}
    return np.array([by_id.get(id_, "") for id_ in range(max(by_id, default=0) + 1)])
