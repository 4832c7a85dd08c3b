"""Show a file with the program that the system has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_viewer", "open_file"]

_SECONDS = 3.0  # an opener that still runs then is the viewer itself


def check_viewer() -> str:
    """The program that opens files, empty on Windows. Raises UsageError if there is none, or nowhere to show one."""
    if sys.platform == "win32":
        return ""
    name = "open" if sys.platform == "darwin" else "xdg-open"
    found = shutil.which(name)
    if name == "xdg-open" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError("--open: this is not a graphical session", hint="write the page with --html FILE")
    if found is None:
        raise UsageError(f"--open needs {name}, which is not installed", hint="write the page with --html FILE")
    return found


def open_file(path: Path) -> None:
    """Open a file as a double click would. Raises UsageError if the system refuses."""
    program = check_viewer()
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606  (the path that was just written)
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
