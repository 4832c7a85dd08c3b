"""Convert the layout of formats 1 to 3 to that of format 4: items with typed columns and relative keys.

Up to format 3 an item had an absolute path as its key, a text `stamp` with the size and time of its file, and all other
facts as JSON.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from lookalike.store import Record, checked
from lookalike.store.keys import base_of, to_folder_key
from lookalike.store.rows import PLACEHOLDERS, Row, Tally, checksum, to_row
from lookalike.store.sqlite.errors import corrupt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["CREATE_ITEM", "is_sound_old", "relative_roots", "to_new_row", "type_items"]

CREATE_ITEM = """
    CREATE TABLE item (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, digest BLOB, size INTEGER, mtime_ns INTEGER, width INTEGER,
        height INTEGER, format TEXT, taken_at TEXT, camera TEXT, skipped_because TEXT, max_megapixels REAL,
        crc INTEGER NOT NULL)
"""
_STAMP = re.compile(r"(-?\d+):(-?\d+)(?::([0-9.e+-]+))?")
_MOST = 2**63  # SQLite keeps only smaller whole numbers as such


def type_items(db: sqlite3.Connection, path: Path) -> None:
    """Give the table `item` its typed columns, inside a transaction. Raises Corrupt for a damaged row."""
    base = base_of(path.parent)
    db.execute("ALTER TABLE item RENAME TO item_3")
    db.execute("DROP INDEX item_digest")
    db.execute(CREATE_ITEM)
    db.execute("CREATE INDEX item_digest ON item (digest)")
    tally = Tally()
    for rows in _in_chunks(db.execute("SELECT id, key, stamp, digest, info, crc FROM item_3 ORDER BY id")):
        for row in rows:
            if not is_sound_old(row):
                raise corrupt(path, f"item {row[0]} does not match its checksum")
        new = [to_new_row(row, base) for row in rows]
        db.executemany(f"INSERT INTO item VALUES ({PLACEHOLDERS})", new)  # noqa: S608  (question marks)
        tally = tally.plus(new)
    db.execute("DROP TABLE item_3")
    _rewrite(db, "base", json.dumps(base.decode("latin-1")).encode())
    _rewrite(db, "tally", json.dumps(tally).encode())
    found = db.execute("SELECT value FROM meta WHERE key = 'roots'").fetchone()
    if found is not None:
        _rewrite(db, "roots", relative_roots(found[0], base))


def is_sound_old(row: Row) -> bool:
    """Whether a row of the old table matches its checksum."""
    try:
        id_, key, stamp, digest, info, crc = row
        parts = b"%d" % id_, key, stamp.encode(), digest or b"", info.encode()
        lengths = tuple(map(len, parts))
        return bool(zlib.crc32(b"[%d, %d, %d, %d, %d]%b%b%b%b%b" % (*lengths, *parts)) == crc)
    except (TypeError, AttributeError, ValueError):
        return False


def to_new_row(row: Row, base: bytes) -> Row:
    """Convert a sound row of the old table into one of the new table."""
    id_, key, stamp, digest, info, _ = row
    size, mtime_ns, limit = _read_stamp(stamp)
    known: dict[str, Any] = json.loads(info)
    record = Record(
        key,
        size,
        mtime_ns,
        digest,
        _whole_number(known.get("width")),
        _whole_number(known.get("height")),
        _text(known.get("format")),
        skipped_because=_text(known.get("reason")),
        max_megapixels=limit,
    )
    return to_row(checked([record])[0], id_, base)


def relative_roots(content: bytes, base: bytes) -> bytes:
    """The entry with the roots, after its paths have been made relative."""
    roots = [(to_folder_key(key.encode("latin-1"), base).decode("latin-1"), how) for key, how in json.loads(content)]
    return json.dumps(roots).encode()


def _read_stamp(stamp: str) -> tuple[int | None, int | None, float | None]:
    """The size, the time and, for a skipped file, the limit in megapixels; None for each that is missing."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None, None, None
    size, mtime_ns = _whole_number(int(found[1])), _whole_number(int(found[2]))
    return size, mtime_ns, float(found[3]) if found[3] else None


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _in_chunks(rows: Iterable[Row], size: int = 8192) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    yield chunk


def _rewrite(db: sqlite3.Connection, key: str, value: bytes) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, checksum(key.encode(), value)))
