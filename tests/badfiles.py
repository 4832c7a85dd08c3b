"""Builders of bad, odd and merely unusual files, each with what Lookalike promises to do with it.

Nothing here is a recording: every file is built when it is wanted. What rows 13 and 14 of the list need, a decoder
that dies, is in `tests.deadly`.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import socket
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, TiffImagePlugin

from tests.tiffs import Layout, write_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

INDEXED = "indexed"
NO_ROW = "passed over without a word"
TRUNCATED = "file is truncated"
DAMAGED = "file is damaged"
NOT_AN_IMAGE = "not an image"
BIG_METADATA = "metadata is too large"
NOT_REGULAR = "not a regular file"
NOWHERE = "symbolic link that leads nowhere"
LINK = "symbolic link (followed with --follow-links)"


@dataclass(frozen=True)
class Case:
    """One bad thing: the row of the list of bad inputs it stands for, its name, its builder, what is promised."""

    row: int
    name: bytes
    build: Callable[[bytes], None]
    promise: str

    def __str__(self) -> str:
        return f"row {self.row}: " + self.name.decode("ascii", "backslashreplace").replace("\n", "\\n")[:40]

    def make(self, folder: Path) -> bytes:
        """Build it in the folder; its path."""
        path = os.path.join(os.fsencode(folder), self.name)
        self.build(path)
        return path


FILES: list[Case] = []  # things whose content is odd
PLACES: list[Case] = []  # things whose place, kind or name is odd


def content(row: int, name: str | bytes, promise: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Register a function that gives the bytes of a file."""

    def register(make: Callable[[], bytes]) -> Callable[[], bytes]:
        FILES.append(Case(row, os.fsencode(name), lambda path: write(path, make()), promise))
        return make

    return register


