"""Evaluate filters with numpy: find which of many records qualify."""

from __future__ import annotations

import fnmatch
import operator
import re
import unicodedata
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import UsageError
from lookalike.images.description import COLORS
from lookalike.store.filter import FIELDS, All, Among, Any, Condition, Not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Described
    from lookalike.store.columns import Coded, Columns
    from lookalike.store.filter import Filter

    Mask = NDArray[np.bool_]
    Colored = Mapping[str, NDArray[np.int64]]

__all__ = [
    "COMPARISONS",
    "DAY",
    "check_fields",
    "compose",
    "find_colored",
    "find_file_order",
    "find_limits",
    "list_conditions",
    "make_test",
    "passing",
    "qualifying",
]

COMPARISONS = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = range(-62_000_000_000, 253_000_000_001)  # the range of `Columns.seconds`: the years 5 to 9987
DAY = 86_400.0  # seconds; every local time is closer to UTC than this
_ALWAYS_THERE = ("folder", "label", "name", "date", "size", "color")
LEAST_COLOR = 0.1  # the share of a picture that must be near a colour
NO_COLORS: Colored = MappingProxyType({})


def qualifying(
    where: Filter, parts: Iterable[Columns], described: Callable[[], Iterable[Described]] = tuple
) -> NDArray[np.int64]:
    """The ids of the records that pass a filter, int64, in ascending order.

    described: returns the descriptions of all records that have one; called only for filters by colour. Raises
    UsageError for a field that no record has, because it is most likely misspelt.
    """
    some = list(parts)
    conditions = list(list_conditions(where))
    _check_fields(some, {one.field for one in conditions})
    colors = {str(one.value) for one in conditions if one.field == "color"}
    colored = find_colored(colors, list(described())) if colors else {}
    ids = [np.empty(0, np.int64)]
    for part in some:
        alive = np.ones(len(part.ids), bool) if part.alive is None else part.alive
        ids.append(part.ids[alive & passing(where, part, colored)])
    return np.sort(np.concatenate(ids))


def passing(where: Filter, columns: Columns, colored: Colored = NO_COLORS) -> Mask:
    """Which records pass a filter, bool (n,). colored: the ids of the pictures that have each colour it asks for."""
    match where:
        case All(parts):
            each = [passing(one, columns, colored) for one in parts]
            return np.asarray(np.logical_and.reduce([np.ones(len(columns.ids), bool), *each]))
        case Any(parts):
            each = [passing(one, columns, colored) for one in parts]
            return np.asarray(np.logical_or.reduce([np.zeros(len(columns.ids), bool), *each]))
        case Not(part):
            return ~passing(part, columns, colored)
        case Among(ids):
            return np.isin(columns.ids, np.array(ids, np.int64))
        case Condition("color", _, value):
            return np.isin(columns.ids, colored.get(str(value), np.empty(0, np.int64)))
        case Condition():
            return _EVALUATORS.get(where.field, _match_none)(where, columns)


def list_conditions(where: Filter) -> Iterator[Condition]:
    """Every condition of a filter."""
    match where:
        case All(parts) | Any(parts):
            for part in parts:
                yield from list_conditions(part)
        case Not(part):
            yield from list_conditions(part)
        case Condition():
            yield where
        case Among():
            pass


def find_colored(colors: Iterable[str], described: Sequence[Described]) -> Colored:
    """The ids of the pictures that have each colour. Raises UsageError where no picture is described yet."""
    from lookalike.images.colors import find_share  # noqa: PLC0415  (0.002 s, and only for colours)

    if not any(len(part.ids) for part in described):
        raise UsageError("no picture has a colour description yet", hint="lookalike index --refresh")
    return {
        color: np.concatenate([part.ids[find_share(part.rows[:, COLORS], color) >= LEAST_COLOR] for part in described])
        for color in colors
    }


def _check_fields(parts: Sequence[Columns], asked: set[str]) -> None:
    check_fields(
        {name for part in parts for name, column in part.fields.items() if _has_values(column, part.alive)}, asked
    )


def check_fields(used: set[str], asked: set[str]) -> None:
    """Raise UsageError for a field that is asked for and that no record has. used: the columns that have values."""
    known = [name for name in FIELDS if name in used or name in _ALWAYS_THERE]
    if used and asked - set(known):
        raise UsageError(
            f"no picture has the field {min(asked - set(known))!r}", hint=f"available fields: {', '.join(known)}"
        )


def _has_values(column: Coded, alive: Mask | None) -> bool:
    return bool((column.codes if alive is None else column.codes[alive]).any())


def _match_none(_condition: Condition, columns: Columns) -> Mask:
    return np.zeros(len(columns.ids), bool)


