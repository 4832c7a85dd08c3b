"""A perceptual hash of the whole picture, from which the hashes of the picture turned and mirrored follow.

The hash holds the signs of the 16 x 16 lowest coefficients of the discrete cosine transform (DCT) of the brightness at
32 x 32 pixels. Two pictures that look the same differ in few of its 256 bits, whatever their size, their compression
or their tones. Mirroring a picture changes the signs of the odd coefficients along one direction, and transposing it
transposes them: the hashes of all eight orientations are rearrangements of one (Zauner 2010, "Implementation and
benchmarking of perceptual image hash functions", compares with the median instead, which loses this).

Decoding workers only make the brightness small, with Pillow; the signs of many pictures are computed together.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.images.description import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint8]

__all__ = [
    "BRIGHTNESS_SIZE", "HASH_SIZE", "ORIENTATIONS", "hash_brightness", "hashes_of_orientations", "take_brightness",
]  # fmt: skip

_PIXELS = 32  # of a side, of which the transform is computed
_HALF = _PIXELS // 2
_KEPT = 16  # coefficients along a side

BRIGHTNESS_SIZE = _PIXELS**2
"""Bytes of the brightness that a hash is computed from."""

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


def take_brightness(image: Image.Image) -> bytes:
    """The brightness of an RGB picture of any size at 32 x 32 pixels, row by row, one byte each."""
    return image.resize((_PIXELS, _PIXELS), Image.Resampling.BOX, reducing_gap=2.0).convert("L").tobytes()


def hash_brightness(pictures: Sequence[bytes]) -> list[bytes]:
    """The hash of each picture from its brightness: 256 bits in 32 bytes, row by row, the first bit the highest.

    The bit of a coefficient of nearly 0 depends on the order of the sums, so this is always the same.
    """
    import numpy as np  # noqa: PLC0415  (0.07 s, and workers do not need it)

    pixels = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, _PIXELS, _PIXELS)
    rows = _transform(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float64))
    coefficients = _transform(np.ascontiguousarray(rows.transpose(2, 0, 1))).transpose(2, 0, 1)
    signs = coefficients.reshape(len(pixels), _KEPT**2) > 0
    return [bits.tobytes() for bits in np.packbits(signs, axis=1)]


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


def _transform(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first coefficients of the DCT of 32 values along the first axis, their terms added one after another."""
    import numpy as np  # noqa: PLC0415

    half, mirrored = values[:_HALF], values[: _HALF - 1 : -1]
    found = np.empty((_KEPT, *values.shape[1:]))
    for first, terms in enumerate((half + mirrored, half - mirrored)):
        (_cosines()[:, first::2, None, None] * terms[:, None]).sum(axis=0, out=found[first::2])
    return found


@cache
def _cosines() -> NDArray[np.float64]:
    """The first half of each cosine, float64 (16, 16); the second is the same, mirrored and for odd ones negative."""
    import numpy as np  # noqa: PLC0415

    return np.array(
        [[math.cos(math.pi * (2 * at + 1) * number / (2 * _PIXELS)) for number in range(_KEPT)] for at in range(_HALF)]
    )
