"""AVIF, HEIC, JPEG XL, PPM and its relatives, and the previews in RAW files."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike.images import jxl
from lookalike.images.decode import FORMATS, DecodedPicture, Limits, Unreadable, View, decode, open_rgb
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import walk
from tests.badfiles import encoded, exif_block, picture, write

if TYPE_CHECKING:
    from pathlib import Path

VIEW = View(32)
NEEDS_JXL = pytest.mark.skipif("JXL" not in FORMATS, reason="needs the extra `jxl`")
LOSSLESS: dict[str, dict[str, Any]] = {"AVIF": {"quality": 100}, "HEIF": {"quality": -1}, "PPM": {}}
NEW = [*LOSSLESS, pytest.param("JXL", marks=NEEDS_JXL)]


def data_of(format_: str, image: Image.Image) -> bytes:
    return encoded(image, format_, **LOSSLESS.get(format_, {"lossless": True}))


@pytest.mark.parametrize("format_", NEW)
def test_the_new_formats_are_read_in_the_bounded_worker(format_: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "picture.bin")
    image = picture(size=(24, 18)).resize((120, 90), Image.Resampling.BICUBIC)  # colours are stored at half the size
    write(path, data_of(format_, image))
    with DecoderPool(VIEW, workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert isinstance(outcome, DecodedPicture), outcome
    assert (outcome.width, outcome.height, outcome.format) == (120, 90, format_)
    with open(path, "rb") as file:
        assert np.abs(np.asarray(open_rgb(file)).astype(int) - np.asarray(image)).mean() < 4


@pytest.mark.parametrize("format_", NEW)
def test_the_size_is_limited_before_anything_is_decoded(format_: str) -> None:
    data = data_of(format_, Image.new("RGB", (1000, 500)))
    with pytest.raises(Unreadable, match=r"^0\.5 MP, limit 0\.4 MP, raise with --max-megapixels$"):
        open_rgb(io.BytesIO(data), Limits(megapixels=0.4))


@pytest.mark.parametrize("format_", NEW)
def test_half_a_file_is_not_a_picture(format_: str) -> None:
    data = data_of(format_, picture(size=(200, 150)))
    for share in (0.3, 0.5, 0.9):
        with pytest.raises(Unreadable, match=r"^(file is (truncated|damaged)|not an image)$"):
            open_rgb(io.BytesIO(data[: int(len(data) * share)]))


def test_the_extensions_of_the_new_formats_are_found(tmp_path: Path) -> None:
    names = [
        "a.avif",
        "a.HIF",
        "a.heic",
        "a.pgm",
        "a.ppm",
        "a.pnm",
        "a.jxl",
        "a.mpo",
        "a.dng",
        "a.NEF",
        "a.cr2",
        "a.cr3",
    ]
    names += ["a.arw", "a.raf", "a.rw2", "a.mov", "a.txt"]
    for name in names:
        (tmp_path / name).touch()
    found = {os.path.basename(entry.path).decode() for entry in walk(os.fsencode(tmp_path))}
    assert found == {*names} - {"a.mov", "a.txt"}


@pytest.mark.parametrize(
    ("data", "grey"),
    [
        (b"P1 2 2\n1 0\n0 1\n", [0, 255, 255, 0]),
        (b"P2 2 2 15\n0 5\n10 15\n", [0, 85, 170, 255]),
        (b"P4 8 1\n\xf0", [0, 0, 0, 0, 255, 255, 255, 255]),
        (b"P5 2 2 255\n\x00\x55\xaa\xff", [0, 85, 170, 255]),
        (b"P5 2 2 4095\n" + struct.pack(">4H", 0, 1365, 2730, 4095), [0, 85, 170, 255]),
        (b"P5 2 2 65535\n" + struct.pack(">4H", 0, 0x5555, 0xAAAA, 65535), [0, 85, 170, 255]),
        (b"Pf 2 2 -1.0\n" + struct.pack("<4f", 2 / 3, 1, 0, 1 / 3), [0, 85, 170, 255]),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_portable_maps_of_every_depth_are_read(data: bytes, grey: list[int]) -> None:
    assert list(open_rgb(io.BytesIO(data)).convert("L").tobytes()) == pytest.approx(grey, abs=1)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", "PAM"),
        (b"PF 1 1 -1.0\n" + bytes(12), "PFM in colour"),
        (b"\0\0\0\x18ftypqt  " + bytes(40), "video"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(200), "RAW without an embedded JPEG"),
        (b"\0\0\0\x18ftypcrx " + bytes(200), "RAW without an embedded JPEG"),
    ],
)
def test_relatives_that_are_not_read_are_named(data: bytes, name: str) -> None:
    with pytest.raises(Unreadable) as caught:
        open_rgb(io.BytesIO(data))
    assert str(caught.value) == f"unsupported format ({name})"


@NEEDS_JXL
@pytest.mark.parametrize("size", [(8, 8), (256, 256), (61, 47), (160, 90), (3000, 17), (40, 30), (1, 9000)])
def test_the_size_of_a_jpeg_xl_is_in_its_header(size: tuple[int, int]) -> None:
    bare = encoded(Image.new("RGB", size), "JXL", lossless=True)
    assert jxl.count_pixels(io.BytesIO(bare)) == size[0] * size[1]
    boxed = encoded(Image.new("RGB", size), "JXL", lossless=True, exif=b"Exif\0\0" + exif_block({}), use_container=True)
    assert jxl.count_pixels(io.BytesIO(boxed)) == size[0] * size[1]


SMALL, LARGE = (encoded(picture(seed, size), "JPEG") for seed, size in ((1, (80, 60)), (2, (320, 240))))


def raw_file(*, magic: bytes = b"*\0", tags: dict[int, tuple[int, int]], jpegs: bool = True) -> bytes:
    """A RAW file built on TIFF: a main directory, one below it for the raw samples, one with the large preview."""
    start, length = 8, 2 + 12 * 7 + 4
    places = [start, start + length, start + 2 * length]
    end = places[-1] + length
    where = {SMALL: end + 8, LARGE: end + 8 + len(SMALL)}
    main = {254: (4, 1), 271: (2, 0x58), **tags, 330: (4, end)}
    if jpegs:
        main |= {513: (4, where[SMALL]), 514: (4, len(SMALL))}
    sensor = {256: (4, 9000), 257: (4, 6000), 259: (3, 1), 262: (3, 32803), 273: (4, 20), 279: (4, 20)}
    large = {259: (3, 7), 273: (4, where[LARGE]), 279: (4, len(LARGE))} if jpegs else {}
    blocks = b""
    for directory in (main, sensor, large):
        entries = b""
        for tag, (kind, value) in sorted(directory.items()):
            count = 2 if tag == 330 else 1
            entries += struct.pack("<HHII", tag, kind, count, value)
        blocks += (struct.pack("<H", len(directory)) + entries + bytes(4)).ljust(length, b"\0")
    return b"II" + magic + struct.pack("<I", 8) + blocks + struct.pack("<II", *places[1:]) + SMALL + LARGE


def fujifilm() -> bytes:
    return b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 120, len(LARGE)).ljust(36, b"\0") + LARGE


def canon_boxes() -> bytes:
    preview = struct.pack(">I4sIHHHHI", len(LARGE) + 24, b"PRVW", 0, 1, 320, 240, 1, len(LARGE)) + LARGE
    inside = bytes(16) + bytes(8) + preview
    return (
        struct.pack(">I8s", 24, b"ftypcrx ").ljust(24, b"\0") + struct.pack(">I4s", 8 + len(inside), b"uuid") + inside
    )


RAWS = {
    "colour filters": raw_file(tags={}),
    "DNG": raw_file(tags={50706: (1, 4)}),
    "Panasonic": raw_file(magic=b"U\0", tags={}),
    "Fujifilm": fujifilm(),
    "CR3": canon_boxes(),
}


@pytest.mark.parametrize("name", RAWS)
def test_a_raw_file_is_seen_by_its_largest_preview(name: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "photo.raw")
    write(path, RAWS[name])
    with DecoderPool(VIEW, workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert isinstance(outcome, DecodedPicture), outcome
    assert (outcome.width, outcome.height, outcome.format) == (320, 240, "RAW")
    write(path, LARGE)
    assert decode(path, VIEW).pixels == outcome.pixels


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_preview_is_turned_as_its_raw_file_says(orientation: int) -> None:
    image = open_rgb(io.BytesIO(raw_file(tags={274: (3, orientation)})))
    assert image.size == ((240, 320) if orientation in {6, 8} else (320, 240))


def test_a_raw_file_without_a_preview_is_unsupported() -> None:
    with pytest.raises(Unreadable, match=r"^unsupported format "):
        open_rgb(io.BytesIO(raw_file(magic=b"RO", tags={}, jpegs=False)))


def test_a_raw_file_of_lies_costs_nothing(tmp_path: Path) -> None:
    """Offsets, lengths and directories that lead anywhere, also back to themselves."""
    path = os.fsencode(tmp_path / "lies.nef")
    data, rng = RAWS["DNG"], np.random.default_rng(4)
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.integers(4, 320, 3):
            changed[place] = int(rng.choice([0, 1, 8, 255, int(rng.integers(256))]))
        write(path, bytes(changed))
        start = time.process_time()
        try:
            decode(path, VIEW)
        except Unreadable as reason:
            assert str(reason).startswith(("unsupported", "file is", "not an", "needs more"))  # noqa: PT017
        assert time.process_time() - start < 2


def test_without_its_decoder_a_heic_is_skipped_and_the_package_that_reads_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "phone.heic"
    write(os.fsencode(path), encoded(picture(), "HEIF"))
    code = """if True:
        import os, sys
        sys.modules["pillow_heif"] = None
        from lookalike.images.decode import FORMATS, Unreadable, View, decode
        from lookalike.images.unreadable import needs_known_decoder
        try:
            decode(os.fsencode(sys.argv[1]), View())
        except Unreadable as reason:
            print(reason, "HEIF" in FORMATS, needs_known_decoder(str(reason), ["HEIF"]))
    """
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "unsupported format (HEIC: install lookalike[heic]) False True\n"
