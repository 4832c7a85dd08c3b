"""The values of each field among some pictures, with the filters that select them."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.images.paths import show_path
from lookalike.web import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lookalike.store import Record

__all__ = ["FACETS", "count_values", "quote_value"]

FACETS = 20_000
"""The most pictures whose values are counted: 0.2 s."""

_SIZES = ((100_000, "<100kB"), (1_000_000, "100kB..1MB"), (10_000_000, "1MB..10MB"), (1 << 62, ">10MB"))


def count_values(records: Iterable[Record], limit: int, base: bytes) -> dict[str, list[dict[str, Any]]]:
    """By field, the most frequent values: what to show, how many pictures have it, and the filter that selects these.

    base: the folder that paths are shown relative to, unless it is empty. Fields without a value are left out.
    """
    counts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in ("folder", *_FIELDS)}
    readers: dict[str, Callable[[Record], tuple[str, str] | None]] = {
        **_FIELDS,
        "folder": partial(_read_folder, base=base),
    }
    for record in records:
        for name, read in readers.items():
            if found := read(record):
                counts[name][found] += 1
    return {
        name: [{"value": value, "count": count, "where": where} for (value, where), count in some.most_common(limit)]
        for name, some in counts.items()
        if some
    }


def quote_value(value: str) -> str:
    """A value as a filter takes it."""
    return '"' + value.replace('"', '""') + '"' if {*value} & {*',":'} or value != value.strip() else value


def _read_folder(record: Record, base: bytes) -> tuple[str, str] | None:
    """The last two folders above a picture, below `base`, which tell it from others of the same name."""
    folder = os.path.dirname(record.path)
    folder = folder[len(base) :] if base and folder.startswith(base) else folder
    parts = os.fsdecode(folder).strip("/").split("/")[-2:]
    name = "/".join(parts)
    return (show_path(os.fsencode(name)), f"folder:{quote_value(name)}") if name else None


def _read_label(record: Record) -> tuple[str, str] | None:
    name = os.fsdecode(os.path.basename(os.path.dirname(record.path)))
    return (show_path(os.fsencode(name)), f"label:{quote_value(name)}") if name else None


def _read_year(record: Record) -> tuple[str, str] | None:
    year = record.taken_at and str(record.taken_at.year)
    return (year, f"date:{year}") if year else None


def _read_size(record: Record) -> tuple[str, str] | None:
    if record.size is None:
        return None
    where = next(where for most, where in _SIZES if record.size < most)
    return texts.FILE_SIZES[where], f"size:{where}"


def _read_text(field: str) -> Callable[[Record], tuple[str, str] | None]:
    def read(record: Record) -> tuple[str, str] | None:
        value = getattr(record, field)
        return (value, f"{field}:{quote_value(value)}") if value else None

    return read


_FIELDS: dict[str, Callable[[Record], tuple[str, str] | None]] = {
    "label": _read_label,
    "year": _read_year,
    "camera": _read_text("camera"),
    "format": _read_text("format"),
    "size": _read_size,
}
