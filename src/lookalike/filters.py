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
import os
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lookalike.store import Known

    Test = Callable[[Any], bool]
    Standing = Callable[[Any], int]

__all__ = ["Filter", "matching", "parse_filter"]

_TERM = re.compile(r"(-?)([^\s:<>=,]+):(.+)", re.DOTALL)
_COMPARED = re.compile(r">=|<=|>|<")
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([kMG])?B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: what of an item is looked at, whether that fits, and whether it must or must not."""

    field: str
    fits: Callable[[Any], bool]
    wanted: bool = True

    def __call__(self, item: Known) -> bool:
        """Whether an item may be found. What an item does not have fits nothing."""
        value = _value(item, self.field)
        return (value is not None and self.fits(value)) == self.wanted


def parse_filter(term: str) -> Filter:
    """A condition as people write it. Raises UsageError."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"{term!r} is no filter", hint="write field:value, as in folder:beach or width:>1000")
    minus, field, text = match.groups()
    tests = [_TESTS.get(field, _information)(value.strip()) for value in text.split(",")]
    return Filter(field, lambda value: any(test(value) for test in tests), wanted=not minus)


def matching(items: Iterable[Known], filters: Sequence[Filter]) -> list[int]:
    """The ids of the items with an embedding that all filters let pass.

    Raises UsageError for a field that no item has: it is most likely misspelt.
    """
    met: set[str] = set()
    ids = []
    for item in items:
        if item.digest is not None:
            met.update(item.info)
            if all(one(item) for one in filters):
                ids.append(item.id)
    unknown = {one.field for one in filters} - {*_TESTS, *met}
    if met and unknown:
        fields = ", ".join([*_TESTS, *sorted(met)])
        raise UsageError(f"no picture has a {min(unknown)!r} to filter by", hint=f"there are: {fields}")
    return ids


def _value(item: Known, field: str) -> Any:  # noqa: ANN401  (as an item's information may hold)
    if field in {"folder", "label", "name"}:
        *folders, name = os.fsdecode(item.key).split("/")
        return {"folder": folders, "label": folders[-1] if folders else "", "name": name}[field]
    if field in {"size", "date"}:
        size, written = ([*item.stamp.split(":"), "", ""])[:2]
        number = size if field == "size" else written
        return int(number) if number.lstrip("-").isdecimal() else None
    return item.info.get(field)


def _folder(text: str) -> Test:
    wanted = text.rstrip("/").split("/")

    def fits(folders: list[str]) -> bool:
        starts = [0] if text.startswith("/") else range(len(folders))
        return any(folders[n : n + len(wanted)] == wanted for n in starts)

    return fits


def _label(text: str) -> Test:
    return lambda label: bool(label == text)


def _name(text: str) -> Test:
    return lambda name: fnmatch.fnmatchcase(name, text)


def _date(text: str) -> Test:
    """A date stands for its whole day, month or year: as much of a moment is compared as was written."""

    def standing(part: str) -> Standing:
        if not _DATE.fullmatch(part):
            raise UsageError(f"{part!r} is no date", hint="write 2024, 2024-05 or 2024-05-17")

        def stands(written: int) -> int:
            moment = datetime.fromtimestamp(written / 1e9).astimezone()
            return _order(moment.isoformat()[: len(part)], part)

        return stands

    return _compared(text, standing)


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
        return lambda value: isinstance(value, int | float) and compared(value)
    wanted = _FORMATS.get(text.upper(), text).casefold()
    return lambda value: str(value).casefold() == wanted


def _number(part: str) -> Standing:
    if not _NUMBER.fullmatch(part):
        raise UsageError(f"{part!r} is no number")
    return lambda value: _order(value, float(part))


def _compared(text: str, standing: Callable[[str], Standing]) -> Test:
    """`>1`, `>=1`, `<1`, `<=1`, `1..2`, `1..`, `..2` or `1`; `standing`: how a value stands to what is written."""
    first, between, last = text.partition("..")
    if between and (first or last):
        low, high = standing(first or last), standing(last or first)
        return lambda value: (not first or low(value) >= 0) and (not last or high(value) <= 0)
    operator = (_COMPARED.match(text) or [""])[0]
    signs, to = _SIGNS[operator], standing(text[len(operator) :].strip())
    return lambda value: to(value) in signs


def _order(one: Any, other: Any) -> int:  # noqa: ANN401  (whatever can be compared)
    return int(one > other) - int(one < other)


_SIGNS = {">": {1}, ">=": {0, 1}, "<": {-1}, "<=": {-1, 0}, "": {0}}
_TESTS: dict[str, Callable[[str], Test]] = {
    "folder": _folder,
    "label": _label,
    "name": _name,
    "date": _date,
    "size": _size,
}
