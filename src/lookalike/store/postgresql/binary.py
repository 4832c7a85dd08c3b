"""Rows in PostgreSQL's binary form, for COPY and for what its vectors are sent as; numbers keep every bit.

The layout of COPY: https://www.postgresql.org/docs/current/sql-copy.html; of vectors and halves: `vector_send` and
`halfvec_send` of pgvector, two counts of 16 bits and the numbers, all with the highest byte first.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.float16 import blob_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "Encoded",
    "decode_text",
    "encode_text",
    "join_moment",
    "pack_rows",
    "pack_vectors",
    "split_moment",
    "to_blob",
    "to_halves",
    "to_literal",
    "unpack_vectors",
]

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  (PostgreSQL's, for times without a zone)
_MICROSECOND = timedelta(microseconds=1)
_ESCAPE, _ZERO, _ITSELF = "\ufffe", "\ufffe0", "\ufffe1"  # no text has the first: Unicode reserves it

Encoded = bytes | None
"""One value as COPY takes it; None for NULL."""


def pack_rows(rows: Iterable[Sequence[Encoded]]) -> bytes:
    """Rows of encoded values as one COPY."""
    packed = [_BEGIN]
    for row in rows:
        packed.append(struct.pack(">h", len(row)))
        packed += [_NULL if value is None else struct.pack(">i", len(value)) + value for value in row]
    return b"".join([*packed, _END])


def pack_vectors(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> bytes:
    """Ids (n,) with their vectors (n, w) as one COPY into columns bigint and vector."""
    width = vectors.shape[1]
    rows = np.zeros(len(ids), _vector_row(width))
    rows["columns"], rows["eight"], rows["size"], rows["width"] = 2, 8, 4 + 4 * width, width
    rows["id"], rows["numbers"] = ids, vectors
    return b"".join([_BEGIN, rows.tobytes(), _END])


def unpack_vectors(sent: Sequence[bytes], width: int) -> NDArray[np.float32]:
    """Vectors, float32 (n, w), as `vector_send` sends them. Raises ValueError for others."""
    rows = np.frombuffer(b"".join(sent), np.dtype([("head", ">i2", (2,)), ("numbers", ">f4", (width,))]))
    if len(rows) != len(sent):
        raise ValueError(f"vectors of another width than {width}")
    return rows["numbers"].astype(np.float32)


def to_literal(vector: NDArray[np.float32]) -> str:
    """A vector as PostgreSQL reads it from text, with all its digits."""
    return f"[{','.join(map(repr, vector.tolist()))}]"


def to_halves(blobs: Sequence[bytes], dim: int) -> tuple[list[bytes], list[bytes]]:
    """The exponents of embeddings as `smallint`, and their numbers as `halfvec`, both as COPY takes them.

    blobs: the bytes of each embedding as `lookalike.store.float16` has them.
    """
    rows = np.frombuffer(b"".join(blobs), np.dtype([("exponent", "<i2"), ("numbers", "<u2", (dim,))]))
    halves = np.zeros(len(rows), np.dtype([("dim", ">i2"), ("zero", ">i2"), ("numbers", ">u2", (dim,))]))
    halves["dim"], halves["numbers"] = dim, rows["numbers"]
    return _split(rows["exponent"].astype(">i2").tobytes(), 2), _split(halves.tobytes(), 4 + 2 * dim)


def to_blob(exponent: int, halves: bytes, dim: int) -> bytes:
    """The bytes of an embedding as `lookalike.store.float16` has them; empty if the numbers are not `dim`."""
    numbers = np.frombuffer(halves, ">u2", offset=4)  # as whole numbers: twice as fast to turn around
    blob = exponent.to_bytes(2, "little", signed=True) + numbers.astype("<u2").tobytes()
    return blob if len(blob) == blob_size(dim) else b""


def encode_text(text: str | None) -> str | None:
    """Text as PostgreSQL can keep it, which is without zero bytes."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace(_ESCAPE, _ITSELF).replace("\0", _ZERO)


def decode_text(text: str | None) -> str | None:
    """The text that `encode_text` encoded."""
    return text if text is None or text.isascii() else text.replace(_ZERO, "\0").replace(_ITSELF, _ESCAPE)


def split_moment(iso: str | None) -> tuple[Encoded, Encoded]:
    """A time in ISO 8601 as a timestamp by its own clock, and the offset of that from UTC in microseconds."""
    if iso is None:
        return None, None
    moment = datetime.fromisoformat(iso)
    offset = moment.utcoffset()
    micros = (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    return struct.pack(">q", micros), None if offset is None else struct.pack(">q", offset // _MICROSECOND)


def join_moment(moment: datetime | None, offset: int | None) -> str | None:
    """The time in ISO 8601 that `split_moment` split."""
    if moment is None:
        return None
    zone = None if offset is None else timezone(timedelta(microseconds=offset))
    return moment.replace(tzinfo=zone).isoformat()


def _split(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def _vector_row(width: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("columns", ">i2"),
            ("eight", ">i4"),
            ("id", ">i8"),
            ("size", ">i4"),
            ("width", ">i2"),
            ("zero", ">i2"),
            ("numbers", ">f4", (width,)),
        ]
    )
