"""Which pictures of a gallery a search may find: `folder:beach`, `width:>1000`, `date:2024-05`, `-format:gif`.

A filter is `field:value`. All filters must hold; one with a minus in front must not. A value may be several,
separated by commas, of which one must fit. Fields are

    folder   a folder above the picture, by its name or by several: `folder:2024/beach`, `folder:/home/me/Photos`
    label    the folder that the picture lies in
    name     the name of its file, with `*` and `?`
    date     when its file was last written, in local time: `2024`, `2024-05`, `2024-05-17`
    size     of its file, in bytes or as `300kB`, `2MB`, `1GB`
    and whatever the item's own information holds: `width`, `height`, `format`

Numbers and dates take `>`, `>=`, `<`, `<=` and ranges, both ends included: `1000..2000`, `1000..`, `..2000`.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.store.sqlite.column_cache import Coded, Facts

    Mask = NDArray[np.bool_]
    Test = Callable[[Any], Mask]  # bool (n,): which of n values fit
    Standing = Callable[[Any], Any]  # how a value, or each of float64 (n,), stands to what is written: -1, 0 or 1

__all__ = ["Filter", "matching", "parse_filter"]

_TERM = re.compile(r"(-?)([^\s:<>=,]+):(.+)", re.DOTALL)
_COMPARED = re.compile(r">=|<=|>|<")
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([kMG])?B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = range(-62_000_000_000, 253_000_000_001)  # those that `Facts` have: of years that have four digits
_DAY = 86_400.0  # seconds; no local time is as far from UTC


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: what of an item is looked at, which values of it fit, and whether they must or must not.

    What an item does not have fits nothing.
    """

    field: str
    tests: tuple[Test, ...]
    wanted: bool = True

    def passing(self, facts: Facts) -> Mask:
        """Which of the items may be found, bool (n,)."""
        values, spread = _LOOKS.get(self.field, _at_information)(facts, self.field)
        fits = np.logical_or.reduce([test(values) for test in self.tests])
        return np.asarray(spread(fits) == self.wanted)


