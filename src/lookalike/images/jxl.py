"""The size of a JPEG XL from its header: its decoder unpacks all of it before it says how large it is.

By ISO/IEC 18181-1, `SizeHeader`, and 18181-2 for the boxes.
"""

from __future__ import annotations

import re
from typing import IO

from lookalike.images.tags import read_at

__all__ = ["MAGIC", "count_pixels"]

MAGIC = rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n"
_BITS = (9, 13, 18, 30)
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_BOXES = 64  # that are looked at before the one with the picture


def count_pixels(file: IO[bytes]) -> int:
    """The number of pixels that a JPEG XL announces; 0 for other files."""
    if not re.match(MAGIC, read_at(file, 0, 12)):
        return 0
    head = _find_codestream(file)
    if not head.startswith(b"\xff\x0a"):
        return 0
    bits = _Bits(int.from_bytes(head[2:], "little"))
    is_small = bits.take(1)
    height = _take_side(bits, is_small)
    ratio = bits.take(3)
    across, down = _RATIOS.get(ratio, (0, 1))
    width = height * across // down if ratio else _take_side(bits, is_small)
    return width * height


class _Bits:
    """Bits of a number, the lowest first."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def take(self, count: int) -> int:
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value


def _take_side(bits: _Bits, is_small: int) -> int:
    return (bits.take(5) + 1) * 8 if is_small else bits.take(_BITS[bits.take(2)]) + 1


def _find_codestream(file: IO[bytes]) -> bytes:
    """The first bytes of the picture itself, in boxes or without."""
    start = 0
    for _ in range(_BOXES):
        head = read_at(file, start, 48)
        if head.startswith(b"\xff\x0a"):
            return head
        size, kind, inside = int.from_bytes(head[:4]), head[4:8], 8
        if size == 1:
            size, inside = int.from_bytes(head[8:16]), 16
        if kind in {b"jxlc", b"jxlp"}:
            return head[inside + 4 * (kind == b"jxlp") :]
        if size < 8:
            break
        start += size
    return b""
