"""Embeddings as bytes: float16 with an exponent of their own. Half the size, the same ranking (docs/decisions.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["blob_size", "from_blobs", "rounded", "to_blobs"]

_LARGEST = 1e16  # number of an embedding: float32 ends at 3e38, and lengths are squared and summed


def blob_size(dim: int) -> int:
    """Bytes of an embedding of so many numbers."""
    return _row(dim).itemsize


def to_blobs(embeddings: Sequence[NDArray[np.float32]], dim: int) -> list[bytes]:
    """Of each float32 (dim,) its bytes. Raises ValueError for one of another length or that is not finite."""
    for embedding in embeddings:
        if embedding.shape != (dim,):
            raise ValueError(f"an embedding of shape {embedding.shape}, expected ({dim},)")
    numbers = np.array(embeddings, np.float32).reshape(-1, dim)
    exponents, scales = _exponents(numbers)
    rows = np.empty(len(numbers), _row(dim))
    rows["exponent"], rows["numbers"] = exponents, numbers / scales
    return [row.tobytes() for row in rows]


def from_blobs(blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """float32 (n, dim)."""
    rows = np.frombuffer(b"".join(blobs), _row(dim))
    scales = np.ldexp(np.float32(1), rows["exponent"].astype(np.int32))
    numbers = rows["numbers"].astype(np.float32)
    numbers *= scales[:, None]
    return numbers


def rounded(embeddings: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """float32 (n, dim) as they would come back: so that a picture finds itself at 0. Raises as `to_blobs`."""
    if embeddings.ndim != 2 or embeddings.shape[1] != dim:
        raise ValueError(f"embeddings of shape {embeddings.shape}, expected (n, {dim})")
    _, scales = _exponents(embeddings)
    numbers = (embeddings / scales).astype(np.float16).astype(np.float32)
    numbers *= scales
    return numbers


def _exponents(numbers: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float32]]:
    """Of each row (n, dim), and two to their power, (n, 1), by which numbers are divided exactly.

    Whatever the scale of an encoder's numbers, the largest lies between 2**14 and 2**15 when it is rounded.
    """
    largest = np.maximum.reduce(np.abs(numbers), axis=1).tolist()  # in Python: of one row in half the time
    if not all(number <= _LARGEST for number in largest):  # nor is nan
        raise ValueError(f"an embedding that is not finite, or has numbers beyond {_LARGEST:g}")
    exponents = [max(math.frexp(number)[1] - 15, -120) for number in largest]
    return exponents, np.array([[math.ldexp(1.0, exponent)] for exponent in exponents], np.float32).reshape(-1, 1)


def _row(dim: int) -> np.dtype[np.void]:
    return np.dtype([("exponent", "<i2"), ("numbers", "<f2", (dim,))])
