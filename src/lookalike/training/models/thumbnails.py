"""Pictures without their fine detail: the lowest frequencies of their cosine transform, as a small picture.

What 192 numbers keep of a picture lies in its lowest frequencies, and over those the squared error of the small
picture and that of the large one are the same: so a model may learn from thumbnails, at a fraction of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

__all__ = ["cropping", "enlarge", "narrowing", "thumbnails"]


def narrowing(side: int, size: int) -> Matrix:
    """float32 (side, size): takes a line of `size` pixels to `side` of the same brightness, low frequencies only."""
    return cropping(side, size, 0.0, 1.0)


def cropping(side: int, size: int, start: float, share: float) -> Matrix:
    """The same of a part of the line, from `start` and as long as `share`, both in [0, 1], stretched to the whole."""
    frequencies = min(size, 2 * side)  # of a part, half its size at least, no higher ones are left
    middles = (np.arange(size) + 0.5) / size
    stretched = _cosines(start + share * middles, frequencies, size) @ _cosines(middles, frequencies, size).T
    low = _cosines((np.arange(side) + 0.5) / side, side, side) @ _cosines(middles, side, size).T
    return np.asarray(np.sqrt(side / size) * low @ stretched, np.float32)


def thumbnails(batch: Matrix, rows: Matrix, columns: Matrix) -> Matrix:
    """(n, size, size, 3) in, (n, side, side, 3) out: `rows` and `columns` of `narrowing` or `cropping`."""
    count, size, _, colours = batch.shape
    narrow = np.matmul(rows, batch.reshape(count, size, size * colours))
    lines = narrow.reshape(count, len(rows), size, colours).swapaxes(2, 3)  # numpy is slow at products 3 numbers wide
    return cast("Matrix", np.ascontiguousarray((lines @ columns.T).swapaxes(2, 3)))


def enlarge(small: Matrix, size: int) -> Matrix:
    """(n, side, side, 3) in, the (n, size, size, 3) out that has these frequencies and no other."""
    side = small.shape[1]
    wide = np.float32(size / side) * narrowing(side, size).T
    return thumbnails(small, wide, wide)


def _cosines(places: NDArray[np.float64], frequencies: int, size: int) -> NDArray[np.float64]:
    """float64 (places, frequencies): what each frequency has at each place in [0, 1]; orthonormal at `size` middles."""
    waves = np.cos(np.pi * np.outer(places, np.arange(frequencies))) * np.sqrt(2 / size)
    waves[:, 0] = np.sqrt(1 / size)
    return np.asarray(waves)