def parse_filter(term: str) -> Filter:
    """A condition as people write it. Raises UsageError."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"{term!r} is no filter", hint="write field:value, as in folder:beach or width:>1000")
    minus, field, text = match.groups()
    tests = tuple(_TESTS.get(field, _information)(value.strip()) for value in text.split(","))
    return Filter(field, tests, wanted=not minus)


def matching(facts: Iterable[Facts], filters: Sequence[Filter]) -> NDArray[np.int64]:
    """The ids of the items that all filters let pass, in order.

    Raises UsageError for a field that no item has: it is most likely misspelt.
    """
    parts = list(facts)
    _check_fields(parts, {one.field for one in filters} - {*_TESTS})
    ids = [np.empty(0, np.int64)]
    for part in parts:
        alive = np.ones(len(part.ids), bool) if part.alive is None else part.alive
        ids.append(part.ids[np.logical_and.reduce([alive, *(one.passing(part) for one in filters)])])
    return np.sort(np.concatenate(ids))


def _check_fields(parts: Sequence[Facts], asked: set[str]) -> None:
    if not asked:
        return
    met = {field for part in parts for field, column in part.information.items() if _is_met(column, part.alive)}
    if met and asked - met:
        fields = ", ".join([*_TESTS, *sorted(met)])
        raise UsageError(f"no picture has a {min(asked - met)!r} to filter by", hint=f"there are: {fields}")


def _is_met(column: Coded, alive: Mask | None) -> bool:
    return bool((column.codes if alive is None else column.codes[alive]).any())


# What of the items is looked at: values, and how whether each of them fits becomes whether each item does.


def _at_folders(facts: Facts, field: str) -> tuple[Any, Test]:
    paths = [path.split("/") for path in facts.folders.values]
    return (paths if field == "folder" else [folders[-1] for folders in paths]), facts.folders.where


def _at_names(facts: Facts, _field: str) -> tuple[Any, Test]:
    return facts.split_names(), np.asarray


def _at_numbers(facts: Facts, field: str) -> tuple[Any, Test]:
    numbers = facts.sizes if field == "size" else facts.moments
    return numbers, lambda fits: fits & ~np.isnan(numbers)


def _at_information(facts: Facts, field: str) -> tuple[Any, Test]:
    column = facts.information.get(field)
    return ([], lambda _: np.zeros(len(facts.ids), bool)) if column is None else (column.values, column.where)


# What fits.


def _each(fits: Callable[[Any], bool]) -> Test:
    """A test of values one by one."""
    return lambda values: np.fromiter((one is not None and fits(one) for one in values), bool, len(values))


def _folder(text: str) -> Test:
    wanted = text.rstrip("/").split("/")

    def fits(folders: list[str]) -> bool:
        starts = [0] if text.startswith("/") else range(len(folders))
        return any(folders[n : n + len(wanted)] == wanted for n in starts)

    return _each(fits)


def _label(text: str) -> Test:
    return _each(lambda label: bool(label == text))


def _name(text: str) -> Test:
    matches = re.compile(
        fnmatch.translate(text)
    ).match  # as `fnmatch.fnmatchcase` does, without asking for it each time
    return lambda names: np.fromiter((matches(name) is not None for name in names), bool, len(names))


def _date(text: str) -> Test:
    """A date stands for its whole day, month or year: as much of a moment is compared as was written."""

    def standing(part: str) -> Standing:
        if not _DATE.fullmatch(part):
            raise UsageError(f"{part!r} is no date", hint="write 2024, 2024-05 or 2024-05-17")
        begins = _SECONDS[0] + bisect_left(_SECONDS, part, key=lambda second: _utc(second)[: len(part)])
        ends = _SECONDS[0] + bisect_right(_SECONDS, part, key=lambda second: _utc(second)[: len(part)])

        def stands(moments: NDArray[np.float64]) -> NDArray[np.int64]:
            order = 1 * (moments >= ends) - (moments < begins)
            # Local time may be another day, and run backwards there: what is near is looked at second by second.
            near = (np.abs(moments - begins) < _DAY) | (np.abs(moments - ends) < _DAY)
            seconds, places = np.unique(moments[near], return_inverse=True)
            stand = [_order(_local(second)[: len(part)], part) for second in seconds.tolist()]
            order[near] = np.array(stand, order.dtype)[places]
            return np.asarray(order)

        return stands

    return _compared(text, standing)


def _utc(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()


def _local(second: float) -> str:
    return datetime.fromtimestamp(second).astimezone().isoformat()


def _size(text: str) -> Test:
    def standing(part: str) -> Standing:
        match = _SIZE.fullmatch(part)
        if match is None:
            raise UsageError(f"{part!r} is no size", hint="write 300kB, 2MB or a number of bytes")
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
        return lambda bytes_: _order(bytes_, size)

    return _compared(text, standing)


def _information(text: str) -> Test:
    """Numbers by their size, texts if they are the same in any case."""
    if _COMPARED.match(text) or any(map(_NUMBER.fullmatch, text.split(".."))):
        compared = _compared(text, _number)
        return _each(lambda value: isinstance(value, int | float) and bool(compared(value)))
    wanted = _FORMATS.get(text.upper(), text).casefold()
    return _each(lambda value: str(value).casefold() == wanted)


def _number(part: str) -> Standing:
    if not _NUMBER.fullmatch(part):
        raise UsageError(f"{part!r} is no number")
    return lambda value: _order(value, float(part))


def _compared(text: str, standing: Callable[[str], Standing]) -> Callable[[Any], Any]:
    """`>1`, `>=1`, `<1`, `<=1`, `1..2`, `1..`, `..2` or `1`, of a value or of each in an array."""
    first, between, last = text.partition("..")
    if between and (first or last):
        low, high = standing(first or last), standing(last or first)
        return lambda value: (not first or low(value) >= 0) & (not last or high(value) <= 0)
    sign = (_COMPARED.match(text) or [""])[0]
    holds, to = _SIGNS[sign], standing(text[len(sign) :].strip())
    return lambda value: holds(to(value), 0)


def _order(one: Any, other: Any) -> Any:  # noqa: ANN401  (whatever can be compared)
    return 1 * (one > other) - (one < other)


_SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "": operator.eq}
_LOOKS: dict[str, Callable[[Facts, str], tuple[Any, Test]]] = {
    "folder": _at_folders,
    "label": _at_folders,
    "name": _at_names,
    "size": _at_numbers,
    "date": _at_numbers,
}
_TESTS: dict[str, Callable[[str], Test]] = {
    "folder": _folder,
    "label": _label,
    "name": _name,
    "date": _date,
    "size": _size,
}
