"""Every sample layout of BMPs and deep PNGs is read as it was written, or refused as unsupported."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike.images.decode import Unreadable, open_rgb
from tests.badfiles import chunk, png
from tests.images.test_tiff import GREY, RGB, grey_as_rgb, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEIGHT, WIDTH = GREY.shape
OPAQUE = np.full_like(GREY, 255)
BITFIELDS = 3


def padded(rows: Sequence[bytes]) -> bytes:
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def bmp(data: bytes, bits: int, *, compression: int = 0, size: int = 40, masks: bytes = b"", **more: Any) -> bytes:
    """A BMP whose rows are `data`. more: `palette`, bytes; `top_down`."""
    height, palette = -HEIGHT if more.get("top_down") else HEIGHT, more.get("palette", b"")
    head = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    if size != 12:
        head = struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, compression, len(data), 2835, 2835, 0, 0)
        head += masks.ljust(size - 40, b"\0")[: size - 40] if size > 40 else masks
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + bytes(palette) + data


def rows(pixels: NDArray[Any], *, top_down: bool = False) -> bytes:
    return padded([np.ascontiguousarray(row).tobytes() for row in (pixels if top_down else pixels[::-1])])


def in_fields(bits: int, masks: Sequence[int]) -> bytes:
    """The picture with red, green, blue and alpha in the bits of each mask."""
    values = np.zeros(GREY.shape, np.uint32)
    for channel, mask in zip(np.dstack([RGB, OPAQUE]).transpose(2, 0, 1), masks, strict=True):
        lowest = (mask & -mask).bit_length() - 1
        values |= np.rint(channel / 255 * (mask >> lowest)).astype(np.uint32) << lowest if mask else 0
    return rows(values.astype(f"<u{bits // 8}"))


def digits(indices: NDArray[Any], bits: int) -> bytes:
    lines = ["".join(f"{value:0{bits}b}" for value in row) for row in indices[::-1]]
    lines = [line + "0" * (-len(line) % 8) for line in lines]
    return padded([int(line, 2).to_bytes(len(line) // 8) for line in lines])


@pytest.mark.parametrize("top_down", [False, True])
def test_24_and_32_bits_are_read_in_either_direction(top_down: bool) -> None:
    blue_first = RGB[:, :, ::-1]
    for pixels in (blue_first, np.dstack([blue_first, 0 * OPAQUE]), np.dstack([blue_first, OPAQUE])):
        data = rows(pixels, top_down=top_down)
        assert (read(bmp(data, 8 * pixels.shape[2], top_down=top_down)) == RGB).all()
    assert (read(bmp(rows(blue_first), 24, size=12)) == RGB).all()


@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0x7C00, 0x3E0, 0x1F, 0)),
        (16, (0xF800, 0x7E0, 0x1F, 0)),
        (16, (0xF00, 0xF0, 0xF, 0xF000)),
        (16, (0x1F, 0x7E0, 0xF800, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0)),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    ],
    ids=str,
)
def test_colours_in_bit_fields_are_right_or_refused(bits: int, masks: Sequence[int], size: int) -> None:
    written = struct.pack("<IIII", *masks) if size >= 56 else struct.pack("<III", *masks[:3])
    data = bmp(in_fields(bits, masks), bits, compression=BITFIELDS, size=size, masks=written)
    try:
        got = read(data)
    except Unreadable as reason:
        assert str(reason).startswith("unsupported format")  # noqa: PT017  (either is right)
        return
    assert np.abs(got.astype(int) - RGB).max() <= (1 if bits == 32 else 9)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("kind", ["colours", "grey", "grey reversed"])
@pytest.mark.parametrize("size", [12, 40])
def test_palettes_are_looked_up(bits: int, kind: str, size: int) -> None:
    number = 1 << bits
    greys = np.repeat(np.arange(number)[:, None] * 255 // (number - 1), 3, axis=1)
    colours = {"grey": greys, "grey reversed": greys[::-1]}.get(
        kind, np.random.default_rng(3).integers(0, 256, (number, 3))
    )
    end = b"" if size == 12 else b"\0"
    palette = b"".join(bytes(colour[::-1].astype(np.uint8)) + end for colour in colours)
    indices = GREY >> (8 - bits)
    assert (read(bmp(digits(indices, bits), bits, size=size, palette=palette)) == colours[indices]).all()


@pytest.mark.parametrize(("bits", "compression"), [(64, 0), (2, 0), (0, 4), (0, 5), (24, 9)])
def test_other_bmps_are_refused_as_unsupported(bits: int, compression: int) -> None:
    with pytest.raises(Unreadable, match=r"^unsupported format \(a rare variant of it\)$"):
        read(bmp(rows(RGB), bits, compression=compression))


@pytest.mark.parametrize("divisor", [1, 4, 16, 64])
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_pngs_of_sixteen_bits_have_the_tones_of_eight_though_they_use_fewer(colour: int, divisor: int) -> None:
    pixels = {0: GREY[:, :, None], 2: RGB, 4: np.dstack([GREY, OPAQUE]), 6: np.dstack([RGB, OPAQUE])}[colour]
    deep = (pixels.astype(np.uint16) * 257 // divisor).astype(">u2")
    data = png(
        (WIDTH, HEIGHT), b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in deep), depth=16, colour=colour
    )
    wanted = RGB if colour in {2, 6} else grey_as_rgb(GREY)
    assert np.abs(read(data).astype(int) - wanted).max() <= 1


def test_the_transparent_colour_of_a_deep_png_is_transparent() -> None:
    deep = (RGB.astype(np.uint16) * 257).astype(">u2")
    key = struct.pack(">HHH", *(int(value) * 257 for value in RGB[10, 20]))
    body = b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in deep)
    data = png((WIDTH, HEIGHT), body, depth=16, colour=2, extra=chunk(b"tRNS", key))
    alpha = np.asarray(open_rgb(io.BytesIO(data)))[:, :, 3]
    assert ((alpha == 0) == (RGB[10, 20] == RGB).all(2)).all()
