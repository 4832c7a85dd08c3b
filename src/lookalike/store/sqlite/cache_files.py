"""Files beside the database with what is made of its items: mapped in milliseconds, and safe to delete at any time.

The database is the truth. Of each kind, the first file holds what was made of one state of it; the second what has
changed since, until that is worth a new first one. Each says of which state it is, and neither is used for another:
what has changed is read from the database, and what is kept and the checksums of its items must add up to the
database's own tally, or all is made anew.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from lookalike.vectors.mapped import Damaged, Segment, Writer, open_segment, write_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["Chunk", "Kind", "Source", "State", "Tuning", "discard", "load"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """When a search changes its ways; the numbers are measured in docs/performance.md.

    approximate_from: rows; fewer are searched exactly. columns_from: records; for fewer, what filters look at is read
    from the database. added: items beside the first file before it is made anew, at least.
    """

    approximate_from: int = 30_000
    columns_from: int = 5_000
    added: int = 2_000
    added_share: float = 1 / 32
    removed_share: float = 1 / 4


@dataclass(frozen=True, slots=True)
class State:
    """What tells one state of a database from all others, and from those of other galleries.

    made_by: whatever else decides what is made of an item, with the version of how.
    """

    made_by: str
    generation: int
    next_id: int
    embedded: int
    checksums: int


class Chunk(Protocol):
    """What is made of some items: their ids int64 (n,), their checksums uint32 (n,), and something of each."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """int64 (n,)."""

    @property
    def crcs(self) -> NDArray[np.uint32]:
        """uint32 (n,)."""


C = TypeVar("C", bound=Chunk)
C_co = TypeVar("C_co", bound=Chunk, covariant=True)
U = TypeVar("U")
U_co = TypeVar("U_co", covariant=True)


class Source(Protocol[C_co]):
    """The database, as a cache sees it, at one moment."""

    @property
    def state(self) -> State:
        """Of the database, then."""

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[C_co]:
        """Of all items, checked, in the order of their ids and as many as the tally says; or of these."""

    def changed(self, generation: int, next_id: int, most: int) -> list[int]:
        """The ids of items that may have changed since, at most so many and one."""


class Kind(Protocol[C, U_co]):
    """What is kept of items, and in which two files. Segments have the arrays `ids` and `crcs`, whatever else."""

    @property
    def files(self) -> tuple[str, str]:
        """Their names: of the first, and of what has changed since."""

    def serves(self, header: dict[str, Any], state: State) -> bool:
        """Whether a first file with this header can be part of what is used as of `state`."""

    def made(self, source: Source[C]) -> Callable[[Writer], dict[str, Any]]:
        """What writes the first file, but for its header, and says what is to stand there."""

    def write(self, writer: Writer, chunk: C) -> dict[str, Any]:
        """Write the second file, but for its header; what is to stand there."""

    def read(self, segment: Segment) -> C:
        """What was written. Raises Damaged."""

    def joined(self, chunks: Sequence[C]) -> C:
        """All of these as one, in this order."""

    def taken(self, chunk: C, stays: Mask) -> C:
        """Those of the items that stay."""

    def opened(self, base: Segment, more: Segment | None, alive: Mask | None) -> U_co:
        """What is used. alive: which items of the first file still count, None for all. Raises Damaged."""


def load(folder: Path, source: Source[C], kind: Kind[C, U], tuning: Tuning) -> U:
    """What is used as of the source's state: from the files, brought up to date; or made anew.

    Raises what reading the source raises; Damaged if even new files are.
    """
    with contextlib.suppress(Damaged):
        found = _Cache.open(folder, kind)
        if found is not None and (found := found.brought_to(source, tuning)) is not None:
            return found.opened()
    return _Cache(folder, kind, _built(folder, source, kind), None).opened()


def discard(folder: Path, files: tuple[str, str]) -> None:
    """Take files away that turned out to be damaged."""
    for name in files:
        with contextlib.suppress(OSError):
            os.unlink(folder / name)


class _Cache(Generic[C, U]):
    """The two files, open."""

    def __init__(self, folder: Path, kind: Kind[C, U], base: Segment, more: Segment | None) -> None:
        self._folder, self._kind, self._base, self._more = folder, kind, base, more
        self.state = State(**(more or base).header["state"])

    @classmethod
    def open(cls, folder: Path, kind: Kind[C, U]) -> _Cache[C, U] | None:
        """Raises Damaged."""
        base, more = (open_segment(folder / name) for name in kind.files)
        if base is None:
            return None
        try:
            return cls(folder, kind, base, more if more and more.header.get("base") == base.identity else None)
        except (KeyError, TypeError) as error:
            raise Damaged("a cache without a state") from error

    def brought_to(self, source: Source[C], tuning: Tuning) -> _Cache[C, U] | None:
        """This cache as of the source's state; None where it is not worth it, or impossible. Raises Damaged."""
        ours, theirs = self.state, source.state
        if ours == theirs:
            return self
        is_of_before = ours.made_by == theirs.made_by and ours.generation <= theirs.generation
        if not is_of_before or not self._kind.serves(self._base.header, theirs):
            return None
        most = max(tuning.added, int(theirs.embedded * tuning.added_share))
        changed = source.changed(ours.generation, ours.next_id, most)
        if len(changed) > most:
            return None
        removed, added = self._removed(changed), self._added(changed, source)
        if len(added.ids) > most or len(removed) > len(self._ids()) * tuning.removed_share:
            return None
        if not self._adds_up(removed, added, theirs):
            return None
        return _Cache(self._folder, self._kind, self._base, self._written(removed, added, theirs))

    def opened(self) -> U:
        """Raises Damaged."""
        if self._more is None:
            return self._kind.opened(self._base, None, None)
        alive = np.ones(len(self._ids()), bool)
        alive[self._more.array("removed")] = False
        return self._kind.opened(self._base, self._more, None if alive.all() else alive)

    def _ids(self) -> NDArray[np.int64]:
        return self._base.array("ids")

    def _removed(self, changed: list[int]) -> NDArray[np.int64]:
        """Which items of the base count no more, by their places there."""
        gone = np.isin(self._ids(), changed)
        if self._more is not None:
            gone[self._more.array("removed")] = True
        return np.nonzero(gone)[0]

    def _added(self, changed: list[int], source: Source[C]) -> C:
        """What stands beside the base."""
        chunks = []
        if self._more is not None:
            chunk = self._kind.read(self._more)
            chunks.append(self._kind.taken(chunk, ~np.isin(chunk.ids, changed)))
        return self._kind.joined([*chunks, *source.rows(changed)])

    def _adds_up(self, removed: NDArray[np.int64], added: C, state: State) -> bool:
        crcs = self._base.array("crcs")
        checksums = [int(some.sum(dtype=np.int64)) for some in (crcs, crcs[removed], added.crcs)]
        embedded = len(crcs) - len(removed) + len(added.ids)
        is_whole = (embedded, checksums[0] - checksums[1] + checksums[2]) == (state.embedded, state.checksums)
        # A set, because the first `np.unique` of a process imports masked arrays: 36 ms.
        return is_whole and len(set(added.ids.tolist())) == len(added.ids)

    def _written(self, removed: NDArray[np.int64], added: C, state: State) -> Segment:
        def write(writer: Writer) -> None:
            header = self._kind.write(writer, added)
            writer.array("removed", removed)
            writer.finish({"state": asdict(state), "base": self._base.identity, **header})

        return write_segment(self._folder / self._kind.files[1], write)


def _built(folder: Path, source: Source[C], kind: Kind[C, U]) -> Segment:
    """All of the database as one file."""
    made = kind.made(source)
    return write_segment(
        folder / kind.files[0], lambda writer: writer.finish({"state": asdict(source.state), **made(writer)})
    )
