"""Few numbers for many: principal directions, turned so that what near pictures differ in counts for little.

Mutual neighbours among the pictures stand in for labels: the directions kept have much spread over the whole and
little between neighbours, as in Fisher's discriminant and He & Niyogi, "Locality Preserving Projections" (2003).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Axes", "learn_projection", "mutual_neighbours", "widest"]

_PRINCIPAL = 256  # directions that are turned: 64 gave 0.009 less mAP
_NEIGHBOURS = 10
_TWINS = 2  # times as much as neighbours: what altered pictures differ in
_EVERYWHERE = 0.3  # of the mean spread
_EMPHASIS = 0.25  # power of what a direction is worth, by which it counts more: 3 points of mAP
_SHARE = 20  # no more neighbours than one in so many of the pictures
_RANK = 1e-6  # of the widest spread: less is rounding


class Axes(NamedTuple):
    """A mean, float32 (d,), and directions around it, float32 (d, k)."""

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    def rows(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n, d) in, (n, k) out."""
        return np.asarray((features - self.mean) @ self.directions, np.float32)


def widest(features: NDArray[np.float32]) -> Axes:
    """The principal directions of float32 (n, d), 256 at most; one of zeros if the features are all the same."""
    mean = features.mean(axis=0)
    directions = _principal(features - mean)
    return Axes(mean, directions if directions.shape[1] else np.zeros((len(mean), 1), np.float32))


def learn_projection(
    features: NDArray[np.float32], cut: int, *, twins: NDArray[np.float32] | None = None, axes: Axes | None = None
) -> Axes:
    """The `cut` directions of float32 (n, d) that tell most, fewer if the features have fewer.

    twins: of the same pictures, altered in a way that is not to matter; what they differ in counts for little, too.
    axes: the `widest` of the features, where they are known already. Scaled so that what is projected has a mean
    square length of 1. Features that are all the same give one zero.
    """
    mean, directions = axes = axes or widest(features)
    if not directions.any():
        return axes
    rows = axes.rows(features)
    apart = rows - axes.rows(twins) if twins is not None else np.zeros_like(rows)
    directions = directions @ _turn(rows.astype(np.float64), apart.astype(np.float64), cut).astype(np.float32)
    length = np.sqrt(np.square((features - mean) @ directions).sum(axis=1).mean())
    return Axes(mean, _fixed_signs(directions / length))


def _principal(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (d, k), orthonormal, widest spread first: from the products of the rows, as there are fewer of them."""
    spread, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    kept = np.flatnonzero(spread > max(spread[-1] * _RANK, 1e-9))[::-1][:_PRINCIPAL]
    return np.asarray(centred.T @ (vectors[:, kept] / np.sqrt(spread[kept])).astype(np.float32))


def _turn(rows: NDArray[np.float64], apart: NDArray[np.float64], cut: int) -> NDArray[np.float64]:
    """float64 (k, cut): the most of the total spread for each bit of spread between neighbours, the best first."""
    total = rows.T @ rows / len(rows)
    between = _spread_between(rows, mutual_neighbours(rows, _NEIGHBOURS).astype(np.float64))
    between += _TWINS * _as_wide(apart.T @ apart, between)
    # Some in every direction: with less, what few pairs happen to agree in would count for too much.
    between += np.eye(len(between)) * max(_EVERYWHERE * between.trace() / len(between), _RANK * total.trace())
    spread, axes = np.linalg.eigh(between)
    evened = axes / np.sqrt(spread)
    worth, best = np.linalg.eigh(evened.T @ total @ evened)
    return np.asarray((evened @ best * np.maximum(worth, 0) ** _EMPHASIS)[:, ::-1][:, :cut])


def _as_wide(spread: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scaled to the same total as the other; nothing stays nothing."""
    return spread * (other.trace() / spread.trace()) if spread.trace() > 0 else spread


def mutual_neighbours(rows: NDArray[np.floating], most: int) -> NDArray[np.bool_]:
    """Where two pictures are each among the other's nearest by their angle, `most` of them or fewer: bool (n, n)."""
    units = unit(rows.astype(np.float32))
    likeness = units @ units.T
    np.fill_diagonal(likeness, -np.inf)
    count = max(1, min(most, len(rows) // _SHARE))
    near = np.zeros(likeness.shape, bool)
    np.put_along_axis(near, np.argsort(-likeness, axis=1, kind="stable")[:, :count], values=True, axis=1)
    return near & near.T


def _spread_between(rows: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean product of the differences of neighbours, halved, by the graph's Laplacian."""
    weights = near.sum(axis=1)
    return np.asarray((rows.T @ (rows * weights[:, None]) - rows.T @ (near @ rows)) / max(weights.sum(), 1.0))


def _fixed_signs(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every column with its largest entry positive: eigenvectors come with any sign."""
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    return np.asarray(directions * signs, np.float32)
