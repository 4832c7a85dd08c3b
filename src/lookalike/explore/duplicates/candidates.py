"""Which pairs of pictures may be copies, likeliest first, from what the gallery keeps of them: no file is read.

Four lists are joined, because each misses some kind of copy (docs/decisions.md): the nearest 20 by the vectors that the
gallery compares, which miss turned pictures; the nearest by the perceptual hash in all eight orientations, which miss
cropped ones; the nearest by their colours, whatever their shape, which miss toned and grey ones; and the nearest by
the layout of colours in all eight orientations. Only those that stand out in a list are taken: that are clearly nearer
than what a picture resembles anyway, its later neighbours.

All pairs are never compared: beyond 20,000 pictures the nearest are found by inverted lists.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from lookalike.images.perceptual import ORIENTATIONS, hashes_of_orientations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Near

    Rows = NDArray[np.float32]
    Hashes = NDArray[np.uint8]
    _Find = Callable[[Any, int], tuple[NDArray[Any], NDArray[np.int64]]]

__all__ = ["CELLS", "Candidate", "join", "near_by_colours", "near_by_hash", "near_by_layout", "near_by_vector"]

CELLS = 48
"""The numbers of a layout: 4 x 4 cells of three colours, row by row."""

_RADIUS = 84  # bits: of 3.6 million pairs of 8 Scenes, 45 are within it, most of them copies
_OBVIOUS = 40  # bits: only copies
_NEAREST = 5  # by hash and by layout, in each orientation
_BACKGROUND = 12  # the neighbours from this one on are what a picture resembles anyway
_FARTHEST = 0.85  # of that distance: beyond it are 8% of the cropped copies and 70% of the nearest others
_LAYOUT_WEIGHT, _COLOUR_WEIGHT = 1.7, 1.3  # these have to stand out more than vectors
_EXACT = 20_000  # pictures up to which all are compared with a query
_PER_LIST = 100  # pictures of an inverted list
_PROBES = 12  # inverted lists that are looked at
_TRAINING = 40  # pictures for each inverted list


class Candidate(NamedTuple):
    """Two pictures that may be copies: indices of the pictures, a < b.

    rank: how likely, in the order in which pairs are proved; 0 is certain, 1 no more than any neighbour. distance: of
    the vectors, if known. bits: by which their hashes differ in the best orientation, if known.
    """

    a: int
    b: int
    rank: float
    distance: float | None = None
    bits: int | None = None

    @property
    def is_obvious(self) -> bool:
        """Whether what is kept of them leaves little doubt that they are copies."""
        return self.rank <= _OBVIOUS_RANK


_OBVIOUS_RANK = 0.3


def near_by_vector(near: Iterable[tuple[int, Near]], index_of: Mapping[int, int]) -> list[Candidate]:
    """Candidates from the nearest neighbours of each picture. near: neighbours by id, with the index of the picture.

    index_of: the index of each id among the neighbours.
    """
    found = []
    for a, others in near:
        background = _find_background([distance for _, distance in others])
        close = [(index_of.get(other, a), distance) for other, distance in others if distance < _FARTHEST * background]
        found += [_pair(a, b, distance / background, distance=distance) for b, distance in close if b != a]
    return found


def near_by_hash(hashes: Hashes, queries: NDArray[np.int64], among: NDArray[np.int64]) -> list[Candidate]:
    """Candidates within 84 of 256 bits in any orientation.

    hashes: uint8 (n, 32). queries: indices to look around. among: indices to look for.
    """
    best: dict[tuple[int, int], int] = {}
    find = _hash_index(hashes[among]) if len(queries) and len(among) else None
    for turned in hashes_of_orientations(hashes[queries]) if find is not None else ():
        distances, found = cast("_Find", find)(turned, min(_NEAREST + 1, len(among)))
        rows, columns = np.nonzero((distances <= _RADIUS) & (found >= 0))
        a, b = queries[rows], among[found[rows, columns]]
        for one, other, bits in zip(a.tolist(), b.tolist(), distances[rows, columns].tolist(), strict=True):
            key = min(one, other), max(one, other)
            best[key] = min(int(bits), best.get(key, 256))
    return [_pair(a, b, _rank_bits(bits), bits=bits) for (a, b), bits in best.items() if a != b]


def near_by_layout(layouts: Rows, queries: NDArray[np.int64], among: NDArray[np.int64]) -> list[Candidate]:
    """Candidates by the layouts, float32 (n, 48) of length 1, in all orientations; the rest as for `near_by_hash`."""
    turned = [_turn_layouts(layouts[queries], number) for number in range(len(ORIENTATIONS))]
    return _near_by_rows(layouts[among], turned, queries, among, _LAYOUT_WEIGHT)


def near_by_colours(colours: Rows, queries: NDArray[np.int64], among: NDArray[np.int64]) -> list[Candidate]:
    """Candidates by how much there is of each colour, float32 (n, c) of length 1; the rest as for `near_by_hash`."""
    return _near_by_rows(colours[among], [colours[queries]], queries, among, _COLOUR_WEIGHT)


def _near_by_rows(
    rows: Rows, turned: Sequence[Rows], queries: NDArray[np.int64], among: NDArray[np.int64], weight: float
) -> list[Candidate]:
    """Candidates by the cosine of rows, and of the queries in each way in which they are turned."""
    if not len(queries) or not len(among):
        return []
    find, k = _index_rows(rows), min(_NEAREST + _BACKGROUND, len(among))
    similarities, found = (
        np.concatenate(parts, axis=1) for parts in zip(*(find(each, k) for each in turned), strict=True)
    )
    order = np.argsort(-similarities, axis=1, kind="stable")[:, : 3 * _BACKGROUND]
    distances = np.maximum(0, 1 - np.take_along_axis(similarities, order, axis=1))
    indices = np.take_along_axis(found, order, axis=1)
    later = min(_BACKGROUND, distances.shape[1] - 1)
    background = np.maximum(distances[:, later:].mean(1, keepdims=True), 1e-9)
    nearest = 2 * _NEAREST
    ranks = weight * distances[:, :nearest] / background
    at, columns = np.nonzero((ranks < _FARTHEST) & (indices[:, :nearest] >= 0))
    pairs = zip(queries[at].tolist(), among[indices[at, columns]].tolist(), ranks[at, columns].tolist(), strict=True)
    return [_pair(a, b, rank) for a, b, rank in pairs if a != b]


def join(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each pair once, with everything that is known of it, likeliest first."""
    best: dict[tuple[int, int], Candidate] = {}
    for each in candidates:
        known = best.get((each.a, each.b))
        if known is not None:
            distance = known.distance if each.distance is None else each.distance
            bits = known.bits if each.bits is None else each.bits
            each = Candidate(each.a, each.b, min(each.rank, known.rank), distance, bits)  # noqa: PLW2901
        best[each.a, each.b] = each
    return sorted(best.values(), key=lambda each: (each.rank, each.a, each.b))


