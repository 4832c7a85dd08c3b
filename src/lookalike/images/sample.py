"""A sample of a picture's pixels, small enough to be sent along with every picture that is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["PIXELS", "SIZE", "take_sample"]

_SIDE = 64
PIXELS = _SIDE**2
SIZE = 3 * PIXELS  # bytes


def take_sample(image: Picture) -> bytes:
    """The colours of 64 x 64 pixels spread evenly over an RGB picture of any shape, row by row.

    Pixels are chosen, not averaged: the mean of a red and a green pixel is a brown that the picture does not have.
    """
    return image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST).tobytes()
