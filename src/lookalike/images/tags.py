"""The directories of a TIFF structure, which TIFFs, EXIF blocks and most RAW files have.

Pillow loads every value of a directory, however much it claims to hold. Here a directory has at most 512 entries, only
the wanted ones are looked at, and no more of a value is read than its reader asks for, so that no false length costs
time or memory. Tags and types: TIFF 6.0, Exif 3.0 (CIPA DC-008-2023); BigTIFF by its own header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Block", "Directory", "Entry", "next_directory", "open_block", "read_at", "read_directory", "read_numbers"]

_ENTRIES = 512  # of a directory that are looked at; cameras write fewer than 100
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_RAW_MAGIC = (0x4F52, 0x5352, 0x55)  # ORF of Olympus, RW2 of Panasonic: otherwise as in a TIFF


class Entry(NamedTuple):
    """One field of a directory, still as bytes."""

    kind: int
    number: int  # of values; of bytes in a text
    value: bytes  # or where it lies, if it is longer than this


Directory = dict[int, Entry]


@dataclass(frozen=True, slots=True)
class Block:
    """A TIFF structure: its file, how numbers are written in it, and where its first directory is."""

    file: IO[bytes]
    order: str
    count: struct.Struct
    entry: struct.Struct
    first: int

    def to_int(self, data: bytes) -> int:
        """The unsigned number that these bytes are."""
        return int.from_bytes(data, "little" if self.order == "<" else "big")


def open_block(file: IO[bytes]) -> Block | None:
    """The structure that begins at the start of `file`; None if it cannot be read."""
    head = read_at(file, 0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    magic = struct.unpack_from(f"{order}H", head, 2)[0]
    if magic == 42 or magic in _RAW_MAGIC:
        count, entry, first = "H", "HHI4s", struct.unpack_from(f"{order}I", head, 4)[0]
    elif magic == 43 and len(head) == 16:
        count, entry, first = "Q", "HHQ8s", struct.unpack_from(f"{order}Q", head, 8)[0]
    else:
        return None
    return Block(file, order, struct.Struct(order + count), struct.Struct(order + entry), first)


def read_directory(block: Block, offset: int, wanted: Collection[int]) -> Directory:
    """The wanted entries of the directory at `offset`; of those that are there twice the first."""
    head = read_at(block.file, offset, block.count.size)
    if len(head) < block.count.size:
        return {}
    number = min(block.count.unpack(head)[0], _ENTRIES)
    data = read_at(block.file, offset + len(head), number * block.entry.size)
    whole = len(data) - len(data) % block.entry.size
    entries: Directory = {}
    for tag, kind, count, value in block.entry.iter_unpack(data[:whole]):
        if tag in wanted:
            entries.setdefault(tag, Entry(kind, count, value))
    return entries


def next_directory(block: Block, offset: int) -> int | None:
    """Where the directory behind the one at `offset` is; 0 if that is the last, None if the file ends within it."""
    head = read_at(block.file, offset, block.count.size)
    if len(head) < block.count.size:
        return None
    size = 4 if block.count.size == 2 else 8
    link = read_at(block.file, offset + len(head) + block.count.unpack(head)[0] * block.entry.size, size)
    return block.to_int(link) if len(link) == size else None


def read_numbers(block: Block, entry: Entry | None, most: int) -> tuple[int, ...]:
    """The first `most` integers of an entry; none if it is not there, has another type, or is not in the file."""
    code = _INTEGERS.get(entry.kind) if entry else None
    if entry is None or code is None:
        return ()
    numbers = struct.Struct(f"{block.order}{code}")
    length = entry.number * numbers.size
    wanted = min(entry.number, most) * numbers.size
    data = (
        entry.value[:wanted] if length <= len(entry.value) else read_at(block.file, block.to_int(entry.value), wanted)
    )
    return tuple(number for (number,) in numbers.iter_unpack(data[: len(data) - len(data) % numbers.size]))


def read_at(file: IO[bytes], offset: int, length: int) -> bytes:
    """At most `length` bytes; fewer at the end of the file, none behind it."""
    if offset >= 1 << 62:  # more than a file can be asked for
        return b""
    file.seek(offset)
    return file.read(length)
