"""Filters as SQL: which records qualify, with every value as a parameter.

What PostgreSQL would decide otherwise than Python is decided here, on the distinct values alone, and handed over as the
list of those that fit: folders with their accents, shell patterns of formats and cameras, files near midnight.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.columns import to_seconds
from lookalike.store.evaluate import COMPARISONS, DAY, compose, find_file_order, find_limits, make_test
from lookalike.store.filter import All, Among, Condition, Not
from lookalike.store.filter import Any as AnyOf
from lookalike.store.postgresql.binary import decode_text, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.store.filter import Filter

    Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

__all__ = ["Predicate", "encode_name", "translate"]

_BYTES = 0x10FF00  # private characters that stand for the bytes of a name that are not text
_NEAR = int(DAY * 1e9)


@dataclass(slots=True)
class Predicate:
    """A condition on rows of `item` as SQL, with its values in order."""

    text: str
    values: list[Any] = field(default_factory=list)


def encode_name(name: bytes) -> str:
    """A file name as filters compare it: composed, with a private character for each byte that is not text."""
    return _to_stored(compose(os.fsdecode(name)))


def translate(where: Filter, fetch: Fetch, colored: Mapping[str, NDArray[np.int64]]) -> Predicate:
    """The predicate of a filter.

    fetch: runs a query at the moment that is searched. colored: see `lookalike.store.evaluate.passing`.
    """
    match where:
        case All(parts):
            return _join([translate(one, fetch, colored) for one in parts], " AND ", "TRUE")
        case AnyOf(parts):
            return _join([translate(one, fetch, colored) for one in parts], " OR ", "FALSE")
        case Not(part):
            inner = translate(part, fetch, colored)
            return Predicate(f"NOT {inner.text}", inner.values)
        case Among(ids):
            return _among(list(ids))
        case Condition("color", _, value):
            return _among(colored[str(value)].tolist())
        case Condition():
            found = _CONDITIONS.get(where.field, _none)(where, fetch)
            return Predicate(f"coalesce(({found.text}), FALSE)", found.values)


def _join(parts: Sequence[Predicate], word: str, alone: str) -> Predicate:
    if not parts:
        return Predicate(alone)
    return Predicate(f"({word.join(one.text for one in parts)})", [value for one in parts for value in one.values])


def _among(ids: list[int]) -> Predicate:
    return Predicate("i.id = ANY(%b::bigint[])", [ids])


def _none(_condition: Condition, _fetch: Fetch) -> Predicate:
    return Predicate("FALSE")


def _folder(condition: Condition, fetch: Fetch) -> Predicate:
    fits = make_test(condition)
    rows = fetch("SELECT DISTINCT folder FROM item WHERE digest IS NOT NULL", ())
    return Predicate("i.folder = ANY(%b::bytea[])", [[folder for (folder,) in rows if fits(os.fsdecode(folder))]])


def _text(condition: Condition, fetch: Fetch) -> Predicate:
    fits, column = make_test(condition), condition.field
    rows = fetch(f"SELECT DISTINCT {column} FROM item WHERE digest IS NOT NULL AND {column} IS NOT NULL", ())
    found = [text for (text,) in rows if fits(decode_text(text) or "")]
    return Predicate(f"i.{column} = ANY(%b::text[])", [found])


def _number(condition: Condition, _fetch: Fetch) -> Predicate:
    value = float(condition.value)
    return Predicate(f"i.{condition.field}::float8 {condition.operator} %s::float8", [value])


def _name(condition: Condition, fetch: Fetch) -> Predicate:
    """`*` and `?` become a pattern of SQL; whatever has brackets is looked up by a wider one and tested here."""
    text = compose(str(condition.value))
    like = _to_like(re.sub(r"\[.*\]", "*", text) if "[" in text else text)
    if "[" not in text:
        return Predicate("i.name LIKE %s", [like])
    fits = make_test(condition)
    rows = fetch("SELECT id, name FROM item WHERE digest IS NOT NULL AND name LIKE %s", [like])
    return _among([id_ for id_, name in rows if fits(_from_stored(name))])


def _to_like(pattern: str) -> str:
    escaped = re.sub(r"[\\%_]", lambda found: f"\\{found[0]}", _to_stored(pattern))
    return escaped.replace("*", "%").replace("?", "_")


def _to_stored(text: str) -> str:
    if text.isascii():
        return encode_text(text) or ""
    return re.sub("[\udc80-\udcff]", lambda found: chr(_BYTES + ord(found[0]) - 0xDC00), encode_text(text) or "")


def _from_stored(text: str) -> str:
    bytes_ = re.sub("[\U0010ff80-\U0010ffff]", lambda found: chr(ord(found[0]) - _BYTES + 0xDC00), text)
    return decode_text(bytes_) or ""


def _date(condition: Condition, fetch: Fetch) -> Predicate:
    """By the camera's clock if that is known, otherwise by the file's time in local time."""
    part, compare = str(condition.value), condition.operator
    by_camera = f"left(to_char(i.taken_at, 'YYYY-MM-DD'), {len(part)}) COLLATE \"C\" {compare} %s"
    by_file = _file_date(condition, fetch)
    text = f"CASE WHEN i.taken_at IS NOT NULL THEN {by_camera} ELSE {by_file.text} END"
    return Predicate(text, [part, *by_file.values])


def _file_date(condition: Condition, fetch: Fetch) -> Predicate:
    """Days begin at another time in each zone, so files within a day of a limit are compared one by one."""
    part, compare = str(condition.value), COMPARISONS[condition.operator]
    begins, ends = (_bound(second) for second in find_limits(part))
    near = "(i.mtime_ns BETWEEN %s AND %s OR i.mtime_ns BETWEEN %s AND %s)"
    limits = [_bound_ns(one + sign * _NEAR) for one in (begins, ends) for sign in (-1, 1)]
    where = f"digest IS NOT NULL AND taken_at IS NULL AND {near}"
    moments = [one for (one,) in fetch(f"SELECT DISTINCT mtime_ns FROM item i WHERE {where}", limits)]
    order = find_file_order(to_seconds(np.array(moments, np.float64)), part) if moments else np.empty(0, np.int64)
    fitting = [one for one, which in zip(moments, order.tolist(), strict=True) if compare(which, 0)]
    before, within, after = (str(bool(compare(which, 0))).upper() for which in (-1, 0, 1))
    text = (
        f"CASE WHEN i.mtime_ns IS NULL THEN FALSE WHEN {near} THEN i.mtime_ns = ANY(%b::bigint[]) "
        f"WHEN i.mtime_ns < %s THEN {before} WHEN i.mtime_ns > %s THEN {after} ELSE {within} END"
    )
    return Predicate(text, [*limits, fitting, _bound_ns(begins), _bound_ns(ends)])


def _bound(second: int) -> int:
    return second * 10**9


def _bound_ns(nanoseconds: int) -> int:
    return max(-(2**63), min(nanoseconds, 2**63 - 1))


_CONDITIONS: dict[str, Callable[[Condition, Fetch], Predicate]] = {
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
