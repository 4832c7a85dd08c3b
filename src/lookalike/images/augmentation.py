"""Views of a picture for learning without labels: a part of it, mirrored or not, in another tone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from lookalike.images.alterations import mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["altered"]

_AREA = (0.5, 1.0)  # of the picture that stays
_ASPECT = 0.2  # the logarithm of by how much a part may be wider or higher
_TONES = ((ImageEnhance.Color, 0.0, 1.2), (ImageEnhance.Brightness, 0.7, 1.3), (ImageEnhance.Contrast, 0.8, 1.2))


def altered(pictures: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (n, side, side, 3) in, (n, size, size, 3) out: each altered by chance, half of them mirrored."""
    return np.stack([_altered(Image.fromarray(picture), size, rng) for picture in pictures])


def _altered(image: Image.Image, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = image.width * math.sqrt(rng.uniform(*_AREA))
    stretch = math.exp(rng.uniform(-_ASPECT, _ASPECT))
    width, height = (min(image.width, round(length)) for length in (side * stretch, side / stretch))
    left, top = (int(rng.integers(0, image.width - length + 1)) for length in (width, height))
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = mirrored(image)
    for kind, least, most in _TONES:
        image = kind(image).enhance(rng.uniform(least, most))
    return np.asarray(image)
