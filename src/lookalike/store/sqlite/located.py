"""Where a gallery is, whether a person names its folder, the folder of its pictures, or its database."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lookalike.errors import NoGallery
from lookalike.store import FOLDER

__all__ = ["DATABASE", "locate", "no_gallery"]

DATABASE = "gallery.db"


def locate(folder: Path, *, create: bool = False) -> Path:
    """The folder of the gallery that is meant by `folder`; `folder` itself where there is no gallery.

    create: where one is going to be made, it is to be beside no pictures but in `.lookalike` below them.
    """
    if folder.name == DATABASE and folder.is_file():
        return folder.parent
    if os.path.lexists(folder / DATABASE) or folder.name == FOLDER:
        return folder
    is_inside = (folder / FOLDER).is_dir() or (create and _holds_pictures(folder))
    return folder / FOLDER if is_inside else folder


def no_gallery(location: str | Path) -> NoGallery:
    """The error for a location without a gallery, with the command that leads to one."""
    place, folder = shlex.quote(str(location)), Path(location)
    if folder.is_file():
        hint = f"name a folder; an exported gallery becomes one: lookalike import {place} -i FOLDER"
        return NoGallery(f"{location} is a file, not the folder of a gallery", hint=hint)
    if _holds_pictures(folder):
        return NoGallery(f"there is no gallery at {location}, but there are pictures", hint=f"lookalike index {place}")
    return NoGallery(f"there is no gallery at {location}", hint=f"lookalike index PHOTOS -i {place}")


def _holds_pictures(folder: Path) -> bool:
    from lookalike.images.walk import EXTENSIONS  # noqa: PLC0415  (only where there is no gallery)

    try:
        with os.scandir(os.fsencode(folder)) as entries:
            return any(os.path.splitext(entry.name)[1].lower() in EXTENSIONS for entry in entries)
    except OSError:
        return False
