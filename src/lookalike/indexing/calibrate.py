"""Measure how far apart the pictures of a gallery are: see `lookalike.store.calibration`."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import StoreError
from lookalike.images.description import HASH
from lookalike.images.perceptual import hashes_of_orientations
from lookalike.store import ADAPTED, JUDGED
from lookalike.store.calibration import Calibration
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.store import Near, Store

    Numbers = NDArray[np.float64]

__all__ = ["LEAST", "calibrate", "calibrate_if_grown"]

_log = logging.getLogger(__name__)

LEAST = 20  # pictures without which nothing is said
_GROWTH = 1.5  # times as many pictures as when it was measured, and it is measured again
_SAMPLE = 2048  # pictures, spread evenly: the share of 5% is then right to half a percent
_SPARE = 6  # neighbours that may be copies
_TOGETHER = 4096  # pictures up to which all embeddings are read at once
_PART = 128  # pictures of the sample measured at once in larger galleries
_SAME = 32  # bits of 256 in which the hashes of two copies of a picture differ at most, in any orientation


def calibrate_if_grown(store: Store) -> None:
    """Measure a gallery that has grown or shrunk enough since, or was adapted again; inside `store.writing()`."""
    known, pictures = store.calibration, store.count()[0]
    if pictures < LEAST:
        return
    if known is not None and known.adapted == _describe_adaptation(store) and _is_alike(pictures, known.pictures):
        return
    with contextlib.suppress(StoreError):  # what was indexed is safe, and the next search reports the problem
        calibrate(store)


def calibrate(store: Store) -> None:
    """Measure a gallery, inside `store.writing()`; one with too few different pictures says nothing."""
    pictures = store.count()[0]
    measured = _measure(store)
    if len(measured) < LEAST:
        measured = measured[:0]
    store.set_calibration(Calibration.measure(pictures, _describe_adaptation(store), measured))
    _log.info("measured how far apart %d of %d pictures are", len(measured), pictures)


def _is_alike(pictures: int, before: int) -> bool:
    return before / _GROWTH < pictures < before * _GROWTH


def _describe_adaptation(store: Store) -> str:
    """What decides which pictures a search finds first."""
    projection = store.projection
    return "" if projection is None else f"{projection.fitted_on} {sum(projection.widths)} {len(projection.classes)}"


def _measure(store: Store) -> Numbers:
    """The distances of a sample to those nearest to it, float64 (m, JUDGED), without pictures that have only copies."""
    ids = store.ids()
    sample = ids[:: -(-len(ids) // _SAMPLE)].tolist()
    size = len(sample) if len(ids) <= _TOGETHER else _PART
    parts = [_measure_some(store, sample[start : start + size]) for start in range(0, len(sample), size)]
    found = np.concatenate(parts)
    return found[np.isfinite(found).any(axis=1)]


def _measure_some(store: Store, ids: Sequence[int]) -> Numbers:
    space = replace(ADAPTED, compared=True)
    near = store.search(store.vectors(ids), JUDGED + 1 + _SPARE, space=space)
    pictures = _Pictures(store, sorted({*ids, *(id_ for some in near for id_, _ in some)}))
    return np.stack([pictures.measure(id_, some) for id_, some in zip(ids, near, strict=True)])


class _Pictures:
    """Some pictures with their embeddings, contents and hashes."""

    def __init__(self, store: Store, ids: Sequence[int]) -> None:
        chunks = list(store.embeddings(ids))
        found = np.concatenate([some for some, _ in chunks])
        self._rows = unit(np.concatenate([rows for _, rows in chunks]))
        self._at = {id_: at for at, id_ in enumerate(found.tolist())}
        self._contents = {id_: record.digest for id_, record in store.get(ids).items()}
        self._hashes = {id_: np.frombuffer(some, np.uint8)[HASH] for id_, some in store.descriptions(ids).items()}

    def measure(self, id_: int, near: Near) -> Numbers:
        """The distances of a picture to those found near it, (JUDGED,), infinite where there are too few."""
        others = self._leave_out_copies(id_, [other for other, _ in near if other != id_])[:JUDGED]
        found = np.full(JUDGED, np.inf)
        rows = self._rows[[self._at[other] for other in others]]
        found[: len(others)] = np.maximum(1 - rows @ self._rows[self._at[id_]], 0)
        return found

    def _leave_out_copies(self, id_: int, others: Sequence[int]) -> list[int]:
        """Without copies: in a gallery with two of each picture, every other picture would seem to be a stranger."""
        kept = [other for other in others if self._contents[other] != self._contents[id_]]
        own = self._hashes.get(id_)
        known = [other for other in kept if other in self._hashes]
        if own is None or not known:
            return kept
        differing = hashes_of_orientations(own[None])[:, 0, None] ^ np.stack([self._hashes[other] for other in known])
        bits = np.bitwise_count(differing).sum(axis=2).min(axis=0)
        copies = {other for other, count in zip(known, bits.tolist(), strict=True) if count <= _SAME}
        return [other for other in kept if other not in copies]
