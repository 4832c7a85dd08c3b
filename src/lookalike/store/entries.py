"""Entries of a database: whose embeddings it holds, where they come from, and the projection.

A projection is kept as a summary, and its numbers as little-endian float32.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.store import Space
from lookalike.store.blends import Shapes, packed, unpacked
from lookalike.store.checksums import checksum
from lookalike.store.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Summary",
    "assembled",
    "check_projection",
    "fitted_checksum",
    "read_roots",
    "read_space",
    "read_summary",
    "taken_apart",
]

_MOST_NUMBERS = 1 << 20  # of an embedding; a file that says more is lying
_MEAN, _COMPONENTS, _BLENDS = "projection.mean", "projection.components", "projection.blends"


class Summary(NamedTuple):
    """A projection without its numbers."""

    fitted_on: int
    shares: tuple[float, ...]
    classes: tuple[float, ...]
    shapes: Shapes
    groups: tuple[int, ...]

    @property
    def entries(self) -> list[str]:
        """The names of the entries with its numbers."""
        return [_MEAN, _COMPONENTS, *([_BLENDS] if self.shapes else [])]


def read_space(parts: dict[str, Any]) -> Space:
    """Whose embeddings these are, from parsed JSON. Raises TypeError, ValueError."""
    space = Space(**parts)
    texts = (space.encoder, space.fingerprint, space.source)
    if not all(isinstance(text, str) for text in texts) or space.metric not in ("cosine", "euclidean"):
        raise ValueError("not whose embeddings these are")
    if space.dim not in range(1, _MOST_NUMBERS) or isinstance(space.dim, float):
        raise ValueError("no dimension")
    return space


def read_roots(entries: list[tuple[str, dict[str, Any]]]) -> dict[bytes, dict[str, Any]]:
    """Roots from parsed JSON. Raises TypeError, ValueError."""
    return {bytes(key, "latin-1"): dict(info) for key, info in entries}


def read_summary(entry: Any) -> Summary | None:  # noqa: ANN401  (parsed JSON)
    """A summary from parsed JSON; there is less in older galleries. Raises TypeError, ValueError."""
    if entry is None:
        return None
    fitted_on, shares, classes, *rest = entry if isinstance(entry, list) else (entry, (), ())
    shapes, groups = rest + [()] * (2 - len(rest))
    return Summary(
        int(fitted_on),
        tuple(map(float, shares)),
        tuple(map(float, classes)),
        tuple(shape and tuple(map(int, shape)) for shape in shapes),
        tuple(map(int, groups)),
    )


def taken_apart(projection: Projection) -> tuple[Summary, dict[str, bytes]]:
    """A projection as its summary, which JSON has as a list, and the entries with its numbers, by name."""
    shapes, blends = packed(projection.blends)
    mean, components = (part.astype("<f4").tobytes() for part in (projection.mean, projection.components))
    summary = Summary(projection.fitted_on, projection.shares, projection.classes, shapes, projection.groups)
    return summary, {_MEAN: mean, _COMPONENTS: components, _BLENDS: blends}


def assembled(summary: Summary, numbers: Mapping[str, bytes], dim: int) -> Projection:
    """A projection of embeddings of `dim` numbers from its entries. Raises ValueError, saying what is wrong."""
    mean, components = numbers[_MEAN], numbers[_COMPONENTS]
    if len(mean) != 4 * dim or len(components) % len(mean) or not components:
        raise ValueError("the projection does not fit the embeddings")
    projection = Projection(
        np.frombuffer(mean, "<f4"),
        np.frombuffer(components, "<f4").reshape(dim, -1),
        summary.fitted_on,
        summary.shares,
        summary.classes,
        unpacked(numbers.get(_BLENDS, b""), summary.shapes),
        summary.groups,
    )
    if not projection.is_whole:
        raise ValueError("the projection does not fit its parts")
    return projection


def check_projection(projection: Projection, dim: int) -> None:
    """Raises ValueError for a projection that embeddings of `dim` numbers cannot go through."""
    mean, components = projection.mean, projection.components
    if mean.shape != (dim,) or components.ndim != 2 or len(components) != dim or not components.size:
        raise ValueError(f"a projection of {mean.shape} and {components.shape} does not fit embeddings of {dim}")
    if not (np.isfinite(mean).all() and np.isfinite(components).all()):
        raise ValueError("a projection that is not finite")
    if not projection.is_whole:
        raise ValueError("a projection whose columns do not fit its parts")
    if any(not (np.isfinite(blend.anchors).all() and blend.anchors.size) for blend in projection.blends if blend):
        raise ValueError("a projection without anchors, or some that are not finite")


def fitted_checksum(projection: Projection) -> int:
    """Of all that rows depend on."""
    (_, *parts), numbers = taken_apart(projection)
    return checksum(json.dumps(parts).encode(), *numbers.values())
