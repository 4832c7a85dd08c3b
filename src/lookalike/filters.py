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
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lookalike.store import Facts

    Test = Callable[[Any], bool]
    Standing = Callable[[Any], int]

__all__ = ["Filter", "matching", "parse_filter"]

_TERM = re.compile(r"(-?)([^\s:<>=,]+):(.+)", re.DOTALL)
_COMPARED = re.compile(r">=|<=|>|<")
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([kMG])?B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_CHUNK = 4096  # items looked at together
_REMEMBERED = 1 << 16  # verdicts on folders and on information, which many items have in common
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: what of an item is looked at, whether that fits, and whether it must or must not."""

    field: str
    fits: Callable[[Any], bool]
    wanted: bool = True

    def lets_pass(self, value: Any) -> bool:  # noqa: ANN401  (as an item's information may hold)
        """Whether an item with this value may be found. What an item does not have, None, fits nothing."""
        return (value is not None and self.fits(value)) == self.wanted


def parse_filter(term: str) -> Filter:
    """A condition as people write it. Raises UsageError."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"{term!r} is no filter", hint="write field:value, as in folder:beach or width:>1000")
    minus, field, text = match.groups()
    tests = [_TESTS.get(field, _information)(value.strip()) for value in text.split(",")]
    return Filter(field, lambda value: any(test(value) for test in tests), wanted=not minus)


def matching(items: Iterable[Facts], filters: Sequence[Filter]) -> list[int]:
    """The ids of the items that all filters let pass.

    Raises UsageError for a field that no item has: it is most likely misspelt.
    """
    met: set[str] = set()
    remaining, ids = iter(items), []
    # Those of information first, as they see every item there is and know which fields are met.
    tests = [_test(one, met) for one in sorted(filters, key=lambda one: one.field in _TESTS)]
    while some := list(islice(remaining, _CHUNK)):
        for test in tests:
            some = [item for item in some if test(item)]
        ids += [item.id for item in some]
    unknown = {one.field for one in filters} - {*_TESTS, *met}
    if met and unknown:
        fields = ", ".join([*_TESTS, *sorted(met)])
        raise UsageError(f"no picture has a {min(unknown)!r} to filter by", hint=f"there are: {fields}")
    return ids


def _test(one: Filter, met: set[str]) -> Callable[[Facts], bool]:
    """A filter of items. met: grows by the fields that their information has."""
    remembered = lru_cache(_REMEMBERED)
    if one.field in {"folder", "label"}:
        in_folder = remembered(lambda path: one.lets_pass(_of_folder(path, one.field)))
        return lambda item: in_folder(item.key.rpartition(b"/")[0])
    if one.field == "name":
        return lambda item: one.lets_pass(os.fsdecode(item.key.rpartition(b"/")[2]))
    if one.field in {"size", "date"}:
        part = 0 if one.field == "size" else 1
        return lambda item: one.lets_pass(_of_stamp(item.stamp, part))

    def informed(text: str) -> bool:
        info = json.loads(text)
        met.update(info)
        return one.lets_pass(info.get(one.field))

    knows = remembered(informed)
    return lambda item: knows(item.info)


def _of_folder(path: bytes, field: str) -> Any:  # noqa: ANN401
    folders = os.fsdecode(path).split("/")
    return folders if field == "folder" else folders[-1]


def _of_stamp(stamp: str, part: int) -> int | None:
    number = ([*stamp.split(":"), "", ""])[part]
    return int(number) if number.lstrip("-").isdecimal() else None


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
