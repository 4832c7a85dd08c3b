"""Where pictures lie: in folders of this machine, or in an object store, behind one small interface.

Whatever lists or reads pictures asks here. An object is copied into a temporary file for as long as it is read, so that
every picture goes through the same bounded decoders, which never see a network or a password. Nothing of an object
store is imported before a path is one of its addresses.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, cast

from lookalike.errors import Unreachable
from lookalike.images.decode import open_file
from lookalike.images.paths import is_remote, to_bytes
from lookalike.images.unreadable import Unreadable
from lookalike.images.walk import Tally, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from PIL import Image

    from lookalike.images.decode import Limits
    from lookalike.images.walk import Entry, Root

__all__ = [
    "Origin",
    "exists",
    "holds_files",
    "local_file",
    "local_files",
    "look_up",
    "may_exist",
    "open_picture",
    "real_path",
    "walk_root",
]

_ADDRESSES = {b"s3": "lookalike.images.object_store"}  # modules with a function `open_origin`, by scheme
_AT_ONCE = 8  # objects of one call that are fetched side by side


class Origin(Protocol):
    """Where objects are listed and fetched. Every path is a whole address, as bytes.

    Raises Unreachable where the store as a whole does not answer or refuses.
    """

    def walk(self, root: Root, *, skip: Collection[bytes], tally: Tally) -> Iterator[Entry]:
        """Yield every picture at or below a root, as `images.walk.walk` does; what cannot be listed has a problem."""

    def look_up(self, path: bytes) -> Entry | None:
        """The object at a path, with the size and time that a walk gives it; None if there is no such object."""

    def exists(self, path: bytes) -> bool:
        """Whether there is an object at a path, or below it."""

    def fetch(self, path: bytes, target: str) -> None:
        """Write the object at a path into the local file `target`. Raises Unreadable with the reason."""


def walk_root(root: Root, *, skip: Collection[bytes] = (), tally: Tally | None = None) -> Iterator[Entry]:
    """Every picture below a root, wherever that is, as `images.walk.walk` finds it."""
    if is_remote(root.path):
        return _origin(root.path).walk(root, skip=skip, tally=tally or Tally())
    return walk(root.path, root.rules, base=root.base, skip=skip, tally=tally)


def exists(path: bytes) -> bool:
    """Whether something is at a path. Raises Unreachable."""
    return _origin(path).exists(path) if is_remote(path) else os.path.lexists(path)


def may_exist(path: bytes) -> bool:
    """Whether something is at a path, as far as can be found out: a walk says why an address cannot be listed."""
    try:
        return exists(path)
    except Unreachable:
        return True


def holds_files(path: bytes) -> bool:
    """Whether a path is a folder, or an address with objects below it. Raises Unreachable."""
    return _origin(path).exists(path) if is_remote(path) else os.path.isdir(path)


def look_up(path: bytes) -> tuple[int, int] | None:
    """The size and the time of change of a picture, in bytes and nanoseconds; None if it cannot be found."""
    if is_remote(path):
        entry = _origin(path).look_up(path)
        return (entry.size, entry.mtime_ns) if entry is not None else None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def real_path(path: bytes | str | os.PathLike[str]) -> bytes:
    """The path of a file with its links resolved; an address stays as it is."""
    name = to_bytes(path)
    return name if is_remote(name) else os.path.realpath(name)


@contextlib.contextmanager
def open_picture(
    path: bytes | str | os.PathLike[str], limits: Limits | None = None, *, at_least: int | None = None
) -> Iterator[Image.Image]:
    """Open the picture at a path, wherever it is, as `images.decode.open_file` does. Links are followed.

    Raises Unreadable, Unreachable.
    """
    with local_file(real_path(path)) as file, open_file(file, limits, at_least=at_least) as image:
        yield image


@contextlib.contextmanager
def local_file(path: bytes) -> Iterator[bytes]:
    """The path of a local file with the content of the picture at `path`. Raises Unreadable, Unreachable."""
    with local_files([path]) as (file,):
        if isinstance(file, str):
            raise Unreadable(file)
        yield file


@contextlib.contextmanager
def local_files(paths: Sequence[bytes]) -> Iterator[Sequence[bytes | str]]:
    """The paths of local files with the content of some pictures, or the reasons why one cannot be fetched.

    Local pictures are given as they are. Raises Unreachable.
    """
    if not any(map(is_remote, paths)):
        yield paths
        return
    import tempfile  # noqa: PLC0415  (4 ms, for objects alone)

    with tempfile.TemporaryDirectory(prefix="lookalike-", ignore_cleanup_errors=True) as folder:
        names = [os.path.join(folder, str(number)) for number in range(len(paths))]
        with ThreadPoolExecutor(min(_AT_ONCE, len(paths)), "lookalike-fetch") as threads:
            found = list(threads.map(_fetch, paths, names))
        yield found


def _fetch(path: bytes, target: str) -> bytes | str:
    if not is_remote(path):
        return path
    try:
        _origin(path).fetch(path, target)
    except Unreadable as reason:
        return str(reason)
    return os.fsencode(target)


def _origin(path: bytes) -> Origin:
    module = importlib.import_module(_ADDRESSES[path.partition(b":")[0]])
    return cast("Origin", module.open_origin(path))
