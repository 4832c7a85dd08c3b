from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from lookalike import Gallery, IndexOptions
from tests.scenery import draw_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def with_text(image: Image.Image) -> Image.Image:
    drawn = image.copy()
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((0, round(image.height * 0.86), *image.size), fill="white")
    draw.text((10, round(image.height * 0.88)), "Best wishes", fill="black")
    return drawn


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rescaled": lambda image: image.resize((image.width // 4, image.height // 4), Image.Resampling.LANCZOS),
    "recompressed": lambda image: image,
    "cropped": lambda image: crop(image, 0.1, 0.15, 0.9, 0.95),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "toned": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "text": with_text,
    "turned and toned": lambda image: ImageEnhance.Contrast(image.transpose(Image.Transpose.ROTATE_180)).enhance(0.8),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine scenes with a copy each, by one edit; one more with a file of the same content; five that are alone."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(len(EDITS) + 6):
        draw_scene(seed, (320, 240)).save(folder / f"scene-{seed:02}.jpg", quality=92)
    for seed, (name, edit) in enumerate(EDITS.items()):
        edit(draw_scene(seed, (320, 240))).save(folder / f"{name.replace(' ', '-')}.jpg", quality=60)
    shutil.copy(folder / "scene-09.jpg", folder / "again.jpg")
    return folder


@pytest.fixture
def gallery(photos: Path) -> Iterator[Gallery]:
    with Gallery.open(photos, encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        yield gallery
