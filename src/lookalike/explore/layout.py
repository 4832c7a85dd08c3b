"""Lay vectors out in two dimensions so that neighbours stay neighbours.

Neighbours become a fuzzy set as in UMAP (McInnes, Healy & Melville 2018), the principal components are where the points
begin, and gradient steps pull neighbours together and push random others apart. Whole columns of the neighbour graph
are stepped at once, and the random others are a shuffled copy of all points, read at several offsets: so every step is
arithmetic on contiguous arrays, and the same vectors and seed give the same layout, bit for bit, on the same machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.vectors.graph import Graph

    Rows = NDArray[np.float32]

__all__ = ["NEIGHBOURS", "begin", "find_weights", "lay_out", "scale"]

NEIGHBOURS = 10
"""Neighbours of each point that the layout keeps together."""

_LEAST_NEIGHBOURS, _PER_NEIGHBOUR = 4, 6  # in a small gallery, and its points for each neighbour (docs/decisions.md)
_A, _B = 1.577, 0.895  # of 1 / (1 + a d^2b), fitted by UMAP to a least distance of 0.1
_FARTHEST = 4.0  # units that one step moves a point, as in UMAP
_NEGATIVES = 64  # random others that push a point in each step; in a smaller gallery, as many as it has
_PUSHES = 5.0  # random others for each neighbour, as in UMAP
_ROOM = 120  # points below which they push less: most of the others are neighbours there (docs/decisions.md)
_STEPS_SMALL, _STEPS_LARGE, _LARGE = 500, 200, 10_000  # steps, and the number of points between them
_SPREAD = 10.0  # units of the widest axis where the points begin
_GRAVITY = 0.1  # of its distance to the middle, by which a step moves a point (docs/decisions.md)
_HALVINGS = 32  # of the bandwidth's interval


def lay_out(rows: Rows, graph: Graph, *, seed: int = 0, on_progress: Callable[[int, int], None] | None = None) -> Rows:
    """The points of vectors (n, d) in two dimensions, float32 (n, 2), centred, at most 1 from the middle."""
    points, graph = begin(rows, seed), _take_nearest(graph)
    if len(rows) > 3 and graph.indices.shape[1]:
        steps = _STEPS_SMALL if len(rows) <= _LARGE else _STEPS_LARGE
        _Layout(points, graph, seed).run(steps, on_progress)
    return scale(points)


def _take_nearest(graph: Graph) -> Graph:
    """Fewer neighbours of each point if there are few points: if all were neighbours, none would be near."""
    most = max(_LEAST_NEIGHBOURS, len(graph.indices) // _PER_NEIGHBOUR)
    return graph._replace(indices=graph.indices[:, :most], distances=graph.distances[:, :most])


def find_weights(graph: Graph) -> Rows:
    """How much each neighbour belongs to a point's neighbourhood, float32 (n, k) in [0, 1]: UMAP's fuzzy union.

    The nearest counts 1, the others less by their distance, so that all of a point's neighbours count log2(k).
    """
    beyond = graph.distances - graph.distances[:, :1]
    wanted = np.log2(max(2, graph.indices.shape[1]))
    low, high = np.zeros(len(beyond), np.float32), np.full(len(beyond), max(1e-6, 8 * float(beyond.max(initial=0.0))))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_wide = np.exp(-beyond / np.maximum(middle, 1e-9)[:, None]).sum(axis=1) > wanted
        low, high = np.where(is_wide, low, middle), np.where(is_wide, middle, high)
    one_way = np.exp(-beyond / np.maximum(high, 1e-9)[:, None]).astype(np.float32)
    back = _find_backwards(graph.indices, one_way)
    return np.asarray(one_way + back - one_way * back)


def _find_backwards(indices: NDArray[np.int64], weights: Rows) -> Rows:
    """The weight of each neighbour's own edge back, 0 where it has none."""
    back = np.zeros_like(weights)
    own = np.arange(len(indices))
    for column in range(indices.shape[1]):
        other = indices[:, column]
        is_back = indices[other] == own[:, None]
        back[:, column] = (weights[other] * is_back).max(axis=1)
    return back


