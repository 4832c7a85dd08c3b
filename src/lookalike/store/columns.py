"""The data that filters evaluate, as columns: the fields of many records, with each distinct value stored once."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.paths import NATIVE
from lookalike.store.keys import to_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.float64]

__all__ = ["FIELDS", "Coded", "Columns", "Fields", "build_columns", "concat", "place_below", "select", "to_seconds"]

FIELDS = ("width", "height", "format", "taken_at", "camera")
"""The fields that are kept as coded columns: the keys of `Columns.fields`."""

_SECONDS = (-62_000_000_000.0, 253_000_000_000.0)  # the years 5 to 9987, whose dates Python knows everywhere


class Fields(NamedTuple):
    """One record as a table row; `taken_at` is ISO 8601 text."""

    id: int
    key: bytes
    crc: int
    size: int | None
    mtime_ns: int | None
    width: int | None
    height: int | None
    format: str | None
    taken_at: str | None
    camera: str | None


@dataclass(frozen=True, slots=True)
class Coded:
    """A column with few distinct values: one value or none for each record.

    codes: uint32 (n,), 0 for no value, otherwise the index in `values` counted from 1.
    """

    codes: NDArray[np.uint32]
    values: list[Any]

    def spread(self, fits: Mask) -> Mask:
        """Which records have a value that fits, bool (n,); fits: bool, which of `values` do."""
        return np.concatenate([[False], fits])[self.codes]


@dataclass(frozen=True, slots=True)
class Columns:
    """Some records that have an embedding, as columns.

    ids: int64 (n,). crcs: uint32 (n,), the records' checksums. folders: the part of each path before its last slash.
    names: uint8, the bytes of all parts after it, each followed by a slash. sizes: float64 (n,), bytes. seconds:
    float64 (n,), the file's last change in whole seconds since 1970. Both are NaN if unknown. fields: the columns
    named in `FIELDS`. alive: bool (n,), which records count; None for all.
    """

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    folders: Coded
    names: NDArray[np.uint8]
    sizes: Numbers
    seconds: Numbers
    fields: dict[str, Coded]
    alive: Mask | None = None

    def split_names(self) -> list[str]:
        """The file name of each record."""
        return os.fsdecode(self.names.tobytes()).split("/")[:-1]


def build_columns(rows: Sequence[Fields] | Sequence[tuple[Any, ...]]) -> Columns:
    """The columns of some rows, each with the values of `Fields`."""
    ids, keys, crcs, sizes, times, *fields = zip(*rows, strict=True) if rows else [()] * len(Fields._fields)
    paths = [os.fsdecode(key).rpartition("/") for key in keys]
    return Columns(
        np.array(ids, np.int64),
        np.array(crcs, np.uint32),
        _code(path[0] for path in paths),
        np.frombuffer(os.fsencode("".join(f"{path[2]}/" for path in paths)), np.uint8),
        np.array(sizes, np.float64),
        to_seconds(np.array(times, np.float64)),
        {name: _code(values) for name, values in zip(FIELDS, fields, strict=True)},
    )


def concat(parts: Sequence[Columns]) -> Columns:
    """The records of several parts together, each distinct value once. Every record of the parts counts as alive."""
    some = [build_columns([]), *parts]
    return Columns(
        np.concatenate([one.ids for one in some]),
        np.concatenate([one.crcs for one in some]),
        _concat_coded([one.folders for one in some]),
        np.concatenate([one.names for one in some]),
        np.concatenate([one.sizes for one in some]),
        np.concatenate([one.seconds for one in some]),
        {name: _concat_coded([one.fields[name] for one in some]) for name in FIELDS},
    )


def select(columns: Columns, stays: Mask) -> Columns:
    """The columns of the records that stay, with only the values that these have."""
    names = [name for name, one in zip(columns.split_names(), stays, strict=True) if one]
    return Columns(
        columns.ids[stays],
        columns.crcs[stays],
        _select_coded(columns.folders, stays),
        np.frombuffer(os.fsencode("".join(f"{name}/" for name in names)), np.uint8),
        columns.sizes[stays],
        columns.seconds[stays],
        {name: _select_coded(column, stays) for name, column in columns.fields.items()},
    )


def place_below(columns: Columns, base: bytes) -> Columns:
    """Turn columns of keys into columns of paths, for a gallery whose parent folder is `base`."""
    folders = [os.fsdecode(NATIVE.slashed(to_path(os.fsencode(folder), base))) for folder in columns.folders.values]
    return replace(columns, folders=Coded(columns.folders.codes, folders))


def _code(values: Iterable[Any]) -> Coded:
    known: defaultdict[Any, int] = defaultdict(lambda: len(known))
    known[None] = 0
    codes = np.array([known[value] for value in values], np.uint32)
    return Coded(codes, list(known)[1:])


def _concat_coded(columns: Sequence[Coded]) -> Coded:
    known: defaultdict[Any, int] = defaultdict(lambda: len(known))
    known[None] = 0
    codes = [np.array([0, *(known[value] for value in column.values)], np.uint32)[column.codes] for column in columns]
    return Coded(np.concatenate(codes), list(known)[1:])


def _select_coded(column: Coded, stays: Mask) -> Coded:
    used, codes = np.unique(np.append(column.codes[stays], np.uint32(0)), return_inverse=True)
    return Coded(codes[:-1].astype(np.uint32), [column.values[code - 1] for code in used[1:].tolist()])


def to_seconds(nanoseconds: Numbers) -> Numbers:
    """Whole seconds, rounded by way of microseconds just as `datetime.fromtimestamp` does."""
    parts, seconds = np.modf(nanoseconds / 1e9)
    micros = np.rint(parts * 1e6)
    return np.asarray(np.clip(seconds + (micros >= 1e6) - (micros < 0), *_SECONDS))
