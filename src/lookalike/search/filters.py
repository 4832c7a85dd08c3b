"""Filters as people write them: `folder:beach`, `width:>1000`, `date:2024-05`, `-format:gif`.

A filter has the form `field:value`. A picture must match all filters, and must not match one with a minus in front.
Several values can be separated by commas; a picture must match one of them. A value that contains a comma is put in
double quotes, and a double quote inside these is doubled: `folder:"Rome, spring"`. Accents match whether they are
composed or not. The fields are

    folder   a folder above the picture, as one name or several: `folder:2024/beach`, `folder:/home/me/Photos`
    label    the folder that directly contains the picture
    name     the file name, with `*` and `?` as wildcards
    date     when the picture was taken, by the camera's clock; if that is unknown, when the file was last written, in
             local time: `2024`, `2024-05`, `2024-05-17`
    size     the file size, in bytes or as `300kB`, `2MB`, `1GB`
    width, height   in pixels
    format   such as `jpeg`, by any of its names: `jpg`, `jfif`, `tif`, `heic`
    camera   the maker and model, or a part of them: `camera:canon`
    tag      a name that the gallery was taught (see `lookalike.search.concepts`): `tag:"our boat"`
    color    a colour that a tenth of the picture or more is near to: a name of CSS, or `#ff8800`

Numbers and dates accept `>`, `>=`, `<`, `<=` and ranges that include both ends: `1000..2000`, `1000..`, `..2000`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lookalike.errors import UsageError, name_in_errors
from lookalike.store.filter import FIELDS, All, Any, Condition, Not

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.store.filter import Filter, Operator

__all__ = ["parse_filter", "parse_filters", "split_filter"]

_FIELDS = (*FIELDS, "tag")  # a tag is not a field of a record: it becomes the pictures that carry it
_TERM = re.compile(r"(-?)([^\s:<>=,]+):(.+)", re.DOTALL)
_SIGN = re.compile(r">=|<=|>|<")
_VALUE = re.compile(r"""\s*"(?P<quoted>(?:[^"]|"")*)"\s*|(?P<plain>[^",][^,]*)""")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d*)?", re.ASCII)  # not 000: `>1,000` is a list of two values
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)
_SIZE = re.compile(r"((?:0|[1-9]\d*)(?:\.\d*)?)\s*([kMG])?B?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
# Other names of a format, and what they all mean: a phone's multi-picture JPEG opens as a JPEG everywhere.
_FORMATS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("JPEG", "JPG", "JPE", "JFIF", "PJPEG", "PJPG"), ("JPEG", "MPO")),
    **dict.fromkeys(("TIFF", "TIF"), ("TIFF",)),
    **dict.fromkeys(("HEIF", "HEIC", "HIF"), ("HEIF",)),
    **dict.fromkeys(("AVIF", "AVIFS"), ("AVIF",)),
    **dict.fromkeys(("PPM", "PGM", "PBM", "PNM", "PFM"), ("PPM",)),
    **dict.fromkeys(("PNG", "APNG"), ("PNG",)),
    **dict.fromkeys(("BMP", "DIB"), ("BMP", "DIB")),
    **dict.fromkeys(("JXL", "JPEG-XL", "JPEGXL"), ("JXL",)),
    **dict.fromkeys(("RAW", "ARW", "CR2", "CR3", "DNG", "NEF", "NRW", "ORF", "PEF", "RAF", "RW2", "SRW"), ("RAW",)),
}
_SIGNS: dict[str, Operator] = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "": "="}


def parse_filters(terms: Sequence[str]) -> Filter | None:
    """Parse filters that must all match into one; None if there are none. Raises UsageError."""
    if not terms:
        return None
    parsed = tuple(map(parse_filter, terms))
    return parsed[0] if len(parsed) == 1 else All(parsed)


def parse_filter(term: str) -> Filter:
    """Parse one filter, such as `width:>1000`. Raises UsageError."""
    minus, field, texts = split_filter(term)
    values = tuple(_parse_named(field, text) for text in texts)
    wanted = values[0] if len(values) == 1 else Any(values)
    return Not(wanted) if minus else wanted


def split_filter(term: str) -> tuple[bool, str, list[str]]:
    """Whether a filter has a minus in front, its field, and its values without their quotes. Raises UsageError."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise UsageError(f"{term!r} is not a filter", hint="write field:value, as in folder:beach or width:>1000")
    minus, field, text = match.groups()
    if field not in _FIELDS:
        raise UsageError(f"there is no field {field!r} to filter by", hint=f"available fields: {', '.join(_FIELDS)}")
    return bool(minus), field, _split_values(term, text)


def _split_values(term: str, text: str) -> list[str]:
    """The values between the commas that are not inside quotes."""
    values, at = [], 0
    while True:
        found = _VALUE.match(text, at)
        if found is None or text[found.end() :][:1] not in {"", ","}:
            hint = 'put a value that contains a comma in double quotes: folder:"Rome, spring"'
            raise UsageError(f"a value of {term!r} is missing or its quotes are not closed", hint=hint)
        quoted = found["quoted"]
        values.append(found["plain"].strip() if quoted is None else quoted.replace('""', '"'))
        at = found.end() + 1
        if at > len(text):
            break
    if "" in values and not term.lstrip("-").startswith("name:"):  # a name may consist of blanks
        raise UsageError(f"a value of {term!r} is empty", hint="write field:value, as in folder:beach")
    return values


def _parse_named(field: str, text: str) -> Filter:
    """Parse one value of a field; an error names both, since a search may have many filters."""
    with name_in_errors(f"{field}:{text}"):
        return _parse_value(field, text)


def _parse_value(field: str, text: str) -> Filter:
    if field in _COMPARABLE:
        return _parse_range(field, text, _COMPARABLE[field])
    if field == "color":
        from lookalike.images.colors import parse_color  # noqa: PLC0415  (0.002 s, and only for colours)

        return Condition(field, "=", parse_color(text))
    if field == "format":
        return _parse_format(text)
    if field == "camera" and not {*"*?["} & {*text}:
        text = f"*{text}*"
    return Condition(field, "=", text)


def _parse_format(text: str) -> Filter:
    """A format by any of its names, with or without the dot of an extension: `jpg`, `.jpg`, `JPEG`."""
    name = text.removeprefix(".")
    named = tuple(Condition("format", "=", one) for one in _FORMATS.get(name.upper(), (name,)))
    return named[0] if len(named) == 1 else Any(named)


def _parse_range(field: str, text: str, read: Callable[[str], str | float]) -> Filter:
    """Parse `>1`, `>=1`, `<1`, `<=1`, `1..2`, `1..`, `..2` or `1`."""
    first, between, last = text.partition("..")
    if between and (first or last):
        ends = [Condition(field, ">=", read(first.strip()))] if first else []
        ends += [Condition(field, "<=", read(last.strip()))] if last else []
        return ends[0] if len(ends) == 1 else All(tuple(ends))
    sign = (_SIGN.match(text) or [""])[0]
    return Condition(field, _SIGNS[sign], read(text[len(sign) :].strip()))


def _read_number(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise UsageError(f"{text!r} is not a number", hint="write digits only: 1000, not 1,000")
    return float(text)


def _read_date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise UsageError(f"{text!r} is not a date", hint="write 2024, 2024-05 or 2024-05-17")
    return text


def _read_size(text: str) -> float:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write 300kB, 2MB or a number of bytes")
    return float(match[1]) * _UNITS[(match[2] or "").lower()]


_COMPARABLE: dict[str, Callable[[str], str | float]] = {
    "date": _read_date,
    "size": _read_size,
    "width": _read_number,
    "height": _read_number,
}
