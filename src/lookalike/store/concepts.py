"""Names that a gallery was taught, with the embeddings of their examples, and how stores keep them as bytes."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Concept", "check_concepts", "from_bytes", "normalise", "to_bytes"]

_LARGEST = 1e16  # absolute value in an embedding, as in the stores


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """A taught name: the embeddings of its examples, as an encoder gives them, so that it survives every adaptation.

    name: as it was written. like: float32 (n, dim), n >= 1, of pictures that show it. unlike: float32 (m, dim), of
    pictures that do not, although one might think so.
    """

    name: str
    like: NDArray[np.float32]
    unlike: NDArray[np.float32]


def normalise(name: str) -> str:
    """The form in which names are compared: composed accents, no regard to case, single blanks."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())


def check_concepts(concepts: Iterable[Concept], dim: int) -> dict[str, Concept]:
    """The concepts by their normalised names. Raises ValueError for one that no store of this dimension can keep."""
    checked: dict[str, Concept] = {}
    for concept in concepts:
        if not normalise(concept.name):
            raise ValueError("a concept without a name")
        like, unlike = (_check(rows, dim) for rows in (concept.like, concept.unlike))
        if not len(like):
            raise ValueError(f"the concept {concept.name!r} has no example")
        checked[normalise(concept.name)] = Concept(concept.name, like, unlike)
    return checked


def to_bytes(concept: Concept) -> bytes:
    """A line of JSON with the name and the shapes, then both arrays as little-endian float32."""
    head = {"name": concept.name, "like": len(concept.like), "unlike": len(concept.unlike)}
    arrays = [rows.astype("<f4").tobytes() for rows in (concept.like, concept.unlike)]
    return b"\n".join([json.dumps(head).encode(), b"".join(arrays)])


def from_bytes(content: bytes, dim: int) -> Concept:
    """The concept that `to_bytes` wrote. Raises ValueError, TypeError or KeyError for anything else."""
    head, _, arrays = content.partition(b"\n")
    fields = json.loads(head)
    name, like, unlike = str(fields["name"]), int(fields["like"]), int(fields["unlike"])
    if min(like - 1, unlike) < 0 or len(arrays) != 4 * dim * (like + unlike):
        raise ValueError("the examples do not fit the embeddings")
    rows = np.frombuffer(arrays, "<f4").reshape(-1, dim).astype(np.float32)
    return next(iter(check_concepts([Concept(name, rows[:like], rows[like:])], dim).values()))


def _check(rows: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    array = np.asarray(rows, np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"examples of shape {array.shape}, expected (n, {dim})")
    if not (np.abs(array) <= _LARGEST).all():
        raise ValueError(f"an example that is not finite, or has numbers beyond {_LARGEST:g}")
    return array.copy()
