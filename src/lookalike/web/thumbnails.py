"""Thumbnails: encoded here from decoded pixels, never a file's own bytes, and kept on disk up to a limit.

A thumbnail is named after the content of its picture, so it never becomes wrong. What was not used for longest is
removed when the folder has grown beyond its limit.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from typing import TYPE_CHECKING

from lookalike.errors import UnreadableImage
from lookalike.files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

__all__ = ["Thumbnails", "encode_jpeg", "find_cache", "unreadable"]

_MOST_BYTES = 512 << 20
_KEPT = 0.8  # of the limit, after a clean-up
_QUALITY = 82
_COUNTED_AGAIN = 500  # new thumbnails after which the folder is measured


def find_cache() -> Path:
    """The folder of this user's thumbnails."""
    from platformdirs import user_cache_path  # noqa: PLC0415  (4 ms)

    return user_cache_path("lookalike", appauthor=False) / "thumbnails"


def encode_jpeg(image: Image.Image) -> bytes:
    """A picture as JPEG without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True, progressive=max(image.size) > 800)
    return buffer.getvalue()


class Thumbnails:
    """A folder of thumbnails, by content and size. It may be deleted at any time, and need not be writable."""

    def __init__(self, folder: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._new = 0
        self._lock = threading.Lock()

    def find(self, digest: bytes, size: int) -> bytes | None:
        """The JPEG of a content; None if there is none yet, or if it is damaged."""
        try:
            with open(self._path(digest, size), "rb") as file:
                data = file.read()
        except OSError:
            return None
        return data if data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9") else None

    def keep(self, digest: bytes, size: int, data: bytes) -> None:
        """Keep a JPEG, if the folder can be written."""
        path = self._path(digest, size)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, sync=False) as part:
                part.write_bytes(data)
        with self._lock:
            self._new += 1
            is_due = self._new % _COUNTED_AGAIN == 1
        if is_due:
            self.clean_up()

    def clean_up(self) -> None:
        """Remove what was not used for longest until the folder is well below its limit."""
        found = sorted(_list_files(self._folder))
        total = sum(size for _, size, _ in found)
        if total <= self._most_bytes:
            return
        for _, size, path in found:
            if total <= self._most_bytes * _KEPT:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size

    def _path(self, digest: bytes, size: int) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / f"{name}-{size}.jpg"


def _list_files(folder: Path) -> list[tuple[float, int, str]]:
    """The time of last use, the size and the path of each thumbnail."""
    found = []
    for home, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.stat(path := os.path.join(home, name))
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    return found


def unreadable(reason: str) -> UnreadableImage:
    """The error for a picture that a worker could not read."""
    return UnreadableImage(f"the picture cannot be read: {reason}")
