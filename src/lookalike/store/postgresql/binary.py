"""Rows in PostgreSQL's binary form, for COPY and for what its vectors are sent as; numbers keep every bit.

The layout of COPY: https://www.postgresql.org/docs/current/sql-copy.html; of vectors and halves: `vector_send` and
`halfvec_send` of pgvector, two counts of 16 bits and the numbers, all with the highest byte first.
"""

from __future__ import annotations

import itertools
import struct
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.store.rows import Stored

__all__ = [
    "decode_text",
    "encode_text",
    "join_moment",
    "pack_contents",
    "pack_descriptions",
    "pack_rows",
    "pack_vectors",
    "sized",
    "split_moment",
    "to_blobs",
    "to_doubles",
    "to_ints",
    "to_literal",
    "to_texts",
    "unpack_vectors",
]

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  (PostgreSQL's, for times without a zone)
_MICROSECOND = timedelta(microseconds=1)
_ESCAPE, _ZERO, _ITSELF = "\ufffe", "\ufffe0", "\ufffe1"  # no text has the first: Unicode reserves it

_SIZE, _BIGINT, _DOUBLE = struct.Struct(">i"), struct.Struct(">iq"), struct.Struct(">id")


def pack_rows(columns: Sequence[Sequence[bytes]]) -> bytes:
    """Columns of encoded values, each with its size before it (`sized`, `to_ints`, ...), as one COPY of their rows."""
    head = struct.pack(">h", len(columns))
    return b"".join([_BEGIN, *itertools.chain.from_iterable(zip(itertools.repeat(head), *columns)), _END])


def sized(values: Iterable[bytes | None]) -> list[bytes]:
    """Values of a column as COPY takes them: with their sizes before them."""
    return [_NULL if value is None else _SIZE.pack(len(value)) + value for value in values]


def to_ints(values: Iterable[int | None]) -> list[bytes]:
    """Whole numbers as a column `bigint`, as COPY takes them."""
    return [_NULL if value is None else _BIGINT.pack(8, value) for value in values]


def to_doubles(values: Iterable[float | None]) -> list[bytes]:
    """Numbers as a column `double precision`, as COPY takes them."""
    return [_NULL if value is None else _DOUBLE.pack(8, value) for value in values]


def to_texts(values: Iterable[str | None]) -> list[bytes]:
    """Texts as a column `text`, as COPY takes them."""
    return sized(None if text is None else text.encode() for text in map(encode_text, values))


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


def pack_contents(contents: Stored, dim: int) -> bytes:
    """Embeddings as one COPY into columns digest, exponent, embedding and crc; all digests are of one length."""
    blobs = np.frombuffer(b"".join(blob for blob, _ in contents.values()), _blob_row(dim))
    halves = np.dtype([("dim", ">i4"), ("numbers", ">u2", (dim,))])
    rows = _new_rows(contents, {"exponent": ">i2", "embedding": halves})
    rows["exponent"]["value"] = blobs["exponent"]
    # The two counts of `halfvec` are one number here: the second is zero.
    rows["embedding"]["value"]["dim"], rows["embedding"]["value"]["numbers"] = dim << 16, blobs["numbers"]
    return b"".join([_BEGIN, rows.tobytes(), _END])


def pack_descriptions(descriptions: Stored) -> bytes:
    """Descriptions as one COPY into columns digest, described and crc; all are of one length, as are the digests."""
    size = len(next(iter(descriptions.values()))[0])
    rows = _new_rows(descriptions, {"described": f"V{size}"})
    rows["described"]["value"] = np.frombuffer(b"".join(some for some, _ in descriptions.values()), f"V{size}")
    return b"".join([_BEGIN, rows.tobytes(), _END])


def to_blobs(exponents: Sequence[int], halves: Sequence[bytes], dim: int) -> list[bytes]:
    """The bytes of embeddings as `lookalike.store.float16` has them. Raises ValueError for those of another dimension.

    halves: as `halfvec_send` sends them.
    """
    if any(len(some) != 4 + 2 * dim for some in halves):
        raise ValueError(f"embeddings of another dimension than {dim}")
    sent = np.frombuffer(b"".join(halves), np.dtype([("head", ">i2", (2,)), ("numbers", ">u2", (dim,))]))
    rows = np.empty(len(sent), _blob_row(dim))
    rows["exponent"], rows["numbers"] = exponents, sent["numbers"]
    content = rows.tobytes()
    return [content[start : start + rows.itemsize] for start in range(0, len(content), rows.itemsize)]


def encode_text(text: str | None) -> str | None:
    """Text as PostgreSQL can keep it, which is without zero bytes."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace(_ESCAPE, _ITSELF).replace("\0", _ZERO)


def decode_text(text: str | None) -> str | None:
    """The text that `encode_text` encoded."""
    return text if text is None or text.isascii() else text.replace(_ZERO, "\0").replace(_ITSELF, _ESCAPE)


def split_moment(iso: str | None) -> tuple[int | None, int | None]:
    """A time in ISO 8601 as a timestamp by its own clock, and the offset of that from UTC in microseconds."""
    if iso is None:
        return None, None
    moment = datetime.fromisoformat(iso)
    offset = moment.utcoffset()
    micros = (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    return micros, None if offset is None else offset // _MICROSECOND


def join_moment(moment: datetime | None, offset: int | None) -> str | None:
    """The time in ISO 8601 that `split_moment` split."""
    if moment is None:
        return None
    zone = None if offset is None else timezone(timedelta(microseconds=offset))
    return moment.replace(tzinfo=zone).isoformat()


def _new_rows(kept: Stored, middle: dict[str, Any]) -> NDArray[Any]:
    """Rows of a COPY with the columns digest, these, and crc; the values of these are still to be set."""
    length = len(next(iter(kept)))
    columns = {"digest": f"V{length}", **middle, "crc": ">i8"}
    types = [(name, np.dtype([("size", ">i4"), ("value", kind)])) for name, kind in columns.items()]
    rows = np.zeros(len(kept), np.dtype([("columns", ">i2"), *types]))
    rows["columns"] = len(columns)
    for name in columns:
        rows[name]["size"] = rows.dtype[name].itemsize - 4
    rows["digest"]["value"] = np.frombuffer(b"".join(kept), f"V{length}")
    rows["crc"]["value"] = [crc for _, crc in kept.values()]
    return rows


def _blob_row(dim: int) -> np.dtype[Any]:
    return np.dtype([("exponent", "<i2"), ("numbers", "<u2", (dim,))])


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
