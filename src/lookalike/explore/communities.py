"""Communities of a neighbour graph: groups of points with more edges inside than chance would put there.

Modularity is raised as by Louvain (Blondel et al. 2008): points move to the community of their neighbours where it
gains most, communities become points, and so on; at the end single points move once more. Half of the points, drawn at
random, decide at a time, which numpy does for all of them at once. The same graph and seed give the same communities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.explore.layout import find_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.vectors.graph import Graph

    Labels = NDArray[np.int64]

__all__ = ["find_communities"]

_SWEEPS = 40  # in which points move, at most, before communities become points
_SETTLED = 0.001  # a share of points; when fewer move, a level is done
_BISECTIONS = 4  # of the resolution, towards the number that is wanted
_MERGED = 4096  # communities that are merged in pairs; what is smaller than these is one to begin with
_FINEST = 1e6  # resolution at which every point is a community of its own


class _Edges(NamedTuple):
    """Edges in both directions, ordered by where they begin: int64 (e,), int64 (e,), float64 (e,), and the points."""

    start: Labels
    end: Labels
    weight: NDArray[np.float64]
    points: int

    def degrees(self) -> NDArray[np.float64]:
        return _add_up(self.start, self.weight, self.points)


def find_communities(graph: Graph, *, count: int | None = None, seed: int = 0) -> Labels:
    """The community of every point, int64 (n,), numbered from 0, the largest first.

    count: how many communities to find, at most one for each point; None to choose as modularity does.
    """
    edges = _read_edges(graph)
    if count is None:
        return _number(_raise_modularity(edges, 1.0, seed))
    labels = _find_finer(edges, min(count, edges.points), seed)
    return _number(_merge(edges, np.minimum(_number(labels), _MERGED - 1), min(count, edges.points)))


def _find_finer(edges: _Edges, count: int, seed: int) -> Labels:
    """At least `count` communities, and hardly more where the resolution allows it."""
    low, high = 0.0, 1.0
    labels = _raise_modularity(edges, high, seed)
    while labels.max(initial=-1) + 1 < count:
        low, high = high, 2 * high
        labels = _raise_modularity(edges, high, seed) if high < _FINEST else np.arange(edges.points)
    for _ in range(_BISECTIONS if low else 0):
        middle = (low + high) / 2
        found = _raise_modularity(edges, middle, seed)
        if found.max() + 1 >= count:
            high, labels = middle, found
        else:
            low = middle
    return labels


def _read_edges(graph: Graph) -> _Edges:
    """The fuzzy neighbourhoods as edges; one that is listed at both ends counts once in each direction."""
    count, width = graph.indices.shape
    start, end = np.repeat(np.arange(count), width), graph.indices.ravel()
    weight = find_weights(graph).ravel().astype(np.float64)
    keys = np.concatenate([start * count + end, end * count + start])
    keys, first = np.unique(keys, return_index=True)
    return _Edges(keys // count, keys % count, np.concatenate([weight, weight])[first], count)


def _raise_modularity(edges: _Edges, resolution: float, seed: int) -> Labels:
    random = np.random.default_rng(seed)
    labels, level = np.arange(edges.points), edges
    while True:
        found = _move(level, np.arange(level.points), resolution, random)
        labels = found[labels]
        if found.max(initial=-1) + 1 == level.points:
            break
        level = _contract(level, found)
    return _move(edges, labels, resolution, random)


def _move(edges: _Edges, labels: Labels, resolution: float, random: np.random.Generator) -> Labels:
    """Let points move to the community that gains most, until hardly any does; communities numbered from 0."""
    labels, degrees = labels.copy(), edges.degrees()
    total = max(float(degrees.sum()), 1e-300)
    outside = edges.start != edges.end
    start, end, weight = edges.start[outside], edges.end[outside], edges.weight[outside]
    for _ in range(_SWEEPS):
        moved = 0
        is_first = random.random(edges.points) < 0.5
        for half in (is_first, ~is_first):
            chosen = half[start]
            some = _Edges(start[chosen], end[chosen], weight[chosen], edges.points)
            moved += _move_some(some, labels, degrees, resolution / total)
        if moved <= _SETTLED * edges.points:
            break
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _move_some(edges: _Edges, labels: Labels, degrees: NDArray[np.float64], rate: float) -> int:
    """Move the points where these edges begin, in place; returns how many moved."""
    if not len(edges.start):
        return 0
    sizes = np.bincount(labels, degrees, edges.points)
    keys, inverse = np.unique(edges.start * edges.points + labels[edges.end], return_inverse=True)
    points, communities = keys // edges.points, keys % edges.points
    is_own = labels[points] == communities
    inside = np.bincount(inverse, edges.weight, len(keys))
    gains = inside - rate * degrees[points] * (sizes[communities] - is_own * degrees[points])
    own = -rate * degrees * (sizes[labels] - degrees)  # of a point without a neighbour in its own community
    own[points[is_own]] = gains[is_own]
    order = np.lexsort((-communities, gains, points))
    last = np.append(np.nonzero(np.diff(points[order]))[0], len(order) - 1)
    best = order[last]
    better = gains[best] > own[points[best]] + 1e-12
    labels[points[best][better]] = communities[best][better]
    return int(better.sum())


def _contract(edges: _Edges, labels: Labels) -> _Edges:
    """The edges between communities, those inside one as an edge to itself."""
    count = int(labels.max(initial=-1)) + 1
    keys, inverse = np.unique(labels[edges.start] * count + labels[edges.end], return_inverse=True)
    return _Edges(keys // count, keys % count, _add_up(inverse, edges.weight, len(keys)), count)


def _merge(edges: _Edges, labels: Labels, count: int) -> Labels:
    """Merge the two communities whose union costs least modularity until `count` are left."""
    level = _contract(edges, labels)
    between = np.zeros((level.points, level.points))
    between[level.start, level.end] = level.weight
    parent = np.arange(level.points)
    alive = list(range(level.points))
    while len(alive) > count:
        some = between[np.ix_(alive, alive)]
        degrees = some.sum(axis=1)
        gains = some - np.outer(degrees, degrees) / max(degrees.sum(), 1e-300)
        np.fill_diagonal(gains, -np.inf)
        one, other = sorted(alive[index] for index in divmod(int(gains.argmax()), len(alive)))
        between[one] += between[other]
        between[:, one] += between[:, other]
        parent[parent == other] = one
        alive.remove(other)
    return np.unique(parent, return_inverse=True)[1][labels]


def _add_up(where: Labels, weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.bincount(where, weights, count).astype(np.float64, copy=False)


def _number(labels: Labels) -> Labels:
    """The same communities, the largest first, ties by their first point."""
    if not len(labels):
        return labels
    sizes = np.bincount(labels)
    first = np.full(len(sizes), len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[labels]
