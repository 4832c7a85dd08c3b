"""A perceptual hash of the whole picture, from which the hashes of the picture turned and mirrored follow.

The hash holds the signs of the 16 x 16 lowest coefficients of the discrete cosine transform (DCT) of the brightness at
32 x 32 pixels. Two pictures that look the same differ in few of its 256 bits, whatever their size, their compression
or their tones. Mirroring a picture changes the signs of the odd coefficients along one direction, and transposing it
transposes them: the hashes of all eight orientations are rearrangements of one (Zauner 2010, "Implementation and
benchmarking of perceptual image hash functions", compares with the median instead, which loses this).

Decoding workers compute it, so nothing but Pillow and the standard library is imported; it takes 0.6 ms.
"""

from __future__ import annotations

import math
from operator import add, mul, sub
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.images.description import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint8]

__all__ = ["HASH_SIZE", "ORIENTATIONS", "hash_picture", "hashes_of_orientations"]

_PIXELS = 32  # of a side, of which the transform is computed
_KEPT = 16  # coefficients along a side

ORIENTATIONS: tuple[Image.Transpose | None, ...] = (
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
)
"""What is done to a picture for each orientation: a transposition for 4 to 7, then a mirroring of the columns for odd
numbers and of the rows for 2, 3, 6 and 7."""

# The first half of each cosine; the second is the same, mirrored and for odd ones negative.
_COSINES = [
    [math.cos(math.pi * (2 * at + 1) * number / (2 * _PIXELS)) for at in range(_PIXELS // 2)] for number in range(_KEPT)
]


def hash_picture(image: Image.Image) -> bytes:
    """The hash of an RGB picture of any size: 256 bits in 32 bytes, row by row, the first bit the highest."""
    small = image.resize((_PIXELS, _PIXELS), Image.Resampling.BOX, reducing_gap=2.0).convert("L").tobytes()
    rows = [_transform(small[start : start + _PIXELS]) for start in range(0, _PIXELS**2, _PIXELS)]
    columns = [_transform(column) for column in zip(*rows, strict=True)]
    signs = "".join("01"[number > 0] for row in zip(*columns, strict=True) for number in row)
    return int(signs, 2).to_bytes(HASH_SIZE)


def hashes_of_orientations(hashes: Hashes) -> Hashes:
    """The hashes that the pictures with these hashes, uint8 (n, 32), have in each of `ORIENTATIONS`: (8, n, 32)."""
    import numpy as np  # noqa: PLC0415  (0.07 s, and workers do not need it)

    signs = np.unpackbits(hashes.reshape(-1, HASH_SIZE), axis=1).reshape(-1, _KEPT, _KEPT)
    odd = np.arange(_KEPT, dtype=np.uint8) & 1
    found = [
        turned ^ (odd[:, None] * rows) ^ (odd * columns)
        for turned in (signs, signs.swapaxes(1, 2))
        for rows in (0, 1)
        for columns in (0, 1)
    ]
    return np.packbits(np.stack(found).reshape(len(ORIENTATIONS), -1, _KEPT**2), axis=2)


def _transform(values: Sequence[float]) -> list[float]:
    """The first coefficients of the DCT of 32 values."""
    half, mirrored = values[: _PIXELS // 2], values[: _PIXELS // 2 - 1 : -1]
    parts = [*map(add, half, mirrored)], [*map(sub, half, mirrored)]
    return [sum(map(mul, cosine, parts[number % 2])) for number, cosine in enumerate(_COSINES)]
