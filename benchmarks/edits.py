"""Edits that people make to pictures, for measuring whether the copies are recognised: one each, and two at once."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Edit = Callable[[Image.Image, np.random.Generator], Image.Image]

__all__ = ["EDITS", "edit_twice"]


def _rescale(image: Image.Image, random: np.random.Generator) -> Image.Image:
    factor = random.choice([0.25, 0.25, 0.4, 0.6])
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def _recompress(image: Image.Image, random: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(30, 91)))
    return Image.open(file).convert("RGB")


def _crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    left, top, right, bottom = random.uniform(0.05, 0.20, 4)
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def _turn(image: Image.Image, random: np.random.Generator) -> Image.Image:
    turns = [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270]
    return image.transpose(turns[int(random.integers(3))])


def _mirror(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.transpose([Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM][int(random.integers(2))])


def _tone(image: Image.Image, random: np.random.Generator) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(float(random.uniform(0.7, 1.35)))
    contrast = ImageEnhance.Contrast(brighter).enhance(float(random.uniform(0.7, 1.4)))
    gamma, *tint = random.uniform(0.75, 1.35), *random.uniform(0.85, 1.0, 3)
    curve = [round(255 * factor * (value / 255) ** gamma) for factor in tint for value in range(256)]
    return contrast.point(curve)


def _grey(image: Image.Image, _random: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _text(image: Image.Image, random: np.random.Generator) -> Image.Image:
    drawn = image.copy()
    draw, (width, height) = ImageDraw.Draw(drawn), image.size
    high = round(height * random.uniform(0.10, 0.18))
    top = 0 if random.random() < 0.3 else height - high
    ground, ink = ("white", "black") if random.random() < 0.5 else ("black", "white")
    draw.rectangle((0, top, width, top + high), fill=ground)
    draw.text(
        (width * 0.05, top + high * 0.1), "Best wishes from here", fill=ink, font=ImageFont.load_default(high * 0.6)
    )
    return drawn


EDITS: dict[str, Edit] = {
    "rescaled": _rescale,
    "recompressed": _recompress,
    "cropped": _crop,
    "turned": _turn,
    "mirrored": _mirror,
    "toned": _tone,
    "grey": _grey,
    "text": _text,
}
"""The edits by name."""


def edit_twice(image: Image.Image, random: np.random.Generator) -> tuple[Image.Image, str]:
    """A picture with two different edits, and their names joined with `+`."""
    first, second = sorted(random.choice(len(EDITS), 2, replace=False).tolist())
    names = list(EDITS)[first], list(EDITS)[second]
    for name in names:
        image = EDITS[name](image, random)
    return image, "+".join(names)
