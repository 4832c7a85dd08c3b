"""The database file of a gallery: created completely or not at all, recognised before it is read, and migrated.

To change the layout, append an entry to MIGRATIONS.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from typing import TYPE_CHECKING

from lookalike.errors import NewerFormat, StoreError, how_to_upgrade
from lookalike.files import replace_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "MIGRATIONS",
    "PATIENCE",
    "connect",
    "create",
    "make_single",
    "migrate",
    "needs_migration",
    "put_aside",
    "put_in_place",
    "transaction",
]

_APPLICATION_ID = 0x4C4B414C  # "LKAL", by which `file` and Lookalike itself recognise the database
_PAGE = 16384  # six embeddings of 1,280 float16; in pages of 4,096 each embedding would need its own page
PATIENCE = 10.0  # seconds to wait for another process's commit


def _type_items(db: sqlite3.Connection, path: Path) -> None:
    from lookalike.store.sqlite.format3 import type_items  # noqa: PLC0415  (only for galleries of older formats)

    type_items(db, path)


# The first n of these have been applied to a database of format n.
MIGRATIONS: tuple[str | Callable[[sqlite3.Connection, Path], None], ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE content (
        id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, embedding BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE item (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, digest BLOB, info TEXT NOT NULL,
        crc INTEGER NOT NULL);
    CREATE INDEX item_digest ON item (digest);
    """,
    # The roots, where pictures are looked for: an empty list with its checksum.
    "INSERT INTO meta VALUES ('roots', x'5b5d', 130698178)",
    # Which items were replaced or removed, and when, so that the search cache need not look at all of them. This only
    # saves time, because the cache must match the tally anyway; rows may be deleted whenever there are too many.
    """
    CREATE TABLE change (generation INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (generation, id)) WITHOUT ROWID;
    """,
    # The facts about a picture in typed columns; keys relative to the gallery's parent folder.
    _type_items,
    # What is known of each content beside its embedding. Rows are found by the id of the content, so that they are
    # written one after another and pages are full: with random digests as keys, a third of each would be empty. And how
    # far apart pictures of the gallery are: not measured yet. And which pairs are not duplicates: none.
    """
    CREATE TABLE description (id INTEGER PRIMARY KEY, described BLOB NOT NULL, crc INTEGER NOT NULL);
    INSERT INTO meta VALUES ('calibration', x'6e756c6c', 3100026172);
    INSERT OR IGNORE INTO meta VALUES ('distinct', x'5b5d', 1341327573)
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database of a gallery; only its format is read.

    Raises StoreError for a file that is not a gallery, NewerFormat, and whatever sqlite3 raises.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not a file, so not a gallery")
    # No check of the thread, because connections of ended threads are reused (see `connections`), one thread at a time.
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{_mode(path)}",
        uri=True,
        isolation_level=None,
        timeout=PATIENCE,
        check_same_thread=False,
    )
    try:
        # The file may come from anywhere: no mapped pages that could vanish while they are read, no functions called
        # by its schema, no cells beyond their page.
        for pragma in ("mmap_size = 0", "trusted_schema = OFF", "cell_size_check = ON", "synchronous = FULL"):
            db.execute(f"PRAGMA {pragma}")
        _check_format(db, path)
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Create a database beside `path`, let `fill` write its first rows, and move it to `path`: all or nothing.

    The caller must hold the writer's lock, and nothing may exist at `path`.
    """
    new = path.with_name(path.name + ".new")
    # A log left behind by a database that was deleted would be replayed into the new one.
    _unlink(new, *_logs(new), *_logs(path))
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.execute(f"PRAGMA page_size = {_PAGE}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        with transaction(db):
            _apply(db, 0, path)
            fill(db)
        db.close()
        new.replace(path)
    except BaseException:
        db.close()
        _unlink(new, *_logs(new))
        raise
    sync_folder(path.parent)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring an older database up to date in one transaction, after making a copy that is named by the old format.

    The caller must hold the writer's lock.
    """
    version = _check_format(db, path)  # again, now that no other process can be migrating
    if version == len(MIGRATIONS):
        return
    _copy(db, path.with_name(f"{path.name}.format-{version}"))
    with transaction(db):
        _apply(db, version, path)


def make_single(path: Path) -> None:
    """Turn a database that is not open anywhere else into a single synced file without a log."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA journal_mode = WAL")  # the mode in which it will be opened; no log exists until then
    finally:
        db.close()
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def put_in_place(new: Path, path: Path) -> None:
    """Move a single-file database to `path`, replacing any that is there. The caller must hold the writer's lock."""
    _unlink(*_logs(path))
    new.replace(path)
    sync_folder(path.parent)


def put_aside(path: Path) -> Path:
    """Rename a database and its log to an unused name and return it. The caller must hold the writer's lock."""
    number = next(n for n in itertools.count(1) if not os.path.lexists(f"{path}.damaged-{n}"))
    aside = path.with_name(f"{path.name}.damaged-{number}")
    path.replace(aside)
    for log, kept in zip(_logs(path), _logs(aside), strict=True):
        with contextlib.suppress(FileNotFoundError):
            log.replace(kept)
    sync_folder(path.parent)
    return aside


def needs_migration(db: sqlite3.Connection) -> bool:
    """Whether the database is of an older format."""
    return _number(db, "user_version") < len(MIGRATIONS)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit everything written inside the context, or nothing if it raises; afterwards it is on disk.

    BEGIN IMMEDIATE, so that no transaction reads first and then fails to write.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        roll_back(db)
        raise


def roll_back(db: sqlite3.Connection) -> None:
    """End the open transaction, if there is one, without keeping anything of it; or else close the connection."""
    try:
        if db.in_transaction:  # when the disk is full, SQLite has already rolled back by itself
            db.execute("ROLLBACK")
    except sqlite3.Error:
        db.close()  # otherwise half-written rows would be read as if they were committed


def _mode(path: Path) -> str:
    """The URI parameter for opening a database: in a read-only folder, SQLite can neither create nor needs a log."""
    log, _ = _logs(path)
    is_frozen = not os.access(path.parent, os.W_OK) and not log.exists()
    return "immutable=1" if is_frozen else "mode=rw"


def _check_format(db: sqlite3.Connection, path: Path) -> int:
    version = _number(db, "user_version")
    if _number(db, "application_id") != _APPLICATION_ID or version < 1:
        raise StoreError(
            f"{path} is not a gallery: empty, or a database of another program",
            hint="name the folder of a gallery, or a file that `lookalike export` wrote",
        )
    if version > len(MIGRATIONS):
        raise NewerFormat(
            f"{path} has format {version}; this version of Lookalike knows formats up to {len(MIGRATIONS)}",
            hint=f"upgrade Lookalike: {how_to_upgrade()}",
        )
    return version


def _apply(db: sqlite3.Connection, version: int, path: Path) -> None:
    for migration in MIGRATIONS[version:]:
        if callable(migration):
            migration(db, path)
            continue
        for statement in migration.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _copy(db: sqlite3.Connection, target: Path) -> None:
    with replace_file(target) as part:
        # As bytes, because a path need not be valid text.
        db.execute("VACUUM INTO CAST(? AS TEXT)", (os.fsencode(part),))


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _logs(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _unlink(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