def _pair(a: int, b: int, rank: float, *, distance: float | None = None, bits: int | None = None) -> Candidate:
    return Candidate(int(min(a, b)), int(max(a, b)), max(0.0, rank), distance, bits)


def _rank_bits(bits: int) -> float:
    """0 for equal hashes, the rank of what is obvious at 40 bits, 0.75 at 84."""
    if bits <= _OBVIOUS:
        return _OBVIOUS_RANK * bits / _OBVIOUS
    return _OBVIOUS_RANK + (0.75 - _OBVIOUS_RANK) * (bits - _OBVIOUS) / (_RADIUS - _OBVIOUS)


def _find_background(distances: list[float]) -> float:
    """How far away the pictures are that a picture resembles anyway: the mean of its later neighbours."""
    later = distances[_BACKGROUND:] or distances[-1:]
    return max(sum(later) / len(later), 1e-9) if later else 1.0


def _turn_layouts(layouts: Rows, number: int) -> Rows:
    cells = layouts.reshape(-1, 4, 4, 3)
    cells = cells.swapaxes(1, 2) if number & 4 else cells
    cells = cells[:, ::-1] if number & 2 else cells
    cells = cells[:, :, ::-1] if number & 1 else cells
    return np.ascontiguousarray(cells.reshape(-1, CELLS))


def _hash_index(hashes: Hashes) -> _Find:
    import faiss  # noqa: PLC0415  (0.1 s)

    bits = hashes.shape[1] * 8
    if len(hashes) <= _EXACT:
        flat = faiss.IndexBinaryFlat(bits)
        flat.add(hashes)
        return cast("_Find", flat.search)
    lists = _count_lists(len(hashes))
    quantizer = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantizer, bits, lists)
    index.cp.niter, index.cp.seed = 10, 1
    index.train(_sample_rows(hashes, lists))
    index.add(hashes)
    index.nprobe = _PROBES
    return lambda queries, k: _search(index, quantizer, queries, k)


def _index_rows(rows: Rows) -> _Find:
    import faiss  # noqa: PLC0415  (0.1 s)

    dim = rows.shape[1]
    if len(rows) <= _EXACT:
        flat = faiss.IndexFlatIP(dim)
        flat.add(rows)
        return cast("_Find", flat.search)
    lists = _count_lists(len(rows))
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.seed = 10, 1
    index.train(_sample_rows(rows, lists))
    index.add(rows)
    index.nprobe = _PROBES
    return lambda queries, k: _search(index, quantizer, queries, k)


def _search(index: Any, _quantizer: Any, queries: Any, k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:  # noqa: ANN401
    """Search an index, whose quantizer has to live as long as it does."""
    distances, found = index.search(queries, k)
    return distances, found


def _count_lists(rows: int) -> int:
    return max(1, math.ceil(rows / _PER_LIST))


def _sample_rows(rows: NDArray[np.generic], lists: int) -> NDArray[np.generic]:
    """Rows spread over all, as many as an index is trained with."""
    step = max(1, len(rows) // (lists * _TRAINING))
    return np.ascontiguousarray(rows[::step])
