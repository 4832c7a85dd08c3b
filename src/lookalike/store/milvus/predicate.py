"""Filters as expressions of Milvus: which records qualify.

What Milvus cannot express is decided here, on the values alone, and handed over as the list of those that fit: folders
with their accents, shell patterns, files near midnight.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING

import numpy as np

from lookalike.store.columns import to_seconds
from lookalike.store.evaluate import COMPARISONS, DAY, compose, find_file_order, find_limits, make_test
from lookalike.store.filter import All, Among, Condition, Not
from lookalike.store.filter import Any as AnyOf
from lookalike.store.milvus.encoding import decode_bytes, decode_text, encode_bytes, encode_text, listing, quoted
from lookalike.store.milvus.schema import LEAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.store.filter import Filter

    Values = Callable[[str, Sequence[str]], Iterable[dict[str, object]]]

__all__ = ["translate"]

TRUE, FALSE = "id >= 0", "id < 0"
_NEAR = int(DAY * 1e9)
_END = "~"  # comes behind everything that is encoded
_PLAIN = re.compile(r"[^*?\[]*")


def translate(where: Filter, values: Values, colored: Mapping[str, NDArray[np.int64]]) -> str:
    """The expression of a filter.

    values: some fields of all records with an embedding that an expression selects. colored: see
    `lookalike.store.evaluate.passing`.
    """
    match where:
        case All(parts):
            return _join([translate(one, values, colored) for one in parts], " and ", TRUE)
        case AnyOf(parts):
            return _join([translate(one, values, colored) for one in parts], " or ", FALSE)
        case Not(part):
            return f"(not ({translate(part, values, colored)}))"
        case Among(ids):
            return f"id in {listing(ids)}"
        case Condition("color", _, value):
            return f"id in {listing(colored[str(value)].tolist())}"
        case Condition():
            return f"({_CONDITIONS.get(where.field, _none)(where, values)})"


def _join(parts: Sequence[str], word: str, alone: str) -> str:
    return f"({word.join(parts)})" if parts else alone


def _none(_condition: Condition, _values: Values) -> str:
    return FALSE


def _folder(condition: Condition, values: Values) -> str:
    fits = make_test(condition)
    folders = sorted({str(one["folder"]) for one in values("", ["folder"])})
    return f"folder in {listing(one for one in folders if fits(os.fsdecode(decode_bytes(one))))}"


def _text(condition: Condition, values: Values) -> str:
    fits, field = make_test(condition), condition.field
    there = sorted({str(one[field]) for one in values("", [field])} - {encode_text(None)})
    return f"{field} in {listing(one for one in there if fits(decode_text(one) or ''))}"


def _name(condition: Condition, values: Values) -> str:
    """A pattern that is plain up to a * at its end is a range; others are tested here, on the names in their range."""
    pattern = compose(str(condition.value))
    plain = _PLAIN.match(pattern)
    head = plain[0] if plain else ""
    encoded = encode_bytes(os.fsencode(head)) if _is_encodable(head) else None
    if encoded is None:
        return FALSE
    if pattern == head:
        return f"name == {quoted(encoded)}"
    begins = f"name >= {quoted(encoded)} and name < {quoted(encoded + _END)}" if encoded else TRUE
    if pattern == f"{head}*":
        return begins
    fits = make_test(condition)
    found = values(begins, ["id", "name"])
    return f"id in {listing(one['id'] for one in found if fits(os.fsdecode(decode_bytes(str(one['name'])))))}"


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _number(condition: Condition, _values: Values) -> str:
    """Whole numbers are compared with whole numbers: Milvus compares them with no other kind exactly."""
    field, value = condition.field, float(condition.value)
    if math.isnan(value):
        return FALSE
    if abs(value) >= 2**63:
        fits = COMPARISONS[condition.operator](0.0, value)
        return f"{field} >= {LEAST}" if fits else FALSE
    low, high = math.floor(value), math.ceil(value)
    text = {
        "=": f"{field} == {low}" if low == high else FALSE,
        "<": f"{field} < {high}",
        "<=": f"{field} <= {low}",
        ">": f"{field} > {low}",
        ">=": f"{field} >= {high}",
    }[condition.operator]
    return f"{text} and {field} >= {LEAST}"


def _date(condition: Condition, values: Values) -> str:
    """By the camera's clock if that is known, otherwise by the file's time in local time."""
    part = str(condition.value)
    begins, ends, missing = quoted(encode_text(part)), quoted(encode_text(part) + _END), quoted(encode_text(None))
    by_camera = {
        "=": f"taken_at >= {begins} and taken_at < {ends}",
        "<": f"taken_at < {begins}",
        "<=": f"taken_at < {ends}",
        ">": f"taken_at >= {ends}",
        ">=": f"taken_at >= {begins}",
    }[condition.operator]
    by_file = _file_date(condition, values, f"taken_at == {missing}")
    return f"(taken_at != {missing} and ({by_camera})) or (taken_at == {missing} and ({by_file}))"


def _file_date(condition: Condition, values: Values, without: str) -> str:
    """Days begin at another time in each zone, so files within a day of a limit are compared one by one."""
    part, compare = str(condition.value), COMPARISONS[condition.operator]
    begins, ends = (second * 10**9 for second in find_limits(part))
    near = _join([_between(limit - _NEAR, limit + _NEAR) for limit in (begins, ends)], " or ", FALSE)
    there = f"mtime_ns >= {LEAST}"
    moments = sorted({int(str(one["mtime_ns"])) for one in values(f"{without} and {there} and {near}", ["mtime_ns"])})
    order = find_file_order(to_seconds(np.array(moments, np.float64)), part) if moments else np.empty(0, np.int64)
    fitting = [one for one, which in zip(moments, order.tolist(), strict=True) if compare(which, 0)]
    each = [f"mtime_ns in {listing(fitting)}"]
    for which, limits in ((-1, (LEAST, begins - 1)), (0, (begins, ends)), (1, (ends + 1, 2**63 - 1))):
        if compare(which, 0):
            each.append(f"(not {near} and {_between(*limits)})")
    return f"{there} and ({' or '.join(each)})"


def _between(low: int, high: int) -> str:
    """The condition that a time lies between two, both included, of which either may be beyond 64 bits."""
    low, high = (max(LEAST, min(one, 2**63 - 1)) for one in (low, high))
    return f"(mtime_ns >= {low} and mtime_ns <= {high})" if low <= high else f"({FALSE})"


_CONDITIONS: dict[str, Callable[[Condition, Values], str]] = {
    "folder": _folder,
    "label": _folder,
    "name": _name,
    "date": _date,
    "size": _number,
    "width": _number,
    "height": _number,
    "format": _text,
    "camera": _text,
}
