"""Give records new keys when a folder of pictures was moved; everything else about them stays the same."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from lookalike.paths import NATIVE
from lookalike.store.keys import key_ranges, moved, to_key, to_path
from lookalike.store.rows import CRC, DIGEST, ID, ITEM, KEY, PLACEHOLDERS, with_key

if TYPE_CHECKING:
    from lookalike.store.rows import Row
    from lookalike.store.sqlite.tables import Tables

__all__ = ["has_strays", "rename", "take_in"]

_CHUNK = 1024  # rows read at once
_STRAYS = f"{ITEM} WHERE key >= ? AND key < ?"
_AWAY = b"\0"  # prefix of the keys of items that are being moved: no path begins with it


def rename(tables: Tables, old: bytes, new: bytes) -> tuple[int, int]:
    """Move items inside a transaction; return how many, and by how much the sum of their checksums has grown.

    Rows are checked before they get a new checksum. Raises ValueError if two items would get the same path.
    """
    # Two steps, because `old` may lie within `new` or the other way round: all are marked before any gets its new key.
    count = _send_away(tables, old)
    change = 0
    while rows := tables.db.execute(f"{ITEM} WHERE key < ? LIMIT ?", (b"\1", _CHUNK)).fetchall():
        arrived = []
        for away in rows:
            row = (away[ID], away[KEY][len(_AWAY) :], *away[DIGEST:])
            tables.check([row])
            there = with_key(row, to_key(moved(to_path(row[KEY], tables.base), old, new), tables.base))
            arrived.append((there[KEY], there[CRC], there[ID]))
            change += there[CRC] - row[CRC] if row[DIGEST] is not None else 0
        _arrive(tables.db, arrived)
    return count, change


def has_strays(tables: Tables) -> bool:
    """Whether items below the base still have absolute keys, as when a gallery has been moved to its pictures."""
    return bool(tables.fetch(f"{_STRAYS} LIMIT 1", _limits(tables.base)))


def take_in(tables: Tables) -> list[Row]:
    """Give all items below the base relative keys, inside a transaction; return the rows of the items dropped.

    An item is dropped if another already has its path by a relative key: that one moved here with the gallery.
    """
    twins, tally = [], tables.tally()
    while rows := tables.db.execute(f"{_STRAYS} LIMIT {_CHUNK}", _limits(tables.base)).fetchall():
        for row in rows:
            tables.check([row])
        there = [with_key(row, to_key(row[KEY], tables.base)) for row in rows]
        taken = {row[KEY] for row in tables.rows("key", (row[KEY] for row in there))}
        twins += [row for row, new in zip(rows, there, strict=True) if new[KEY] in taken]
        tables.db.executemany("DELETE FROM item WHERE id = ?", [row[:1] for row in rows])
        arrived = [row for row in there if row[KEY] not in taken]
        tables.db.executemany(f"INSERT INTO item VALUES ({PLACEHOLDERS})", arrived)  # noqa: S608  (question marks)
        tally = tally.minus(rows).plus(arrived)
    tables.set_entry("tally", tally)
    return twins


def _limits(base: bytes) -> tuple[bytes, bytes]:
    below = NATIVE.slashed(NATIVE.below(base))
    return below, below[:-1] + b"0"  # 0 follows / in ASCII


def _send_away(tables: Tables, old: bytes) -> int:
    """Mark the item at `old` and all items below it; return how many there are."""
    send = "UPDATE item SET key = CAST(? || key AS BLOB) WHERE "
    count = tables.db.execute(send + "key = ?", (_AWAY, to_key(old, tables.base))).rowcount
    for prefix in key_ranges(NATIVE.below(old), tables.base):
        ends = prefix[:-1] + b"0"  # 0 follows / in ASCII; all of these prefixes end with one
        count += tables.db.execute(send + "key >= ? AND key < ?", (_AWAY, prefix, ends)).rowcount
    return count


def _arrive(db: sqlite3.Connection, rows: list[tuple[bytes, int, int]]) -> None:
    try:
        db.executemany("UPDATE item SET key = ?, crc = ? WHERE id = ?", rows)
    except sqlite3.IntegrityError as error:
        raise ValueError("a path would be there twice") from error
