"""The layouts of TIFF that Pillow reads wrongly or not at all: deep, signed, float and planar samples above all.

Pillow, with libtiff in it, reads pictures of eight bits well. It takes 16-bit planes for noise, and does not open most
others. Here every sample layout of a losslessly compressed TIFF is read with numpy, a band of rows at a time, so that
only the needed part of a large picture is in memory; layouts that cannot be read are refused as unsupported. The bytes
of LZW and its like are still unpacked by libtiff. Fields by TIFF 6.0, float predictor by Adobe's Photoshop TIFF
Technical Note 3.
"""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, cast

from PIL import Image, TiffImagePlugin

from lookalike.images.tags import next_directory, open_block, read_at, read_directory, read_numbers
from lookalike.images.unreadable import DAMAGED, NO_MEMORY, TRUNCATED, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from lookalike.images.tags import Block, Directory

__all__ = ["Page", "read_page", "read_pages"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL = 256, 257, 258, 259, 262, 266
_SAMPLES, _ROWS, _PLANAR, _PREDICTOR, _COLOURS = 277, 278, 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _KIND, _SUBSAMPLING = 322, 323, 338, 339, 530
_ORIENTATION = 274
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_WANTED = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL, _SAMPLES, _ROWS, _PLANAR, _PREDICTOR, _COLOURS}
    | {_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _KIND, _SUBSAMPLING, _ORIENTATION}
    | {_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS}
)

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _LZMA, _ZSTD = 1, 5, 8, 32946, 32773, 34925, 50000
_LOSSLESS = {_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _LZMA, _ZSTD}
_FAX, _OLD_JPEG, _JPEG, _WEBP = (2, 3, 4, 32771), 6, 7, 50001
_WITH_PREDICTOR = _LOSSLESS - {_NONE, _PACKBITS}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOUR_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_OTHER_COLOURS = {8: "LAB", 9: "LAB", 10: "LAB"}
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # of numpy; 4 is "undefined", which libtiff takes for unsigned
_MOST_SAMPLES = 64  # in a pixel; with more, a file holds measurements, such as a satellite's, rather than a picture
_BYTES_A_PIXEL = 16  # of a strip or tile, of all pixels that a picture may have: a worker's memory (`Limits`)
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_UNPACKED_AT_ONCE = 1 << 20  # samples of odd depths


