"""A writer of TIFFs of any layout that shares no code with any reader: only `struct`, `zlib` and array arithmetic."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8

_CODES = {1: "B", 3: "H", 4: "I", 12: "d", 16: "Q"}
_SIZES = {1: 1, 3: 2, 4: 4, 12: 8, 16: 8}


@dataclass(frozen=True)
class Layout:
    """How samples are laid out in a file. bits: of a sample; 0 for those of the array's own type."""

    photometric: int = RGB
    kind: int = UNSIGNED
    bits: int = 0
    planar: int = 1
    extra: Sequence[int] = ()
    big_endian: bool = False
    big_tiff: bool = False
    compression: int = NONE
    predictor: int = 1
    fill: int = 1
    rows: int = 0  # of a strip; 0 for all
    tile: int = 0  # side; 0 for strips
    tags: tuple[tuple[int, int, tuple[int, ...]], ...] = ()


def write_tiff(pixels: NDArray[Any], layout: Layout) -> bytes:
    """A TIFF of one page: pixels are (h, w) or (h, w, samples), of the type that is stored."""
    return write_pages([(pixels, layout)])


def write_pages(pages: Sequence[tuple[NDArray[Any], Layout]]) -> bytes:
    """A TIFF of several pages, each with a layout of its own; the first says how numbers are written."""
    first = pages[0][1]
    order, word = ">" if first.big_endian else "<", "Q" if first.big_tiff else "I"
    head = (b"MM" if first.big_endian else b"II") + struct.pack(order + "H", 43 if first.big_tiff else 42)
    head += struct.pack(order + "HH", 8, 0) if first.big_tiff else b""
    body = head + struct.pack(order + word, len(head) + struct.calcsize(word))
    for number, (pixels, layout) in enumerate(pages):
        body += _page(pixels, layout, len(body), last=number == len(pages) - 1)
    return body


def _page(pixels: NDArray[Any], layout: Layout, at: int, *, last: bool) -> bytes:
    order = ">" if layout.big_endian else "<"
    big = layout.big_tiff
    segments = [_compress(one, layout) for one in _segments(pixels, layout)]
    tags = _tags(pixels, layout, [len(one) for one in segments])
    entry, inline, count = (20, 8, 8) if big else (12, 4, 2)
    over = at + count + entry * len(tags) + inline
    room = sum(n for tag, (kind, values) in tags.items() if (n := _SIZES[kind] * len(values)) > inline)
    offsets, start = [], over + room
    for one in segments:
        offsets.append(start)
        start += len(one)
    tags[324 if layout.tile else 273] = (16 if big else 4, offsets)
    rows, blob = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        data = b"".join(struct.pack(order + _CODES[kind], value) for value in values)
        where = data.ljust(inline, b"\0")
        if len(data) > inline:
            where = struct.pack(order + ("Q" if big else "I"), over + len(blob))
            blob += data
        rows += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + where
    following = 0 if last else start
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    return head + rows + struct.pack(order + ("Q" if big else "I"), following) + blob + b"".join(segments)


def _tags(pixels: NDArray[Any], layout: Layout, counts: list[int]) -> dict[int, tuple[int, Sequence[Any]]]:
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    tags: dict[int, tuple[int, Sequence[Any]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [layout.bits or pixels.dtype.itemsize * 8] * samples),
        259: (3, [layout.compression]),
        262: (3, [layout.photometric]),
        277: (3, [samples]),
        284: (3, [layout.planar]),
        339: (3, [layout.kind] * samples),
    }
    if layout.tile:
        tags |= {322: (4, [layout.tile]), 323: (4, [layout.tile]), 324: (4, [0] * len(counts)), 325: (4, counts)}
    else:
        tags |= {273: (4, [0] * len(counts)), 278: (4, [layout.rows or height]), 279: (4, counts)}
    if layout.big_tiff:
        tags[324 if layout.tile else 273] = (16, [0] * len(counts))
    if layout.extra:
        tags[338] = (3, list(layout.extra))
    if layout.predictor != 1:
        tags[317] = (3, [layout.predictor])
    if layout.fill != 1:
        tags[266] = (3, [layout.fill])
    return tags | {tag: (kind, list(values)) for tag, kind, values in layout.tags}


