"""The descriptions of all pictures together: read from the database for few, cached in files beside it for many.

`described.cache` and `described.more` are written when descriptions are first compared, and `cache_files` keeps them up
to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import Described
from lookalike.store.rows import CRC, ID
from lookalike.store.sqlite import cache_files
from lookalike.store.sqlite.sources import RowsSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.store.rows import Row
    from lookalike.store.sqlite.cache_files import Source, Tuning
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.mapped import Segment, Writer

    Mask = NDArray[np.bool_]

__all__ = ["FILES", "load", "load_in_memory", "open_source"]

FILES = ("described.cache", "described.more")
_VERSION = 1  # of the content of the files; files of other versions are not read


class _Chunk(NamedTuple):
    """Some items: ids int64 (n,), checksums uint32 (n,), descriptions uint8 (n, s) and which have one, uint8 (n,)."""

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    rows: NDArray[np.uint8]
    has: NDArray[np.uint8]

    def select(self, which: Mask) -> _Chunk:
        """The chunk with only these items."""
        return _Chunk(self.ids[which], self.crcs[which], self.rows[which], self.has[which])


def load(folder: Path, source: Source[_Chunk], tuning: Tuning) -> list[Described]:
    """The descriptions as of the source's state, in at most two parts.

    Raises whatever reading the source raises, and Damaged if even newly written files are damaged.
    """
    if source.state.embedded < tuning.columns_from:
        return load_in_memory(source)
    return cache_files.load(folder, source, _Kind(), tuning)


def load_in_memory(source: Source[_Chunk]) -> list[Described]:
    """The descriptions as of the source's state, in one part, without files."""
    return [_to_described(_concat(list(source.rows())))]


def open_source(tables: Tables) -> RowsSource[_Chunk]:
    """The descriptions of all pictures, of the database at this moment."""
    return RowsSource(tables, f"descriptions {_VERSION}", lambda ids: map(_to_chunk, tables.described(ids)))


class _Kind(cache_files.OneForm[_Chunk]):
    """Descriptions as a kind of cache: see `cache_files.Kind`."""

    files = FILES

    def write(self, writer: Writer, chunk: _Chunk) -> dict[str, Any]:
        """Write one array after another."""
        for name in _Chunk._fields:
            writer.array(name, getattr(chunk, name))
        return {}

    def read(self, segment: Segment) -> _Chunk:
        """Read and check what `write` wrote. Raises Damaged."""
        return _Chunk(*(segment.array(name) for name in _Chunk._fields))

    def concat(self, chunks: Sequence[_Chunk]) -> _Chunk:
        """Join chunks in this order."""
        return _concat(chunks)

    def select(self, chunk: _Chunk, stays: Mask) -> _Chunk:
        """The chunk with only the items that stay."""
        return chunk.select(stays)

    def open(self, base: Segment, more: Segment | None, alive: Mask | None) -> list[Described]:
        """Read and check both files completely; a file stays mapped unless some of its items no longer count."""
        parts = [_to_described(self.read(base), alive)]
        return parts if more is None else [*parts, _to_described(self.read(more))]


def _to_chunk(rows: Sequence[Row]) -> _Chunk:
    nothing = bytes(DESCRIPTION_SIZE)
    joined = b"".join(nothing if row[-2] is None else row[-2] for row in rows)
    return _Chunk(
        np.array([row[ID] for row in rows], np.int64),
        np.array([row[CRC] for row in rows], np.uint32),
        np.frombuffer(joined, np.uint8).reshape(-1, DESCRIPTION_SIZE),
        np.array([row[-2] is not None for row in rows], np.uint8),
    )


def _concat(chunks: Sequence[_Chunk]) -> _Chunk:
    parts = zip(_to_chunk([]), *chunks, strict=True)
    return _Chunk(*(np.concatenate(some) for some in parts))


def _to_described(chunk: _Chunk, alive: Mask | None = None) -> Described:
    counts = chunk.has.astype(bool) if alive is None else chunk.has.astype(bool) & alive
    chosen = chunk if counts.all() else chunk.select(counts)
    return Described(chosen.ids, chosen.rows)
