"""Cache files beside the database, computed from its items: mapped in milliseconds, and safe to delete at any time.

The database is authoritative. Each kind of cache has two files. The first holds what was computed from one state of the
database; the second holds what has changed since, until enough has changed to build the first file again. Each file
names its state and is used for that state only: changes are read from the database, and the checksums of all items must
add up to the database's own tally; otherwise everything is computed again.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from lookalike.vectors.mapped import Damaged, Segment, Writer, open_segment, write_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["Chunk", "Kind", "OneForm", "Source", "State", "Tuning", "discard", "load"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The sizes at which a search changes its method; docs/performance.md has the measurements behind them.

    approximate_from: the number of vectors from which a search is approximate. columns_from: the number of records from
    which filters use cached columns rather than the database. added, added_share: the first file is built again when
    the second would hold more than `added` items and more than this share of all. removed_share: it is also built again
    when more than this share of its items no longer counts.
    """

    approximate_from: int = 30_000
    columns_from: int = 5_000
    added: int = 2_000
    added_share: float = 1 / 32
    removed_share: float = 1 / 4


@dataclass(frozen=True, slots=True)
class State:
    """Identifies one state of a database among all of its states and those of other galleries.

    made_by: everything else that decides what is computed from an item, including the version of the computation.
    """

    made_by: str
    generation: int
    next_id: int
    embedded: int
    checksums: int


class Chunk(Protocol):
    """The values computed from some items, with the ids int64 (n,) and the checksums uint32 (n,) of those items."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of the items, int64 (n,)."""

    @property
    def crcs(self) -> NDArray[np.uint32]:
        """The checksums of the items, uint32 (n,)."""


C = TypeVar("C", bound=Chunk)
C_co = TypeVar("C_co", bound=Chunk, covariant=True)
U = TypeVar("U")
U_co = TypeVar("U_co", covariant=True)


class Source(Protocol[C_co]):
    """The database at one moment, as a cache sees it."""

    @property
    def state(self) -> State:
        """The state of the database at that moment."""

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[C_co]:
        """The chunks computed from these items, or from all, ordered by id and checked against the tally."""

    def changed(self, generation: int, next_id: int, most: int) -> list[int]:
        """The ids of items that may have changed since; at most `most + 1` of them."""


class Kind(Protocol[C, U_co]):
    """What one kind of cache holds, and its two files, whose segments have the arrays `ids` and `crcs` among others."""

    @property
    def files(self) -> tuple[str, str]:
        """The names of the first file and of the file with later changes."""

    def serves(self, header: dict[str, Any], state: State) -> bool:
        """Whether a first file with this header can serve for `state`."""

    def build(self, source: Source[C]) -> Callable[[Writer], dict[str, Any]]:
        """Compute everything; return a function that writes the first file and returns the fields for its header."""

    def write(self, writer: Writer, chunk: C) -> dict[str, Any]:
        """Write the second file without its header; return the fields for its header."""

    def read(self, segment: Segment) -> C:
        """Read a chunk that `write` wrote. Raises Damaged."""

    def concat(self, chunks: Sequence[C]) -> C:
        """Join chunks in this order."""

    def select(self, chunk: C, stays: Mask) -> C:
        """The chunk with only the items that stay."""

    def open(self, base: Segment, more: Segment | None, alive: Mask | None) -> U_co:
        """Open both files for use. alive: which items of the first still count; None for all. Raises Damaged."""


class OneForm(ABC, Generic[C]):
    """The part of a kind of cache that is the same for all whose content has one form at any size, in both files."""

    def serves(self, _header: dict[str, Any], _state: State) -> bool:
        """Return True: the content has the same form at any size."""
        return True

    def build(self, source: Source[C]) -> Callable[[Writer], dict[str, Any]]:
        """Read everything; return a function that writes it."""
        whole = self.concat(list(source.rows()))
        return lambda writer: self.write(writer, whole)

    @abstractmethod
    def write(self, writer: Writer, chunk: C) -> dict[str, Any]:
        """See `Kind.write`."""

    @abstractmethod
    def concat(self, chunks: Sequence[C]) -> C:
        """See `Kind.concat`."""


def load(folder: Path, source: Source[C], kind: Kind[C, U], tuning: Tuning) -> U:
    """Open the cache as of the source's state: from its files, after an update of these, or built again.

    Raises whatever reading the source raises, and Damaged if even newly written files are damaged.
    """
    with contextlib.suppress(Damaged):
        found = _Cache.open(folder, kind)
        if found is not None and (found := found.bring_up_to(source, tuning)) is not None:
            return found.use()
    return _Cache(folder, kind, _build(folder, source, kind), None).use()


