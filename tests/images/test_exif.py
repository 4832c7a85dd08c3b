"""When and with which camera a picture was taken, from EXIF blocks that are built byte by byte."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from PIL import Image, TiffImagePlugin

from lookalike.images.decode import DecodedPicture, View, decode, open_rgb
from lookalike.images.exif import Capture, camera_name, parse_camera, parse_taken_at
from lookalike.images.pool import DecoderPool
from tests import badfiles
from tests.badfiles import (
    ASCII,
    CHANGED,
    DIGITIZED,
    EXIF_IFD,
    HOSTILE_EXIF,
    LONG,
    MAKE,
    MODEL,
    OFFSET_CHANGED,
    OFFSET_DIGITIZED,
    OFFSET_ORIGINAL,
    ORIGINAL,
    Value,
    encoded,
    exif_block,
    picture,
    turned,
)

if TYPE_CHECKING:
    from pathlib import Path

VIEW = View(32)
TEXT = b"2021:05:17 10:11:12\0"
TIME = datetime(2021, 5, 17, 10, 11, 12)  # noqa: DTZ001
OTHER = b"1999:12:31 23:59:59\0"
OTHER_TIME = datetime(1999, 12, 31, 23, 59, 59)  # noqa: DTZ001


def capture(data: bytes, folder: Path) -> Capture:
    """What the decoder says of a file with these bytes."""
    path = folder / "picture"
    path.write_bytes(data)
    decoded = decode(os.fsencode(path), VIEW)
    return Capture(decoded.taken_at, decoded.camera)


def jpeg(block: bytes) -> bytes:
    return encoded(picture(), "JPEG", exif=b"Exif\0\0" + block)


def tiff(main: dict[int, Value], detail: dict[int, Value], *, order: str, big: bool) -> bytes:
    """A TIFF of one grey pixel whose own directory is built by hand."""
    room = 8 if big else 4

    def short(value: int) -> Value:
        return (3, 1, struct.pack(f"{order}H", value).ljust(room, b"\0"))

    strip: Value = (LONG, 1, struct.pack(f"{order}I", 16 if big else 8).ljust(room, b"\0"))
    layout = {0x0100: 1, 0x0101: 1, 0x0102: 8, 0x0103: 1, 0x0106: 1, 0x0115: 1, 0x0116: 1, 0x0117: 1}
    entries: dict[int, Value] = {tag: short(value) for tag, value in layout.items()}
    return exif_block(dict(sorted({**entries, 0x0111: strip, **main}.items())), detail, order=order, big=big)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_the_time_and_the_camera_are_read_from_every_format_that_holds_them(
    format_: str, order: str, tmp_path: Path
) -> None:
    block = exif_block({MAKE: b"Canon\0", MODEL: b"Canon EOS 80D\0"}, {ORIGINAL: TEXT}, order=order)
    data = encoded(picture(), format_, exif=block if format_ != "JPEG" else b"Exif\0\0" + block)
    assert capture(data, tmp_path) == (TIME, "Canon EOS 80D")


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])  # Pillow knows no fourth
def test_a_tiff_is_its_own_block(order: str, big: bool, tmp_path: Path) -> None:
    data = tiff({MAKE: b"Hasselblad\0", MODEL: b"X2D\0"}, {ORIGINAL: TEXT}, order=order, big=big)
    assert capture(data, tmp_path) == (TIME, "Hasselblad X2D")


def test_a_tiff_that_pillow_wrote_is_read(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[CHANGED], tags[MAKE], tags[MODEL] = TEXT[:-1].decode(), "Leica", "Q3"
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
        data = encoded(picture(), "TIFF", tiffinfo=tags, compression=compression)
        assert capture(data, tmp_path) == (TIME, "Leica Q3")


def test_a_heic_is_read(tmp_path: Path) -> None:
    block = exif_block({MAKE: b"Apple\0", MODEL: b"iPhone 15\0"}, {ORIGINAL: TEXT, OFFSET_ORIGINAL: b"+02:00\0"})
    taken_at, camera = capture(encoded(picture(), "HEIF", exif=b"Exif\0\0" + block), tmp_path)
    assert taken_at == TIME.replace(tzinfo=timezone(timedelta(hours=2)))
    assert camera == "Apple iPhone 15"


def test_a_png_whose_block_is_hexadecimal_text_or_comes_last_is_read(tmp_path: Path) -> None:
    block = exif_block({CHANGED: TEXT})
    text = f"\nexif\n{len(block) + 6:8}\n" + (b"Exif\0\0" + block).hex()
    extra = badfiles.chunk(b"tEXt", b"Raw profile type exif\0" + text.encode())
    rows = (b"\0" + b"abc" * 4) * 4
    assert capture(badfiles.png((4, 4), rows, extra=extra), tmp_path).taken_at == TIME
    plain, end = badfiles.png((4, 4), rows), badfiles.chunk(b"IEND", b"")
    last = plain.removesuffix(end) + badfiles.chunk(b"eXIf", block) + end
    assert capture(last, tmp_path).taken_at == TIME


def test_a_picture_without_a_block_has_neither(tmp_path: Path) -> None:
    for format_ in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        assert capture(encoded(picture(), format_), tmp_path) == (None, None)


ZEROS, BLANKS = b"0000:00:00 00:00:00\0", b"    :  :     :  :  \0"


@pytest.mark.parametrize(
    ("main", "detail", "wanted"),
    [
        ({CHANGED: OTHER}, {ORIGINAL: TEXT, DIGITIZED: OTHER}, TIME),
        ({CHANGED: OTHER}, {DIGITIZED: TEXT}, TIME),
        ({CHANGED: TEXT}, {}, TIME),
        ({CHANGED: TEXT}, None, TIME),
        ({CHANGED: OTHER}, {ORIGINAL: ZEROS, DIGITIZED: TEXT}, TIME),
        ({CHANGED: TEXT}, {ORIGINAL: BLANKS, DIGITIZED: ZEROS}, TIME),
        ({CHANGED: TEXT}, {ORIGINAL: (LONG, 20, b"\0\0\0\x08")}, TIME),
        ({CHANGED: ZEROS}, {ORIGINAL: b"\0" * 20}, None),
        ({ORIGINAL: TEXT}, {CHANGED: TEXT}, None),  # each in the other's directory
        ({CHANGED: TEXT, EXIF_IFD: (LONG, 1, b"\xff\xff\xff\xff")}, None, TIME),
    ],
)
def test_the_first_valid_one_of_taken_digitised_and_changed_counts(
    main: dict[int, Value], detail: dict[int, Value] | None, wanted: datetime | None, tmp_path: Path
) -> None:
    assert capture(jpeg(exif_block(main, detail)), tmp_path).taken_at == wanted


@pytest.mark.parametrize(
    "text",
    [
        ZEROS,
        BLANKS,
        b"                   \0",
        b"\0" * 20,
        b"2021-05-17 10:11:12\0",
        b"2021:05:17T10:11:12\0",
        b"2021:05:17\0",
        b"2021:5:17 10:11:12\0",
        b"2021:13:17 10:11:12\0",
        b"2021:02:30 10:11:12\0",
        b"2021:05:17 24:00:00\0",
        b"2021:05:17 10:61:12\0",
        b"2021:05:17 10:11:60\0",
        b"1825:05:17 10:11:12\0",
        b"9999:12:31 23:59:59\0",
        b"+021:05:17 10:11:12\0",
        b" 021:05:17 10:11:12\0",
        b"2021:05:17 10:11:12.5\0",
        b"2021:05:17 10:11:12 and more\0",
        "\u0662\u0660\u0662\u0661:05:17 10:11:12\0".encode(),
        b"2021:05:17 10:11:12" + b" " * 300,
        b"\x1b[2021:05:17 10:11:12\0",
        b"-\n",
    ],
)
def test_what_is_not_exactly_a_date_is_not_one(text: bytes, tmp_path: Path) -> None:
    assert capture(jpeg(exif_block({MODEL: b"X100\0"}, {ORIGINAL: text})), tmp_path) == (None, "X100")


@pytest.mark.parametrize(
    "text", [TEXT, TEXT[:-1], TEXT + b"\0" * 12, TEXT[:-1] + b"    ", TEXT + b"left over from before"]
)
def test_a_date_may_lack_its_nul_or_be_padded(text: bytes, tmp_path: Path) -> None:
    assert capture(jpeg(exif_block({}, {ORIGINAL: text})), tmp_path).taken_at == TIME


@pytest.mark.parametrize(("year", "is_one"), [(1825, False), (1826, True), (9998, True), (9999, False)])
def test_years_before_photography_and_the_very_last_are_refused(year: int, is_one: bool, tmp_path: Path) -> None:
    taken_at = capture(jpeg(exif_block({CHANGED: b"%d:12:31 23:59:59\0" % year})), tmp_path).taken_at
    assert (taken_at is not None) == is_one
    if taken_at is not None:  # in any zone it is still a time
        assert taken_at.replace(tzinfo=timezone(-timedelta(hours=14))).astimezone(UTC).year in {year, year + 1}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        (b"+02:00\0", 120),
        (b"-09:30\0", -570),
        (b"+05:45\0", 345),
        (b"+00:00\0", 0),
        (b"+14:00\0", 840),
        (b"+14:01\0", None),
        (b"+23:59\0", None),
        (b"+01:60\0", None),
        (b"+1:00\0", None),
        (b"02:00\0", None),
        (b"   :  \0", None),
        (b"Z\0", None),
        (b"\0" * 7, None),
        (b"+02:00:00\0", None),
    ],
)
def test_an_offset_makes_the_time_aware_where_it_is_valid(text: bytes, minutes: int | None, tmp_path: Path) -> None:
    taken_at = capture(jpeg(exif_block({}, {ORIGINAL: TEXT, OFFSET_ORIGINAL: text})), tmp_path).taken_at
    zone = None if minutes is None else timezone(timedelta(minutes=minutes))
    assert taken_at == TIME.replace(tzinfo=zone)


def test_each_time_has_its_own_offset(tmp_path: Path) -> None:
    offsets: dict[int, Value] = {
        OFFSET_CHANGED: b"+01:00\0",
        OFFSET_ORIGINAL: b"+02:00\0",
        OFFSET_DIGITIZED: b"+03:00\0",
    }
    for main, detail, hours in (({CHANGED: TEXT}, {}, 1), ({}, {ORIGINAL: TEXT}, 2), ({}, {DIGITIZED: TEXT}, 3)):
        taken_at = capture(jpeg(exif_block(main, {**detail, **offsets})), tmp_path).taken_at
        assert taken_at == TIME.replace(tzinfo=timezone(timedelta(hours=hours)))


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        (b"Canon", b"Canon EOS 80D", "Canon EOS 80D"),
        (b"CANON", b"Canon EOS 80D", "Canon EOS 80D"),
        (b"NIKON CORPORATION", b"NIKON D90", "NIKON D90"),
        (b"Canon", b"CanoScan 9000F", "Canon CanoScan 9000F"),
        (b"FUJIFILM", b"X-T5", "FUJIFILM X-T5"),
        (b"Apple\0\0\0\0", b"iPhone 15\0\0", "Apple iPhone 15"),
        (b"SONY", b"", "SONY"),
        (b"", b"DSC-RX100", "DSC-RX100"),
        (b"", b"", None),
        (b"  \0", b"\0\0\0\0", None),
        (b" Sony ", b"  ILCE-7M4\t ", "Sony ILCE-7M4"),
        (b"A\x1b[31mB", b"C\nD\x07", "A[31mB C D"),
        ("Leica\u202e".encode(), "M\u200b11".encode(), "Leica M11"),
        ("\u5bcc\u58eb".encode(), b"X", "\u5bcc\u58eb X"),
        (b"Caf\xe9", b"1", "Caf\u00e9 1"),
        (b"\xff\xfe\x80\x81", b"", "\u00ff\u00fe"),
        (b"M" * 100, b"", "M" * 64),
        (b"M" * 63, b"X1", "M" * 63),
        (b"One\0two", b"Three\0four", "One Three"),
        (b"M" * 257, b"X1", "X1"),
        (b"\x01\x02\x03", b"\x7f", None),
    ],
)
def test_maker_and_model_become_one_harmless_name(make: bytes, model: bytes, name: str | None, tmp_path: Path) -> None:
    assert capture(jpeg(exif_block({MAKE: make, MODEL: model})), tmp_path).camera == name


def test_nothing_else_of_the_block_is_read(tmp_path: Path) -> None:
    secret = b"52.3702N 4.8952E\0"
    main: dict[int, Value] = {0x010E: secret, MAKE: b"Canon\0", 0x013B: secret, 0x8298: secret}
    data = jpeg(exif_block(main, {ORIGINAL: TEXT, 0x9286: secret, 0xA430: secret, 0xA431: secret}))
    assert capture(data, tmp_path) == (TIME, "Canon")
    decoded = decode(os.fsencode(tmp_path / "picture"), VIEW)
    assert secret[:-1] not in repr(decoded).encode()
    assert set(open_rgb(io.BytesIO(data)).info) == {"original_size", "original_format", "hidden", "frames"}


@pytest.mark.parametrize("name", HOSTILE_EXIF)
def test_a_hostile_block_is_ignored_at_no_cost(name: str, tmp_path: Path) -> None:
    data = jpeg(HOSTILE_EXIF[name])
    start = time.process_time()
    tracemalloc.start()
    try:
        assert capture(data, tmp_path) == (None, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 1
    assert peak < 20 << 20


def test_a_tiff_that_claims_what_it_has_not_is_read_at_once(tmp_path: Path) -> None:
    long: Value = (ASCII, 0xFFFF, struct.pack(">I", 8))
    for pointer in (8, 0xFFFFFFFF):
        detail = {ORIGINAL: long, DIGITIZED: long, 0x9286: long, EXIF_IFD: (LONG, 1, struct.pack(">I", pointer))}
        data = tiff({MODEL: long}, detail, order=">", big=False)
        start = time.process_time()
        assert capture(data, tmp_path) == (None, None)
        assert time.process_time() - start < 1


def test_a_directory_that_points_at_itself_is_read_twice_and_no_more(tmp_path: Path) -> None:
    block = exif_block({CHANGED: TEXT, ORIGINAL: OTHER, EXIF_IFD: (LONG, 1, struct.pack(">I", 8))})
    assert capture(jpeg(block), tmp_path).taken_at == OTHER_TIME


def test_of_a_tag_that_is_there_twice_the_first_counts(tmp_path: Path) -> None:
    block = exif_block({MAKE: b"abc\0", MODEL: b"def\0"})
    assert capture(jpeg(block.replace(b"\x01\x10", b"\x01\x0f", 1)), tmp_path).camera == "abc"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_obeyed_with_and_without_a_time(orientation: int, tmp_path: Path) -> None:
    upright = picture(size=(64, 48))
    stored = Image.open(io.BytesIO(turned(upright, orientation, "PNG")))
    stored.load()
    value = struct.pack(">H", orientation) + b"\0\0"
    block = exif_block({MAKE: b"Canon\0", 0x0112: (3, 1, value)}, {ORIGINAL: TEXT})
    data = encoded(stored, "PNG", exif=block)
    assert capture(data, tmp_path) == (TIME, "Canon")
    assert open_rgb(io.BytesIO(data)).tobytes() == upright.tobytes()


def test_both_come_through_from_the_worker(tmp_path: Path) -> None:
    details: list[dict[int, Value]] = [{ORIGINAL: TEXT}, {ORIGINAL: TEXT, OFFSET_ORIGINAL: b"-03:30\0"}, {}]
    makes = [b"Canon\0", "\U0001f4f7".encode() * 64, b"\0"]
    paths = []
    for number, (make, detail) in enumerate(zip(makes, details, strict=True)):
        paths.append(os.fsencode(tmp_path / f"{number}.jpg"))
        badfiles.write(paths[-1], jpeg(exif_block({MAKE: make}, detail)))
    with DecoderPool(VIEW, workers=1) as reader:
        outcomes = [outcome for _, outcome in reader.read(paths)]
    assert outcomes == [decode(path, VIEW) for path in paths]
    zone = timezone(-timedelta(hours=3, minutes=30))
    found = [(outcome.taken_at, outcome.camera) for outcome in outcomes if isinstance(outcome, DecodedPicture)]
    assert found == [(TIME, "Canon"), (TIME.replace(tzinfo=zone), "\U0001f4f7" * 64), (None, None)]


def test_what_was_read_is_parsed_to_the_same() -> None:
    for taken_at in (None, TIME, TIME.replace(tzinfo=timezone(timedelta(hours=-11, minutes=-30)))):
        assert parse_taken_at(taken_at and taken_at.isoformat()) == taken_at
    for name in (None, "Canon EOS 80D", "\u5bcc\u58eb X", "M" * 64):
        assert parse_camera(name) == name
    assert camera_name(b"Canon\0", b"EOS") == "Canon EOS"


@pytest.mark.parametrize(
    "value",
    ["", "now", "2021-05-17", "2021-05-17T10:11:12.5", "2021-05-17T10:11:12Z", "2021-05-17T10:11:12+15:00",
     "1825-05-17T10:11:12", "9999-05-17T10:11:12", "2021-02-30T10:11:12", "2021-05-17T10:11:12\n", 5, 1.5, True, [],
     {}, "\u0662021-05-17T10:11:12"],
)  # fmt: skip
def test_a_time_that_no_decoder_sends_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a time|out of range"):
        parse_taken_at(value)


@pytest.mark.parametrize(
    "value", ["", " ", "M" * 65, " Canon", "Canon\n", "a\x1b[31m", "a  b", "x\u202ey", 5, [], {}, True]
)
def test_a_name_that_no_decoder_sends_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not the name of a camera"):
        parse_camera(value)
