"""A gallery as one file: copied while it is in use, and checked row by row before anything takes its place."""

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
from lookalike.store.sqlite import schema
from lookalike.store.sqlite.errors import corrupt, named_errors
from lookalike.store.sqlite.format3 import base_of
from lookalike.store.sqlite.lock import WriterLock
from lookalike.store.sqlite.rows import checksum, is_sound
from lookalike.store.sqlite.store import DATABASE, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["export", "restore"]


def export(folder: Path, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
    """Copy the gallery in `folder` into the one file `target`, as of one moment; how many pictures are in it.

    beside: files that go with it, such as a learned encoder's model, by their paths below `folder`. Writers are not
    waited for and not stopped. The copy is there when it has been checked and synced, or not at all.
    Raises UsageError when `target` exists and not `force`; Corrupt, DiskFull, StoreError.
    """
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target} is there already", hint="another name, or --force to replace it")
    with _checked_copy(folder / DATABASE, target.absolute().parent, folder) as (copy, pictures), named_errors(target):
        _pack(copy, {name: (folder / name).read_bytes() for name in beside})
        copy.replace(target)
        sync_folder(target.absolute().parent)
    return pictures


def restore(file: Path, folder: Path, *, force: bool = False) -> int:
    """Make the gallery in `folder` from an exported `file`; how many pictures are in it.

    Nothing is touched before the whole file has been found sound. Raises UsageError when there is a gallery and not
    `force`, and for no file; StoreBusy while another process writes it; Corrupt, DiskFull, StoreError.
    """
    path = folder / DATABASE
    if not file.is_file():
        raise UsageError(f"{file} is no file", hint="a file that `lookalike export` made")
    if os.path.lexists(path) and not force:
        raise UsageError(f"there is a gallery in {folder} already", hint="another folder, or --force to replace it")
    with named_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
    with _checked_copy(file, folder, folder) as (copy, pictures):
        lock = WriterLock(folder)
        with lock.held(wait=0), named_errors(path):
            for name, content in _unpacked(copy).items():
                _write(folder / name, content)
            schema.put_in_place(copy, path)
            lock.forget()  # what a writer said of the gallery that was there
    return pictures


@contextlib.contextmanager
def _checked_copy(source: Path, beside: Path, folder: Path) -> Iterator[tuple[Path, int]]:
    """A sound copy of a gallery's database in a folder of its own inside `beside`, and how many pictures it has.

    folder: that of the gallery, from which it follows what relative keys of an older format become relative to.
    """
    with named_errors(beside), tempfile.TemporaryDirectory(prefix=".lookalike-", dir=beside) as place:
        copy = Path(place) / DATABASE
        with named_errors(source):
            _copy(source, copy)
        store = SqliteStore(place, base=base_of(folder))
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
    """Put files into a table of their own."""
    if not files:
        return
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("CREATE TABLE beside (name TEXT PRIMARY KEY, content BLOB NOT NULL, crc INTEGER NOT NULL)")
        for name, content in files.items():
            db.execute("INSERT INTO beside VALUES (?, ?, ?)", (name, content, checksum(name.encode(), content)))
    schema.make_single(copy)


def _unpacked(copy: Path) -> dict[str, bytes]:
    """Take the files out of the table again, and the table with them."""
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'beside'").fetchone():
            return {}
        rows = db.execute("SELECT name, content, crc FROM beside").fetchall()
        db.execute("DROP TABLE beside")
        db.execute("VACUUM")
    if not all(_is_file_of_a_gallery(name) and is_sound(crc, name.encode(), content) for name, content, crc in rows):
        raise corrupt(copy, "a file that goes with it does not match its checksum")
    schema.make_single(copy)
    return {name: content for name, content, _ in rows}


def _is_file_of_a_gallery(name: object) -> bool:
    """Whatever an export says, nothing is written but into a folder of the gallery's own."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII) is not None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)


def _copy(source: Path, target: Path) -> None:
    """By SQLite's own backup, in one step: a copy as of one moment, with what is still in the log."""
    db = schema.connect(source)
    try:
        copy = sqlite3.connect(target)
        try:
            db.backup(copy)
        finally:
            copy.close()
    finally:
        db.close()
