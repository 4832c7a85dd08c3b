"""Every sample layout of a TIFF is read as an independent writer has written it, or refused as unsupported."""

from __future__ import annotations

import io
import os
import struct
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike.images.decode import DecodedPicture, Limits, Unreadable, View, as_read, open_rgb
from lookalike.images.pool import DecoderPool
from tests import tiffs
from tests.badfiles import write
from tests.tiffs import Layout, write_pages, write_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def original(size: tuple[int, int] = (61, 47)) -> NDArray[np.uint8]:
    """A colour picture that uses all of its range, with edges in it: uint8 (h, w, 3)."""
    grey = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", [grey, grey.transpose(Image.Transpose.ROTATE_180), grey.point(lambda v: 255 - v // 2)])
    ImageDraw.Draw(image).ellipse((8, 5, 40, 30), fill=(250, 20, 90))
    return np.asarray(image).copy()


RGB = original()
GREY = RGB[:, :, 0]
EIGHT = {"u": np.uint8, "i": np.int8}


def grey_as_rgb(grey: NDArray[Any]) -> NDArray[np.uint8]:
    return np.dstack([grey] * 3).astype(np.uint8)


def read(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(open_rgb(io.BytesIO(data)).convert("RGB"))


def deepen(pixels: NDArray[np.uint8], type_: str) -> NDArray[Any]:
    """Eight bits in another type of sample, as programs store them."""
    kind, bits = type_[0], int(type_[1:]) * 8
    if kind == "f":
        return (pixels / 255).astype(type_)
    expanded = pixels.astype(np.float64) / 255 * ((1 << bits) - 1) if bits > 32 else None
    if bits <= 32:
        expanded = (pixels.astype(np.uint64) * (((1 << bits) - 1) // 255)).astype(np.int64)
        return (expanded - (1 << (bits - 1) if kind == "i" else 0)).astype(type_)
    assert expanded is not None
    return np.floor(expanded * (1 - 2**-52)).astype(type_) if kind == "u" else (pixels.astype(type_) << 55)


COMPRESSIONS = {"none": tiffs.NONE, "lzw": tiffs.LZW, "deflate": tiffs.DEFLATE, "packbits": tiffs.PACKBITS}
ARRANGEMENTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rows": 7},
    "tiles": {"tile": 16},
    "planes": {"planar": 2},
    "planes in strips": {"planar": 2, "rows": 10},
    "planes in tiles": {"planar": 2, "tile": 32},
    "big-endian": {"big_endian": True},
    "big-endian planes": {"big_endian": True, "planar": 2},
    "bits reversed": {"fill": 2},
    "BigTIFF": {"big_tiff": True, "rows": 9},
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("type_", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_samples_of_every_type_in_every_arrangement_are_read(type_: str, arrangement: str, compression: str) -> None:
    kind = {"u": tiffs.UNSIGNED, "i": tiffs.SIGNED, "f": tiffs.FLOAT}[type_[0]]
    layout = Layout(kind=kind, compression=COMPRESSIONS[compression], **ARRANGEMENTS[arrangement])
    assert np.abs(read(write_tiff(deepen(RGB, type_), layout)).astype(int) - RGB).max() <= (1 if type_ == "f2" else 0)
    grey = replace(layout, photometric=tiffs.BLACK_IS_ZERO, planar=1)
    got = read(write_tiff(deepen(GREY, type_), grey)).astype(int)
    assert np.abs(got - grey_as_rgb(GREY)).max() <= (1 if type_ == "f2" else 0)


@pytest.mark.parametrize("compression", ["lzw", "deflate"])
@pytest.mark.parametrize("arrangement", ["one strip", "tiles", "planes", "big-endian"])
@pytest.mark.parametrize(
    ("type_", "predictor"),
    [("u1", 2), ("u2", 2), ("u4", 2), ("u8", 2), ("i2", 2), ("f4", 2), ("f2", 3), ("f4", 3), ("f8", 3)],
)
def test_predictors_are_undone(type_: str, predictor: int, arrangement: str, compression: str) -> None:
    kind = {"u": tiffs.UNSIGNED, "i": tiffs.SIGNED, "f": tiffs.FLOAT}[type_[0]]
    layout = Layout(kind=kind, predictor=predictor, compression=COMPRESSIONS[compression], **ARRANGEMENTS[arrangement])
    assert np.abs(read(write_tiff(deepen(RGB, type_), layout)).astype(int) - RGB).max() <= (1 if type_ == "f2" else 0)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 20])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("planar", [1, 2])
def test_samples_of_every_number_of_bits_are_unpacked(bits: int, big_endian: bool, planar: int) -> None:
    full = (1 << bits) - 1
    deep = np.rint(RGB / 255 * full).astype(np.uint32)
    wanted = np.rint(deep / full * 255).astype(int)
    layout = Layout(bits=bits, big_endian=big_endian, planar=planar)
    assert np.abs(read(write_tiff(deep, layout)).astype(int) - wanted).max() <= 1
    grey = replace(layout, photometric=tiffs.BLACK_IS_ZERO, planar=1)
    assert np.abs(read(write_tiff(deep[:, :, 0], grey)).astype(int) - grey_as_rgb(wanted[:, :, 0])).max() <= 1
    white = replace(grey, photometric=tiffs.WHITE_IS_ZERO)
    assert np.abs(read(write_tiff(full - deep[:, :, 0], white)).astype(int) - grey_as_rgb(wanted[:, :, 0])).max() <= 1


@pytest.mark.parametrize("type_", ["u1", "u2", "u4", "i2", "f4"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_white_may_be_zero(type_: str, compression: str) -> None:
    kind = {"u": tiffs.UNSIGNED, "i": tiffs.SIGNED, "f": tiffs.FLOAT}[type_[0]]
    layout = Layout(tiffs.WHITE_IS_ZERO, kind=kind, compression=COMPRESSIONS[compression])
    assert (read(write_tiff(deepen((255 - GREY).astype(np.uint8), type_), layout)) == grey_as_rgb(GREY)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("scale", [257, 1])
def test_palettes_of_every_size_are_looked_up(bits: int, compression: str, scale: int) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (3, 1 << bits))
    indices = (GREY.astype(np.uint16) * 257 >> (16 - bits)).astype(np.uint16 if bits == 16 else np.uint8)
    tags = ((320, 3, tuple(int(value) * scale for value in colours.ravel())),)
    layout = Layout(tiffs.PALETTE, bits=bits, compression=COMPRESSIONS[compression], tags=tags)
    assert (read(write_tiff(indices, layout)) == colours.T[indices]).all()


@pytest.mark.parametrize("type_", ["u1", "u2", "f4"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_inks_become_colours(type_: str, planar: int, compression: str) -> None:
    inks = np.dstack([255 - RGB, np.zeros_like(GREY)])
    layout = Layout(
        tiffs.CMYK, tiffs.FLOAT if type_ == "f4" else 1, planar=planar, compression=COMPRESSIONS[compression]
    )
    assert np.abs(read(write_tiff(deepen(inks, type_), layout)).astype(int) - RGB).max() <= 1
    more = np.dstack([inks, GREY])
    assert np.abs(read(write_tiff(deepen(more, type_), replace(layout, extra=(0,)))).astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_colours_as_brightness_and_two_differences_are_converted_or_refused(compression: str) -> None:
    values = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    layout = Layout(tiffs.YCBCR, compression=COMPRESSIONS[compression], tags=((530, 3, (1, 1)),))
    assert np.abs(read(write_tiff(values, layout)).astype(int) - RGB).max() <= 3
    with pytest.raises(Unreadable, match=r"^unsupported"):
        read(write_tiff(values, replace(layout, tags=((530, 3, (2, 2)),))))


@pytest.mark.parametrize("type_", ["u1", "u2", "u4", "f4"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("colour", [False, True])
def test_alpha_of_every_kind_is_alpha_and_other_samples_are_not(type_: str, planar: int, colour: bool) -> None:
    pixels = RGB if colour else GREY
    alpha = np.full_like(GREY, 255)
    alpha[:, :20] = 0
    kind = tiffs.FLOAT if type_ == "f4" else tiffs.UNSIGNED
    layout = Layout(tiffs.RGB if colour else tiffs.BLACK_IS_ZERO, kind, planar=planar)
    wanted = pixels if colour else grey_as_rgb(pixels)
    for extra in (0, 1, 2):
        clear = pixels * (alpha > 0)[(...,) + (None,) * (pixels.ndim - 2)] if extra == 1 else pixels
        data = write_tiff(deepen(np.dstack([clear, alpha]), type_), replace(layout, extra=(extra,)))
        image = open_rgb(io.BytesIO(data))
        assert image.mode == ("RGBA" if extra else "RGB")
        assert (np.asarray(image)[:, 20:, :3] == wanted[:, 20:]).all()
        assert not extra or (np.asarray(image)[:, :, 3] == alpha).all()
    more = write_tiff(deepen(np.dstack([pixels, GREY, GREY]), type_), replace(layout, extra=(0, 0)))
    assert (read(more) == wanted).all()


@pytest.mark.parametrize(
    ("layout", "pixels", "reason"),
    [
        (Layout(tiffs.LAB), RGB, "unsupported mode LAB"),
        (Layout(tiffs.LAB, planar=2), RGB.astype(np.uint16), "unsupported mode LAB"),
        (Layout(32803), GREY.astype(np.uint16), "unsupported format (TIFF with photometric interpretation 32803)"),
        (
            Layout(kind=6),
            RGB.astype(np.uint64),
            "unsupported format (TIFF with samples that are not numbers of one kind)",
        ),
        (Layout(kind=3), RGB, "unsupported format (TIFF with floats of 8 bits)"),
        (
            Layout(bits=24, kind=3),
            RGB.astype(np.uint32),
            "unsupported format (TIFF with floats of 24 bits)",
        ),
        (
            Layout(tags=((258, 3, (5, 6, 5)),)),
            RGB,
            "unsupported format (TIFF with samples of different depths)",
        ),
        (Layout(tags=((259, 3, (34712,)),)), RGB, "unsupported format (TIFF with compression 34712)"),
        (Layout(tags=((259, 3, (7,)),)), RGB.astype(np.uint16), "unsupported format (TIFF with samples of 16 bits)"),
        (
            Layout(compression=tiffs.DEFLATE, tags=((317, 3, (34892,)),)),
            RGB.astype(np.uint16),
            "unsupported format (TIFF with predictor 34892 for samples of 16 bits)",
        ),
        (Layout(tiffs.RGB), RGB[:, :, :2].copy(), "unsupported format (TIFF with 2 samples a pixel)"),
    ],
    ids=str,
)
def test_other_layouts_are_refused_as_unsupported(layout: Layout, pixels: NDArray[Any], reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(write_tiff(pixels, layout))
    assert str(caught.value) == reason


def test_24_bits_are_in_the_order_of_the_file() -> None:
    deep = RGB.astype(np.uint32) * 65793
    for order, big_endian in (("<", False), (">", True)):
        octets = deep.astype(f"{order}u4").view(np.uint8).reshape(*deep.shape, 4)
        three = np.ascontiguousarray(octets[..., 1:] if big_endian else octets[..., :3]).reshape(47, -1)
        layout = Layout(big_endian=big_endian, rows=47, tags=((256, 4, (61,)), (258, 3, (24,) * 3), (277, 3, (3,))))
        assert (read(write_tiff(three, replace(layout, photometric=tiffs.RGB))) == RGB).all()


@pytest.mark.parametrize("factor", [1, 4, 16])
def test_eight_bits_made_sixteen_come_back_as_they_were_even_if_they_are_dark(factor: int) -> None:
    dark = RGB // factor
    assert (read(write_tiff(dark.astype(np.uint16) * 257, Layout())) == dark).all()
    shifted = read(write_tiff(dark.astype(np.uint16) << 8, Layout())).astype(int)
    assert np.abs(shifted - dark).max() <= 1


def test_the_tones_of_sixteen_bits_are_those_of_the_same_picture_in_eight() -> None:
    rng = np.random.default_rng(2)
    deep = (RGB.astype(np.int64) * 257 + rng.integers(-128, 129, RGB.shape)).clip(0, 65535).astype(np.uint16)
    assert np.abs(read(write_tiff(deep, Layout())).astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("type_", ["u2", "i2", "u4", "f4"])
def test_fewer_bits_in_deeper_samples_are_not_black(bits: int, type_: str) -> None:
    deep = np.rint(RGB / 255 * ((1 << bits) - 1)).astype(type_)
    kind = {"u": tiffs.UNSIGNED, "i": tiffs.SIGNED, "f": tiffs.FLOAT}[type_[0]]
    assert np.abs(read(write_tiff(deep, Layout(kind=kind))).astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("type_", ["u2", "i4", "f4", "f8"])
def test_one_hot_pixel_does_not_blacken_a_picture(type_: str) -> None:
    deep = np.rint(RGB / 255 * 4095).astype(type_)
    deep[3, 4] = 65000
    kind = {"u": tiffs.UNSIGNED, "i": tiffs.SIGNED, "f": tiffs.FLOAT}[type_[0]]
    got = read(write_tiff(deep, Layout(kind=kind))).astype(int)
    difference = np.abs(got - RGB)
    difference[3, 4] = 0
    assert difference.max() <= 1


@pytest.mark.parametrize("white", [1.0, 255.0, 4095.0, 65535.0])
def test_floats_have_the_tones_that_their_range_means(white: float) -> None:
    assert np.abs(read(write_tiff((RGB / 255 * white).astype("f4"), Layout(kind=3))).astype(int) - RGB).max() <= 1


def test_floats_on_either_side_of_zero_are_scaled_from_their_lowest_value() -> None:
    assert np.abs(read(write_tiff((RGB / 127.5 - 1).astype("f4"), Layout(kind=3))).astype(int) - RGB).max() <= 1


def test_a_picture_of_few_labels_is_not_black() -> None:
    labels = (GREY // 64).astype(np.uint16)
    got = read(write_tiff(labels, Layout(tiffs.BLACK_IS_ZERO)))[:, :, 0]
    assert {*np.unique(got)} == {0, 85, 170, 255}


def test_a_small_bright_drawing_on_black_is_kept() -> None:
    drawn = np.zeros((200, 200), np.uint16)
    drawn[3:5, 3:5] = 3000
    assert read(write_tiff(drawn, Layout(tiffs.BLACK_IS_ZERO)))[:, :, 0].max() > 150


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_upright(orientation: int) -> None:
    tags = ((274, 3, (orientation,)),)
    deep = open_rgb(io.BytesIO(write_tiff(RGB.astype(np.uint16) * 257, Layout(planar=2, tags=tags))))
    eight = open_rgb(io.BytesIO(write_tiff(RGB, Layout(tags=tags))))
    assert (np.asarray(deep) == np.asarray(eight)).all()


@pytest.mark.parametrize("type_", ["u2", "f4", "f8"])
@pytest.mark.parametrize("at_least", [1, 10, 17, 100])
def test_a_large_picture_is_made_smaller_while_it_is_read(type_: str, at_least: int) -> None:
    large = original((333, 217))
    kind = tiffs.FLOAT if type_[0] == "f" else tiffs.UNSIGNED
    deep = write_tiff(deepen(large, type_), Layout(kind=kind, tile=64))
    got = open_rgb(io.BytesIO(deep), at_least=at_least)
    wanted = open_rgb(io.BytesIO(write_tiff(large, Layout())), at_least=at_least)
    assert got.size == wanted.size
    assert np.abs(np.asarray(got).astype(int) - np.asarray(wanted)).max() <= 1


def test_pages_after_a_blank_one_may_have_layouts_of_their_own() -> None:
    blank = np.full((30, 40), 65535, np.uint16)
    pages: list[tuple[NDArray[Any], Layout]] = [
        (blank, Layout(tiffs.BLACK_IS_ZERO)),
        (RGB, Layout()),
        (255 - RGB, Layout()),
    ]
    assert (read(write_pages(pages)) == RGB).all()
    assert (read(write_pages([pages[0], (RGB.astype("f4") / 255, Layout(kind=3))])) == RGB).all()
    assert (read(write_pages([(RGB, Layout()), pages[0]])) == RGB).all()
    assert (read(write_pages([pages[0], (RGB, Layout(tiffs.LAB))])) == 255).all()


def test_a_picture_that_pillow_has_opened_is_read_as_its_file_is(tmp_path: Path) -> None:
    layouts = {"planar": Layout(planar=2), "float": Layout(kind=3), "grey": Layout(tiffs.BLACK_IS_ZERO)}
    for name, layout in layouts.items():
        deep = (RGB / 255).astype("f4") if layout.kind == 3 else RGB.astype(np.uint16) * 257
        data = write_tiff(deep if layout.photometric else deep[:, :, 0], layout)
        path = tmp_path / f"{name}.tif"
        path.write_bytes(data)
        try:
            opened = Image.open(path)
        except OSError:
            continue  # which Pillow opens none of: a query by path
        with opened:
            assert (np.asarray(as_read(opened).convert("RGB")) == read(data)).all()


def _patched(data: bytes, tag: int, value: int, count: int | None = None) -> bytes:
    """The file with another value, and perhaps another count, in the entry of a tag."""
    number = struct.unpack_from("<H", data, 8)[0]
    for at in range(10, 10 + 12 * number, 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            head = data[: at + 4] + struct.pack("<I", count or struct.unpack_from("<I", data, at + 4)[0])
            return head + struct.pack("<I", value) + data[at + 12 :]
    raise AssertionError(tag)


def _hostile() -> dict[str, bytes]:
    deep = write_tiff(RGB.astype(np.uint16), Layout(compression=tiffs.DEFLATE))
    single = write_tiff(RGB.astype(np.uint16), Layout())
    bomb = write_tiff(np.zeros((3000, 3000), np.uint16), Layout(tiffs.BLACK_IS_ZERO, compression=tiffs.DEFLATE))
    tiled = write_tiff(RGB.astype(np.uint16), Layout(tile=16))
    loop = struct.pack("<I", 8)
    end = 10 + 12 * struct.unpack_from("<H", single, 8)[0]
    return {
        "wide": _patched(deep, 256, 0x7FFFFFFF),
        "wide and high": _patched(_patched(deep, 256, 9000), 257, 11000),
        "samples": _patched(deep, 277, 60),
        "many samples": _patched(deep, 277, 65535),
        "one row a strip": _patched(_patched(deep, 278, 1), 257, 1_000_000),
        "no rows a strip": _patched(deep, 278, 0),
        "rows without end": _patched(deep, 278, 0xFFFFFFFF),
        "counts without end": _patched(deep, 258, 8, 0xFFFFFFFF),
        "offset behind the end": _patched(deep, 273, 0xFFFFFFF0),
        "bytes without end": _patched(deep, 279, 0xFFFFFFFF),
        "loop": single[:end] + loop + single[end + 4 :],
        "bomb": bomb,
        "huge tiles": _patched(_patched(tiled, 322, 0x7FFFFFFF), 323, 0x7FFFFFFF),
        "no tiles": _patched(tiled, 322, 0),
        "tiny tiles": _patched(_patched(_patched(_patched(tiled, 322, 1), 323, 1), 256, 10000), 257, 10000),
        "no width": _patched(deep, 256, 0),
        "4 bytes": single[:4],
        "directory behind the end": single[:4] + struct.pack("<I", 0xFFFFFFF0) + single[8:],
        "half": single[: len(single) // 2],
    }


@pytest.mark.parametrize("name", _hostile())
def test_a_hostile_tiff_costs_no_more_than_the_limits(name: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "hostile.tif")
    write(path, _hostile()[name])
    start = time.monotonic()
    with DecoderPool(View(32), workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert time.monotonic() - start < 10
    assert isinstance(outcome, DecodedPicture) == (name in {"rows without end", "loop", "bomb"}), outcome
    known = ("unsupported", "file is", "needs more memory", "not an image")
    assert isinstance(outcome, DecodedPicture) or outcome.startswith(known) or "MP, limit" in outcome


def test_every_cut_of_a_deep_tiff_is_noticed(tmp_path: Path) -> None:
    for layout in (Layout(), Layout(planar=2), Layout(tile=16), Layout(compression=tiffs.LZW, rows=5)):
        data = write_tiff(RGB.astype(np.uint16) * 257, layout)
        for cut in range(5, len(data) - 4, len(data) // 60):
            with pytest.raises(Unreadable, match=r"^(file is (truncated|damaged)|not an image)$"):
                open_rgb(io.BytesIO(data[:cut]))


@pytest.mark.parametrize("layout", [Layout(), Layout(planar=2, compression=tiffs.DEFLATE, rows=64)])
def test_a_hundred_megapixels_of_sixteen_bits_are_read_within_the_bounds(layout: Layout, tmp_path: Path) -> None:
    side = 10_000
    path = tmp_path / "large.tif"
    path.write_bytes(write_tiff(np.zeros((side, side, 3), np.uint16), layout))
    with DecoderPool(View(224), workers=1) as reader:
        ((_, outcome),) = reader.read([os.fsencode(path)])
    assert isinstance(outcome, DecodedPicture), outcome
    assert Limits().megapixels * 1e6 == side * side
