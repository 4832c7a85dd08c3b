"""The picture on the clipboard, read by the tool that the system has: wl-paste, xclip, or Pillow (macOS, Windows)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

from lookalike.errors import NoClipboard
from lookalike.search.query import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_clipboard"]

_SECONDS = 10
_FILES = "text/uri-list"
_WAYLAND = ("wl-paste", "--list-types"), ("wl-paste", "--no-newline", "--type")
_X11 = ("xclip", "-selection", "clipboard", "-o", "-t", "TARGETS"), ("xclip", "-selection", "clipboard", "-o", "-t")


def read_clipboard() -> Query:
    """A query by the picture, or by the file of a picture, that was copied. Raises NoClipboard."""
    if sys.platform in {"darwin", "win32"}:
        return _grab()
    list_types, paste = _find_tool()
    offered = _call(list_types).decode("ascii", "replace").split()
    kinds = sorted((kind for kind in offered if kind.startswith("image/")), key=lambda kind: kind != "image/png")
    if kinds:
        return Query.content(_call([*paste, kinds[0]]), "clipboard")
    if _FILES in offered:
        for line in _call([*paste, _FILES]).splitlines():
            if line.startswith(b"file:"):
                return Query.picture(unquote_to_bytes(urlsplit(line.strip()).path))
    raise NoClipboard("the clipboard holds no picture", hint="copy one first, or name its file")


def _find_tool() -> tuple[Sequence[str], Sequence[str]]:
    """The commands that list what the clipboard offers, and that print one kind of it."""
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if wayland and shutil.which("wl-paste"):
        return _WAYLAND
    if x11 and shutil.which("xclip"):
        return _X11
    if not wayland and not x11:
        raise NoClipboard("there is no clipboard: this is not a graphical session", hint="name the file of a picture")
    tool = "wl-clipboard" if wayland else "xclip"
    raise NoClipboard("no program that reads the clipboard is installed", hint=f"install {tool}")


def _call(command: Sequence[str]) -> bytes:
    """What a command prints. Raises NoClipboard if it fails, as these do when nothing was copied."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)  # noqa: S603  (fixed names)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        reason = said.decode(errors="replace").strip().splitlines()
        raise NoClipboard(
            f"the clipboard cannot be read: {command[0]}: {reason[0] if reason else 'failed'}",
            hint="copy a picture first",
        ) from None
    return done.stdout


def _grab() -> Query:
    from PIL import Image, ImageGrab  # noqa: PLC0415  (only where it is used)

    try:
        found = ImageGrab.grabclipboard()
    except (OSError, NotImplementedError) as error:
        raise NoClipboard(f"the clipboard cannot be read: {error}") from None
    if isinstance(found, Image.Image):
        return Query.picture(found)
    if found:
        return Query.picture(found[0])
    raise NoClipboard("the clipboard holds no picture", hint="copy one first, or name its file")
