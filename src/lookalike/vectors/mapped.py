"""A file of arrays that is mapped, not read, and whose damage is found before anything is answered from it.

Small arrays are checked when the file is opened. Large ones carry a CRC-32 for each block of them, and a block is
checked when it is first used: at 4 GB a second the whole of 10^6 x 128 float32 would be 0.13 s, the forty blocks of
one search are 1 ms. A file is written beside its place and renamed into it, and never changed afterwards.
"""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lookalike.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Blocks", "Damaged", "Segment", "Writer", "kept", "opened"]

_MAGIC = b"LKAL search cache 2\n"
_START = struct.Struct("<20sQQII")  # magic; where the header is, its length, its CRC-32; CRC-32 of these
_ALIGNED = 64  # bytes: a line of the processor's cache
_TYPES = ("<i8", "<u4", "<f4", "<f8", "|u1")


class Damaged(Exception):
    """A cache that is not what was written. Never leaves the store: the database is the truth."""


class Blocks:
    """An array (n, ...) that is checked block by block; block number b ends before row `ends[b]`.

    left: how many blocks have not been checked yet.
    """

    def __init__(self, array: Array, ends: NDArray[np.int64], checks: NDArray[np.uint32]) -> None:
        self.array = array
        self._ends = ends
        self._checks = checks
        self._unseen = np.ones(len(ends), bool)
        self.left = len(ends)

    def touch(self, blocks: NDArray[Any] | None = None) -> None:
        """See to it that these blocks, in an array of any shape, or all, are what was written. Raises Damaged."""
        unseen = self._unseen if blocks is None else np.zeros(0, bool)
        if blocks is not None:
            if not self._unseen[blocks].any():
                return
            unseen = np.zeros(len(self._ends), bool)
            unseen[blocks] = self._unseen[blocks]
        for block in np.nonzero(unseen)[0].tolist():
            start = int(self._ends[block - 1]) if block else 0
            if zlib.crc32(self.array[start : self._ends[block]].data) != self._checks[block]:
                raise Damaged(f"block {block} does not match its checksum")
            self._unseen[block] = False
            self.left -= 1


class Segment:
    """An open file: `header`, arrays checked whole, and arrays checked block by block."""

    def __init__(self, content: memoryview) -> None:
        """Raises Damaged for anything but a whole file of ours."""
        self._content = content
        self.size = len(content)
        self.header = self._read_header()

    @property
    def identity(self) -> int:
        """Of the whole content, by the checksums in the header."""
        return int(_START.unpack_from(self._content)[3])

    def array(self, name: str) -> Array:
        """A small array, checked. Raises Damaged."""
        array = self._array(name)
        if zlib.crc32(array.data) != self.header["arrays"][name]["crc"]:
            raise Damaged(f"{name} does not match its checksum")
        return array

    def blocks(self, name: str) -> Blocks:
        """A large array. Raises Damaged."""
        array, ends, checks = self._array(name), self.array(f"{name}.ends"), self.array(f"{name}.checks")
        if len(ends) != len(checks) or (len(ends) and ends[-1] != len(array)):
            raise Damaged(f"{name} and its blocks do not fit")
        return Blocks(array, ends, checks)

    def _read_header(self) -> dict[str, Any]:
        try:
            magic, offset, length, crc, own = _START.unpack_from(self._content)
            header = self._content[offset : offset + length]
            sound = magic == _MAGIC and own == zlib.crc32(self._content[: _START.size - 4])
            if sound and offset + length == self.size and zlib.crc32(header) == crc:
                return dict(json.loads(bytes(header)))
        except (struct.error, ValueError, TypeError):
            pass
        raise Damaged("no search cache, or not all of one")

    def _array(self, name: str) -> Array:
        try:
            place = self.header["arrays"][name]
            kind, shape, offset = place["type"], tuple(place["shape"]), place["offset"]
            if kind not in _TYPES:
                raise Damaged(f"{name} holds {kind}")
            count = int(np.prod(shape, dtype=np.int64))
            return np.frombuffer(self._content, kind, count, offset).reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{name}: {error}") from error


class Writer:
    """Writes arrays one behind the other; the header comes last, and the start of the file after it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._arrays: dict[str, dict[str, Any]] = {}
        file.write(bytes(_START.size))

    def array(self, name: str, array: Array) -> None:
        """One array, checked whole when the file is opened."""
        self._stream(name, array.dtype, array.shape, [array])

    def blocks(self, name: str, chunks: Iterable[Array], shape: tuple[int, ...], ends: NDArray[np.int64]) -> None:
        """An array of this shape that comes in chunks; each holds whole blocks."""
        checks, done = np.zeros(len(ends), np.uint32), [0, 0]

        def checked() -> Iterable[Array]:
            for chunk in chunks:
                first, block = done
                while block < len(ends) and ends[block] <= first + len(chunk):
                    start = max(int(ends[block - 1]) if block else 0, first)
                    checks[block] = zlib.crc32(np.ascontiguousarray(chunk[start - first : ends[block] - first]).data)
                    block += 1
                done[:] = [first + len(chunk), block]
                yield chunk

        first_chunk = iter(checked())
        head = next(first_chunk, np.zeros(shape, np.float32))
        self._stream(name, head.dtype, shape, _with_first(head, first_chunk))
        self.array(f"{name}.ends", ends)
        self.array(f"{name}.checks", checks)

    def finish(self, header: dict[str, Any]) -> None:
        """Write the header and the start: from now on the file is whole."""
        content = json.dumps({**header, "arrays": self._arrays}).encode()
        offset = self._file.tell()
        self._file.write(content)
        start = _START.pack(_MAGIC, offset, len(content), zlib.crc32(content), 0)[:-4]
        self._file.seek(0)
        self._file.write(start + zlib.crc32(start).to_bytes(4, "little"))

    def _stream(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], chunks: Iterable[Array]) -> None:
        self._file.write(bytes(-self._file.tell() % _ALIGNED))
        offset, crc = self._file.tell(), 0
        for chunk in chunks:
            content = np.ascontiguousarray(chunk)
            crc = zlib.crc32(content.data, crc)
            self._file.write(content.data)
        kind = dtype.newbyteorder("<").str
        self._arrays[name] = {"type": kind, "shape": list(shape), "offset": offset, "crc": crc}


def opened(path: Path) -> Segment | None:
    """The file at `path`, mapped; None if there is none. Raises Damaged."""
    try:
        with path.open("rb") as file:
            return Segment(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


def kept(path: Path, write: Callable[[Writer], None]) -> Segment:
    """What `write` writes, as a file at `path`; in memory where there is no room or no leave to write."""
    with contextlib.suppress(OSError):
        with replace_file(path, sync=False) as part, part.open("w+b") as file:
            write(Writer(file))
            file.flush()
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return Segment(content)
    memory = io.BytesIO()
    write(Writer(memory))
    return Segment(memory.getbuffer())


def _with_first(first: Array, rest: Iterable[Array]) -> Iterable[Array]:
    yield first
    yield from rest
