"""Drawn scenes for tests of copies: no two alike, with large shapes, small ones and a grain, as photographs have."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_scene(seed: int, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """A scene of a sky, a ground, hills and things on them; the same for the same seed and size."""
    random = np.random.default_rng([seed, 15])
    width, height = size
    scene = Image.new("RGB", (512, 384))
    draw = ImageDraw.Draw(scene)
    horizon = int(random.integers(120, 260))
    draw.rectangle((0, 0, 512, horizon), fill=_colour(random, 90, 250))
    draw.rectangle((0, horizon, 512, 384), fill=_colour(random, 20, 160))
    for _ in range(int(random.integers(3, 7))):
        x, y, wide, high = (int(value) for value in random.integers((0, 40, 60, 40), (512, 300, 260, 160)))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x - wide // 2, y - high // 2, x + wide // 2, y + high // 2), fill=_colour(random, 0, 255))
    for _ in range(60):
        x, y, side = (int(value) for value in random.integers((0, 0, 4), (512, 384, 36)))
        draw.polygon([(x, y), (x + side, y + side // 3), (x + side // 4, y + side)], fill=_colour(random, 0, 255))
    soft = np.asarray(scene.filter(ImageFilter.GaussianBlur(1.5)), np.float32)
    grain = random.normal(0, 6, (*soft.shape[:2], 1))
    pixels = np.clip(soft + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue
