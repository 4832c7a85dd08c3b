"""What a picture hides when it is decoded makes a difference: fine details, later frames, but not metadata."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lookalike import Gallery, IndexOptions
from lookalike.images.decode import View, as_read, decode
from lookalike.images.whole import CELLS, digest_jpeg
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIEW = View(32)
FILMS: list[tuple[str, dict[str, Any]]] = [
    ("GIF", {"duration": 100}),
    ("PNG", {"duration": 100}),
    ("WEBP", {"duration": 100, "lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
]


def save(path: Path, *frames: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    more = {"save_all": True, "append_images": frames[1:]} if len(frames) > 1 else {}
    frames[0].save(path, format_, **more, **options)
    return bytes(str(path), "utf-8")


def whole(path: bytes) -> bytes:
    return decode(path, VIEW).whole


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as opened:
        yield opened


@pytest.mark.parametrize(("format_", "options"), FILMS)
def test_films_that_begin_alike_are_different_pictures(
    gallery: Gallery, tmp_path: Path, format_: str, options: dict[str, Any]
) -> None:
    (tmp_path / "films").mkdir()
    title = make_picture(0)
    for number in range(1, 4):
        frames = [title, *(make_picture(10 * number + each) for each in range(3))]
        save(tmp_path / "films" / f"{number}.film", *frames, format_=format_, **options)
    for path in (tmp_path / "films").iterdir():
        path.rename(path.with_suffix(f".{format_.lower()}"))
    assert gallery.index(tmp_path / "films", options=IndexOptions(workers=1)).added == 3
    for each in gallery.neighbours(2):
        assert all(hit.distance > 0.005 for hit in each.hits)
    outside = save(tmp_path / "query", title, *(make_picture(10 + n) for n in range(3)), format_=format_, **options)
    nearest, second, *_ = gallery.search(outside)
    assert nearest.distance == 0.0
    assert second.distance > 0.005
    with Image.open(outside.decode()) as opened:
        assert gallery.search(opened)[0].distance == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("format_", "options"), FILMS)
def test_films_that_differ_behind_all_frames_that_are_looked_at_are_not_the_same(
    tmp_path: Path, format_: str, options: dict[str, Any]
) -> None:
    common = [make_picture(number) for number in range(17)]
    one, other = (
        save(tmp_path / str(last), *common, make_picture(last), format_=format_, **options) for last in (50, 51)
    )
    assert whole(one)[:CELLS] == whole(other)[:CELLS]
    assert whole(one) != whole(other)


def test_a_damaged_later_frame_leaves_the_first_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    save(path, *(make_picture(number) for number in range(4)), format_="GIF")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert decode(bytes(path), VIEW).whole


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "WEBP"])
def test_one_changed_pixel_of_a_large_picture_makes_another_picture(tmp_path: Path, format_: str) -> None:
    large = make_picture(1).resize((900, 700), Image.Resampling.BICUBIC)
    options = {"lossless": True} if format_ == "WEBP" else {}
    before = whole(save(tmp_path / "one", large, format_=format_, **options))
    red, green, blue = large.getpixel((450, 350))  # type: ignore[misc]
    large.putpixel((450, 350), (red ^ 1, green, blue))
    after = whole(save(tmp_path / "two", large, format_=format_, **options))
    assert before[:CELLS] == after[:CELLS]
    assert before != after


def test_the_same_large_picture_in_two_lossless_formats_is_the_same(tmp_path: Path) -> None:
    large = make_picture(1).resize((900, 700))
    one, other = (whole(save(tmp_path / format_, large, format_=format_)) for format_ in ("PNG", "BMP"))
    assert one == other


def test_details_that_a_reduced_jpeg_hides_count_and_its_metadata_do_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1600, 1600, 3), np.uint8)
    large = Image.fromarray(noise)
    plain = whole(save(tmp_path / "plain", large, format_="JPEG"))
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    assert whole(save(tmp_path / "described", large, format_="JPEG", exif=exif, comment=b"\xff\xd9 a")) == plain
    noise[800, 800] ^= 64
    assert whole(save(tmp_path / "other", Image.fromarray(noise), format_="JPEG")) != plain


def test_the_text_in_a_png_is_not_taken_for_what_is_hidden(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    for name in ("hidden", "frames", "original_size", "has_more"):
        texts.add_text(name, "anything")
    plain = whole(save(tmp_path / "plain", make_picture(2)))
    assert whole(save(tmp_path / "texts", make_picture(2), pnginfo=texts)) == plain
    with Image.open(tmp_path / "texts") as opened:
        opened.load()
        assert set(as_read(opened).info) <= {"original_size", "original_format", "hidden", "frames"}


def test_no_cut_of_a_jpeg_keeps_its_digest_from_being_made(tmp_path: Path) -> None:
    memory = io.BytesIO()
    make_picture(4).save(memory, "JPEG")
    rng = random.Random(4)
    for _ in range(200):
        data = bytearray(memory.getvalue()[: rng.randrange(len(memory.getvalue()))])
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256) if data else 0
        assert len(digest_jpeg(io.BytesIO(bytes(data)))) == 32
