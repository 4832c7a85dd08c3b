"""Hits without copies: the nearest of each group of copies remains.

Copies have the same content, or the same vector, or look alike by what the gallery keeps of each picture: a perceptual
hash and the shares of its colours. So no file is read, and the encoder does not matter. The limits were chosen so that
no two different photographs of eight collections are joined (docs/decisions.md). Copies that were cropped, turned or
toned remain, and so do those of pages and drawings, two of which can look the same by what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.images.description import COLORS, HASH, HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.store import Near, Store

__all__ = ["find_farthest", "find_unique"]

_MORE = 4  # times as many pictures are looked at where copies take the places of hits
# Bits of the hashes, cosine distance of the colours: copies are within one of these pairs.
_LIMITS = ((16, 0.03), (24, 0.01), (32, 0.005), (40, 0.003))
_PLAIN, _ANCHORS = 0.5, 4  # of a picture that is plain: the share of the four commonest colours, which one falls into


def find_unique(store: Store, near: Near, own: set[int], k: int, again: Callable[[int], Near]) -> Near:
    """The k nearest pictures without copies; more are looked at until there are k.

    own: ids that are left out. again: finds as many of the nearest pictures as it is asked for.
    """
    most = len(near)
    while True:
        unique = _leave_out_copies(store, [pair for pair in near if pair[0] not in own])
        if len(unique) >= k or len(near) < most:
            return unique[:k]
        most = _MORE * max(most, k)
        near = again(most)


def find_farthest(store: Store, far: Near, k: int) -> Near:
    """The first k of all pictures, farthest first, without copies."""
    most = _MORE * k
    while len(unique := _leave_out_copies(store, far[:most])) < k and most < len(far):
        most *= _MORE
    return unique[:k]


def _leave_out_copies(store: Store, near: Near) -> Near:
    """The hits without the copies of an earlier one."""
    ids = [id_ for id_, _ in near]
    records, described = store.get(ids), store.descriptions(ids)
    vectors = dict(zip(ids, store.vectors(ids), strict=True))
    seen, looks = set[object](), _Looks(store, len(near))
    kept: Near = []
    for id_, distance in near:
        digest = records[id_].digest
        marks = {digest, vectors[id_].tobytes()}
        if not marks & seen and not looks.has_copy(digest or b"", described.get(id_)):
            kept.append((id_, distance))
        seen |= marks
    return kept


class _Looks:
    """What the hits that remain look like."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._hashes = np.empty((most, HASH_SIZE // 8), np.uint64)
        self._colors: list[NDArray[np.float32]] = []
        self._digests: list[bytes] = []
        self._distinct: set[frozenset[bytes]] | None = None

    def has_copy(self, digest: bytes, description: bytes | None) -> bool:
        """Whether a hit looks like an earlier one; if not, it is remembered."""
        if description is None:
            return False
        own = np.frombuffer(description, np.uint8)
        signs, colors = own[HASH].view(np.uint64), own[COLORS].astype(np.float32)
        bits = np.bitwise_count(self._hashes[: len(self._colors)] ^ signs).sum(axis=1)
        close = np.flatnonzero(bits <= _LIMITS[-1][0]).tolist()
        if close and not _is_plain(colors):
            for index in close:
                distance = _distance(self._colors[index], colors)
                is_copy = any(bits[index] <= most and distance <= far for most, far in _LIMITS)
                if is_copy and not self._is_distinct(digest, self._digests[index]):
                    return True
        self._hashes[len(self._colors)] = signs
        self._colors.append(colors)
        self._digests.append(digest)
        return False

    def _is_distinct(self, one: bytes, other: bytes) -> bool:
        """Whether a person has said that these are not duplicates."""
        if self._distinct is None:
            self._distinct = {frozenset(pair) for pair in self._store.distinct}
        return frozenset((one, other)) in self._distinct


def _is_plain(colors: NDArray[np.float32]) -> bool:
    """Whether half of a picture is one colour, as of a page, a drawing or an icon: what differs may be too small."""
    return float(np.partition(colors, -_ANCHORS)[-_ANCHORS:].sum()) >= _PLAIN * float(colors.sum())


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The cosine distance of two pictures' colours."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - float(one @ other) / lengths if lengths else 1.0
