"""What happens to pictures on their way through the world: paler, darker, mirrored, a part of them as a poor JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Alteration = Callable[[Image.Image], Image.Image]

__all__ = ["TONES", "mirrored", "part_of"]

_AREA = 0.6
_TONE = ((ImageEnhance.Contrast, 0.2), (ImageEnhance.Brightness, 0.2), (ImageEnhance.Color, 0.3))
_QUALITY = 60

TONES: dict[str, Alteration] = {
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "lighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
}
"""Half the saturation, a fifth more and a fifth less brightness, of an RGB picture."""


def mirrored(image: Image.Image) -> Image.Image:
    """Left for right."""
    return ImageOps.mirror(image)


def part_of(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """60% of the area of an RGB picture, from anywhere in it, with another tone, as a JPEG of quality 60.

    Contrast and brightness differ by up to 20%, saturation by up to 30%.
    """
    width, height = (max(1, round(side * _AREA**0.5)) for side in image.size)
    left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
    part = image.crop((int(left), int(top), int(left) + width, int(top) + height))
    for kind, most in _TONE:
        part = kind(part).enhance(rng.uniform(1 - most, 1 + most))
    memory = io.BytesIO()
    part.save(memory, "JPEG", quality=_QUALITY)
    return Image.open(memory).convert("RGB")
