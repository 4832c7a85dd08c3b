"""A small encoder for tests: sixteen mean colours. It counts the pictures it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.images.decode import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

__all__ = ["TilesEncoder"]


class TilesEncoder:
    """The mean colours of 4 x 4 tiles: 48 numbers. `encoded` grows with every picture."""

    name: Final = "tiles"
    view: Final = View(16)
    dim: Final = 48
    metric: Final[Metric] = "euclidean"
    trained_on: Final = ""
    fingerprint: Final = "tiles-1"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, 16, 16, 3) in, float32 (n, 48) out, 0 to 255."""
        self.encoded += len(images)
        tiles = images.reshape(len(images), 4, 4, 4, 4, 3)
        return np.asarray(tiles.mean(axis=(2, 4)).reshape(len(images), self.dim), np.float32)
