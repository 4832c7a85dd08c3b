"""Translate errors of SQLite and the operating system into those of `lookalike.errors`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery, Corrupt, DiskFull, StoreBusy, StoreError
from lookalike.store.location import DATABASE, name_command
from lookalike.store.new_folder import NO_ROOM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["corrupt", "named_errors", "translate"]

# SQLite reports a quota or a limit on file sizes as an I/O error while writing, not as "full".
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SHUT = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and the system inside the context into DiskFull, StoreBusy, Corrupt or StoreError.

    The messages name `path`, or the file that a system error is about.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        file = os.fsdecode(error.filename or path)
        kind = DiskFull if error.errno in NO_ROOM else StoreError
        raise kind(f"{file}: {error.strerror or error}") from error


def corrupt(path: Path, what: str) -> Corrupt:
    """The error for a damaged database; `what` says how.

    A file with another name was named by a person and may even be one of the pictures, so the hint never says to delete
    it.
    """
    if path.name.startswith(DATABASE):
        hint = f"save what is sound: {name_command('verify --repair', path.parent)}"
    else:
        hint = "name a sound file that `lookalike export` wrote; nothing was changed"
    return Corrupt(f"{path}: {what}", hint=hint)


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The error to raise in place of one of SQLite's: DiskFull, StoreBusy, Corrupt, ClosedGallery or StoreError."""
    # Errors that Python's own module raises have no code: invalid UTF-8 in a damaged row, or a closed database.
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _translate_python_error(error, path)
    if code in _FULL:
        return DiskFull(
            f"{path}: no space left ({error}); what was saved before is safe",
            hint="make room on the disk and run the command again",
        )
    primary = code & 0xFF
    if primary in _BUSY:
        return StoreBusy(f"{path}: {error}", hint="another program holds the database; try again")
    if primary in _DAMAGED:
        return corrupt(path, str(error))
    if primary in _SHUT:
        return StoreError(
            f"{path}: {error}", hint="make the folder writable, or copy the gallery to a folder that is writable"
        )
    return StoreError(f"{path}: {error}")


def _translate_python_error(error: sqlite3.Error, path: Path) -> StoreError:
    if "closed database" in str(error):
        return ClosedGallery(f"{path} was closed in the meantime", hint="open it again: Gallery.open")
    return corrupt(path, str(error)) if "decode" in str(error) else StoreError(f"{path}: {error}")