def place(row: int, name: str | bytes, promise: str) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a function that makes something at a path."""

    def register(build: Callable[[bytes], None]) -> Callable[[bytes], None]:
        PLACES.append(Case(row, os.fsencode(name), build, promise))
        return build

    return register


def write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def picture(seed: int = 0, size: tuple[int, int] = (61, 47)) -> Image.Image:
    """A picture of noise and a few shapes: RGB, no side a multiple of 8, no two alike."""
    noise = random.Random(seed).randbytes(size[0] * size[1] * 3)
    image = Image.blend(Image.frombytes("RGB", size, noise), Image.new("RGB", size, (40, 90, 200)), 0.7)
    ImageDraw.Draw(image).ellipse((size[0] // 20, size[1] // 9, size[0] // 2, size[1] // 2), fill=(250, 180, 20))
    return image


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG of any header and any data, however little they match."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


def zeros_deflated(length: int) -> bytes:
    """What inflates to `length` zeros, without holding them."""
    deflate = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join(deflate.compress(piece) for _ in range(length >> 20)) + deflate.flush()


def _deep(mode: str) -> Image.Image:
    image = Image.new("I", (64, 64))
    image.putdata([x * 1000 + y for y in range(64) for x in range(64)])
    return image.convert(mode) if mode != "I" else image


@cache
def good_files() -> dict[str, bytes]:
    """Good files of every format, for truncation and mutation."""
    image = picture()
    return {
        "baseline.jpg": encoded(image, "JPEG"),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "rgb.png": encoded(image, "PNG"),
        "palette.png": encoded(image.quantize(16), "PNG"),
        "grey16.png": encoded(_deep("I;16"), "PNG"),
        "still.gif": encoded(image, "GIF"),
        "plain.bmp": encoded(image, "BMP"),
        "lossy.webp": encoded(image, "WEBP"),
        "lossless.webp": encoded(image, "WEBP", lossless=True),
        "raw.tif": encoded(image, "TIFF"),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "planes.tif": write_tiff(np.asarray(image).astype(np.uint16) * 257, Layout(planar=2)),
        "floats.tif": write_tiff(np.asarray(image) / 255, Layout(kind=3, tile=32, compression=8)),
        "still.avif": encoded(image, "AVIF"),
        "still.heic": encoded(image, "HEIF"),
        "binary.ppm": encoded(image, "PPM"),
        "group4.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
    }


# Row 1: cut short


def _register_truncated() -> None:
    for name, data in good_files().items():
        for part in (0.2, 0.6, 0.95):
            if name in {"jpeg.tif", "group4.tif"} and part > 0.9:
                continue  # cut within a directory that libtiff reads anew: damaged or truncated
            cut = data[: int(len(data) * part)]
            content(1, f"truncated-{part:.0%}-{name}", TRUNCATED)(partial(bytes, cut))


_register_truncated()


@content(1, "second-half-zero.jpg", TRUNCATED)
def _second_half_zero() -> bytes:
    """A download that was given its room before it was broken off; Pillow takes these zeros for data."""
    data = encoded(picture(), "JPEG", quality=90)
    return data[: len(data) // 2] + bytes(len(data) // 2)


@content(1, "no-end-mark.jpg", TRUNCATED)
def _no_end_mark() -> bytes:
    return encoded(picture(), "JPEG")[:-2]


@content(1, "only-the-thumbnail-ends.jpg", TRUNCATED)
def _only_the_thumbnail_ends() -> bytes:
    exif = b"Exif\0\0" + b"\xff\xd9" * 8
    return encoded(picture(), "JPEG", exif=exif)[:-2]


@content(1, "no-end-chunk.png", TRUNCATED)
def _no_end_chunk() -> bytes:
    return encoded(picture(), "PNG")[:-12]


@content(1, "too-few-rows.png", TRUNCATED)
def _too_few_rows() -> bytes:
    return png((50, 50), (b"\0" + b"abc" * 50) * 20)


@content(1, "too-few-rows-interlaced.png", TRUNCATED)
def _too_few_rows_interlaced() -> bytes:
    data = bytearray(png((50, 50), bytes(1200)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@content(1, "wrong-checksum.png", DAMAGED)
def _wrong_checksum() -> bytes:
    data = bytearray(encoded(picture(), "PNG"))
    data[data.index(b"IEND") - 5] ^= 1
    return bytes(data)


@content(1, "data-end-early.gif", TRUNCATED)
def _data_end_early() -> bytes:
    data = encoded(picture(), "GIF")
    start = data.index(b"\x2c", 13 + 768) + 11  # behind the frame's descriptor and the size of its codes
    return data[: start + 3 * (1 + data[start])] + b"\0;"


# Rows 2 to 5: something else


@content(2, "empty.jpg", NOT_AN_IMAGE)
def _empty() -> bytes:
    return b""


@content(2, "all-ones.jpg", NOT_AN_IMAGE)
def _all_ones() -> bytes:
    return b"\xff" * 1000


@content(2, "all-zeros.png", NOT_AN_IMAGE)
def _all_zeros() -> bytes:
    return bytes(100_000)


@content(2, "text.jpg", NOT_AN_IMAGE)
def _text() -> bytes:
    return b"This is no picture.\n" * 100


@content(2, "only-the-signature.png", TRUNCATED)
def _only_the_signature() -> bytes:
    return b"\x89PNG\r\n\x1a\n"


@content(2, "random-behind-the-signature.jpg", DAMAGED)
def _random_behind_the_signature() -> bytes:
    return b"\xff\xd8\xff" + random.Random(2).randbytes(50).replace(b"\xff", b"")


@content(3, "png-named.jpg", INDEXED)
def _png_named_jpg() -> bytes:
    return encoded(picture(3), "PNG")


@content(3, "jpeg-named.png", INDEXED)
def _jpeg_named_png() -> bytes:
    return encoded(picture(4), "JPEG")


_FOREIGN = {
    "HTML or XML": b"<!DOCTYPE html><html><body><img src=x onerror=alert(1)></body></html>",
    "SVG": b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch owned) (w) file\nshowpage\n",
    "ICO": encoded(picture().resize((16, 16)), "ICO"),
    "PSD": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(12),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ",
    "PAM": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
    "video": b"\0\0\0\x18ftypqt  " + bytes(40),
}
for _kind, _data in _FOREIGN.items():
    _reason = f"unsupported format ({_kind})"
    content(4, f"{_kind.replace(' ', '-')}.jpg", _reason)(partial(bytes, _data))
content(4, "svg-doctype.png", "unsupported format (SVG)")(lambda: b"<!DOCTYPE svg PUBLIC ''><svg></svg>")
content(4, "hollow.avif", DAMAGED)(lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(64))
content(4, "comments.jpg", "unsupported format (HTML or XML)")(lambda: b"<!---->" * 290)


@content(5, "zip-behind.jpg", INDEXED)
def _zip_behind() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("payload.txt", "a second file in the first")
    return encoded(picture(5), "JPEG") + archive.getvalue()


@content(5, "javascript.gif", INDEXED)
def _javascript() -> bytes:
    return encoded(picture(6), "GIF") + b"/*=1;alert(document.domain)//*/"


# Row 6: more than one picture


def colours() -> list[Image.Image]:
    """Frames of red, green and blue."""
    return [Image.new("RGB", (40, 30), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]


def _frames(format_: str, **options: Any) -> bytes:
    first, *rest = colours()
    return encoded(first, format_, save_all=True, append_images=rest, **options)


content(6, "animated.gif", INDEXED)(lambda: _frames("GIF", duration=100))
content(6, "animated.png", INDEXED)(lambda: _frames("PNG", duration=100))
content(6, "animated.webp", INDEXED)(lambda: _frames("WEBP", duration=100, lossless=True))
content(6, "pages.tif", INDEXED)(lambda: _frames("TIFF"))


# Rows 7 and 8: modes


def ramp(mode: str, values: list[float], side: int = 16) -> Image.Image:
    """A grey picture of upright stripes, one for each value."""
    image = Image.new(mode, (len(values) * side, side))
    for number, value in enumerate(values):
        image.paste(value if mode == "F" else int(value), (number * side, 0, (number + 1) * side, side))
    return image


content(7, "cmyk.jpg", INDEXED)(lambda: encoded(picture(7).convert("CMYK"), "JPEG"))
content(7, "cmyk.tif", INDEXED)(lambda: encoded(picture(7).convert("CMYK"), "TIFF"))
content(7, "ycbcr.tif", INDEXED)(lambda: encoded(picture(7).convert("YCbCr"), "TIFF"))
content(7, "palette.png", INDEXED)(lambda: encoded(picture(8).quantize(64), "PNG"))
content(7, "one-bit.png", INDEXED)(lambda: encoded(picture(9).convert("1"), "PNG"))
content(7, "lab.tif", "unsupported mode LAB")(lambda: encoded(Image.new("LAB", (20, 20), (90, 20, 30)), "TIFF"))
content(7, "deep.png", INDEXED)(lambda: encoded(_deep("I;16"), "PNG"))
content(7, "deep.tif", INDEXED)(lambda: encoded(_deep("I;16"), "TIFF"))
content(7, "integers.tif", INDEXED)(lambda: encoded(_deep("I"), "TIFF"))
content(7, "floats.tif", INDEXED)(lambda: encoded(ramp("F", [-1e30, 0.0, 1e30]), "TIFF"))
content(7, "not-a-number-first.tif", "pixels are not finite")(
    lambda: encoded(ramp("F", [float("nan"), 1.0, 2.0]), "TIFF")
)
content(7, "not-a-number-inside.tif", "pixels are not finite")(
    lambda: encoded(ramp("F", [0.0, float("nan"), 2.0]), "TIFF")
)
content(7, "infinite.tif", "pixels are not finite")(lambda: encoded(ramp("F", [0.0, float("inf")]), "TIFF"))
content(7, "deep-transparent.png", INDEXED)(
    lambda: png((4, 4), (b"\0" + b"\x12\x34\xff\xff" * 2) * 4, depth=16, colour=0, extra=chunk(b"tRNS", b"\xff\xff"))
)
content(8, "alpha.png", INDEXED)(lambda: encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG"))
content(8, "transparent.gif", INDEXED)(lambda: encoded(Image.new("P", (20, 20), 0), "GIF", transparency=0))
content(8, "transparent-palette.png", INDEXED)(lambda: encoded(Image.new("P", (20, 20), 0), "PNG", transparency=b"\0"))


# Row 9: orientation

_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(image: Image.Image, orientation: int, format_: str, **options: Any) -> bytes:
    """A file whose pixels are stored turned and whose metadata say so."""
    way = _STORED.get(orientation)
    stored = image if way is None else image.transpose(way)
    if format_ == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = orientation
        return encoded(stored, format_, tiffinfo=tags, **options)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, format_, exif=exif, **options)


for _number in range(10):
    content(9, f"orientation-{_number}.jpg", INDEXED)(partial(turned, picture(10), _number, "JPEG"))


@content(9, "broken-exif.jpg", INDEXED)
def _broken_exif() -> bytes:
    return encoded(picture(11), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(200)))


@content(9, "exif-of-noise.png", INDEXED)
def _exif_of_noise() -> bytes:
    noise = random.Random(9).randbytes(300)
    return png((4, 4), (b"\0" + b"abc" * 4) * 4, extra=chunk(b"eXIf", b"MM\0*\0\0\0\x08" + noise))


# Rows 10 to 12: sizes

content(10, "1x1.png", INDEXED)(lambda: encoded(Image.new("RGB", (1, 1), "red"), "PNG"))
content(10, "1x20000.png", INDEXED)(lambda: encoded(Image.new("RGB", (1, 20000), "red"), "PNG"))
content(10, "65500x1.jpg", INDEXED)(lambda: encoded(Image.new("RGB", (65500, 1), "red"), "JPEG"))
content(10, "0x0.png", DAMAGED)(lambda: png((0, 0), b""))
content(10, "2x3.gif", INDEXED)(lambda: encoded(picture(1, (2, 3)), "GIF"))


def _too_many(megapixels: str) -> str:
    return f"{megapixels} MP, limit 100 MP, raise with --max-megapixels"


def bomb(side: int) -> bytes:
    """A black PNG of side * side pixels of one bit: true to its header, and tiny."""
    rows = zeros_deflated(side * (1 + -(-side // 8)) + (1 << 20))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


content(11, "bomb-20000.png", _too_many("400"))(lambda: bomb(20000))
content(11, "bomb-13000.png", _too_many("169"))(lambda: bomb(13000))
content(11, "bomb-10001.png", _too_many("100.02"))(lambda: bomb(10001))
content(11, "bomb-of-a-header.png", _too_many("4,611,686,014,132.42"))(lambda: png((2**31 - 1, 2**31 - 1), b""))
content(11, "bomb.webp", _too_many("268.4"))(
    lambda: b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (16382).to_bytes(3, "little") * 2
)
content(11, "bomb-lossless.webp", _too_many("268.4"))(
    lambda: b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f" + (16382 | 16382 << 14).to_bytes(4, "little") + b"\0"
)
content(11, "bomb-lossy.webp", _too_many("268.4"))(
    lambda: b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\x30\x01\0\x9d\x01\x2a" + b"\xff\x3f" * 2
)
content(11, "frame-outside.gif", _too_many("4,225"))(
    lambda: (
        b"GIF89a\x0a\0\x0a\0\x80\0\0\0\0\0\xff\xff\xff\x2c"
        + struct.pack("<HHHHB", 60000, 60000, 5000, 5000, 0)
        + b"\x02\x02\x4c\x01\0;"
    )
)


@content(12, "text-bomb.png", BIG_METADATA)
def _text_bomb() -> bytes:
    text = chunk(b"zTXt", b"k\0\0" + zeros_deflated(200 << 20))
    return png((4, 4), (b"\0" + b"abc" * 4) * 4, extra=text)


@content(12, "many-texts.png", BIG_METADATA)
def _many_texts() -> bytes:
    texts = b"".join(chunk(b"zTXt", b"k%d\0\0" % n + zeros_deflated(1 << 20)[:-1] + b"\0") for n in range(1))
    return png((4, 4), (b"\0" + b"abc" * 4) * 4, extra=texts + chunk(b"tEXt", b"k\0" + bytes(70 << 20)))


# Rows 17 and 18: other things than files


@place(17, "pipe.jpg", NOT_REGULAR)
def _pipe(path: bytes) -> None:
    os.mkfifo(path)


@place(17, "socket.jpg", NOT_REGULAR)
def _socket(path: bytes) -> None:
    with contextlib.chdir(os.path.dirname(path)), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.basename(path))  # from here: an address has at most 107 bytes


@place(17, "folder.jpg", NO_ROW)
def _folder(path: bytes) -> None:
    os.mkdir(path)


def make_device(path: bytes) -> None:
    """/dev/zero under another name; only root may."""
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@place(18, "loop.jpg", LINK)
def _loop(path: bytes) -> None:
    os.symlink(os.path.basename(path), path)


@place(18, "dangling.jpg", LINK)
def _dangling(path: bytes) -> None:
    os.symlink(b"there-is-nothing.jpg", path)


@place(18, "link-to-the-folder-itself", NO_ROW)
def _self(path: bytes) -> None:
    os.symlink(b".", path)


@place(18, "link-to-everything", NO_ROW)
def _everything(path: bytes) -> None:
    os.symlink(b"/", path)


@place(18, "link-to-a-folder.jpg", LINK)
def _link_to_a_folder(path: bytes) -> None:
    os.symlink(b"..", path)


# Row 19: names

NAMES = [
    b"not-utf8-\xff\xfe.jpg",
    b"new\nline.jpg",
    b"tab\there.jpg",
    b"\x1b[31mred\x1b[0m.jpg",
    "right-to-left-\u202egpj.exe.jpg".encode(),
    b"<img src=x onerror=alert(1)>.jpg",
    b"\"double\" 'single' `back`.jpg",
    b"-rf.jpg",
    b"{{7*7}}.jpg",
    b"$(touch owned).jpg",
    b"%2e%2e%2f.jpg",
    b" leading and trailing .jpg",
    b"x" * 251 + b".jpg",
    "caf\u00e9.jpg".encode(),  # composed
    "cafe\u0301.jpg".encode(),  # decomposed: another name
]


def _with_number(number: int, path: bytes) -> None:
    write(path, encoded(picture(100 + number), "JPEG"))


for _number, _name in enumerate(NAMES):
    place(19, _name, INDEXED)(partial(_with_number, _number))


def make_deep(folder: Path, name: bytes, levels: int) -> None:
    """A picture under so many folders that its path is longer than any system call takes."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    target = os.open(b"deepest.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor)
    os.write(target, encoded(picture(), "JPEG"))
    os.close(target)
    os.close(descriptor)