def _segments(pixels: NDArray[Any], layout: Layout) -> list[bytes]:
    """The strips or tiles, plane by plane, before they are compressed."""
    whole = pixels if pixels.ndim == 3 else pixels[:, :, None]
    planes = [whole] if layout.planar == 1 else [whole[:, :, n : n + 1] for n in range(whole.shape[2])]
    return [_pack(part, layout) for plane in planes for part in _parts(plane, layout)]


def _parts(plane: NDArray[Any], layout: Layout) -> list[NDArray[Any]]:
    height, width = plane.shape[:2]
    if not layout.tile:
        step = layout.rows or height
        return [plane[top : top + step] for top in range(0, height, step)]
    side = layout.tile
    across, down = -(-width // side) * side, -(-height // side) * side
    padded = np.pad(plane, ((0, down - height), (0, across - width), (0, 0)), mode="edge")
    return [padded[y : y + side, x : x + side] for y in range(0, down, side) for x in range(0, across, side)]


def _pack(part: NDArray[Any], layout: Layout) -> bytes:
    size = part.dtype.itemsize
    if layout.bits and layout.bits != size * 8:
        return _pack_bits(part, layout.bits)
    if layout.predictor == 2:
        numbers = part.view(f"u{size}")
        part = np.concatenate([numbers[:, :1], numbers[:, 1:] - numbers[:, :-1]], axis=1)
    if layout.predictor == 3:
        return _float_predictor(part)
    return part.astype(part.dtype.newbyteorder(">" if layout.big_endian else "<")).tobytes()


def _float_predictor(part: NDArray[Any]) -> bytes:
    rows = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">")))
    octets = rows.view(np.uint8).reshape(part.shape[0], -1, part.dtype.itemsize)
    planes = octets.transpose(0, 2, 1).reshape(part.shape[0], -1)
    step = part.shape[2]
    return np.concatenate([planes[:, :step], planes[:, step:] - planes[:, :-step]], axis=1).tobytes()


def _pack_bits(part: NDArray[Any], bits: int) -> bytes:
    """Each row as one number whose digits are its samples, filled up with zeros to whole bytes."""
    data = b""
    for row in part.reshape(part.shape[0], -1):
        digits = "".join(f"{int(value) & ((1 << bits) - 1):0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        data += int(digits, 2).to_bytes(len(digits) // 8)
    return data


def _compress(data: bytes, layout: Layout) -> bytes:
    packed = _COMPRESS[layout.compression](data) if layout.compression != NONE else data
    return packed if layout.fill == 1 else bytes(int(f"{value:08b}"[::-1], 2) for value in packed)


def _packbits(data: bytes) -> bytes:
    return b"".join(bytes([len(piece) - 1]) + piece for n in range(0, len(data), 128) if (piece := data[n : n + 128]))


def _lzw(data: bytes) -> bytes:
    """By the TIFF 6.0 specification, section 13: codes of 9 to 12 bits, the table cleared before it is full."""
    codes, table, width = [(256, 9)], {bytes([n]): n for n in range(256)}, 9
    known, following = b"", 258
    for value in data:
        longer = known + bytes([value])
        if longer in table:
            known = longer
            continue
        codes.append((table[known], width))
        table[longer] = following
        following, known = following + 1, bytes([value])
        width = max(9, following.bit_length())
        if following == 4094:
            codes.append((256, width))
            table, following, width = {bytes([n]): n for n in range(256)}, 258, 9
    codes.append((table[known], width))
    codes.append((257, max(9, (following + 1).bit_length())))
    digits = "".join(f"{code:0{bits}b}" for code, bits in codes)
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8)


_COMPRESS: dict[int, Callable[[bytes], bytes]] = {LZW: _lzw, DEFLATE: zlib.compress, PACKBITS: _packbits}
