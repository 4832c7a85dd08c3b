"""The whole of a picture in a few bytes, for what an encoder's view of its middle leaves out.

A picture is decoded no larger than its encoder needs, and of an animation one frame is shown. What that hides still
makes a difference: the other frames count in the colours, and everything hidden counts in the digest.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING

from PIL import Image

from lookalike.images.ground import on_ground

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["CELLS", "PIXELS", "SIDE", "SIZE", "describe_whole", "digest_jpeg", "digest_pixels", "glance"]

SIDE = 4
"""Cells along a side."""
CELLS = 3 * SIDE**2
"""Bytes of the cells' colours."""
PIXELS = 8
"""Bytes of the digest."""
SIZE = CELLS + PIXELS

_PIECE = 1 << 20  # bytes or pixels that are hashed at once
_SCAN, _END = b"\xda", b"\xff\xd9"  # the marker before the data of a JPEG, and the one behind them
_METADATA = {bytes([code]) for code in (*range(0xE0, 0xEE), 0xEF, 0xFE)}  # not 0xEE, which says how colours are stored


def describe_whole(image: Picture) -> bytes:
    """The mean colours of 4 x 4 cells that cover an RGB or RGBA picture of any shape, row by row, and a digest.

    Pictures have the same digest (BLAKE2b) only if all pixels are equal, and `info["hidden"]`, which stands for pixels
    that are not there. The cells of `info["frames"]`, other frames as `glance` gives them, are averaged with its own.
    48 + 8 bytes.
    """
    plain = on_ground(image)
    cells = plain.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=4.0)
    for number, frame in enumerate(image.info.get("frames", ()), 2):
        cells = Image.blend(cells, frame, 1 / number)
    digest = hashlib.blake2b(repr(plain.size).encode(), digest_size=PIXELS)
    digest.update(plain.tobytes())
    digest.update(image.info.get("hidden", b""))
    return cells.tobytes() + digest.digest()


def glance(image: Picture) -> Picture:
    """The mean colours of 4 x 4 cells of an RGB or RGBA picture, as a picture of 4 x 4 pixels."""
    return on_ground(image).resize((SIDE, SIDE), Image.Resampling.BOX)


def digest_pixels(image: Picture) -> bytes:
    """The SHA-256 of all pixels of a loaded picture, whatever its mode, without a copy of all of them."""
    width, height = image.size
    digest = hashlib.sha256()
    step = max(1, _PIECE // width)
    for top in range(0, height, step):
        digest.update(image.crop((0, top, width, min(top + step, height))).tobytes())
    return digest.digest()


def digest_jpeg(file: IO[bytes]) -> bytes:
    """The SHA-256 of the data that the pixels of a JPEG are decoded from, without its metadata and thumbnails."""
    digest = hashlib.sha256()
    file.seek(2)
    while (marker := file.read(2))[:1] == b"\xff" and marker[1:] != _SCAN:
        length = file.read(2)
        segment = file.read(max(int.from_bytes(length) - 2, 0))
        if marker[1:] not in _METADATA:
            digest.update(marker + length + segment)
    before = b""
    while piece := file.read(_PIECE):
        end = (before + piece).find(_END)
        digest.update(piece if end < 0 else piece[: max(end - len(before), 0)])
        if end >= 0:
            break
        before = piece[-1:]
    return digest.digest()
