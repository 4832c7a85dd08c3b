"""Copy the pictures that were found into a folder, or link to them there. Nothing is ever overwritten."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from lookalike.errors import Unreachable, UsageError
from lookalike.images.origins import local_file
from lookalike.images.paths import is_remote, path_fields, show_path
from lookalike.images.unreadable import Unreadable
from lookalike.store.keys import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Gathered", "gather"]

_MOST = 10_000  # files of one name


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was put into a folder: the new files, how many were there already, and what failed, with the reason."""

    folder: bytes
    added: Sequence[bytes]
    present: int
    failed: Sequence[tuple[bytes, str]]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible values."""
        failed = [{**path_fields(path), "reason": reason} for path, reason in self.failed]
        added = [path_fields(path) for path in self.added]
        return {"folder": path_fields(self.folder), "added": added, "present": self.present, "failed": failed}


def gather(paths: Iterable[bytes], folder: str | bytes | os.PathLike[str], *, link: bool = False) -> Gathered:
    """Copy pictures into a folder, which is made if it does not exist, or link to them.

    A name that is taken gets a number: `beach (2).jpg`. A picture that is already there, under its own name or a
    numbered one, is not put there again. Raises UsageError if the folder cannot be made.
    """
    place = absolute(folder)
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{show_path(place)} cannot be a folder: {error.strerror}", hint="name another one") from None
    added: list[bytes] = []
    failed: list[tuple[bytes, str]] = []
    present = 0
    for path in paths:
        try:
            target = _put(path, place, link=link)
        except (Unreadable, Unreachable) as error:
            failed.append((path, str(error)))
            continue
        except OSError as error:
            failed.append((path, error.strerror or str(error)))
            continue
        added += [target] if target is not None else []
        present += target is None
    return Gathered(place, added, present, failed)


def _put(path: bytes, folder: bytes, *, link: bool) -> bytes | None:
    """Put one picture into the folder; None if it is there. Raises OSError; Unreadable and Unreachable for objects."""
    if not is_remote(path):
        return _put_file(path, os.path.basename(path), folder, link=link)
    if link:
        raise OSError(0, "an object cannot be linked to, only copied")
    with local_file(path) as file:
        return _put_file(file, os.path.basename(path), folder, link=False)


def _put_file(path: bytes, name: bytes, folder: bytes, *, link: bool) -> bytes | None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(0, "not a regular file")
    stem, ending = os.path.splitext(name)
    for number in count(1):
        target = os.path.join(folder, stem + (b" (%d)" % number if number > 1 else b"") + ending)
        if os.path.lexists(target):
            if _is_there(path, target, link=link):
                return None
            if number >= _MOST:
                raise OSError(0, f"there are {_MOST:,} files of this name")
            continue
        with contextlib.suppress(FileExistsError):  # another process was faster
            _make(path, target, link=link)
            return target
    return None


def _is_there(path: bytes, target: bytes, *, link: bool) -> bool:
    """Whether a file in the folder is the picture itself, a link to it, or a copy if copies are asked for."""
    with contextlib.suppress(OSError):
        if os.path.samefile(path, target):
            return link or not os.path.islink(target)
        return not link and not os.path.islink(target) and filecmp.cmp(path, target, shallow=False)
    return False


def _make(path: bytes, target: bytes, *, link: bool) -> None:
    """Copy or link a file. Raises FileExistsError rather than write over something."""
    if link:
        os.symlink(path, target)
        return
    with open(path, "rb") as source, open(target, "xb") as copy:
        try:
            shutil.copyfileobj(source, copy, 1 << 20)
        except BaseException:
            os.unlink(target)
            raise
    with contextlib.suppress(OSError):  # a drive that keeps no times
        shutil.copystat(path, target)
