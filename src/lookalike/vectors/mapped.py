"""Arrays in a file that is mapped into memory, and whose damage is found before anything is answered from it.

Small arrays are checked when the file is opened. Large ones have a CRC-32 for each block, and a block is checked when
it is first used: at 4 GB a second, checking all of 10^6 x 128 float32 would take 0.13 s, and the forty blocks of one
search take 1 ms. A file is written under another name, renamed when it is complete, and never changed afterwards.
"""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lookalike.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Blocks", "Damaged", "Segment", "Writer", "open_segment", "write_segment"]

_MAGIC = b"LKAL search cache 2\n"
_START = struct.Struct("<20sQQII")  # magic; where the header is, its length, its CRC-32; CRC-32 of these
_ALIGNED = 64  # bytes: a line of the processor's cache
_TYPES = ("<i8", "<u4", "<f4", "<f8", "|u1")


class Damaged(Exception):
    """A file does not hold what was written. The store catches this and makes the file again from its database."""


class Blocks:
    """An array (n, ...) that is checked block by block; block number b ends before row `ends[b]`.

    left: how many blocks have not been checked yet. Any number of threads may check blocks at the same time: two may
    check the same block, but a block counts as checked only after a check of it has succeeded, and is counted once.
    """

    def __init__(self, array: Array, ends: NDArray[np.int64], checks: NDArray[np.uint32]) -> None:
        self.array = array
        self._ends = ends
        self._checks = checks
        self._unseen = np.ones(len(ends), bool)
        self._lock = threading.Lock()  # while checked blocks are noted; not while they are checked
        self.left = len(ends)

    def check(self, blocks: NDArray[Any] | None = None) -> None:
        """Check those of these blocks (an array of any shape) or of all that were not checked yet. Raises Damaged."""
        unseen = self._select_unseen(blocks)
        if not len(unseen):
            return
        for block in unseen.tolist():
            start = int(self._ends[block - 1]) if block else 0
            if zlib.crc32(self.array[start : self._ends[block]].data) != self._checks[block]:
                raise Damaged(f"block {block} does not match its checksum")
        with self._lock:
            # Counted first: a thread that finds nothing unseen any more must not find blocks left.
            self.left -= int(np.count_nonzero(self._unseen[unseen]))
            self._unseen[unseen] = False

    def _select_unseen(self, blocks: NDArray[Any] | None) -> NDArray[np.intp]:
        """Which of these blocks, or of all, were not checked yet: int (u,), each once."""
        if blocks is None:
            # A copy: numpy refuses to count what another thread changes meanwhile.
            return np.nonzero(self._unseen.copy())[0]
        asked = self._unseen[blocks]
        if not asked.any():
            return np.empty(0, np.intp)
        unseen = np.zeros(len(self._ends), bool)
        unseen[blocks] = asked
        return np.nonzero(unseen)[0]


class Segment:
    """An open file: `header`, arrays checked whole, and arrays checked block by block."""

    def __init__(self, content: memoryview) -> None:
        """Raises Damaged for anything but a complete segment."""
        self._content = content
        self.size = len(content)
        self.header = self._read_header()

    @property
    def identity(self) -> int:
        """A number for the whole content: the CRC-32 of the header, which holds the checksums of all arrays."""
        return int(_START.unpack_from(self._content)[3])

    def array(self, name: str) -> Array:
        """A small array, checked as a whole. Raises Damaged."""
        array = self._array(name)
        if zlib.crc32(array.data) != self.header["arrays"][name]["crc"]:
            raise Damaged(f"{name} does not match its checksum")
        return array

    def blocks(self, name: str) -> Blocks:
        """A large array, of which each block is checked before it is used. Raises Damaged."""
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
            entry = self.header["arrays"][name]
            kind, shape, offset = entry["type"], tuple(entry["shape"]), entry["offset"]
            if kind not in _TYPES:
                raise Damaged(f"{name} holds {kind}")
            count = int(np.prod(shape, dtype=np.int64))
            return np.frombuffer(self._content, kind, count, offset).reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{name}: {error}") from error


class Writer:
    """Writes arrays one after another; the header comes last, and then the start of the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._arrays: dict[str, dict[str, Any]] = {}
        file.write(bytes(_START.size))

    def array(self, name: str, array: Array) -> None:
        """Write a small array, which is checked as a whole when it is read."""
        self._stream(name, array.dtype, array.shape, [array])

    def blocks(self, name: str, chunks: Iterable[Array], shape: tuple[int, ...], ends: NDArray[np.int64]) -> None:
        """Write a large array of this shape, in chunks of whole blocks; block number b ends before row `ends[b]`."""
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
        """Write the header and the start, which make the file complete. header: anything that JSON can hold."""
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


def open_segment(path: Path) -> Segment | None:
    """Map the file at `path`; None if there is no such file. Raises Damaged."""
    try:
        with path.open("rb") as file:
            return Segment(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


def write_segment(path: Path, write: Callable[[Writer], None]) -> Segment:
    """Let `write` write a file at `path`, and map it; keep it in memory where it cannot be written."""
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
