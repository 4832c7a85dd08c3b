"""The columns that filters evaluate: read from the database for few records, cached in files beside it for many.

`facts.cache` and `facts.more` are written when a filter is first used, and `cache_files` keeps them up to date. At a
million records plain SQL needs 0.07 to 0.14 s for a filter, about as long as these files, but it does not check the
rows that it reads, and checking every row takes 1.6 s (docs/decisions.md).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.columns import FIELDS, Coded, Columns, Fields, build_columns, concat, select
from lookalike.store.sqlite import cache_files
from lookalike.store.sqlite.sources import RowsSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.store.rows import Row
    from lookalike.store.sqlite.cache_files import Source, Tuning
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.mapped import Segment, Writer

    Mask = NDArray[np.bool_]

__all__ = ["FILES", "load", "open_source"]

FILES = ("facts.cache", "facts.more")
_VERSION = 2  # of the content of the files; files of other versions are not read
_ARRAYS = ("ids", "crcs", "names", "sizes", "seconds")
_CODED = ("folders", *FIELDS)


def load(folder: Path, source: Source[Columns], tuning: Tuning) -> list[Columns]:
    """The columns of all records as of the source's state, in at most two parts.

    Raises whatever reading the source raises, and Damaged if even newly written files are damaged.
    """
    if source.state.embedded < tuning.columns_from:
        return [concat(list(source.rows()))]
    return cache_files.load(folder, source, _Kind(), tuning)


def open_source(tables: Tables) -> RowsSource[Columns]:
    """The columns that filters evaluate, of the database at this moment."""

    def read(ids: Sequence[int] | None) -> Iterator[Columns]:
        return (build_columns([_to_fields(row) for row in rows]) for rows in tables.with_embedding(ids))

    return RowsSource(tables, f"columns {_VERSION}", read)


class _Kind(cache_files.OneForm[Columns]):
    """The columns of records as a kind of cache: see `cache_files.Kind`."""

    files = FILES

    def write(self, writer: Writer, chunk: Columns) -> dict[str, Any]:
        """Write columns one after another."""
        for name in _ARRAYS:
            writer.array(name, getattr(chunk, name))
        for name in _CODED:
            column = chunk.folders if name == "folders" else chunk.fields[name]
            writer.array(f"{name}.codes", column.codes)
            writer.array(f"{name}.values", np.frombuffer(json.dumps(column.values).encode(), np.uint8))
        return {}

    def read(self, segment: Segment) -> Columns:
        """Read columns that `write` wrote. Raises Damaged."""
        ids, crcs, names, sizes, seconds = (segment.array(name) for name in _ARRAYS)
        folders, *fields = (_read_coded(segment, name) for name in _CODED)
        return Columns(ids, crcs, folders, names, sizes, seconds, dict(zip(FIELDS, fields, strict=True)))

    def concat(self, chunks: Sequence[Columns]) -> Columns:
        """The columns of several chunks as one."""
        return concat(chunks)

    def select(self, chunk: Columns, stays: Mask) -> Columns:
        """The columns with only the records that stay."""
        return select(chunk, stays)

    def open(self, base: Segment, more: Segment | None, alive: Mask | None) -> list[Columns]:
        """Read and check both files completely. Raises Damaged."""
        parts = [replace(self.read(base), alive=alive)]
        return parts if more is None else [*parts, self.read(more)]


def _read_coded(segment: Segment, name: str) -> Coded:
    return Coded(segment.array(f"{name}.codes"), json.loads(segment.array(f"{name}.values").tobytes()))


def _to_fields(row: Row) -> Fields:
    """The fields of a sound row that filters evaluate."""
    id_, key, _, size, mtime_ns, width, height, format_, taken_at, camera, _, _, crc = row
    return Fields(id_, key, crc, size, mtime_ns, width, height, format_, taken_at, camera)
