"""Checks that a whole picture is there, where Pillow's decoders silently accept files that lack a part.

A JPEG without its end mark, a PNG whose checksums are wrong or whose data end early, a WebP, AVIF or HEIC shorter than
it says.
A JPEG that was cut and closed again with an end mark cannot be distinguished from a whole one.
"""

from __future__ import annotations

import os
import zlib
from typing import IO, TYPE_CHECKING

from lookalike.images.unreadable import DAMAGED, TRUNCATED, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

__all__ = ["check_decoded", "check_file", "webp_pixels"]

_BOXES = 64  # of an AVIF or HEIC that are looked at: all have fewer than ten
_PIECE = 1 << 20  # bytes read at once
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of a PNG
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def check_file(file: IO[bytes], format_: str | None) -> None:
    """Check the file alone, before it is decoded, and leave it at the same position. Raises Unreadable."""
    if format_ in _CHECKS:
        position = file.tell()
        _CHECKS[format_](file)
        file.seek(position)


def check_decoded(file: IO[bytes], image: Image.Image) -> None:
    """Check a decoded picture: rows that were not in the file are black. Raises Unreadable."""
    if image.format != "PNG":
        return
    width, height = image.size
    last = image.crop((0, height - 1, width, height))
    # The last row is written last: if there is anything in it, all is there, and nothing need be inflated again.
    if image.info.get("interlace") or last.getbbox(alpha_only=False) is None:
        _check_png_data(file)


def _check_jpeg(file: IO[bytes]) -> None:
    """Expect an end mark, by the standard the last two bytes, but many files have something behind it."""
    file.seek(-2, os.SEEK_END)
    if file.read(2) == b"\xff\xd9":
        return
    file.seek(2)
    while (mark := file.read(2)) != b"\xff\xda":  # a thumbnail in a segment before the scan has its own end mark
        if len(mark) < 2:
            raise Unreadable(TRUNCATED)
        file.seek(-1 if mark == b"\xff\xff" else max(int.from_bytes(file.read(2)) - 2, 0), os.SEEK_CUR)
    before = b""
    while piece := file.read(_PIECE):
        if b"\xff\xd9" in before + piece:
            return
        before = piece[-1:]
    raise Unreadable(TRUNCATED)


def _check_png(file: IO[bytes]) -> None:
    """Compare the checksums of the chunks that make the picture, up to the end mark: Pillow skips those of IDAT."""
    for kind, pieces in _png_chunks(file):
        if not kind[0] & 0x20:  # upper case: critical
            crc = zlib.crc32(kind)
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
            if crc != int.from_bytes(file.read(4)):
                raise Unreadable(DAMAGED)


def _check_png_data(file: IO[bytes]) -> None:
    """Inflate the data and compare their length with the header. Raises Unreadable."""
    file.seek(16)
    header = file.read(13)
    left = _png_data_length(header)
    inflate = zlib.decompressobj()
    for kind, pieces in _png_chunks(file):
        for piece in pieces if kind == b"IDAT" else ():
            left -= len(inflate.decompress(piece, max(left, 1)))
            while inflate.unconsumed_tail and left > 0:
                left -= len(inflate.decompress(inflate.unconsumed_tail, left))
    if left > 0:
        raise Unreadable(TRUNCATED)


def _png_data_length(header: bytes) -> int:
    """The number of bytes in all rows of all passes, each with the byte of its filter."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _CHANNELS[header[9]]
    length = 0
    for left, top, across, down in _ADAM7 if header[12] else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            length += rows * (1 + -(-columns * bits // 8))
    return length


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Yield the kind of each chunk and its data in pieces, which may be left unread. Raises Unreadable."""
    size = file.seek(0, os.SEEK_END)
    start, kind = 8, b""
    while kind != b"IEND":
        file.seek(start)
        length, kind = int.from_bytes(file.read(4)), file.read(4)
        if start + 12 + length > size:
            raise Unreadable(TRUNCATED)
        yield kind, _pieces(file, length)
        start += 12 + length


def _pieces(file: IO[bytes], length: int) -> Iterator[bytes]:
    return (file.read(min(_PIECE, length - start)) for start in range(0, length, _PIECE))


def webp_pixels(head: bytes) -> int:
    """The number of pixels that the first 30 bytes of a WebP announce."""
    if head[12:16] == b"VP8X":
        width, height = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    elif head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return width * height


def _check_webp(file: IO[bytes]) -> None:
    """Compare the length that a RIFF file states with that of the file."""
    there = file.seek(0, os.SEEK_END)
    file.seek(4)
    if int.from_bytes(file.read(4), "little") + 8 > there:
        raise Unreadable(TRUNCATED)


def _check_boxes(file: IO[bytes]) -> None:
    """Compare the lengths of the boxes that AVIF and HEIC consist of with that of the file."""
    there, start = file.seek(0, os.SEEK_END), 0
    for _ in range(_BOXES):
        file.seek(start)
        head = file.read(16)
        size = int.from_bytes(head[:4])
        size = int.from_bytes(head[8:16]) if size == 1 else size
        if start + size > there:
            raise Unreadable(TRUNCATED)
        if size < 8 or start + size == there:  # 0: up to the end of the file
            return
        start += size


_CHECKS = {
    "AVIF": _check_boxes,
    "HEIF": _check_boxes,
    "JPEG": _check_jpeg,
    "MPO": _check_jpeg,
    "PNG": _check_png,
    "WEBP": _check_webp,
}