def _each(column: Coded, fits: Callable[[str], bool]) -> Mask:
    """Which records have a value that fits; each distinct value is tested only once."""
    return column.spread(np.fromiter(map(fits, column.values), bool, len(column.values)))


def compose(text: str) -> str:
    """A name as most systems write it: a Mac writes an accent as a character of its own."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def make_test(condition: Condition) -> Callable[[str], bool]:
    """The test of a condition on text, for one value: a folder's path, a composed name, a format or a camera."""
    return _TESTS[condition.field](str(condition.value))


def _test_folder(text: str) -> Callable[[str], bool]:
    wanted = compose(text).rstrip("/").split("/")

    def fits(path: str) -> bool:
        folders = compose(path).split("/")
        starts = [0] if text.startswith("/") else range(len(folders))
        return any(folders[n : n + len(wanted)] == wanted for n in starts)

    return fits


def _test_label(text: str) -> Callable[[str], bool]:
    wanted = compose(text)
    return lambda path: compose(path.rpartition("/")[2]) == wanted


def _test_name(text: str) -> Callable[[str], bool]:
    # The same as `fnmatch.fnmatchcase`, without a look-up in its cache for each name.
    matches = re.compile(fnmatch.translate(compose(text))).match
    return lambda name: matches(name) is not None


def _test_text(text: str) -> Callable[[str], bool]:
    matches = re.compile(fnmatch.translate(text.casefold())).match
    return lambda value: matches(value.casefold()) is not None


def _folder(condition: Condition, columns: Columns) -> Mask:
    return _each(columns.folders, make_test(condition))


def _name(condition: Condition, columns: Columns) -> Mask:
    names = columns.split_names()
    if (columns.names >= 0x80).any():  # at 10^6 plain names, 1 ms instead of 40 for asking each of them
        names = [compose(name) for name in names]
    return np.fromiter(map(make_test(condition), names), bool, len(columns.ids))


def _size(condition: Condition, columns: Columns) -> Mask:
    return np.asarray(COMPARISONS[condition.operator](columns.sizes, condition.value) & ~np.isnan(columns.sizes))


def _number(condition: Condition, columns: Columns) -> Mask:
    compare = COMPARISONS[condition.operator]
    return _each(columns.fields[condition.field], lambda value: bool(compare(value, condition.value)))


def _text(condition: Condition, columns: Columns) -> Mask:
    return _each(columns.fields[condition.field], make_test(condition))


def _date(condition: Condition, columns: Columns) -> Mask:
    """Compare the time by the camera's clock if known, otherwise the file's time in local time."""
    part, compare = str(condition.value), COMPARISONS[condition.operator]
    taken = columns.fields["taken_at"]
    by_file = compare(find_file_order(columns.seconds, part), 0) & ~np.isnan(columns.seconds)
    by_camera = _each(taken, lambda moment: bool(compare(_order(moment[: len(part)], part), 0)))
    return np.where(taken.codes > 0, by_camera, by_file)


def find_limits(part: str) -> tuple[int, int]:
    """The first second of a day, month or year, and the first one after it, since 1970, in UTC."""
    begins = _SECONDS[0] + bisect_left(_SECONDS, part, key=lambda second: _utc(second)[: len(part)])
    ends = _SECONDS[0] + bisect_right(_SECONDS, part, key=lambda second: _utc(second)[: len(part)])
    return begins, ends


def find_file_order(seconds: NDArray[np.float64], part: str) -> NDArray[np.int64]:
    """-1, 0 or 1 for each moment: before, within, or after the day, month or year in local time."""
    begins, ends = find_limits(part)
    order = 1 * (seconds >= ends) - (seconds < begins)
    # In local time the day may differ, and clocks may run backwards, so moments near the ends are compared one by one.
    near = (np.abs(seconds - begins) < DAY) | (np.abs(seconds - ends) < DAY)
    moments, indices = np.unique(seconds[near], return_inverse=True)
    order[near] = np.array([_order(_local(moment)[: len(part)], part) for moment in moments.tolist()], order.dtype)[
        indices
    ]
    return np.asarray(order)


def _utc(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()


def _local(second: float) -> str:
    return datetime.fromtimestamp(second).astimezone().isoformat()


def _order(one: str, other: str) -> int:
    return (one > other) - (one < other)


_EVALUATORS: dict[str, Callable[[Condition, Columns], Mask]] = {
    "folder": _folder,
    "label": _folder,
    "name": _name,
    "date": _date,
    "size": _size,
    "width": _number,
    "height": _number,
    "format": _text,
    "camera": _text,
}
_TESTS: dict[str, Callable[[str], Callable[[str], bool]]] = {
    "folder": _test_folder,
    "label": _test_label,
    "name": _test_name,
    "format": _test_text,
    "camera": _test_text,
}
