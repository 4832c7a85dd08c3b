"""Colours and where they are: a histogram of hue, saturation and value in five regions.

The regions are an ellipse in the middle and the four corners around it. Square roots of the counts make the
Euclidean distance of two histograms their Hellinger distance (the trick is that of Arandjelovic & Zisserman 2012).
Nothing is learned: it is a baseline, and the part of a hybrid that knows about colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from lookalike.images.decode import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

__all__ = ["HistogramEncoder"]

_BINS = (8, 12, 3)  # hue, saturation, value
_SIZE = 128
_VERSION = 1


class HistogramEncoder:
    """HSV histograms of 8 x 12 x 3 bins in 5 regions: 1,440 dimensions, rows of length 1."""

    name: Final = "histogram"
    view: Final = View(_SIZE)
    dim: Final = 5 * _BINS[0] * _BINS[1] * _BINS[2]
    metric: Final[Metric] = "cosine"
    trained_on: Final = ""
    is_thread_safe: Final = True
    fingerprint: Final = f"histogram-{_VERSION}-{_SIZE}-{_BINS}"

    def __init__(self) -> None:
        self._regions = _regions(_SIZE)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, 128, 128, 3) in, float32 (n, 1440) out, rows of length 1."""
        rows = [self._encode_one(image) for image in images]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def _encode_one(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        hsv = np.asarray(Image.fromarray(image).convert("HSV"), np.uint16)
        hue, saturation, value = (hsv[..., axis] * bins >> 8 for axis, bins in enumerate(_BINS))
        bins = (hue * _BINS[1] + saturation) * _BINS[2] + value
        per_region = self.dim // 5
        counts = np.bincount((self._regions * per_region + bins).ravel(), minlength=self.dim)
        roots: NDArray[np.float32] = np.sqrt(counts / bins.size).astype(np.float32)
        return roots


def _regions(size: int) -> NDArray[np.intp]:
    """The region of every pixel, (size, size): 0 in the middle ellipse, 1 to 4 in the corners."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    corner = 1 + 2 * (rows > 0) + (columns > 0)
    inside = rows**2 + columns**2 < (0.375 * size) ** 2
    return np.where(inside, 0, corner).astype(np.intp)
