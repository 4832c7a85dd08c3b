"""Where a gallery is: what a person means by a location, which gallery is nearest, and what to say if there is none.

A location is a URL such as `memory:`, or a path. A path may name the folder of a gallery, its database, or the folder
of the pictures, in which the gallery is called `.lookalike`. Without a location, the nearest such folder is meant.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path
from typing import overload

from lookalike.errors import NoGallery, UsageError
from lookalike.files import expand_home
from lookalike.store.keys import absolute
from lookalike.store.secrets import hide_secrets

__all__ = ["DATABASE", "FOLDER", "find_gallery", "is_folder", "locate", "name_command", "no_gallery", "scheme_of"]

FOLDER = ".lookalike"
"""The folder of a gallery among its pictures."""
DATABASE = "gallery.db"
"""The file by which the folder of a gallery is recognised."""


def scheme_of(location: str | Path) -> str | None:
    """The part of a URL before the colon; None for a folder, including one on a Windows drive."""
    found = re.match(r"([a-z][a-z0-9+.-]+):(?!\\)", location) if isinstance(location, str) else None
    return found[1] if found and not os.path.lexists(location) else None


def is_folder(location: str | Path) -> bool:
    """Whether a location names a folder rather than a URL."""
    return scheme_of(location) is None


@overload
def locate(location: Path, *, create: bool = False) -> Path: ...
@overload
def locate(location: str | Path, *, create: bool = False) -> str | Path: ...
def locate(location: str | Path, *, create: bool = False) -> str | Path:
    """The location of the gallery that a person means: by its folder, the folder of its pictures, or its database.

    A URL loses its password, which is remembered. `~` is the home folder; a folder without a gallery is returned as it
    is. create: a new gallery for a folder with pictures in it goes into `.lookalike` below it.
    """
    if not is_folder(location):
        return hide_secrets(str(location))
    folder = Path(expand_home(location))
    if folder.name == DATABASE and folder.is_file():
        return folder.parent
    if os.path.lexists(folder / DATABASE) or folder.name == FOLDER:
        return folder
    is_inside = (folder / FOLDER).is_dir() or (create and _holds_pictures(folder))
    return folder / FOLDER if is_inside else folder


def find_gallery(start: str | Path | None = None, *, near: str | bytes | os.PathLike[str] | None = None) -> Path:
    """The `.lookalike` folder in `start`, by default the current folder, or in the closest folder above it.

    near: a picture; if there is no gallery in or above `start`, the closest one above this picture. Raises NoGallery.
    """
    if near is not None:
        with contextlib.suppress(NoGallery, UsageError):
            return find_gallery(start)
        return find_gallery(Path(os.fsdecode(absolute(near))).parent)
    here = Path(os.fsdecode(os.path.realpath(absolute(start or "."))))
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise NoGallery(f"no gallery in {here} or above it", hint="make one: lookalike index FOLDER")


def name_command(words: str, location: str | Path) -> str:
    """A command for the gallery at a location, as a hint names it: `lookalike verify -i Photos/.lookalike`."""
    return f"lookalike {words} -i {shlex.quote(str(location))}"


def no_gallery(location: str | Path) -> NoGallery:
    """The error for a location without a gallery, with the command that leads to one."""
    place, folder = shlex.quote(str(location)), Path(location)
    if folder.is_file():
        is_exported = not _is_picture(folder)
        hint = f"an exported gallery becomes one: lookalike import {place} -i FOLDER" if is_exported else ""
        return NoGallery(f"{location} is a file, not the folder of a gallery", hint=hint or "name a folder with -i")
    if _holds_pictures(folder):
        return NoGallery(f"there is no gallery at {location}, but there are pictures", hint=f"lookalike index {place}")
    return NoGallery(f"there is no gallery at {location}", hint=name_command("index PHOTOS", location))


def _holds_pictures(folder: Path) -> bool:
    try:
        return any(map(_is_picture, folder.iterdir()))
    except OSError:
        return False


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture as far as its extension says."""
    from lookalike.images.walk import EXTENSIONS  # noqa: PLC0415  (only where there is no gallery)

    return os.fsencode(path.suffix).lower() in EXTENSIONS
