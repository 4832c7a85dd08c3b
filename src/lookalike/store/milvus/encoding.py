"""Rows of a gallery as Milvus keeps them: bytes and text are percent-encoded, so that expressions can quote them."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

import numpy as np

from lookalike.store.evaluate import compose
from lookalike.store.milvus.schema import NONE
from lookalike.store.rows import CRC, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

__all__ = [
    "decode_bytes",
    "decode_item",
    "decode_text",
    "encode_bytes",
    "encode_item",
    "encode_name",
    "encode_text",
    "listing",
    "pad",
    "quoted",
    "to_lists",
]

_SAFE = "/ "
_PLAIN = re.compile(rb"[A-Za-z0-9_.\-/ ]*")  # what `quote` leaves as it is
_MISSING = "%"  # for text that is not there: what is encoded never has a % alone


def encode_bytes(content: bytes) -> str:
    """Any bytes as ASCII. What begins with some bytes begins, encoded, with these bytes encoded."""
    if _PLAIN.fullmatch(content):  # a tenth of the time
        return content.decode("ascii")
    return quote(content, safe=_SAFE).replace("~", "%7E")  # so that ~ comes behind everything


def decode_bytes(text: str) -> bytes:
    """The bytes that `encode_bytes` encoded."""
    return unquote_to_bytes(text) if "%" in text else text.encode("ascii")


def encode_text(text: str | None) -> str:
    """Text, or its absence, as ASCII."""
    return _MISSING if text is None else encode_bytes(text.encode("utf-8", "surrogatepass"))


def decode_text(text: str) -> str | None:
    """The text that `encode_text` encoded."""
    return None if text == _MISSING else decode_bytes(text).decode("utf-8", "surrogatepass")


def encode_name(name: bytes) -> str:
    """A file name as filters compare it: with its accents composed."""
    return encode_bytes(os.fsencode(compose(os.fsdecode(name))))


def quoted(text: str) -> str:
    """Encoded text in an expression."""
    return f"'{text}'"


def listing(values: Iterable[object]) -> str:
    """Numbers, or encoded texts, as a list in an expression."""
    return f"[{', '.join(quoted(one) if isinstance(one, str) else str(one) for one in values)}]"


def pad(vectors: Vectors) -> Vectors:
    """Vectors of at least two dimensions, which is the fewest that Milvus keeps."""
    return vectors if vectors.shape[1] > 1 else np.pad(vectors, ((0, 0), (0, 1)))


def encode_item(row: Row, vector: list[float]) -> dict[str, Any]:
    """A row of `lookalike.store.rows` with its vector as a row of the items."""
    id_, path, digest, size, mtime_ns, width, height, format_, taken_at, camera, reason, limit, crc = row
    folder, _, name = path.rpartition(b"/")
    numbers = {"size": size, "mtime_ns": mtime_ns, "width": width, "height": height}
    texts = {"format": format_, "taken_at": taken_at, "camera": camera, "skipped_because": reason}
    return {
        "id": id_,
        "path": encode_bytes(path),
        "digest": (digest or b"").hex(),
        "embedded": digest is not None,
        **{key: NONE if value is None else value for key, value in numbers.items()},
        **{key: encode_text(value) for key, value in texts.items()},
        "max_megapixels": "null" if limit is None else json.dumps(limit),
        "crc": crc,
        "vector": vector,
        "folder": encode_bytes(folder),
        "name": encode_name(name),
    }


def decode_item(found: dict[str, Any]) -> Row:
    """The row of `lookalike.store.rows` that `encode_item` encoded. Raises ValueError, KeyError."""
    numbers = (found[name] for name in ("size", "mtime_ns", "width", "height"))
    texts = (found[name] for name in ("format", "taken_at", "camera", "skipped_because"))
    row = (
        *(found["id"], decode_bytes(found["path"]), bytes.fromhex(found["digest"]) if found["embedded"] else None),
        *(None if one == NONE else one for one in numbers),
        *map(decode_text, texts),
        *(None if found["max_megapixels"] == "null" else json.loads(found["max_megapixels"]), found["crc"]),
    )
    return row if len(row) == CRC + 1 else ()


def to_lists(vectors: Vectors) -> list[list[float]]:
    """Vectors as Milvus takes them."""
    lists: list[list[float]] = pad(vectors).tolist()
    return lists
