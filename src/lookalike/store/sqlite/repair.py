"""Save the sound rows of a damaged gallery: each row that can be read is checked and copied into a new database.

The damaged database is kept under another name and never deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lookalike.adaptation.serialize import read_summary
from lookalike.errors import Corrupt, NewerFormat, StoreError
from lookalike.store.entries import read_base
from lookalike.store.keys import base_of, to_path
from lookalike.store.location import name_command
from lookalike.store.rows import (
    COLUMNS,
    DIGEST,
    KEY,
    PLACEHOLDERS,
    Row,
    Tally,
    checksum,
    is_sound,
    is_sound_description,
    is_sound_row,
)
from lookalike.store.sqlite import schema
from lookalike.store.sqlite.errors import named_errors
from lookalike.store.sqlite.format3 import is_sound_old, relative_roots, to_new_row
from lookalike.store.sqlite.lock import WriterLock
from lookalike.store.sqlite.store import DATABASE, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Repair", "repair"]

_TABLES = {"meta", "content", "item"}


@dataclass(frozen=True, slots=True)
class Repair:
    """The result of a repair.

    problems: what was wrong, one line each; empty if nothing was, and nothing was changed. kept: the number of items
    saved. lost: the paths of the items that could not be saved, as far as they could be read. aside: where the damaged
    database is now.
    """

    problems: list[str]
    kept: int = 0
    lost: list[bytes] = field(default_factory=list)
    aside: Path | None = None


def repair(folder: Path) -> Repair:
    """Make the gallery in `folder` sound again by leaving out what is damaged.

    Raises StoreBusy while another process writes to it; NewerFormat, or StoreError for a file that is not a gallery,
    which is left alone; Corrupt when nothing can be saved: the database is then kept under another name, and the hint
    says how to make a new one.
    """
    path, lock = folder / DATABASE, WriterLock(folder)
    repaired = path.with_name(path.name + ".mended")
    if repaired.exists() and not os.path.lexists(path):  # a repair was interrupted between two renames
        with lock.held(wait=0), named_errors(path):
            schema.put_in_place(repaired, path)
    problems = _find_problems(folder)
    if not problems:
        return Repair([])
    with lock.held(wait=0), named_errors(path):
        saved = _save(path, repaired, lock.noted_generation())
        aside = schema.put_aside(path)
        if saved is None:
            raise Corrupt(
                f"{path}: nothing in it can be saved; it is kept as {aside.name}",
                hint=f"make the gallery again: {name_command('index PHOTOS', folder)}",
            )
        schema.put_in_place(repaired, path)
        lock.forget()
    return Repair(problems, saved.kept, saved.lost, aside)


def _find_problems(folder: Path) -> list[str]:
    try:
        store = SqliteStore(folder)
    except NewerFormat:
        raise
    except StoreError as error:
        if not (folder / DATABASE).is_file() or _is_foreign(folder / DATABASE):
            raise
        return [str(error)]
    try:
        return store.verify()
    finally:
        store.close()


def _is_foreign(path: Path) -> bool:
    """Whether the file is a sound database of another program."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return bool(tables) and not tables >= _TABLES
    return False


def _save(path: Path, repaired: Path, noted: int) -> _Saving | None:
    """Fill the database `repaired` with what is sound at `path`; None if not even the encoder's entry is sound."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as damaged:
        damaged.text_factory = lambda text: text.decode(
            "utf-8", "replace"
        )  # so that one bad text does not stop the reading
        entries = _sound_entries(damaged)
        if "space" not in entries:
            return None
        saving = _Saving(damaged, _base(entries, path))
        repaired.unlink(missing_ok=True)
        schema.create(repaired, lambda db: saving.fill(db, entries, noted))
        return saving


def _sound_entries(db: sqlite3.Connection) -> dict[str, bytes]:
    """The entries of the table `meta` that match their checksums."""
    rows = _read_rows(db, "meta", "key, value, crc")
    return {key: value for key, value, crc in rows if isinstance(key, str) and is_sound(crc, key.encode(), value)}


def _base(entries: dict[str, bytes], path: Path) -> bytes:
    """The folder that the keys are relative to."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return read_base(json.loads(entries["base"]))
    return base_of(path.parent)


