"""Other keys for items that stay what they are: a folder of pictures that was moved."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from lookalike.store.sqlite.checksums import item_checksum

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["moved_key", "rename"]

_CHUNK = 1024  # rows read at once
_AWAY = b"\0"  # before the keys of items that are on their way: no path begins like that


def moved_key(key: bytes, old: bytes, new: bytes) -> bytes:
    """What becomes of `key` when `old` and all below it are moved to `new`."""
    if key == old or key.startswith(_below(old)):
        return new + key[len(old) :] if key == old else _below(new) + key[len(_below(old)) :]
    return key


def rename(
    db: sqlite3.Connection, old: bytes, new: bytes, *, check: Callable[[tuple[Any, ...]], None]
) -> tuple[int, int]:
    """Move items inside a transaction: how many, and by how much the sum of their checksums has grown.

    Rows are checked before they get their new checksum. Raises ValueError if a key would be there twice.
    """
    # Two steps, because `old` may lie within `new` or the other way round: until all are away, none arrives.
    moved = db.execute(
        "UPDATE item SET key = CAST(? || key AS BLOB) WHERE key = ? OR (key >= ? AND key < ?)",
        (_AWAY, old, _below(old), _below(old)[:-1] + b"0"),  # 0 follows / in ASCII
    ).rowcount
    change = 0
    while rows := db.execute(
        "SELECT id, key, stamp, digest, info, crc FROM item WHERE key < ? LIMIT ?", (b"\1", _CHUNK)
    ).fetchall():
        arrived = []
        for id_, away, *rest, crc in rows:
            key = away[len(_AWAY) :]
            check((id_, key, *rest, crc))
            new_crc = item_checksum(id_, moved_key(key, old, new), *rest)
            arrived.append((moved_key(key, old, new), new_crc, id_))
            change += new_crc - crc if rest[1] is not None else 0
        _arrive(db, arrived)
    return moved, change


def _arrive(db: sqlite3.Connection, rows: list[tuple[bytes, int, int]]) -> None:
    try:
        db.executemany("UPDATE item SET key = ?, crc = ? WHERE id = ?", rows)
    except sqlite3.IntegrityError as error:
        raise ValueError("a key would be there twice") from error


def _below(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"
