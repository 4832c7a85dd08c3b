"""Find damage: check every page of a database, and every entry and row against its checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.errors import StoreError
from lookalike.store.rows import ID, ITEM, is_sound, is_sound_content, is_sound_description, is_sound_row
from lookalike.store.sqlite.errors import named_errors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Look = Callable[[], Iterable[str]]

__all__ = ["looks", "problems"]

# The entries that every database has: without one of them, it is damaged.
_ENTRIES = {"base", "calibration", "distinct", "generation", "next_id", "projection", "roots", "space", "tally"}


def looks(db: sqlite3.Connection, dim: int) -> list[Look]:
    """The checks for a database of `dim`-dimensional embeddings: each returns the problems it finds, one line each."""
    return [
        lambda: _in_pages(db),
        lambda: _in_entries(db),
        lambda: _in_items(db),
        lambda: _in_contents(db, dim),
        lambda: _in_descriptions(db),
    ]


def problems(look: Look, path: Path) -> Iterator[str]:
    """The problems that one check finds in the database at `path`; if the check fails, its error is one of them."""
    try:
        with named_errors(path):
            yield from look()
    except StoreError as error:
        yield str(error)


def _in_pages(db: sqlite3.Connection) -> Iterator[str]:
    yield from (line for (line,) in db.execute("PRAGMA integrity_check(20)") if line != "ok")


def _in_entries(db: sqlite3.Connection) -> Iterator[str]:
    missing = set(_ENTRIES)
    for key, value, crc in db.execute("SELECT key, value, crc FROM meta"):
        missing.discard(key)
        if not is_sound(crc, str(key).encode(), value):
            yield f"the entry {key!r} does not match its checksum"
    yield from (f"the entry {key!r} is missing" for key in sorted(missing))


def _in_items(db: sqlite3.Connection) -> Iterator[str]:
    for row in db.execute(f"{ITEM} NOT INDEXED"):
        if not is_sound_row(row):
            yield f"item {row[ID]} does not match its checksum"


def _in_contents(db: sqlite3.Connection, dim: int) -> Iterator[str]:
    for digest, blob, crc in db.execute("SELECT digest, embedding, crc FROM content"):
        if not is_sound_content(crc, digest, blob, dim):
            name = digest.hex() if isinstance(digest, bytes) else repr(digest)
            yield f"the embedding of content {name[:12]} does not match its checksum"


def _in_descriptions(db: sqlite3.Connection) -> Iterator[str]:
    rows = "SELECT description.id, digest, described, description.crc FROM description LEFT JOIN content USING (id)"
    for id_, digest, described, crc in db.execute(rows):
        if not is_sound_description(crc, digest, described):
            yield f"the description of content {id_} does not match its checksum"
