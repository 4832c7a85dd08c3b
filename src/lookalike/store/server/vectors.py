"""Vectors as searches compare them, computed from embeddings here as every other store computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.store.float16 import from_blobs
from lookalike.store.rows import ID
from lookalike.vectors.exact import prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import SearchSpace, Space
    from lookalike.store.rows import Row
    from lookalike.vectors.metric import Metric

    Vectors = NDArray[np.float32]

__all__ = ["adapt", "are_close", "prepare_raw", "unpack_raw", "weigh"]

_CLOSE = 1e-4  # of vectors computed in other batches


def adapt(embeddings: Vectors, projection: Projection | None, space: Space) -> Vectors:
    """The vectors that are compared for embeddings, float32 (n, w)."""
    return prepare_vectors(projection.apply(embeddings) if projection else embeddings, space.metric)


def prepare_raw(embeddings: Vectors, space: SearchSpace) -> Vectors:
    """Embeddings as a raw search compares them."""
    return prepare_vectors(embeddings[:, slice(*(space.columns or (0, embeddings.shape[1])))], "cosine")


def unpack_raw(
    embedded: Iterable[tuple[Sequence[Row], Sequence[bytes]]], dim: int, space: SearchSpace
) -> tuple[NDArray[np.int64], Vectors]:
    """Ids (n,), and embeddings as a raw search compares them, of rows with the bytes of their embeddings."""
    ids, parts = list[int](), [prepare_raw(np.empty((0, dim), np.float32), space)]
    for rows, blobs in embedded:
        ids += [row[ID] for row in rows]
        parts.append(prepare_raw(from_blobs(blobs, dim), space))
    return np.array(ids, np.int64), np.concatenate(parts)


def weigh(vectors: Vectors, space: SearchSpace, metric: Metric) -> Vectors:
    """Adapted vectors as a search in this space compares them."""
    if not space.weights:
        return vectors
    return prepare_vectors(vectors[:, : len(space.weights)] * np.array(space.weights, np.float32), metric)


def are_close(found: Vectors, wanted: Vectors) -> bool:
    """Whether vectors are those that were computed again, up to rounding."""
    scale = np.abs(wanted).max(initial=1e-30)
    return found.shape == wanted.shape and bool((np.abs(found - wanted) <= _CLOSE * scale).all())
