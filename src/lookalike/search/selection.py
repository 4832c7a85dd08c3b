"""Why a filter selects nothing: which of its values no picture has, and what there is instead."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from lookalike.paths import NATIVE
from lookalike.search.concepts import resolve_tags
from lookalike.search.filters import parse_filter, parse_filters, split_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lookalike.store import Record, Store

__all__ = ["explain_filters"]

_SCANNED = 100_000  # records that are looked at for what there is, half a second
_NAMED = 6  # values that are named


def explain_filters(store: Store, terms: Sequence[str], *, has_hits: bool = False) -> list[str]:
    """A sentence for each value in these filters that no picture has, or for filters that none passes together.

    Empty if every value selects something. has_hits: whether a search has found that some pictures pass: then only
    values that are excluded, and those that are one of several, are looked up. Raises UsageError as a search does.
    """
    parsed = parse_filters(terms)
    if parsed is None or not store.count()[0]:
        return []
    idle = [
        (field, value)
        for is_excluded, field, values in map(split_filter, terms)
        if not has_hits or is_excluded or len(values) > 1
        for value in values
        if not len(store.ids(resolve_tags(store, parse_filter(f"{field}:{_quote(value)}"))))
    ]
    if idle:
        records = [record for record in islice(store.scan(), _SCANNED) if record.digest is not None]
        return [_explain(records, field, value) for field, value in idle]
    if has_hits or len(store.ids(resolve_tags(store, parsed))):
        return []
    return [f"no picture passes {'these filters together' if len(terms) > 1 else terms[0]}"]


def _quote(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _explain(records: Sequence[Record], field: str, value: str) -> str:
    """Say that no picture has this value, and name the closest values that these have, or some of them."""
    if field == "tag":
        return f"no picture carries the tag {value!r}; teach it with more examples: lookalike teach '{value}' IMAGES"
    if field == "color":
        return f"no picture has {field}:{value}: a tenth of it must be near the colour"
    if field not in _VALUES:
        low, high = _find_range(field, records)
        return f"no picture has {field}:{value}" + (f"; they have {low} to {high}" if low else "")
    counts = Counter(_VALUES[field](value, records))
    known = [name for name, _ in counts.most_common()]
    close = _find_close(value, known)
    if close:
        return f"no picture has {field}:{value}; did you mean {_list(close)}?"
    narrowing = [name for name in known if counts[name] < len(records)] or known  # not a folder around all pictures
    shown = _list(narrowing[:_NAMED]) + (", ..." if len(narrowing) > _NAMED else "")
    return f"no picture has {field}:{value}" + (f"; there are: {shown}" if known else "")


def _list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' if "," in name else name for name in names)


def _find_close(value: str, known: Sequence[str]) -> list[str]:
    """The values that differ in case, in accents or by a misprint, the best first."""
    by_form: dict[str, list[str]] = {}
    for name in known:
        by_form.setdefault(_plain(name), []).append(name)
    close = get_close_matches(_plain(value), by_form, n=3, cutoff=0.7)
    return [name for form in close for name in by_form[form]][:_NAMED]


def _plain(text: str) -> str:
    """Without accents and without regard to case."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(each for each in apart if not unicodedata.combining(each))


def _folders(value: str, records: Iterable[Record]) -> Iterable[str]:
    """As many names of each folder above the pictures as the value has, innermost first; or whole paths."""
    wanted = value.strip("/").count("/") + 1
    for record in records:
        parts = os.fsdecode(NATIVE.slashed(record.path)).split("/")[:-1]
        if value.startswith("/"):
            yield "/".join(parts)
        else:
            yield from ("/".join(parts[end - wanted : end]) for end in range(len(parts), wanted, -1))


def _labels(_value: str, records: Iterable[Record]) -> Iterable[str]:
    return (os.fsdecode(os.path.basename(os.path.dirname(record.path))) for record in records)


def _names(_value: str, records: Iterable[Record]) -> Iterable[str]:
    return (os.fsdecode(os.path.basename(record.path)) for record in records)


_VALUES: dict[str, Callable[[str, Iterable[Record]], Iterable[str]]] = {
    "folder": _folders,
    "label": _labels,
    "name": _names,
    "format": lambda _value, records: (record.format.lower() for record in records if record.format),
    "camera": lambda _value, records: (record.camera for record in records if record.camera),
}


def _find_range(field: str, records: Iterable[Record]) -> tuple[str, str]:
    """The least and the greatest value of a field that can be compared; empty texts if no picture has one."""
    values = sorted(value for value in (_comparable(field, record) for record in records) if value is not None)
    return (str(values[0]), str(values[-1])) if values else ("", "")


def _comparable(field: str, record: Record) -> str | int | None:
    if field != "date":
        value: int | None = getattr(record, field)
        return value
    if record.taken_at is not None:
        return record.taken_at.date().isoformat()
    if record.mtime_ns is None:
        return None
    return datetime.fromtimestamp(record.mtime_ns // 10**9, UTC).astimezone().date().isoformat()
