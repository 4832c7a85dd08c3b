"""Small entries of a database: which encoder made its embeddings, and which folders the pictures come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lookalike.adaptation.serialize import to_entries
from lookalike.store import Space
from lookalike.store.rows import checksum

if TYPE_CHECKING:
    from lookalike.adaptation.projection import Projection

__all__ = ["fitted_checksum", "read_base", "read_distinct", "read_roots", "read_space"]

_MAX_DIM = 1 << 20  # dimensions of an embedding; a file that claims more is damaged or forged


def read_space(parts: dict[str, Any]) -> Space:
    """The space of a store's embeddings, from parsed JSON. Raises TypeError, ValueError."""
    space = Space(**parts)
    texts = (space.encoder, space.fingerprint, space.source)
    if not all(isinstance(text, str) for text in texts) or space.metric not in ("cosine", "euclidean"):
        raise ValueError("not a description of embeddings")
    if space.dim not in range(1, _MAX_DIM) or isinstance(space.dim, float):
        raise ValueError("not a valid dimension")
    return space


def read_distinct(pairs: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The pairs of contents that are not duplicates, from parsed JSON. Raises TypeError, ValueError."""
    return [(bytes.fromhex(one), bytes.fromhex(other)) for one, other in pairs]


def read_roots(entries: list[tuple[str, dict[str, Any]]]) -> dict[bytes, dict[str, Any]]:
    """The roots, from parsed JSON. Raises TypeError, ValueError."""
    return {bytes(key, "latin-1"): dict(info) for key, info in entries}


def read_base(text: str) -> bytes:
    """The folder that keys are relative to, from parsed JSON. Raises TypeError, ValueError."""
    return bytes(text, "latin-1")


def fitted_checksum(projection: Projection) -> int:
    """The checksum of everything in a projection that its vectors depend on."""
    (_, *parts), numbers = to_entries(projection)
    return checksum(json.dumps(parts).encode(), *numbers.values())
