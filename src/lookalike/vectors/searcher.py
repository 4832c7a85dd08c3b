"""Search several parts as one: exactly where that is fast, through inverted lists where vectors are many."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from lookalike.vectors.exact import DEPTHS, Nearest, merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.vectors.exact import Matrix
    from lookalike.vectors.ivf import InvertedLists
    from lookalike.vectors.metric import Metric

    Rows = NDArray[np.float32]
    Ids = NDArray[np.int64]
    Mask = NDArray[np.bool_]

__all__ = ["Part", "Searcher"]

_FETCHED = 4  # vectors measured for each one wanted: the nearest by their bytes
_LEAST_FETCHED = 32
_DEEPER = 4  # times as many when those are not enough
_LARGE = 8  # when more than one vector in eight is wanted, all are compared
_FEW = (
    3_000  # vectors that pass a filter, up to which these are compared instead of probing lists (docs/performance.md)
)
_RARE = 50  # and where at most one vector in fifty passes
_JOINED = 256  # vectors whose neighbours are searched for at once


class Part(NamedTuple):
    """Some of the vectors: a matrix, and inverted lists of it where there are many.

    alive: bool (n,), which vectors still count; None for all. probes (for each of DEPTHS) and error: what
    `ivf.calibrate` measured.
    """

    matrix: Matrix
    alive: Mask | None = None
    lists: InvertedLists | None = None
    probes: Sequence[int] = ()
    error: float = 0.0

    def __len__(self) -> int:
        return len(self.matrix.ids) if self.alive is None else int(np.count_nonzero(self.alive))


class Searcher:
    """What is searched, as of one state of a gallery.

    Any number of threads may use it at the same time. What it remembers from one search to the next is replaced as a
    whole, and each search works with what it found there or made itself.
    """

    def __init__(self, parts: list[Part]) -> None:
        # Half of the time of a search in few vectors goes by parts: an empty one, where nothing was added, is left out.
        self._parts = [part for part in parts if len(part.matrix.ids)] or parts[:1]
        self._chosen: tuple[Ids | None, list[_Choice]] | None = None
        self._weighted: tuple[bytes, Searcher] | None = None
        self._weighting = threading.Lock()  # while a weighted copy is made

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def approximate(self) -> bool:
        """Whether a search probes inverted lists unless it is asked to be exact."""
        return any(part.lists is not None for part in self._parts)

    def search(self, queries: Rows, k: int, *, among: Ids | None = None, exact: bool = False) -> Iterator[Nearest]:
        """The k nearest vectors to each query (m, w), of all or of those with an id in `among`. Raises Damaged."""
        choices = self._choose(among)
        found = [
            _search_part(part, some, queries, k, exact=exact) for part, some in zip(self._parts, choices, strict=True)
        ]
        for answers in zip(*found, strict=True):
            yield answers[0] if len(answers) == 1 else merge(answers, k)

    def weighted(self, weights: NDArray[np.float32]) -> Searcher:
        """The same vectors with their dimensions multiplied by `weights`, float32 (w,); always exact. Raises Damaged.

        A copy of all vectors, so the last is remembered: many searches have the same weights.
        """
        asked = weights.tobytes()
        known = self._weighted
        if known is None or known[0] != asked:
            with self._weighting:  # one copy at a time, for all threads that wait for it
                known = self._weighted
                if known is None or known[0] != asked:
                    self._weighted = None  # before the next is made: there is room for one
                    parts = [Part(part.matrix.weighted(weights), part.alive) for part in self._parts]
                    self._weighted = known = asked, Searcher(parts)
        return known[1]

    def vectors(self, ids: Ids) -> Rows:
        """The vectors with these ids, float32 (n, w), in their order. Raises KeyError; Damaged."""
        found = np.empty((len(ids), self._parts[0].matrix.vectors.shape[1]), np.float32)
        left = len(ids)
        for part in self._parts:
            asked, indices = part.matrix.find(ids)
            if part.alive is not None:
                counts = part.alive[indices]
                asked, indices = asked[counts], indices[counts]
            found[asked] = part.matrix.take(indices)
            left -= len(asked)
        if left:
            raise KeyError(f"{left} of {len(ids)} ids are not there")
        return found

    def neighbours(self, k: int, *, exact: bool = False) -> Iterator[tuple[int, Nearest]]:
        """The id of every vector with its k nearest others, list by list, some vectors at a time. Raises Damaged."""
        for part in self._parts:
            alive = np.arange(len(part.matrix.ids)) if part.alive is None else np.nonzero(part.alive)[0]
            for start in range(0, len(alive), _JOINED):
                indices = alive[start : start + _JOINED]
                answers = self.search(part.matrix.take(indices), k + 1, exact=exact)
                for id_, near in zip(part.matrix.ids[indices].tolist(), answers, strict=True):
                    others = near.ids != id_
                    yield id_, Nearest(near.ids[others][:k], near.distances[others][:k])

    def _choose(self, among: Ids | None) -> list[_Choice]:
        """Which vectors of each part may be found; the last choice is remembered: many queries have the same filter."""
        known = self._chosen
        if known is None or known[0] is not among:
            self._chosen = known = among, [_Choice(part, among) for part in self._parts]
        return known[1]


class _Choice:
    """Which vectors of a part may be found: a mask, None for all, and how many there are."""

    def __init__(self, part: Part, among: Ids | None) -> None:
        self.mask = _make_mask(part, among)
        self.count = len(part.matrix.ids) if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def indices(self) -> NDArray[np.intp] | None:
        """Their indices; None for all."""
        return None if self.mask is None or self.count == len(self.mask) else np.nonzero(self.mask)[0]


class _Scan(NamedTuple):
    """How the inverted lists of a part are scanned."""

    part: Part
    choice: _Choice
    k: int
    probes: int


def _make_mask(part: Part, among: Ids | None) -> Mask | None:
    if among is None:
        return part.alive
    ids = part.matrix.ids
    allowed = np.zeros(1 + max(int(ids.max(initial=0)), int(among.max(initial=0))), bool)
    allowed[among] = True
    return allowed[ids] if part.alive is None else allowed[ids] & part.alive


def _search_part(part: Part, choice: _Choice, queries: Rows, k: int, *, exact: bool) -> Iterator[Nearest]:
    total, allowed = len(part.matrix.ids), choice.count
    # The k nearest among one row in ten are about as far away as the 10 k nearest of all.
    depth = k * total / max(1, allowed)
    few = min(_FEW, total // _RARE)
    if part.lists is None or exact or k * _LARGE > allowed or allowed <= few or depth > DEPTHS[-1]:
        return part.matrix.search(queries, k, among=choice.indices)
    probes = np.exp(np.interp(np.log(max(depth, 1)), np.log(DEPTHS), np.log(part.probes)))
    return _search_lists(_Scan(part, choice, k, round(float(probes))), queries, max(_FETCHED * k, _LEAST_FETCHED))


def _search_lists(scan: _Scan, queries: Rows, fetched: int) -> Iterator[Nearest]:
    """First by bytes, then measured; again with more vectors while one that was not measured could be nearer."""
    found: dict[int, Nearest] = {}
    left = list(range(len(queries)))
    while left:
        answers = _scan_lists(scan, queries[left], fetched)
        found |= {number: near for number, near in zip(left, answers, strict=True) if near is not None}
        left = [number for number in left if number not in found]
        fetched *= _DEEPER
    return iter([found[number] for number in range(len(queries))])


def _scan_lists(scan: _Scan, queries: Rows, fetched: int) -> Iterator[Nearest | None]:
    """What each query found; None where a vector that was not measured could be nearer."""
    part, choice, k, probes = scan
    similarity, indices = cast("InvertedLists", part.lists).scan(queries, fetched, probes, among=choice.mask)
    for query, some, least in zip(queries, indices, similarity[:, -1].tolist(), strict=True):
        met = some[some >= 0]
        near = part.matrix.measure(query, met, k)
        if len(near.ids) < k:
            yield from part.matrix.search(query[None], k, among=choice.indices)
        elif len(met) < fetched or _farthest_similarity(near, part.matrix.metric) > least + part.error:
            yield near
        else:
            yield None


def _farthest_similarity(near: Nearest, metric: Metric) -> float:
    """The similarity of the farthest, as inverted lists define it."""
    farthest = float(near.distances[-1])
    return 1.0 - farthest if metric == "cosine" else -farthest * farthest
