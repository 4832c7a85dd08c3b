"""How a store names pictures: relative to the folder that contains its gallery, wherever possible.

A gallery in `Photos/.lookalike` keeps `Photos/beach/1.jpg` as `./beach/1.jpg`, so that the two can be moved together;
a picture elsewhere keeps its absolute path. Keys have slashes on every system, so that a gallery on a disk that is
carried from one to another is still that of its pictures. Paths and keys are bytes: file names need not be valid text.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.files import expand_home
from lookalike.images.paths import is_remote, to_bytes
from lookalike.paths import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.paths import Style

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


def is_within(path: bytes, folder: bytes, style: Style = NATIVE) -> bool:
    """Whether `path` is `folder` or below it."""
    return style.is_within(path, folder)


def to_key(path: bytes, base: bytes, style: Style = NATIVE) -> bytes:
    """The key of a picture's path in a gallery whose parent folder is `base`."""
    below = style.relative(path, base)
    return style.slashed(path) if below is None else _BELOW + style.slashed(below)


def to_folder_key(path: bytes, base: bytes, style: Style = NATIVE) -> bytes:
    """The key of a folder, which may be `base` itself."""
    return _HERE if style.fold(path) == style.fold(base) else to_key(path, base, style)


def to_path(key: bytes, base: bytes, style: Style = NATIVE) -> bytes:
    """The path of a picture or folder that has this key in a gallery whose parent folder is `base`."""
    if key.startswith(_BELOW):
        return style.below(base) + style.native(key[len(_BELOW) :])
    return base if key == _HERE else style.native(key)


def to_paths(keys: Iterable[bytes], base: bytes) -> list[bytes]:
    """`to_path` for each of many keys."""
    return [to_path(key, base) for key in keys]


def key_ranges(prefix: bytes, base: bytes, style: Style = NATIVE) -> list[bytes]:
    """The prefixes of the keys whose paths begin with `prefix`: below the base, elsewhere, or both."""
    prefix, below = style.slashed(prefix), style.slashed(style.below(base))
    if style.fold(prefix).startswith(style.fold(below)):
        return [_BELOW + prefix[len(below) :]]
    return [_BELOW, prefix] if style.fold(below).startswith(style.fold(prefix)) else [prefix]


def moved(path: bytes, old: bytes, new: bytes, style: Style = NATIVE) -> bytes:
    """The path that `path` becomes when `old`, and everything below it, moves to `new`."""
    if style.fold(path) == style.fold(old):
        return new
    rest = style.relative(path, old)
    return path if rest is None else style.below(new) + rest


def _clean(address: bytes) -> bytes:
    """An address without a slash at its end."""
    return address.rstrip(b"/")
