"""Show a file or a folder with the program that the system has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OPENER", "find_viewer", "has_screen", "open_file"]

OPENER = "open" if sys.platform == "darwin" else "xdg-open"
"""The program that opens files and folders, except on Windows."""

_SECONDS = 3.0  # an opener that still runs then is the viewer itself


def has_screen() -> bool:
    """Whether this process belongs to a graphical session, in which a window can be shown."""
    if OPENER != "xdg-open" or sys.platform == "win32":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def find_viewer() -> str | None:
    """The program that opens files and folders, empty on Windows; None if it is missing or nobody would see it."""
    if sys.platform == "win32":
        return ""
    return shutil.which(OPENER) if has_screen() else None


def open_file(path: Path) -> None:
    """Open a file, or a folder, as a double click would. Raises UsageError if the system refuses."""
    program = find_viewer()
    if program is None:
        raise UsageError(f"{path} cannot be opened here: this is not a graphical session, or has no {OPENER}")
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606  (the path that was just written, or the folder of a picture)
        return
    silent = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603  (found by its own name)
        [program, os.fspath(path.absolute())], stdin=silent, stdout=silent, stderr=silent, start_new_session=True
    )
    try:
        status = process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        return
    if status:
        raise UsageError(f"{path} cannot be opened: {program} failed with status {status}")
