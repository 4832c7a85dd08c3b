"""Pictures read small for their comparison, in the worker processes that read every picture."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike.explore.duplicates.align import FINE
from lookalike.explore.duplicates.proof import Prepared
from lookalike.explore.thumbnails import read_stretched, undo_stretch
from lookalike.images.decode import DecodedPicture, Limits, View
from lookalike.images.pool import DecoderPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from lookalike.store import Record

__all__ = ["Reader", "read_small"]

_VIEW = View(FINE, 1.0, 1.0)
_KEPT = 1000  # prepared pictures, each of 0.3 MB


def read_small(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """What `read_stretched` reads, with the SHA-256 of the file; called in a worker. Raises Unreadable."""
    picture = read_stretched(path, view, limits)
    with open(path, "rb") as file:
        return replace(picture, digest=hashlib.file_digest(file, "sha256").digest())


class Reader:
    """Reads pictures as they are needed and keeps the latest. A context manager."""

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        self._pool = DecoderPool(_VIEW, limits=limits, workers=workers, decoder=read_small)
        self._kept: OrderedDict[bytes, Prepared | str] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def read(self, records: Sequence[Record]) -> dict[bytes, Prepared | str]:
        """These pictures by path, or the reason why one cannot be compared: unreadable, or changed since indexing."""
        wanted = {record.path: record for record in records}
        missing = [path for path in wanted if path not in self._kept]
        self._read(missing, wanted)
        found = {path: self._kept[path] for path in wanted}
        for path in wanted:
            self._kept.move_to_end(path)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def _read(self, paths: Iterable[bytes], records: dict[bytes, Record]) -> None:
        with closing(self._pool.read(paths)) as outcomes:
            for path, outcome in outcomes:
                self._kept[path] = outcome if isinstance(outcome, str) else _prepare(outcome, records[path])


def _prepare(picture: DecodedPicture, record: Record) -> Prepared | str:
    if picture.digest != record.digest:
        return "changed since it was indexed"
    return Prepared(np.asarray(undo_stretch(picture, FINE)), (picture.width, picture.height))
