"""Pictures together with their mirror images: their principal components are symmetric or antisymmetric.

The two kinds can be found separately, each on half a picture. That costs no more than the pictures alone, and the
result is the same as with all mirror images added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

__all__ = ["halves", "whole"]

_ROOT = np.float32(math.sqrt(0.5))


def halves(pictures: Matrix, *, flip: bool) -> list[Matrix]:
    """Flatten (n, size, size, 3), size even: whole pictures, or their symmetric and antisymmetric halves."""
    if not flip:
        return [pictures.reshape(len(pictures), -1)]
    half = pictures.shape[2] // 2
    left, right = pictures[:, :, :half], pictures[:, :, : half - 1 : -1]
    return [np.reshape((left + sign * right) * _ROOT, (len(pictures), -1)) for sign in (1, -1)]


def whole(directions: Matrix, part: int, size: int, *, flip: bool) -> Matrix:
    """Turn directions in the space of `halves`, (length of a part, n), into directions of whole pictures."""
    if not flip:
        return directions
    count = directions.shape[1]
    half = directions.reshape(size, size // 2, 3, count) * _ROOT
    both = np.concatenate([half, (-1) ** part * half[:, ::-1]], axis=1)
    return cast("Matrix", both.reshape(size * size * 3, count))
