"""Export a gallery to one file while it is in use, and restore it; every row is checked before anything is replaced."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.files import replace_file, sync_folder
from lookalike.store.keys import base_of
from lookalike.store.location import locate
from lookalike.store.new_folder import make_folder
from lookalike.store.rows import checksum, is_sound
from lookalike.store.sqlite import schema
from lookalike.store.sqlite.errors import corrupt, named_errors
from lookalike.store.sqlite.lock import WriterLock
from lookalike.store.sqlite.store import DATABASE, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["export", "restore"]

_MAGIC = b"SQLite format 3\0"


def export(folder: Path, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
    """Copy the gallery in `folder` into the file `target`, as of one moment; return the number of pictures in it.

    beside: other files to include, such as a learned encoder's model, by their paths below `folder`. The copy neither
    waits for writers nor stops them. `target` appears only after the copy has been checked and synced.
    Raises UsageError when `target` exists and `force` is not set; Corrupt, DiskFull, StoreError.
    """
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target} already exists", hint="choose another name, or use --force to replace it")
    with (
        _make_checked_copy(folder / DATABASE, target.absolute().parent, folder) as (copy, pictures),
        named_errors(target),
    ):
        _pack(copy, {name: (folder / name).read_bytes() for name in beside})
        copy.replace(target)
        sync_folder(target.absolute().parent)
    return pictures


def restore(file: Path, folder: Path, *, force: bool = False) -> int:
    """Make a gallery in `folder` from an exported `file`; return the number of pictures in it.

    Nothing is replaced until the whole file has been found sound. Raises UsageError when `file` does not exist, or when
    `folder` holds a gallery and `force` is not set; StoreBusy while another process writes to that gallery; Corrupt,
    DiskFull, StoreError.
    """
    path, source = folder / DATABASE, _find_source(file)
    if os.path.lexists(path) and not force:
        raise UsageError(
            f"{folder} already holds a gallery", hint="choose another folder, or use --force to replace the gallery"
        )
    with make_folder(folder), _make_checked_copy(source, folder, folder) as (copy, pictures):
        lock = WriterLock(folder)
        with lock.held(wait=0), named_errors(path):
            for name, content in _unpack(copy).items():
                _write(folder / name, content)
            schema.put_in_place(copy, path)
            lock.forget()  # a note about the gallery that has been replaced
    return pictures


def _find_source(file: Path) -> Path:
    """The database to restore from: an exported file, or that of a gallery whose folder was named."""
    source = locate(file) / DATABASE if file.is_dir() else file
    if not source.is_file():
        raise UsageError(f"{file} is not a file", hint="name a file that `lookalike export` made")
    with named_errors(source), source.open("rb") as opened:
        is_database = opened.read(len(_MAGIC)) == _MAGIC
    if not is_database and not source.name.startswith(DATABASE):
        raise UsageError(
            f"{file} is not an exported gallery", hint="name a file that `lookalike export` wrote; this one is kept"
        )
    return source


@contextlib.contextmanager
def _make_checked_copy(source: Path, beside: Path, folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield a sound copy of a database, in a temporary folder inside `beside`, and the number of pictures in it.

    folder: the gallery's folder, which decides what the keys of an older format become relative to.
    """
    with named_errors(beside), tempfile.TemporaryDirectory(prefix=".lookalike-", dir=beside) as temporary:
        copy = Path(temporary) / DATABASE
        with named_errors(source):
            _copy(source, copy)
        store = SqliteStore(temporary, base=base_of(folder))
        try:
            if problems := store.verify():
                raise corrupt(source, problems[0])
            pictures, _ = store.count()
        finally:
            store.close()
        with named_errors(copy):
            schema.make_single(copy)
        yield copy, pictures


def _pack(copy: Path, files: dict[str, bytes]) -> None:
    """Put files into a separate table of the database."""
    if not files:
        return
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("CREATE TABLE beside (name TEXT PRIMARY KEY, content BLOB NOT NULL, crc INTEGER NOT NULL)")
        for name, content in files.items():
            db.execute("INSERT INTO beside VALUES (?, ?, ?)", (name, content, checksum(name.encode(), content)))
    schema.make_single(copy)


def _unpack(copy: Path) -> dict[str, bytes]:
    """Remove the table of files from a database and return the content of each file by its name."""
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'beside'").fetchone():
            return {}
        rows = db.execute("SELECT name, content, crc FROM beside").fetchall()
        db.execute("DROP TABLE beside")
        db.execute("VACUUM")
    if not all(_is_file_of_a_gallery(name) and is_sound(crc, name.encode(), content) for name, content, crc in rows):
        raise corrupt(copy, "an included file does not match its checksum")
    schema.make_single(copy)
    return {name: content for name, content, _ in rows}


def _is_file_of_a_gallery(name: object) -> bool:
    """Whether a name is FOLDER/FILE: whatever an export contains, nothing is written outside the gallery's folder."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII) is not None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)


def _copy(source: Path, target: Path) -> None:
    """Copy a database with SQLite's own backup in one step: as of one moment, including what is still in the log."""
    db = schema.connect(source)
    try:
        copy = sqlite3.connect(target)
        try:
            db.backup(copy)
        finally:
            copy.close()
    finally:
        db.close()
