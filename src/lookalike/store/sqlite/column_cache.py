"""What items with an embedding can be told by, as columns: in memory for few, in files beside the database for many.

`facts.cache` and `facts.more` are written when facts are first asked for; `beside` keeps them in step.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.sqlite import cache_files as beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.store.sqlite.cache_files import Source, State, Tuning
    from lookalike.vectors.mapped import Segment, Writer

    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.float64]

__all__ = ["FILES", "VERSION", "Coded", "Facts", "facts_of", "load"]

FILES = ("facts.cache", "facts.more")
VERSION = 1  # of what is in the files; others are not read
_PLAIN = (int, str)  # values that are their own keys; but not bool, which has equals among int
_NONE = ()  # the key of no value
_MOMENTS = (-62_000_000_000.0, 253_000_000_000.0)  # seconds: the years 5 to 9987, whose dates Python knows everywhere


@dataclass(frozen=True, slots=True)
class Coded:
    """One value for each item, or none, of few that are different.

    codes: uint32 (n,), 0 for none, else where in `values` it stands, counted from 1; values: whatever JSON has.
    """

    codes: NDArray[np.uint32]
    values: list[Any]

    def where(self, fits: Mask) -> Mask:
        """Which items have a value that fits, bool (n,), of which values fit."""
        return np.concatenate([[False], fits])[self.codes]


@dataclass(frozen=True, slots=True)
class Facts:
    """Some items with an embedding, by columns.

    ids: int64 (n,); crcs: uint32 (n,), the items' checksums; folders: what stands before the last slash of the key;
    names: uint8, all that stands behind it, each with a slash at its end; sizes, moments: float64 (n,), the two numbers
    of the stamp, NaN where it has none, the second in whole seconds; information: what the items' own holds, by field;
    alive: bool (n,), which items count, None for all.
    """

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    folders: Coded
    names: NDArray[np.uint8]
    sizes: Numbers
    moments: Numbers
    information: dict[str, Coded]
    alive: Mask | None = None

    def split_names(self) -> list[str]:
        """The name of each."""
        return os.fsdecode(self.names.tobytes()).split("/")[:-1]


def facts_of(rows: Sequence[tuple[Any, ...]]) -> Facts:
    """Those of rows of the table item."""
    ids, keys, stamps, _, infos, crcs = zip(*rows, strict=True) if rows else [()] * 6
    paths = [os.fsdecode(key).rpartition("/") for key in keys]
    parts = [f"{stamp}::".split(":", 2) for stamp in stamps]
    return Facts(
        np.array(ids, np.int64),
        np.array(crcs, np.uint32),
        _coded(path[0] for path in paths),
        np.frombuffer(os.fsencode("".join(f"{path[2]}/" for path in paths)), np.uint8),
        _numbers(part[0] for part in parts),
        _moments(_numbers(part[1] for part in parts)),
        _information(infos),
    )


def load(folder: Path, source: Source[Facts], tuning: Tuning) -> list[Facts]:
    """Those of all items as of the source's state, in two parts at most.

    Raises what reading the source raises; Damaged if even new files are.
    """
    kind = _Columns()
    if source.state.embedded < tuning.facts_from:
        return [kind.joined(list(source.rows()))]
    return beside.load(folder, source, kind, tuning)


class _Columns:
    """See `beside.Kind`."""

    files = FILES

    def serves(self, _header: dict[str, Any], _state: State) -> bool:
        """Whatever its size."""
        return True

    def made(self, source: Source[Facts]) -> Callable[[Writer], dict[str, Any]]:
        """Those of all items."""
        whole = self.joined(list(source.rows()))
        return lambda writer: self.write(writer, whole)

    def write(self, writer: Writer, chunk: Facts) -> dict[str, Any]:
        """Columns, one behind the other."""
        for name in ("ids", "crcs", "names", "sizes", "moments"):
            writer.array(name, getattr(chunk, name))
        for name, column in zip(_names(chunk.information), [chunk.folders, *chunk.information.values()], strict=True):
            writer.array(name, column.codes)
            writer.array(f"{name}.values", np.frombuffer(json.dumps(column.values).encode(), np.uint8))
        return {"fields": list(chunk.information)}

    def read(self, segment: Segment) -> Facts:
        """Raises Damaged."""
        fields = segment.header.get("fields", [])
        folders, *information = (_read(segment, name) for name in _names(fields))
        return Facts(
            segment.array("ids"),
            segment.array("crcs"),
            folders,
            segment.array("names"),
            segment.array("sizes"),
            segment.array("moments"),
            dict(zip(fields, information, strict=True)),
        )

    def joined(self, chunks: Sequence[Facts]) -> Facts:
        """All as one, with every value once."""
        some = [facts_of([]), *chunks]
        fields = dict.fromkeys(field for one in some for field in one.information)
        return Facts(
            np.concatenate([one.ids for one in some]),
            np.concatenate([one.crcs for one in some]),
            _joined([one.folders for one in some]),
            np.concatenate([one.names for one in some]),
            np.concatenate([one.sizes for one in some]),
            np.concatenate([one.moments for one in some]),
            {field: _joined([one.information.get(field) or _none(len(one.ids)) for one in some]) for field in fields},
        )

    def taken(self, chunk: Facts, stays: Mask) -> Facts:
        """Those that stay, with the values that they have."""
        names = [name for name, one in zip(chunk.split_names(), stays, strict=True) if one]
        return Facts(
            chunk.ids[stays],
            chunk.crcs[stays],
            _taken(chunk.folders, stays),
            np.frombuffer(os.fsencode("".join(f"{name}/" for name in names)), np.uint8),
            chunk.sizes[stays],
            chunk.moments[stays],
            {field: _taken(column, stays) for field, column in chunk.information.items()},
        )

    def opened(self, base: Segment, more: Segment | None, alive: Mask | None) -> list[Facts]:
        """Both, all of them checked. Raises Damaged."""
        parts = [replace(self.read(base), alive=alive)]
        return parts if more is None else [*parts, self.read(more)]


def _names(fields: Iterable[str]) -> list[str]:
    """Of the arrays of codes in a file."""
    return ["folders", *(f"field.{number}" for number, _ in enumerate(fields))]


def _read(segment: Segment, name: str) -> Coded:
    return Coded(segment.array(name), json.loads(segment.array(f"{name}.values").tobytes()))


class _Coding:
    """Codes of values, each new one the next."""

    def __init__(self) -> None:
        self._known: defaultdict[Any, int] = defaultdict(lambda: len(self._known))
        self._known[_NONE] = 0

    def codes(self, values: Iterable[Any]) -> NDArray[np.uint32]:
        """uint32 (n,)."""
        known = self._known
        return np.array([known[one if one.__class__ in _PLAIN else _key(one)] for one in values], np.uint32)

    def values(self) -> list[Any]:
        """All, in the order of their codes."""
        return [json.loads(*key) if key.__class__ is tuple else key for key in self._known if key is not _NONE]


def _key(value: Any) -> Any:  # noqa: ANN401  (whatever JSON has)
    """What tells a value from others, also from those that Python calls equal; no value itself."""
    return value if value is _NONE else (json.dumps(value),)


def _coded(values: Iterable[Any]) -> Coded:
    coding = _Coding()
    return Coded(coding.codes(values), coding.values())


def _none(count: int) -> Coded:
    return Coded(np.zeros(count, np.uint32), [])


def _joined(columns: Sequence[Coded]) -> Coded:
    coding = _Coding()
    codes = [coding.codes([_NONE, *column.values])[column.codes] for column in columns]
    return Coded(np.concatenate(codes), coding.values())


def _taken(column: Coded, stays: Mask) -> Coded:
    used, codes = np.unique(np.append(column.codes[stays], np.uint32(0)), return_inverse=True)
    return Coded(codes[:-1].astype(np.uint32), [column.values[code - 1] for code in used[1:].tolist()])


def _information(texts: Sequence[str]) -> dict[str, Coded]:
    some = json.loads(f"[{','.join(texts)}]")  # a third of the time of one after another
    return {field: _coded(one.get(field, _NONE) for one in some) for field in dict.fromkeys(chain.from_iterable(some))}


def _numbers(texts: Iterable[str]) -> Numbers:
    return np.array([float(text) if text.isdecimal() else _number(text) for text in texts], np.float64)


def _number(text: str) -> float:
    return float(text) if text.removeprefix("-").isdecimal() else np.nan


def _moments(written: Numbers) -> Numbers:
    """Nanoseconds as whole seconds, by way of microseconds, as `datetime.fromtimestamp` does it."""
    parts, seconds = np.modf(written / 1e9)
    micros = np.rint(parts * 1e6)
    return np.asarray(np.clip(seconds + (micros >= 1e6) - (micros < 0), *_MOMENTS))
