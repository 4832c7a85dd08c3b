"""The one protocol by which retrieval quality is reported (docs/evaluation.md).

The gallery pictures are indexed as any user's are; each query is embedded as any query is, and the whole gallery
ranked by its distance. A hit is right when it is of the query's class. Nothing is fitted on a query.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import DatasetError
from lookalike.evaluation import retrieval_measures
from lookalike.gallery import Gallery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.datasets import Dataset, Picture
    from lookalike.indexing import Progress

__all__ = ["evaluate_retrieval"]


def evaluate_retrieval(
    dataset: Dataset, encoder: str | Path | None = None, *, raw: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Quality of an encoder on a labelled and split collection, as `lookalike evaluate --json` prints it.

    raw: compare embeddings as they are, not adapted to the gallery. Raises DatasetError when a side has no
    readable picture.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lookalike-") as folder,
        Gallery.open(folder, encoder=encoder, create=True) as gallery,
    ):
        gallery.index(*(picture.path for picture in dataset.gallery), progress=progress)
        if raw:
            with gallery.store.writing():
                gallery.store.project(None)
        return _measured(gallery, dataset)


def _measured(gallery: Gallery, dataset: Dataset) -> dict[str, Any]:
    labels = _labels_by_id(gallery, dataset.gallery)
    wanted = {picture.path: picture.label for picture in dataset.queries}
    relevant = [
        labels[_ranking(gallery, embedding)] == wanted[path]
        for path, embedding in gallery.embed_files(wanted)
        if not isinstance(embedding, str)
    ]
    if not relevant or not len(gallery):
        raise DatasetError("no picture of the queries or none of the gallery can be read")
    info = gallery.info()
    return {
        "encoder": info["encoder"],
        "dim": info["dim"],
        "adapted": bool(info["adapted_on"]),
        "n_gallery": len(gallery),
        "n_queries": len(relevant),
        **retrieval_measures(np.stack(relevant)),
    }


def _ranking(gallery: Gallery, embedding: NDArray[np.float32]) -> list[int]:
    """The ids of the whole gallery, nearest first."""
    return [id_ for id_, _ in gallery.store.search(embedding, len(gallery))]


def _labels_by_id(gallery: Gallery, pictures: Sequence[Picture]) -> NDArray[np.str_]:
    labels = {picture.path: picture.label for picture in pictures}
    by_id = {item.id: labels[item.key] for item in gallery.pictures()}
    return np.array([by_id.get(id_, "") for id_ in range(max(by_id, default=0) + 1)])