def discard(folder: Path, files: tuple[str, str]) -> None:
    """Delete files that turned out to be damaged."""
    for name in files:
        with contextlib.suppress(OSError):
            os.unlink(folder / name)


class _Cache(Generic[C, U]):
    """The two files of a cache, opened."""

    def __init__(self, folder: Path, kind: Kind[C, U], base: Segment, more: Segment | None) -> None:
        self._folder, self._kind, self._base, self._more = folder, kind, base, more
        self.state = State(**(more or base).header["state"])

    @classmethod
    def open(cls, folder: Path, kind: Kind[C, U]) -> _Cache[C, U] | None:
        """Open the files in a folder; None if there is no first file. Raises Damaged."""
        base, more = (open_segment(folder / name) for name in kind.files)
        if base is None:
            return None
        try:
            return cls(folder, kind, base, more if more and more.header.get("base") == base.identity else None)
        except (KeyError, TypeError) as error:
            raise Damaged("the header of a cache file has no valid state") from error

    def bring_up_to(self, source: Source[C], tuning: Tuning) -> _Cache[C, U] | None:
        """The cache as of the source's state; None if that is impossible or not worthwhile. Raises Damaged."""
        ours, theirs = self.state, source.state
        if ours == theirs:
            return self
        is_earlier = ours.made_by == theirs.made_by and ours.generation <= theirs.generation
        if not is_earlier or not self._kind.serves(self._base.header, theirs):
            return None
        most = max(tuning.added, int(theirs.embedded * tuning.added_share))
        changed = source.changed(ours.generation, ours.next_id, most)
        if len(changed) > most:
            return None
        removed, added = self._find_removed(changed), self._collect_added(changed, source)
        if len(added.ids) > most or len(removed) > len(self._ids()) * tuning.removed_share:
            return None
        if not self._adds_up(removed, added, theirs):
            return None
        return _Cache(self._folder, self._kind, self._base, self._write_changes(removed, added, theirs))

    def use(self) -> U:
        """Open what the files hold for use. Raises Damaged."""
        if self._more is None:
            return self._kind.open(self._base, None, None)
        alive = np.ones(len(self._ids()), bool)
        alive[self._more.array("removed")] = False
        return self._kind.open(self._base, self._more, None if alive.all() else alive)

    def _ids(self) -> NDArray[np.int64]:
        return self._base.array("ids")

    def _find_removed(self, changed: list[int]) -> NDArray[np.int64]:
        """The indices of the items in the first file that no longer count."""
        gone = np.isin(self._ids(), changed)
        if self._more is not None:
            gone[self._more.array("removed")] = True
        return np.nonzero(gone)[0]

    def _collect_added(self, changed: list[int], source: Source[C]) -> C:
        """The chunk that belongs in the second file."""
        chunks = []
        if self._more is not None:
            chunk = self._kind.read(self._more)
            chunks.append(self._kind.select(chunk, ~np.isin(chunk.ids, changed)))
        return self._kind.concat([*chunks, *source.rows(changed)])

    def _adds_up(self, removed: NDArray[np.int64], added: C, state: State) -> bool:
        crcs = self._base.array("crcs")
        checksums = [int(some.sum(dtype=np.int64)) for some in (crcs, crcs[removed], added.crcs)]
        embedded = len(crcs) - len(removed) + len(added.ids)
        is_whole = (embedded, checksums[0] - checksums[1] + checksums[2]) == (state.embedded, state.checksums)
        # A set, because the first `np.unique` in a process imports masked arrays: 36 ms.
        return is_whole and len(set(added.ids.tolist())) == len(added.ids)

    def _write_changes(self, removed: NDArray[np.int64], added: C, state: State) -> Segment:
        def write(writer: Writer) -> None:
            header = self._kind.write(writer, added)
            writer.array("removed", removed)
            writer.finish({"state": asdict(state), "base": self._base.identity, **header})

        return write_segment(self._folder / self._kind.files[1], write)


def _build(folder: Path, source: Source[C], kind: Kind[C, U]) -> Segment:
    """Write the first file from the whole database."""
    write = kind.build(source)
    return write_segment(
        folder / kind.files[0], lambda writer: writer.finish({"state": asdict(source.state), **write(writer)})
    )
