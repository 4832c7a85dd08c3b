"""The JPEG that a camera has put into its RAW file: what its screen shows, at full or nearly full size.

It is found by the directories of the file (Canon CR2 and CR3, Nikon NEF and NRW, Sony ARW, Adobe DNG, Pentax PEF,
Samsung SRW, Panasonic RW2, Fujifilm RAF) and decoded like any other JPEG; no raw samples are developed. At most 16
directories are read, each looked at once, and no more bytes than `_LONGEST`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from lookalike.images.tags import next_directory as find_next
from lookalike.images.tags import open_block, read_at, read_directory, read_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.images.tags import Block, Directory

__all__ = ["Preview", "find_preview"]

_COMPRESSION, _PHOTOMETRIC, _OFFSET, _ORIENTATION, _LENGTH = 259, 262, 273, 274, 279
_SUB, _JPEG_OFFSET, _JPEG_LENGTH, _PANASONIC, _DNG = 330, 513, 514, 0x2E, 50706
_WANTED = frozenset(
    {_COMPRESSION, _PHOTOMETRIC, _OFFSET, _ORIENTATION, _LENGTH, _SUB, _JPEG_OFFSET, _JPEG_LENGTH, _PANASONIC, _DNG}
)
_RAW_COLOURS = {32803, 34892}  # a mosaic of colour filters; linear samples of a sensor
_RAW_COMPRESSIONS = {32767, 34713, 65535}  # of Sony, Nikon, Pentax
_DIRECTORIES = 16
_LONGEST = 64 << 20  # bytes of a preview
_SEGMENTS = 64  # of a JPEG before its size; cameras write some ten


@dataclass(frozen=True, slots=True)
class Preview:
    """The bytes of a JPEG, and the orientation that the file around it gives, or None."""

    data: bytes
    orientation: int | None = None


def find_preview(file: IO[bytes]) -> Preview | None:
    """The largest JPEG in a RAW file; None for all other files and for a RAW file without one."""
    head = read_at(file, 0, 96)
    if head.startswith(b"FUJIFILMCCD-RAW ") and len(head) >= 92:
        return _largest(file, [struct.unpack_from(">II", head, 84)], None)
    if head[4:12] == b"ftypcrx ":
        return _largest(file, _find_in_boxes(file), None)
    block = open_block(file)
    if block is None:
        return None
    directories = list(_read_directories(block))
    if not _is_raw(block, head, directories):
        return None
    places = [place for directory in directories for place in _places(block, directory)]
    return _largest(file, places, next(iter(read_numbers(block, directories[0].get(_ORIENTATION), 1)), None))


def _read_directories(block: Block) -> Iterator[Directory]:
    """The directories of a file and those below them, at most 16."""
    waiting, seen = [block.first], set[int]()
    while waiting and len(seen) < _DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        directory = read_directory(block, offset, _WANTED)
        waiting += [*read_numbers(block, directory.get(_SUB), _DIRECTORIES), find_next(block, offset) or 0]
        yield directory


def _is_raw(block: Block, head: bytes, directories: list[Directory]) -> bool:
    """Whether a TIFF structure is a camera's RAW file."""
    if not directories or block.count.size != 2:
        return False
    if head[2:4] not in {b"*\0", b"\0*"} or head[8:10] == b"CR" or _DNG in directories[0]:
        return True
    colours = {number for one in directories for number in read_numbers(block, one.get(_PHOTOMETRIC), 1)}
    compressions = {number for one in directories for number in read_numbers(block, one.get(_COMPRESSION), 1)}
    return bool(colours & _RAW_COLOURS or compressions & _RAW_COMPRESSIONS)


def _places(block: Block, directory: Directory) -> Iterator[tuple[int, int]]:
    """Where JPEGs may be, and how long they are."""
    for at, length in ((_JPEG_OFFSET, _JPEG_LENGTH), (_OFFSET, _LENGTH)):
        offsets, lengths = (read_numbers(block, directory.get(tag), 2) for tag in (at, length))
        if len(offsets) == len(lengths) == 1:
            yield offsets[0], lengths[0]
    entry = directory.get(_PANASONIC)
    if entry is not None:
        yield block.to_int(entry.value), entry.number


def _find_in_boxes(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """The previews in the boxes of a CR3."""
    start = 0
    for _ in range(_DIRECTORIES):
        head = read_at(file, start, 64)
        if len(head) < 64:
            return
        size, kind = struct.unpack_from(">I4s", head)
        if kind == b"uuid" and head[36:40] == b"PRVW":
            yield start + 56, struct.unpack_from(">I", head, 52)[0]
        size = struct.unpack_from(">Q", head, 8)[0] if size == 1 else size
        if size < 8:
            return
        start += size


def _largest(
    file: IO[bytes], places: Iterator[tuple[int, int]] | list[tuple[int, int]], turn: int | None
) -> Preview | None:
    sizes = [(_count_pixels(file, offset), offset, min(length, _LONGEST)) for offset, length in places]
    pixels, offset, length = max(sizes, default=(0, 0, 0))
    return Preview(read_at(file, offset, length), turn) if pixels else None


def _count_pixels(file: IO[bytes], offset: int) -> int:
    """The number of pixels of a JPEG that begins here; 0 if it is not one, or a lossless one, of raw samples."""
    if read_at(file, offset, 3) != b"\xff\xd8\xff":
        return 0
    offset += 2
    for _ in range(_SEGMENTS):
        head = read_at(file, offset, 9)
        if len(head) < 9 or head[0] != 0xFF:
            return 0
        if head[1] in {0xC0, 0xC1, 0xC2}:
            return int.from_bytes(head[5:7]) * int.from_bytes(head[7:9])
        if 0xC3 <= head[1] <= 0xCF and head[1] not in {0xC4, 0xC8, 0xCC}:
            return 0
        offset += 2 + int.from_bytes(head[2:4])
    return 0
