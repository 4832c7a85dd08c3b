"""What reads rows of a gallery on a server, and checks each of them."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lookalike.adaptation.serialize import from_entries, read_summary
from lookalike.store.blocks import Block
from lookalike.store.calibration import from_json
from lookalike.store.concepts import from_bytes
from lookalike.store.rows import CRC, DIGEST, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.rows import Row, Stored

__all__ = ["CHUNK", "CONCEPT", "ServerMoment", "ServerReader", "ServerState", "batched"]

T = TypeVar("T")

CHUNK = 4096  # rows read at once: 5 MB of vectors with 280 dimensions
CONCEPT = "concept "  # what the name of an entry with a concept begins with


class ServerState(Protocol):
    """What counts at a moment."""

    @property
    def generation(self) -> int:
        """A number that grows with every change."""

    @property
    def epoch(self) -> int:
        """A number that grows with every adaptation."""

    @property
    def records(self) -> int:
        """The number of records."""

    @property
    def embedded(self) -> int:
        """The number of those with an embedding."""

    @property
    def checksums(self) -> int:
        """The sum of the checksums of those with an embedding."""


class ServerMoment(Protocol):
    """What belongs together, whatever others write."""

    @property
    def state(self) -> ServerState:
        """What counts at this moment."""


class ServerReader(ABC):
    """Rows as of one moment, checked. Methods raise StoreError or a subclass, such as Corrupt for damaged rows."""

    def __init__(self, location: str, space: Space) -> None:
        self._location, self._space = location, space

    @abstractmethod
    def corrupt(self, what: str) -> Exception:
        """The error for a damaged row."""

    @abstractmethod
    def meta(self, key: str) -> bytes | None:
        """The content of the entry with this name; None if there is none."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """The rest of the name of each entry that begins with `prefix`, in order."""

    @abstractmethod
    def by_ids(self, ids: Iterable[int]) -> list[Row]:
        """Checked rows of the items with these ids."""

    @abstractmethod
    def by_paths(self, paths: Iterable[bytes]) -> list[Row]:
        """Checked rows of the items at these paths."""

    @abstractmethod
    def scan(self, prefix: bytes) -> Iterator[Record]:
        """The records whose path begins with `prefix`, ordered by path."""

    @abstractmethod
    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""

    @abstractmethod
    def contents(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked bytes of the embedding of each of these digests that has one."""

    @abstractmethod
    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""

    @abstractmethod
    def descriptions(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked description of each of these digests that has one."""

    @abstractmethod
    def _stored(self, digests: Iterable[bytes]) -> tuple[Stored, Stored]:
        """The checked embedding and description of each of these digests that has one, with the checksum."""

    @abstractmethod
    def chunks(self, *, embedded: bool) -> Iterator[list[Row]]:
        """Checked rows of all items with an embedding, or of all without, in chunks ordered by id."""

    def with_digest(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Checked rows of items with an embedding, in chunks: of all items ordered by id, or of these."""
        if ids is None:
            yield from self.chunks(embedded=True)
            return
        for some in batched(ids, CHUNK):
            if rows := [row for row in self.by_ids(some) if row[DIGEST] is not None]:
                yield rows

    def every(self) -> Iterator[list[Row]]:
        """Checked rows of all items, in chunks: those with an embedding ordered by id, and then the others."""
        return chain(self.chunks(embedded=True), self.chunks(embedded=False))

    def blocks(self) -> Iterator[Block]:
        """All items with what is kept of them, checked, in the order of `every`."""
        for rows in self.every():
            contents, descriptions = self._stored(row[DIGEST] for row in rows if row[DIGEST] is not None)
            self._check_complete(rows, contents)
            yield Block({row[KEY]: row[DIGEST:CRC] for row in rows}, contents, descriptions)

    def entry(self, key: str, default: Any, of: Callable[[Any], T]) -> T:  # noqa: ANN401  (parsed JSON)
        """The entry with this name, which `of` makes from its parsed JSON, or from the default."""
        content = self.meta(key)
        try:
            return of(default if content is None else json.loads(content))
        except (TypeError, ValueError, OverflowError):
            raise self.corrupt(f"the entry {key!r} has an invalid value") from None

    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        summary = self.entry("projection", None, read_summary)
        if summary is None:
            return None
        try:
            return from_entries(summary, {name: self.meta(name) or b"" for name in summary.entries}, self._space.dim)
        except ValueError as error:
            raise self.corrupt(str(error)) from None

    def calibration(self) -> Calibration | None:
        """How far apart the pictures are; None before that is measured."""
        try:
            return from_json(self.meta("calibration") or b"null")
        except (TypeError, ValueError, LookupError, OverflowError):
            raise self.corrupt("the entry 'calibration' has an invalid value") from None

    def concept(self, name: str) -> Concept:
        """The concept with this normalised name, which exists."""
        try:
            return from_bytes(self.meta(f"{CONCEPT}{name}") or b"", self._space.dim)
        except (TypeError, ValueError, KeyError):
            raise self.corrupt(f"the concept {name!r} has an invalid value") from None

    def embedded(self, ids: Sequence[int] | None = None) -> Iterator[tuple[list[Row], list[bytes]]]:
        """Checked items with the bytes of their embeddings, in chunks: of all items ordered by id, or of these."""
        for rows in self.with_digest(ids):
            blobs = self.contents(row[DIGEST] for row in rows)
            self._check_complete(rows, blobs)
            yield rows, [blobs[row[DIGEST]] for row in rows]

    def _check_complete(self, rows: Sequence[Row], contents: Container[bytes]) -> None:
        missing = next((row for row in rows if row[DIGEST] is not None and row[DIGEST] not in contents), None)
        if missing is not None:
            raise self.corrupt(f"the embedding of {os.fsdecode(missing[KEY])!r} is missing")


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Values in lists of a size."""
    each = iter(values)
    while some := list(islice(each, size)):
        yield some
