"""How a store names pictures: relative to the folder that contains its gallery, wherever possible.

A gallery in `Photos/.lookalike` keeps `Photos/beach/1.jpg` as `./beach/1.jpg`, so that the two can be moved together;
a picture elsewhere keeps its absolute path. Paths and keys are bytes, because file names need not be valid text.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.files import expand_home
from lookalike.images.paths import is_remote, to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["absolute", "base_of", "is_within", "key_ranges", "moved", "to_folder_key", "to_key", "to_path", "to_paths"]

_HERE = b"."
_BELOW = b"./"


def absolute(path: str | bytes | os.PathLike[str]) -> bytes:
    """The absolute path of a file or folder as bytes, with `~` as the home folder; links are not resolved.

    The address of an object, `s3://bucket/beach/1.jpg`, is a path as well, and never has a slash at its end.

    Raises UsageError for what cannot be a path, and for a relative one while the current folder does not exist.
    """
    try:
        name = to_bytes(expand_home(path))
        found = _clean(name) if is_remote(name) else os.path.abspath(name)
    except FileNotFoundError:  # by os.getcwd
        raise UsageError("the current folder no longer exists", hint="change to one that does: cd ~") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path!r:.80} is not a path: {error}") from None
    if b"\0" in found:
        raise UsageError(f"{path!r:.80} is not a path: it contains a zero byte")
    return found


def base_of(folder: str | bytes | os.PathLike[str]) -> bytes:
    """The folder that the keys of a gallery in `folder` are relative to: its parent."""
    return os.path.dirname(absolute(folder))


def is_within(path: bytes, folder: bytes) -> bool:
    """Whether `path` is `folder` or below it."""
    return path == folder or path.startswith(_with_slash(folder))


def to_key(path: bytes, base: bytes) -> bytes:
    """The key of a picture's path in a gallery whose parent folder is `base`."""
    below = _with_slash(base)
    return _BELOW + path[len(below) :] if path.startswith(below) else path


def to_folder_key(path: bytes, base: bytes) -> bytes:
    """The key of a folder, which may be `base` itself."""
    return _HERE if path == base else to_key(path, base)


def to_path(key: bytes, base: bytes) -> bytes:
    """The path of a picture or folder that has this key in a gallery whose parent folder is `base`."""
    if key.startswith(_BELOW):
        return _with_slash(base) + key[len(_BELOW) :]
    return base if key == _HERE else key


def to_paths(keys: Iterable[bytes], base: bytes) -> list[bytes]:
    """`to_path` for each of many keys."""
    return [to_path(key, base) for key in keys]


def key_ranges(prefix: bytes, base: bytes) -> list[bytes]:
    """The prefixes of the keys whose paths begin with `prefix`: below the base, elsewhere, or both."""
    below = _with_slash(base)
    if prefix.startswith(below):
        return [_BELOW + prefix[len(below) :]]
    return [_BELOW, prefix] if below.startswith(prefix) else [prefix]


def moved(path: bytes, old: bytes, new: bytes) -> bytes:
    """The path that `path` becomes when `old`, and everything below it, moves to `new`."""
    if path == old:
        return new
    below = _with_slash(old)
    return _with_slash(new) + path[len(below) :] if path.startswith(below) else path


def _clean(address: bytes) -> bytes:
    """An address without a slash at its end."""
    return address.rstrip(b"/")


def _with_slash(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"
