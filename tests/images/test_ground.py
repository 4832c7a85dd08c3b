"""Transparent pictures are laid on a ground from which they differ; blank frames are passed over."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike.images.decode import Unreadable, View, as_read, fit, open_rgb
from lookalike.images.ground import choose_ground
from tests.badfiles import encoded, picture

if TYPE_CHECKING:
    from collections.abc import Callable

VIEW = View(64)
WHITE, GREY, BLACK = 255, 128, 0


def star(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.polygon([(150, 20), (190, 120), (290, 120), (210, 180), (240, 280), (60, 280), (10, 120)], fill=colour)


def ring(draw: ImageDraw.ImageDraw, colour: str) -> None:
    draw.ellipse((40, 40, 260, 260), outline=colour, width=6)


def bars(draw: ImageDraw.ImageDraw, colour: str) -> None:
    for left in range(30, 250, 60):
        draw.rectangle((left, 40, left + 30, 260), fill=colour)


DRAWINGS = [star, ring, bars]


def drawn(shape: Callable[[ImageDraw.ImageDraw, str], None], colour: str) -> Image.Image:
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    shape(ImageDraw.Draw(image), colour)
    return image


def seen(data: bytes) -> np.ndarray:
    return np.asarray(fit(open_rgb(io.BytesIO(data), at_least=VIEW.short_side), VIEW)).astype(int)


@pytest.mark.parametrize(
    ("colour", "ground"),
    [
        ("white", BLACK),
        ("#f8f8f0", BLACK),
        ("#ffffe0", BLACK),
        ("#cccccc", BLACK),
        ("black", WHITE),
        ("navy", WHITE),
        ("red", WHITE),
        ("gray", WHITE),
    ],
)
@pytest.mark.parametrize("shape", DRAWINGS)
def test_the_ground_differs_from_the_drawing(
    shape: Callable[[ImageDraw.ImageDraw, str], None], colour: str, ground: int
) -> None:
    assert choose_ground(drawn(shape, colour)) == ground
    pixels = seen(encoded(drawn(shape, colour), "PNG"))
    assert pixels.max() - pixels.min() > 60


@pytest.mark.parametrize("colour", ["white", "black", "#eeeeee", "#111111", "#808080", "yellow"])
@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "GIF"])
def test_drawings_of_one_colour_are_different_pictures(colour: str, format_: str) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    pictures = [seen(encoded(drawn(shape, colour), format_, **options)) for shape in DRAWINGS]
    for number, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 5 for other in pictures[:number])


def test_light_and_dark_drawings_together_are_laid_on_grey() -> None:
    image = drawn(bars, "white")
    ImageDraw.Draw(image).ellipse((0, 0, 299, 299), outline="black", width=3)
    for left in range(60, 250, 60):
        ImageDraw.Draw(image).rectangle((left + 5, 60, left + 20, 240), fill="black")
    assert choose_ground(image) == GREY


def test_a_cut_out_photograph_stays_on_white() -> None:
    image = picture(size=(200, 200)).convert("RGBA")
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((20, 20, 180, 180), fill=255)
    image.putalpha(mask)
    assert choose_ground(image) == WHITE


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_alpha_that_is_zero_everywhere_is_no_alpha(format_: str) -> None:
    image = picture(size=(90, 90))
    clear = image.convert("RGBA")
    clear.putalpha(0)
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    data = encoded(clear, format_, **options)
    assert np.abs(seen(data) - seen(encoded(image, "PNG"))).max() <= 1
    assert np.abs(np.asarray(fit(as_read(clear), VIEW)).astype(int) - seen(data)).max() <= 1
    grey = Image.merge("LA", [image.convert("L"), Image.new("L", image.size)])
    assert np.abs(seen(encoded(grey, "PNG")) - seen(encoded(image.convert("L"), "PNG"))).max() <= 1


def test_a_query_in_memory_is_laid_on_the_same_ground_as_its_file() -> None:
    for shape in DRAWINGS:
        image = drawn(shape, "white")
        for query in (as_read(image), Image.fromarray(np.asarray(image))):
            full = View(64, detail=8)
            from_file = fit(open_rgb(io.BytesIO(encoded(image, "PNG"))), full)
            assert (np.asarray(fit(query, full)) == np.asarray(from_file)).all()


ANIMATED = [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 95})]


def film(blanks: list[Image.Image], format_: str, **options: object) -> bytes:
    content = picture(3, (96, 96)).resize((96, 96))
    frames = [*blanks, content, Image.new("RGB", content.size, "red")]
    if format_ != "TIFF":
        options = {"duration": 100, **options}
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize(("format_", "options"), ANIMATED)
@pytest.mark.parametrize("colours", [["white"], ["black", "#050505"], ["#202020", "white", "black"]])
def test_the_first_frame_that_shows_something_is_seen(
    format_: str, options: dict[str, object], colours: list[str]
) -> None:
    data = film([Image.new("RGB", (96, 96), colour) for colour in colours], format_, **options)
    wanted = np.asarray(fit(picture(3, (96, 96)), VIEW)).astype(int)
    assert np.abs(seen(data) - wanted).mean() < 20
    with Image.open(io.BytesIO(data)) as opened:
        assert np.abs(np.asarray(fit(as_read(opened), VIEW)).astype(int) - seen(data)).max() <= 2


@pytest.mark.parametrize(("format_", "options"), ANIMATED)
def test_a_first_frame_that_shows_something_stays_the_one_that_is_seen(
    format_: str, options: dict[str, object]
) -> None:
    first = Image.linear_gradient("L").resize((96, 96)).convert("RGB")
    wanted = np.asarray(fit(first, VIEW)).astype(int)
    assert np.abs(seen(film([first], format_, **options)) - wanted).mean() < 6


def test_of_blank_frames_only_sixteen_are_looked_at() -> None:
    blanks = [Image.new("RGB", (96, 96), (number, 0, 0)) for number in range(16)]
    assert np.abs(seen(film(blanks, "GIF")) - seen(encoded(blanks[0], "PNG"))).max() <= 2
    assert seen(film(blanks[:15], "GIF")).std() > 20


def test_a_frame_chosen_by_the_caller_is_the_one_that_is_searched_for() -> None:
    data = film([Image.new("RGB", (96, 96), "white")], "GIF")
    with Image.open(io.BytesIO(data)) as opened:
        opened.seek(2)
        assert (np.asarray(fit(as_read(opened), VIEW)) == (255, 0, 0)).mean() > 0.99


def test_an_animation_that_is_cut_short_behind_a_blank_frame_is_not_taken_for_a_blank_picture() -> None:
    data = film([Image.new("RGB", (96, 96), "white")], "GIF")
    with pytest.raises(Unreadable, match=r"^file is truncated$"):
        seen(data[: len(data) // 3])
