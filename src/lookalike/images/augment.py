"""Altered copies of pictures: the ways in which pictures change in use, and views to learn from without labels."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Alteration = Callable[[Image.Image], Image.Image]

__all__ = ["TONES", "alter", "cut_part", "mirror"]

_PART_AREA = 0.6
_PART_TONES = ((ImageEnhance.Contrast, 0.2), (ImageEnhance.Brightness, 0.2), (ImageEnhance.Color, 0.3))
_QUALITY = 60
_AREA = (0.5, 1.0)  # of the picture that stays
_ASPECT = 0.2  # the logarithm of by how much a part may be wider or higher
_TONES = ((ImageEnhance.Color, 0.0, 1.2), (ImageEnhance.Brightness, 0.7, 1.3), (ImageEnhance.Contrast, 0.8, 1.2))

TONES: dict[str, Alteration] = {
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "lighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
}
"""Changes of tone of an RGB picture: half the saturation, a fifth more and a fifth less brightness."""


def mirror(image: Image.Image) -> Image.Image:
    """The picture with left and right exchanged."""
    return ImageOps.mirror(image)


def cut_part(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut 60% of the area from anywhere in an RGB picture, change its tone and compress it as a JPEG of quality 60.

    Contrast and brightness differ by up to 20%, saturation by up to 30%.
    """
    width, height = (max(1, round(side * _PART_AREA**0.5)) for side in image.size)
    left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
    part = image.crop((int(left), int(top), int(left) + width, int(top) + height))
    for kind, most in _PART_TONES:
        part = kind(part).enhance(rng.uniform(1 - most, 1 + most))
    memory = io.BytesIO()
    part.save(memory, "JPEG", quality=_QUALITY)
    return Image.open(memory).convert("RGB")


def alter(pictures: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Randomly crop and recolour uint8 (n, side, side, 3) pictures to (n, size, size, 3), and mirror half of them."""
    return np.stack([_alter(Image.fromarray(picture), size, rng) for picture in pictures])


def _alter(image: Image.Image, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = image.width * math.sqrt(rng.uniform(*_AREA))
    stretch = math.exp(rng.uniform(-_ASPECT, _ASPECT))
    width, height = (min(image.width, round(length)) for length in (side * stretch, side / stretch))
    left, top = (int(rng.integers(0, image.width - length + 1)) for length in (width, height))
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = mirror(image)
    for kind, least, most in _TONES:
        image = kind(image).enhance(rng.uniform(least, most))
    return np.asarray(image)
