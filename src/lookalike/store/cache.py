"""The search matrix as a file beside the database: read in a millisecond, and safe to delete at any time.

The database is the truth. The file begins with a header that says which state of it the matrix was made from, and
ends with a checksum of all before it; whatever does not fit is not read, and the matrix is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FILE", "load", "save"]

FILE = "search.cache"
_MAGIC = b"LKAL search cache 1\n"
_CHECK = 4  # bytes of CRC-32 at the end
_MOST = 1 << 28  # bytes; above this a checksum of the whole costs more than it saves

Arrays = tuple["NDArray[np.int64]", "NDArray[np.float32]"]


def load(folder: Path, state: dict[str, Any]) -> Arrays | None:
    """Ids (n,) and rows (n, d) that were saved for exactly this state of the database; None if there are none."""
    try:
        content = (folder / FILE).read_bytes()
        body = memoryview(content)[:-_CHECK]
        if zlib.crc32(body) != int.from_bytes(content[-_CHECK:], "little"):
            return None
        end = content.index(b"\n", len(_MAGIC)) + 1
        header = json.loads(content[len(_MAGIC) : end])
        if content[: len(_MAGIC)] != _MAGIC or header["state"] != state:
            return None
        count, width = header["shape"]
        ids = np.frombuffer(body[end:], "<i8", count)
        rows = np.frombuffer(body[end + ids.nbytes :], "<f4", count * width)
        return ids, rows.reshape(count, width)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(folder: Path, state: dict[str, Any], ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
    """Keep a matrix for this state of the database, if there is room and leave to write."""
    if rows.nbytes > _MOST:
        return
    header = json.dumps({"state": state, "shape": rows.shape}).encode() + b"\n"
    # Rows begin at a multiple of their size: json takes spaces.
    header = b" " * (-(len(_MAGIC) + len(header)) % 8) + header
    body = b"".join((_MAGIC, header, ids.astype("<i8").tobytes(), rows.astype("<f4").tobytes()))
    with contextlib.suppress(OSError):
        temporary = folder / f"{FILE}.{os.getpid()}"
        try:
            temporary.write_bytes(body + zlib.crc32(body).to_bytes(_CHECK, "little"))
            temporary.replace(folder / FILE)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
