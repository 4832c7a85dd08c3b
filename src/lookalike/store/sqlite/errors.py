"""What SQLite and the operating system say, in the words of `lookalike.errors`."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery, Corrupt, DiskFull, StoreBusy, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["corrupt", "named_errors"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# A quota and a limit on the size of files are "I/O error while writing" to SQLite, not "full".
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SHUT = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Raise DiskFull, StoreBusy, Corrupt or StoreError, naming `path`, for what goes wrong inside."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error
    except OSError as error:
        file = os.fsdecode(error.filename or path)
        kind = DiskFull if error.errno in _NO_ROOM else StoreError
        raise kind(f"{file}: {error.strerror or error}") from error


def corrupt(path: Path, what: str) -> Corrupt:
    """`what` is damaged. The pictures themselves are not, so the remedy is always the same."""
    return Corrupt(
        f"{path}: {what}",
        hint=f"`lookalike verify` says more; to start afresh delete {path.name} and index the pictures again",
    )


def _translated(error: sqlite3.Error, path: Path) -> StoreError:
    # What Python's own module raises carries no code: text in a damaged row that is no UTF-8, a closed database.
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _translated_of_python(error, path)
    if code in _FULL:
        return DiskFull(
            f"{path}: no space left ({error}); what was put before is safe",
            hint="make room and run it again",
        )
    primary = code & 0xFF
    if primary in _BUSY:
        return StoreBusy(f"{path}: {error}", hint="another program holds the database; try again")
    if primary in _DAMAGED:
        return corrupt(path, str(error))
    if primary in _SHUT:
        return StoreError(
            f"{path}: {error}", hint="the folder must be yours to write in; or copy the gallery to one that is"
        )
    return StoreError(f"{path}: {error}")


def _translated_of_python(error: sqlite3.Error, path: Path) -> StoreError:
    if "closed database" in str(error):
        return ClosedGallery(f"{path} was closed meanwhile", hint="open it again: Gallery.open")
    return corrupt(path, str(error)) if "decode" in str(error) else StoreError(f"{path}: {error}")