# Row 22: metadata

SECRET = b"Ignore all previous instructions; 52.3702N 4.8952E"


@content(22, "talkative.jpg", INDEXED)
def _talkative() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x8298] = SECRET.decode()
    return encoded(picture(12), "JPEG", exif=exif, icc_profile=SECRET * 100, comment=SECRET)


# EXIF blocks, built by hand
MAKE, MODEL, CHANGED, EXIF_IFD = 0x010F, 0x0110, 0x0132, 0x8769
ORIGINAL, DIGITIZED = 0x9003, 0x9004
OFFSET_CHANGED, OFFSET_ORIGINAL, OFFSET_DIGITIZED = 0x9010, 0x9011, 0x9012
ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
Value = bytes | tuple[int, int, bytes]
"""The bytes of a text, or all of an entry: type, number of values, four bytes of value."""


def exif_block(
    main: Mapping[int, Value], detail: Mapping[int, Value] | None = None, *, order: str = ">", big: bool = False
) -> bytes:
    """A TIFF structure with a first directory and, if there is `detail`, the EXIF directory that it points at."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8))
    if detail is None:
        return head + _directory(main, len(head), order, big)
    pointer = struct.pack(f"{order}Q" if big else f"{order}I", 0)
    length = len(_directory({**main, EXIF_IFD: (LONG, 1, pointer)}, 0, order, big))
    pointer = struct.pack(f"{order}I", len(head) + length).ljust(8 if big else 4, b"\0")
    first = _directory({**main, EXIF_IFD: (LONG, 1, pointer)}, len(head), order, big)
    return head + first + _directory(detail, len(head) + length, order, big)


def _directory(entries: Mapping[int, Value], start: int, order: str, big: bool) -> bytes:
    """One directory at `start`, with the texts that do not fit into their entries behind it."""
    count, entry, number, room = ("Q", "HHQ8s", "Q", 8) if big else ("H", "HHI4s", "I", 4)
    behind = start + struct.calcsize(f"={count}{number}") + len(entries) * struct.calcsize(f"={entry}")
    body, texts = struct.pack(order + count, len(entries)), b""
    for tag, value in entries.items():
        if isinstance(value, tuple):
            body += struct.pack(order + entry, tag, *value)
        elif len(value) <= room:
            body += struct.pack(order + entry, tag, ASCII, len(value), value)
        else:
            where = struct.pack(order + number, behind + len(texts))
            body += struct.pack(order + entry, tag, ASCII, len(value), where)
            texts += value
    return body + bytes(room) + texts


def _at(offset: int) -> bytes:
    return struct.pack(">I", offset)


_WHEN = b"2021:05:17 10:11:12\0"
HOSTILE_EXIF: dict[str, bytes] = {
    "empty": b"",
    "only-a-header": b"MM\0*",
    "no-such-order": b"XX" + exif_block({CHANGED: _WHEN})[2:],
    "no-such-magic": b"MM\0," + exif_block({CHANGED: _WHEN})[4:],
    "directory-behind-the-end": b"MM\0*" + _at(0xFFFFFFF0),
    "directory-without-entries": b"MM\0*" + _at(8) + b"\xff\xff",
    "claims-four-gigabytes": exif_block({MAKE: (ASCII, 0xFFFFFFFF, _at(0)), CHANGED: (ASCII, 0x7FFFFFFF, _at(8))}),
    "text-behind-the-end": exif_block({MODEL: (ASCII, 40, _at(0xFFFFFF00)), CHANGED: (ASCII, 20, _at(1 << 31))}),
    "text-that-ends-early": exif_block({CHANGED: (ASCII, 20, _at(20))})[:38],
    "no-values": exif_block({MODEL: (ASCII, 0, b"Nope"), CHANGED: (ASCII, 0, _at(8))}),
    "numbers-for-texts": exif_block({MAKE: (LONG, 1, b"Nope"), MODEL: (SHORT, 2, b"Nope"), CHANGED: (LONG, 5, _at(8))}),
    "bytes-for-texts": exif_block({MODEL: (UNDEFINED, 4, b"Nope")}),
    "points-at-itself": exif_block({EXIF_IFD: (LONG, 1, _at(8))}),
    "points-at-nothing": exif_block({EXIF_IFD: (LONG, 1, _at(0))}),
    "points-behind-the-end": exif_block({EXIF_IFD: (LONG, 1, _at(0xFFFFFFFF))}),
    "points-with-a-text": exif_block({EXIF_IFD: (ASCII, 4, _at(8))}),
    "points-a-thousand-times": exif_block({EXIF_IFD: (LONG, 1000, _at(8))}),
    "chain-that-is-a-loop": exif_block({SHORT: b"abc"})[:-4] + _at(8),
    "sixty-thousand-entries": b"MM\0*" + _at(8) + b"\xea\x60" + (b"\x01\x0f\0\2\0\0\xff\xff\0\0\0\0" * 60_000)[:64_000],
    "big-header-cut": b"MM\0+\0\x08\0\0" + bytes(4),
    "big-directory-nowhere": b"MM\0+\0\x08\0\0" + b"\xff" * 8,
    "big-claims-all-memory": exif_block({MAKE: (ASCII, (1 << 64) - 1, b"\xff" * 8)}, big=True),
    "noise": random.Random(22).randbytes(5000),
}
for _fault, _block in HOSTILE_EXIF.items():
    content(22, f"exif-{_fault}.jpg", INDEXED)(partial(encoded, picture(13), "JPEG", exif=b"Exif\0\0" + _block))
    content(22, f"exif-{_fault}.webp", INDEXED)(partial(encoded, picture(13), "WEBP", exif=_block))


@content(22, "profile-bomb.png", BIG_METADATA)
def _profile_bomb() -> bytes:
    profile = chunk(b"iCCP", b"k\0\0" + zeros_deflated(100 << 20))
    return png((4, 4), (b"\0" + b"abc" * 4) * 4, extra=profile)


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless damaged files of every format: cut, overwritten, spliced; the name says how each was made."""
    rng = random.Random(seed)
    good = list(good_files().items())
    while True:
        name, data = rng.choice(good)
        way = rng.choice(("cut", "flip", "fill", "splice", "repeat", "swap"))
        yield f"{way} {name}", _mutated(rng, way, bytearray(data), rng.choice(good)[1])


def _mutated(rng: random.Random, way: str, data: bytearray, other: bytes) -> bytes:
    start = rng.randrange(len(data))
    length = min(rng.choice((1, 2, 4, 16, 256)), len(data) - start)
    if way == "cut":
        del data[start:]
    elif way == "flip":
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            data[rng.randrange(min(len(data), rng.choice((32, 256, 1 << 20))))] ^= 1 << rng.randrange(8)
    elif way == "fill":
        data[start : start + length] = rng.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * length
    elif way == "splice":
        data[start:] = other[rng.randrange(len(other)) :]
    elif way == "repeat":
        data[start:start] = data[start : start + length] * rng.choice((1, 3, 50))
    else:
        to = rng.randrange(len(data) - length + 1)
        data[start : start + length], data[to : to + length] = (
            data[to : to + length],
            data[start : start + length],
        )
    return bytes(data)