class _Saving:
    """Fills one database with the sound rows of another."""

    def __init__(self, damaged: sqlite3.Connection, base: bytes) -> None:
        self._damaged = damaged
        self._base = base
        self.kept = 0
        self.lost: list[bytes] = []

    def fill(self, db: sqlite3.Connection, entries: dict[str, bytes], noted: int) -> None:
        """Write the sound contents, then the items whose content is there, then the entries that match them."""
        for id_, digest, embedding, crc in _read_rows(self._damaged, "content", "id, digest, embedding, crc"):
            if is_sound(crc, digest, embedding):
                db.execute("INSERT OR IGNORE INTO content VALUES (?, ?, ?, ?)", (id_, digest, embedding, crc))
        tally = self._fill_items(db)
        db.execute("DELETE FROM content WHERE digest NOT IN (SELECT digest FROM item WHERE digest NOTNULL)")
        self._fill_descriptions(db)
        (last_id,) = db.execute("SELECT coalesce(max(id), 0) FROM item").fetchone()
        counted = {
            "generation": max(_number(entries, "generation"), noted) + 1,
            "next_id": max(_number(entries, "next_id"), last_id + 1),
            "tally": tally,
            "base": self._base.decode("latin-1"),
        }
        kept = {key: value for key, value in entries.items() if key not in counted}
        if not _has_projection(entries):
            kept = {key: value for key, value in kept.items() if not key.startswith("projection")}
            kept["projection"] = b"null"
        kept.setdefault("calibration", b"null")
        kept.setdefault("distinct", b"[]")
        kept["roots"] = relative_roots(kept.get("roots", b"[]"), self._base)
        for key, value in {**kept, **{key: json.dumps(value).encode() for key, value in counted.items()}}.items():
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, checksum(key.encode(), value)))

    def _fill_items(self, db: sqlite3.Connection) -> Tally:
        tally = Tally()
        has = "SELECT 1 FROM content WHERE digest = ?"
        for key, row in self._items():
            if row is not None and (row[DIGEST] is None or db.execute(has, (row[DIGEST],)).fetchone()):
                if db.execute(f"INSERT OR IGNORE INTO item VALUES ({PLACEHOLDERS})", row).rowcount:  # noqa: S608
                    tally = tally.plus([row])
            elif isinstance(key, bytes):
                self.lost.append(to_path(key, self._base))
        self.kept = tally.records
        return tally

    def _fill_descriptions(self, db: sqlite3.Connection) -> None:
        """Write the sound descriptions of what is kept; `index --refresh` computes the others again."""
        for id_, described, crc in _read_rows(self._damaged, "description", "id, described, crc"):
            found = db.execute("SELECT digest FROM content WHERE id = ?", (id_,)).fetchone()
            if found is not None and is_sound_description(crc, found[0], described):
                db.execute("INSERT OR IGNORE INTO description VALUES (?, ?, ?)", (id_, described, crc))

    def _items(self) -> Iterator[tuple[object, Row | None]]:
        """The key of each item as far as it can be read, and its row in the newest format; None if it is damaged."""
        columns = {name for _, name, *_ in self._damaged.execute("PRAGMA table_info(item)")}
        if "stamp" in columns:
            for row in _read_rows(self._damaged, "item", "id, key, stamp, digest, info, crc"):
                yield row[1], to_new_row(row, self._base) if is_sound_old(row) else None
        else:
            for row in _read_rows(self._damaged, "item", COLUMNS):
                yield row[KEY], row if is_sound_row(row) else None


def _read_rows(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows by row id up to the first damage, then from the last row backwards to the damage from behind."""
    last = None
    for order in ("ASC", "DESC"):
        beyond = "" if last is None else f"WHERE rowid > {last}"
        with contextlib.suppress(sqlite3.Error):
            for number, *row in db.execute(
                f"SELECT rowid, {columns} FROM {table} NOT INDEXED {beyond} ORDER BY rowid {order}"  # noqa: S608
            ):
                yield tuple(row)
                last = number if order == "ASC" else last
            return


def _has_projection(entries: dict[str, bytes]) -> bool:
    """Whether the entries hold a complete projection, or say that the gallery has none."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        summary = read_summary(json.loads(entries["projection"]))
        return summary is None or all(name in entries for name in summary.entries)
    return False


def _number(entries: dict[str, bytes], key: str) -> int:
    try:
        return int(json.loads(entries[key]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
