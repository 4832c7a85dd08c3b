"""Pictures without their fine detail: the lowest frequencies of their cosine transform, as a small picture.

What 192 dimensions can keep of a picture is in its lowest frequencies. Over those, the squared errors of the small
picture and of the large one are the same, so a model can learn from thumbnails in a fraction of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

__all__ = ["cropping", "enlarge", "narrowing", "thumbnails"]


def narrowing(side: int, size: int) -> Matrix:
    """float32 (side, size): turns a line of `size` pixels into `side` of the same brightness, low frequencies only."""
    return cropping(side, size, 0.0, 1.0)


def cropping(side: int, size: int, start: float, share: float) -> Matrix:
    """The same for a part of the line, from `start` with the length `share`, both in [0, 1], stretched to the whole."""
    frequencies = min(size, 2 * side)  # a part, which is at least half the size, has no higher ones
    middles = (np.arange(size) + 0.5) / size
    stretched = _cosines(start + share * middles, frequencies, size) @ _cosines(middles, frequencies, size).T
    low = _cosines((np.arange(side) + 0.5) / side, side, side) @ _cosines(middles, side, size).T
    return np.asarray(np.sqrt(side / size) * low @ stretched, np.float32)


def thumbnails(batch: Matrix, rows: Matrix, columns: Matrix) -> Matrix:
    """(n, size, size, 3) in, (n, side, side, 3) out: `rows` and `columns` of `narrowing` or `cropping`."""
    count, size, _, colours = batch.shape
    narrow = np.matmul(rows, batch.reshape(count, size, size * colours))
    lines = narrow.reshape(count, len(rows), size, colours).swapaxes(2, 3)  # numpy is slow at products 3 columns wide
    return cast("Matrix", np.ascontiguousarray((lines @ columns.T).swapaxes(2, 3)))


def enlarge(small: Matrix, size: int) -> Matrix:
    """(n, side, side, 3) in, (n, size, size, 3) out with these frequencies and no others."""
    side = small.shape[1]
    wide = np.float32(size / side) * narrowing(side, size).T
    return thumbnails(small, wide, wide)


def _cosines(positions: NDArray[np.float64], frequencies: int, size: int) -> NDArray[np.float64]:
    """float64 (positions, frequencies): each frequency at positions in [0, 1]; orthonormal at `size` pixel centres."""
    waves = np.cos(np.pi * np.outer(positions, np.arange(frequencies))) * np.sqrt(2 / size)
    waves[:, 0] = np.sqrt(1 / size)
    return np.asarray(waves)