@dataclass(frozen=True, slots=True)
class Page:
    """One picture of a TIFF: how its samples are laid out. number: which of the file's pages it is.

    segment: width and height of a strip or tile. extra: what the samples beyond the colours are.
    """

    block: Block
    directory: Directory
    number: int
    size: tuple[int, int]
    bits: int
    kind: str
    samples: int
    is_planar: bool
    photometric: int
    compression: int
    predictor: int
    is_reversed: bool
    is_tiled: bool
    segment: tuple[int, int]
    extra: tuple[int, ...]
    is_last: bool = True

    @property
    def orientation(self) -> int:
        """How the page has to be turned, as in EXIF; 1 if it does not say."""
        return (*read_numbers(self.block, self.directory.get(_ORIENTATION), 1), 1)[0]

    @property
    def for_pillow(self) -> bool:
        """Whether Pillow reads this page rightly: what it was compared in with an independent writer, in the tests."""
        if self.kind != "u" or self.predictor == 3:
            return False
        if self.compression not in _LOSSLESS:
            return self.bits in {1, 8}
        plain = {(_BLACK_IS_ZERO, 1), (_RGB, 3), (_CMYK, 4), (_WHITE_IS_ZERO, 1)}
        with_alpha = (self.photometric, self.samples) == (_RGB, 4) and self.extra in {(1,), (2,)}
        is_plain = (self.photometric, self.samples) in plain or with_alpha
        return self.bits == 8 and is_plain and not self.is_planar and not self.is_reversed

    @property
    def row(self) -> int:
        """Bytes of a row of a strip or tile."""
        return -(-self.segment[0] * self.together * self.bits // 8)

    @property
    def together(self) -> int:
        """Samples of a pixel that lie side by side."""
        return 1 if self.is_planar else self.samples


def read_pages(file: IO[bytes], most: int) -> Iterator[Page]:
    """The first pages of a TIFF, as far as their directories can be read. Raises Unreadable for other layouts."""
    block = open_block(file)
    offset, seen = (block.first, set[int]()) if block else (0, set[int]())
    while block and offset and offset not in seen and len(seen) < most:
        following = next_directory(block, offset)
        page = None if following is None else _read_page(block, read_directory(block, offset, _WANTED), len(seen))
        if page is None:
            return
        seen.add(offset)
        offset = following or 0
        yield replace(page, is_last=not offset)


def read_page(page: Page, megapixels: float, at_least: int | None) -> Image.Image:
    """Read a page as L, RGB, RGBA, CMYK or YCbCr of eight bits; a large one at a fraction of its size.

    Raises Unreadable.
    """
    if page.row * page.segment[1] > _BYTES_A_PIXEL * megapixels * 1e6:
        raise Unreadable(NO_MEMORY)
    factor = 1 if at_least is None or page.photometric == _PALETTE else max(1, min(page.size) // at_least)
    tones = _tones()
    width, height = page.size
    channels, has_alpha = _channels(page)
    bands = ((top, band[:, :, :channels]) for top, band in _bands(page))
    samples = tones.collect(bands, (height, width, channels), page.bits, factor)
    if page.photometric == _PALETTE:
        return _apply_palette(page, samples.values[:, :, 0])
    colours = _COLOUR_CHANNELS[page.photometric]
    pixels = tones.to_eight_bits(samples, colours if has_alpha else None)
    if page.photometric == _WHITE_IS_ZERO:
        pixels[:, :, 0] = 255 - pixels[:, :, 0]
    return _to_image(page, pixels)


def _tones() -> ModuleType:
    return importlib.import_module("lookalike.images.tones")  # numpy, 0.1 s


def _numpy() -> Any:  # noqa: ANN401  (a module)
    return importlib.import_module("numpy")


def _read_page(block: Block, directory: Directory, number: int) -> Page | None:
    """The layout of a page; None where the directory lacks something, so that Pillow may say what."""
    first = {tag: values[0] for tag in directory if (values := read_numbers(block, directory[tag], 1))}
    width, height = first.get(_WIDTH, 0), first.get(_HEIGHT, 0)
    samples = first.get(_SAMPLES, 1)
    bits = read_numbers(block, directory.get(_BITS), _MOST_SAMPLES) or (1,)
    kinds = read_numbers(block, directory.get(_KIND), _MOST_SAMPLES) or (1,)
    if min(width, height, samples) < 1 or max(width, height) >= 1 << 31:
        return None
    if len({*bits}) > 1 or len({*kinds}) > 1 or kinds[0] not in _KINDS or samples > _MOST_SAMPLES:
        raise Unreadable(f"unsupported format (TIFF with {_describe(bits, samples)})")
    is_tiled = _TILE_OFFSETS in directory
    segment = (first.get(_TILE_WIDTH, 0), first.get(_TILE_HEIGHT, 0)) if is_tiled else (width, first.get(_ROWS, height))
    page = Page(
        block,
        directory,
        number,
        (width, height),
        bits[0],
        _KINDS[kinds[0]],
        samples,
        first.get(_PLANAR, 1) == 2 and samples > 1,
        first.get(_PHOTOMETRIC, _WHITE_IS_ZERO),
        first.get(_COMPRESSION, _NONE),
        first.get(_PREDICTOR, 1) if first.get(_COMPRESSION, _NONE) in _WITH_PREDICTOR else 1,
        first.get(_FILL, 1) == 2,
        is_tiled,
        (segment[0], segment[1] if is_tiled else max(1, min(segment[1], height))),
        read_numbers(block, directory.get(_EXTRA), _MOST_SAMPLES),
    )
    if min(page.segment) < 1:
        return None
    _refuse_others(page)
    return page


def _describe(bits: tuple[int, ...], samples: int) -> str:
    if samples > _MOST_SAMPLES:
        return f"{samples} samples a pixel"
    return "samples of different depths" if len({*bits}) > 1 else "samples that are not numbers of one kind"


def _refuse_others(page: Page) -> None:
    """Raise Unreadable for what neither Pillow nor this module reads."""
    if page.photometric in _OTHER_COLOURS:
        raise Unreadable(f"unsupported mode {_OTHER_COLOURS[page.photometric]}")
    reason = _what_is_unknown(page) or _what_does_not_fit(page)
    if reason:
        raise Unreadable(f"unsupported format (TIFF with {reason})")


def _what_is_unknown(page: Page) -> str:
    if page.compression not in _LOSSLESS | {*_FAX, _OLD_JPEG, _JPEG, _WEBP}:
        return f"compression {page.compression}"
    if page.photometric not in _COLOUR_CHANNELS:
        return f"photometric interpretation {page.photometric}"
    if not _are_known(page.kind, page.bits) or not (page.for_pillow or page.compression in _LOSSLESS):
        return f"{_name_of(page)} of {page.bits} bits"
    return ""


def _what_does_not_fit(page: Page) -> str:
    if page.predictor not in {1, 2, 3} or not _is_predictable(page):
        return f"predictor {page.predictor} for {_name_of(page)} of {page.bits} bits"
    if page.photometric == _YCBCR and not page.for_pillow and not _is_whole(page):
        return "subsampled colours that are not compressed as JPEG"
    if page.photometric == _PALETTE and (page.kind != "u" or page.bits > 16):
        return f"a palette of {_name_of(page)} of {page.bits} bits"
    if page.samples < _COLOUR_CHANNELS[page.photometric]:
        return f"{page.samples} samples a pixel"
    return ""


def _name_of(page: Page) -> str:
    return {"u": "samples", "i": "signed samples", "f": "floats"}[page.kind]


def _are_known(kind: str, bits: int) -> bool:
    return bits in {16, 32, 64} if kind == "f" else 1 <= bits <= 32 or bits == 64


def _is_predictable(page: Page) -> bool:
    usual = {16, 32, 64} if page.predictor == 3 else {8, 16, 32, 64}
    return page.predictor == 1 or (page.bits in usual and (page.predictor == 2 or page.kind == "f"))


def _is_whole(page: Page) -> bool:
    """Whether colours are stored for every pixel, which by default they are not."""
    stored = read_numbers(page.block, page.directory.get(_SUBSAMPLING), 2)
    return stored == (1, 1) and page.bits == 8 and page.kind == "u"


def _channels(page: Page) -> tuple[int, bool]:
    """The channels that are used, and whether the last one is alpha."""
    colours = _COLOUR_CHANNELS[page.photometric]
    has_alpha = page.photometric in {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB} and page.extra[:1] in {(1,), (2,)}
    has_alpha = has_alpha and page.samples > colours
    return colours + has_alpha, has_alpha


def _bands(page: Page) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the rows of a page from top to bottom, (rows, width, samples), each time with the number of the first."""
    numpy = _numpy()
    across, down = (-(-length // step) for length, step in zip(page.size, page.segment, strict=True))
    planes = page.samples if page.is_planar else 1
    offsets, counts = _places(page, across * down * planes)
    used = _channels(page)[0]
    for index in range(down):
        top = index * page.segment[1]
        rows = min(page.segment[1], page.size[1] - top)
        row_of_planes = []
        for plane in range(min(planes, used)):
            first = (plane * down + index) * across
            parts = [_read_segment(page, offsets[n], counts[n], rows)[:rows] for n in range(first, first + across)]
            row_of_planes.append(numpy.concatenate(parts, axis=1) if across > 1 else parts[0])
        band = numpy.concatenate(row_of_planes, axis=2) if planes > 1 else row_of_planes[0]
        yield top, band[:, : page.size[0]]


def _places(page: Page, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the strips or tiles are and how many bytes each has. Raises Unreadable if they are not all named."""
    tags = (_TILE_OFFSETS, _TILE_COUNTS) if page.is_tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    offsets, counts = (read_numbers(page.block, page.directory.get(tag), number) for tag in tags)
    if not counts and page.compression == _NONE:
        counts = (page.row * page.segment[1],) * number
    if min(len(offsets), len(counts)) < number:
        raise Unreadable(TRUNCATED)
    return offsets, counts


def _read_segment(page: Page, offset: int, count: int, rows: int) -> NDArray[Any]:
    """One strip or tile as (rows, width, samples). Raises Unreadable."""
    rows = page.segment[1] if page.is_tiled else rows
    length = page.row * rows
    data = read_at(page.block.file, offset, min(count, length) if page.compression == _NONE else count)
    if page.compression != _NONE and len(data) < count:
        raise Unreadable(TRUNCATED)
    if page.is_reversed:
        data = data.translate(_REVERSED)
    if page.compression in {_DEFLATE, _OLD_DEFLATE}:
        data = zlib.decompressobj().decompress(data, length)
    elif page.compression != _NONE:
        data = _unpack(data, page, rows)
    if len(data) < length:
        raise Unreadable(TRUNCATED)
    return _to_samples(data[:length], page, rows)


def _unpack(data: bytes, page: Page, rows: int) -> bytes:
    """Let libtiff unpack compressed bytes, as if they were a grey picture as wide as a row has bytes."""
    number = 10
    entries = [(_WIDTH, 4, page.row), (_HEIGHT, 4, rows), (_BITS, 3, 8), (_COMPRESSION, 3, page.compression)]
    entries += [(_PHOTOMETRIC, 3, _BLACK_IS_ZERO), (_STRIP_OFFSETS, 4, 8 + 2 + number * 12 + 4), (_SAMPLES, 3, 1)]
    entries += [(_ROWS, 4, rows), (_STRIP_COUNTS, 4, len(data)), (_PLANAR, 3, 1)]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    file = io.BytesIO(b"II*\0" + struct.pack("<IH", 8, number) + directory + bytes(4) + data)
    return TiffImagePlugin.TiffImageFile(file).tobytes()


def _to_samples(data: bytes, page: Page, rows: int) -> NDArray[Any]:
    """Unpacked bytes as numbers, (rows, width, samples)."""
    numpy = _numpy()
    width, together = page.segment[0], page.together
    if page.predictor == 3:
        return _undo_float_predictor(data, page, rows)
    if page.bits not in {8, 16, 32, 64}:
        return cast("NDArray[Any]", _unpack_bits(data, page, rows).reshape(rows, width, together))
    order = page.block.order
    samples = numpy.frombuffer(data, f"{order}{page.kind}{page.bits // 8}").reshape(rows, width, together)
    if page.predictor == 2:
        numbers = samples.view(f"{order}u{page.bits // 8}")
        samples = numpy.cumsum(numbers, axis=1, dtype=f"u{page.bits // 8}").view(f"{page.kind}{page.bits // 8}")
    return cast("NDArray[Any]", samples.astype(samples.dtype.newbyteorder("="), copy=False))


def _undo_float_predictor(data: bytes, page: Page, rows: int) -> NDArray[Any]:
    """Add up the differences of bytes, and put together the bytes of each float, of which the highest come first."""
    numpy = _numpy()
    width, together, size = page.segment[0], page.together, page.bits // 8
    octets = numpy.frombuffer(data, numpy.uint8).reshape(rows, -1, together)
    planes = numpy.cumsum(octets, axis=1, dtype=numpy.uint8).reshape(rows, size, width * together)
    floats = numpy.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}")
    return cast("NDArray[Any]", floats.reshape(rows, width, together).astype(f"f{size}"))


def _unpack_bits(data: bytes, page: Page, rows: int) -> NDArray[Any]:
    """Samples of odd depths, the highest bit first; of 24 bits, whole bytes in the order of the file."""
    numpy = _numpy()
    number = page.segment[0] * page.together
    octets = numpy.frombuffer(data, numpy.uint8).reshape(rows, page.row)
    if page.bits == 24 and page.block.order == "<":
        octets = octets.reshape(rows, -1, 3)[:, :, ::-1].reshape(rows, -1)
    size = 1 if page.bits <= 8 else 2 if page.bits <= 16 else 4
    result = numpy.empty((rows, number), f"{page.kind}{size}")
    step = max(1, _UNPACKED_AT_ONCE // number)
    for top in range(0, rows, step):
        digits = numpy.unpackbits(octets[top : top + step], axis=1)[:, : number * page.bits]
        digits = digits.reshape(-1, number, page.bits)
        values = numpy.zeros(digits.shape[:2], numpy.int64)
        for place in range(page.bits):
            values = values * 2 + digits[:, :, place]
        if page.kind == "i":
            values -= (values >> (page.bits - 1)) << page.bits
        result[top : top + step] = values
    return cast("NDArray[Any]", result)


def _apply_palette(page: Page, indices: NDArray[Any]) -> Image.Image:
    """Colours of a palette, of which some programs write eight bits where 16 are meant."""
    numpy = _numpy()
    colours = read_numbers(page.block, page.directory.get(_COLOURS), 3 << page.bits)
    if len(colours) < 3 << page.bits:
        raise Unreadable(DAMAGED)
    table = numpy.array(colours, numpy.uint32).reshape(3, -1).T
    eight = table if table.max() <= 255 else (table * 255 + 32767) // 65535
    return Image.fromarray(eight.astype(numpy.uint8)[indices])


def _to_image(page: Page, pixels: NDArray[Any]) -> Image.Image:
    numpy = _numpy()
    has_alpha = _channels(page)[1]
    if pixels.shape[2] == 1:
        return Image.fromarray(pixels[:, :, 0])
    if pixels.shape[2] == 2:
        pixels = numpy.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    mode = {_CMYK: "CMYK", _YCBCR: "YCbCr"}.get(page.photometric, "RGBA" if has_alpha else "RGB")
    raw_mode = "RGBa" if has_alpha and page.extra[0] == 1 else mode  # colours that were multiplied by their alpha
    height, width = pixels.shape[:2]
    return Image.frombytes(mode, (width, height), numpy.ascontiguousarray(pixels).tobytes(), "raw", raw_mode)
