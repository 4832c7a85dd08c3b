"""Make the folder of a new gallery, or say why it cannot be made there."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from lookalike.errors import DiskFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["NO_ROOM", "make_folder"]

_ELSEWHERE = "choose another place for the gallery with --index: lookalike index PHOTOS -i FOLDER"
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The error numbers of a disk that is full, and of a quota or a limit that is reached."""


@contextlib.contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; if anything is raised inside, remove those that were made and are empty.

    Raises StoreError, with the hint to choose another place, if the system does not allow it; DiskFull.
    """
    made: list[Path] = []
    try:
        _make(folder, made)
        yield
    except BaseException as error:
        for each in reversed(made):
            with contextlib.suppress(OSError):
                each.rmdir()
        if isinstance(error, OSError):
            raise _named(error, folder) from error
        raise


def _make(folder: Path, made: list[Path]) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was first, or it is a file: see below
            each.mkdir()
            made.append(each)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder))


def _named(error: OSError, folder: Path) -> StoreError:
    if error.errno in NO_ROOM:
        return DiskFull(f"{folder}: {error.strerror}", hint="make room on the disk and run the command again")
    if error.errno in _READ_ONLY:
        there = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
        return StoreError(
            f"no gallery can be made at {folder}: the folder {there.absolute()} is read-only", hint=_ELSEWHERE
        )
    return StoreError(f"no gallery can be made at {folder}: {error.strerror or error}", hint=_ELSEWHERE)