def begin(rows: Rows, seed: int) -> Rows:
    """The first two principal components, and noise that tells equal vectors apart."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1e-3, (len(rows), 2)).astype(np.float32)
    if len(rows) < 2:
        return 0 * noise
    sample = rows[:: max(1, len(rows) // 20_000)].astype(np.float64)
    centre = sample.mean(axis=0)
    _, vectors = np.linalg.eigh((sample - centre).T @ (sample - centre))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.where(axes.sum(axis=0) < 0, -1, 1)  # the sign of an eigenvector is arbitrary
    points = np.zeros((len(rows), 2), np.float32)
    # Not a product of matrices, which is rounded by how many threads share the work.
    points[:, : axes.shape[1]] = np.einsum("ij,jk->ik", rows - centre, axes)
    widest = float(np.abs(points).max())
    return points * np.float32(_SPREAD / widest if widest > 1e-6 else 0) + noise


def scale(points: Rows) -> Rows:
    """The points moved and scaled so that they are centred, the farthest of them 1 from the middle along an axis."""
    if not len(points):
        return points
    centred = points - (points.min(axis=0) + points.max(axis=0)) / 2
    widest = float(np.abs(centred).max())
    return np.asarray(centred / np.float32(widest or 1.0))


class _Layout:
    """Points that are being moved: x and y apart, as each is read and written as a whole."""

    def __init__(self, points: Rows, graph: Graph, seed: int) -> None:
        self._points = points
        self._others = np.ascontiguousarray(graph.indices.T)
        self._weights = np.ascontiguousarray(2 * self._both_ways(graph).T)
        self._random = np.random.default_rng(seed + 1)
        degrees = self._weights.sum(axis=0) + self._in_degrees()
        self._negatives = min(_NEGATIVES, len(self._points))
        pushes = _PUSHES * min(1, len(self._points) / _ROOM)
        self._push = (degrees * pushes / 2 / self._negatives).astype(np.float32)

    def run(self, steps: int, on_progress: Callable[[int, int], None] | None) -> None:
        """Move all points this many times, each time less."""
        x, y = (np.ascontiguousarray(axis) for axis in self._points.T)
        for step in range(steps):
            rate = np.float32(1 - step / steps)
            self._attract(x, y, rate)
            self._repel(x, y, rate)
            self._gather(x, y, rate)
            if on_progress is not None:
                on_progress(step + 1, steps)
        self._points[:, 0], self._points[:, 1] = x, y

    @staticmethod
    def _both_ways(graph: Graph) -> Rows:
        """The weights of the edges: one that is listed at both of its ends counts half at each."""
        own = np.arange(len(graph.indices))
        weights = find_weights(graph)
        for column in range(graph.indices.shape[1]):
            is_mutual = (graph.indices[graph.indices[:, column]] == own[:, None]).any(axis=1)
            weights[:, column] *= np.where(is_mutual, np.float32(0.5), np.float32(1))
        return weights

    def _in_degrees(self) -> Rows:
        return np.bincount(self._others.ravel(), self._weights.ravel(), len(self._points)).astype(np.float32)

    def _attract(self, x: Rows, y: Rows, rate: np.float32) -> None:
        for others, weights in zip(self._others, self._weights, strict=True):
            dx, dy = x - x[others], y - y[others]
            square = dx * dx + dy * dy
            np.maximum(square, 1e-6, out=square)
            near = square ** np.float32(_B - 1)
            pull = near * np.float32(-2 * _A * _B) / (1 + np.float32(_A) * near * square) * (weights * rate)
            np.maximum(pull, -0.5, out=pull)
            dx *= pull
            dy *= pull
            x += dx
            y += dy
            x -= np.bincount(others, dx, len(x)).astype(np.float32)
            y -= np.bincount(others, dy, len(y)).astype(np.float32)

    def _repel(self, x: Rows, y: Rows, rate: np.float32) -> None:
        order = self._random.permutation(len(x))
        shuffled_x, shuffled_y = (np.concatenate([axis[order]] * 2) for axis in (x, y))
        for offset in self._random.integers(0, len(x), self._negatives):
            dx, dy = x - shuffled_x[offset : offset + len(x)], y - shuffled_y[offset : offset + len(y)]
            square = dx * dx + dy * dy
            push = np.float32(2 * _B) / ((square + np.float32(1e-3)) * (1 + np.float32(_A) * square ** np.float32(_B)))
            push *= self._push * rate
            x += np.clip(dx * push, -_FARTHEST, _FARTHEST)
            y += np.clip(dy * push, -_FARTHEST, _FARTHEST)

    @staticmethod
    def _gather(x: Rows, y: Rows, rate: np.float32) -> None:
        """Draw everything a little towards the middle, so that islands lie beside each other instead of far apart."""
        x -= (x - x.mean()) * (np.float32(_GRAVITY) * rate)
        y -= (y - y.mean()) * (np.float32(_GRAVITY) * rate)
