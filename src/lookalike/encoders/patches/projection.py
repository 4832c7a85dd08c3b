"""Fewer dimensions: principal directions, turned so that differences between similar pictures count for little.

Mutual neighbours among the pictures stand in for labels: the directions that are kept have much spread over all
pictures and little between neighbours, as in Fisher's discriminant and He & Niyogi, "Locality Preserving Projections"
(2003).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Axes", "find_axes", "learn_projection", "mutual_neighbours"]

_PRINCIPAL = 256  # principal directions to choose from: 64 gave 0.009 less mAP
_NEIGHBOURS = 10
_TWINS = 2  # the weight of differences between twins, relative to neighbours
_EVERYWHERE = 0.3  # of the mean spread, added in every direction
_EMPHASIS = 0.25  # a direction is weighted by this power of its eigenvalue: 3 points of mAP
_SHARE = 20  # at most one in so many pictures is a neighbour
_RANK = 1e-6  # of the largest spread: less is rounding


class Axes(NamedTuple):
    """A mean, float32 (d,), and directions around it, float32 (d, k)."""

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    def rows(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n, d) in, (n, k) out."""
        return np.asarray((features - self.mean) @ self.directions, np.float32)


def find_axes(features: NDArray[np.float32]) -> Axes:
    """Find the principal directions of float32 (n, d), at most 256; one of zeros if all features are the same."""
    mean = features.mean(axis=0)
    directions = _principal(features - mean)
    return Axes(mean, directions if directions.shape[1] else np.zeros((len(mean), 1), np.float32))


def learn_projection(
    features: NDArray[np.float32], cut: int, *, twins: NDArray[np.float32] | None = None, axes: Axes | None = None
) -> Axes:
    """Learn the `cut` most discriminative directions of float32 (n, d); fewer if the features have fewer.

    twins: features of the same pictures, altered in a way that should not matter; differences to them count for little,
    too. axes: of the features, if they are known already. The projection is scaled to a mean square length of 1.
    Features that are all the same give one dimension of zeros.
    """
    mean, directions = axes = axes or find_axes(features)
    if not directions.any():
        return axes
    rows = axes.rows(features)
    apart = rows - axes.rows(twins) if twins is not None else np.zeros_like(rows)
    directions = directions @ _turn(rows.astype(np.float64), apart.astype(np.float64), cut).astype(np.float32)
    length = np.sqrt(np.square((features - mean) @ directions).sum(axis=1).mean())
    return Axes(mean, _fix_signs(directions / length))


def _principal(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (d, k), orthonormal, largest spread first: from the Gram matrix, as there are fewer rows than columns."""
    spread, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    kept = np.flatnonzero(spread > max(spread[-1] * _RANK, 1e-9))[::-1][:_PRINCIPAL]
    return np.asarray(centred.T @ (vectors[:, kept] / np.sqrt(spread[kept])).astype(np.float32))


def _turn(rows: NDArray[np.float64], apart: NDArray[np.float64], cut: int) -> NDArray[np.float64]:
    """float64 (k, cut): directions with the most total spread for the spread between neighbours, the best first."""
    total = rows.T @ rows / len(rows)
    between = _spread_between(rows, mutual_neighbours(rows, _NEIGHBOURS).astype(np.float64))
    between += _TWINS * _scale_to(apart.T @ apart, between)
    # Some in every direction: with less, what a few pairs happen to have in common would count for too much.
    between += np.eye(len(between)) * max(_EVERYWHERE * between.trace() / len(between), _RANK * total.trace())
    spread, axes = np.linalg.eigh(between)
    evened = axes / np.sqrt(spread)
    worth, best = np.linalg.eigh(evened.T @ total @ evened)
    return np.asarray((evened @ best * np.maximum(worth, 0) ** _EMPHASIS)[:, ::-1][:, :cut])


def _scale_to(spread: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale a spread to the same total as the other; zero stays zero."""
    return spread * (other.trace() / spread.trace()) if spread.trace() > 0 else spread


def mutual_neighbours(rows: NDArray[np.floating], most: int) -> NDArray[np.bool_]:
    """Find the pairs that are each among the other's `most` nearest or fewer, by cosine: bool (n, n)."""
    units = unit(rows.astype(np.float32))
    similarity = units @ units.T
    np.fill_diagonal(similarity, -np.inf)
    count = max(1, min(most, len(rows) // _SHARE))
    near = np.zeros(similarity.shape, bool)
    np.put_along_axis(near, np.argsort(-similarity, axis=1, kind="stable")[:, :count], values=True, axis=1)
    return near & near.T


def _spread_between(rows: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the mean outer product of differences between neighbours, by the graph Laplacian."""
    weights = near.sum(axis=1)
    return np.asarray((rows.T @ (rows * weights[:, None]) - rows.T @ (near @ rows)) / max(weights.sum(), 1.0))


def _fix_signs(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn every column so that its largest entry is positive: the sign of an eigenvector is arbitrary."""
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    return np.asarray(directions * signs, np.float32)
