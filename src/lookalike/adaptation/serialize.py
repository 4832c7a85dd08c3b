"""A projection as bytes and back: a summary that JSON can hold, and arrays as little-endian float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.adaptation.expansion import Blend
from lookalike.adaptation.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Shapes",
    "Summary",
    "check_projection",
    "from_entries",
    "pack_blends",
    "read_summary",
    "to_entries",
    "unpack_blends",
]

_MEAN, _COMPONENTS, _BLENDS = "projection.mean", "projection.components", "projection.blends"

Shapes = tuple[tuple[int, ...] | None, ...]
"""For each blend the number of anchors, their dimension and the number of deviations; None where a group has none."""


class Summary(NamedTuple):
    """A projection without its arrays."""

    fitted_on: int
    shares: tuple[float, ...]
    classes: tuple[float, ...]
    shapes: Shapes
    groups: tuple[int, ...]

    @property
    def entries(self) -> list[str]:
        """The names of the entries with its arrays."""
        return [_MEAN, _COMPONENTS, *([_BLENDS] if self.shapes else [])]


def read_summary(entry: Any) -> Summary | None:  # noqa: ANN401  (parsed JSON)
    """A summary from parsed JSON, also of older galleries, which have less of it. Raises TypeError, ValueError."""
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


def to_entries(projection: Projection) -> tuple[Summary, dict[str, bytes]]:
    """Divide a projection into its summary, which JSON holds as a list, and the entries with its arrays, by name."""
    shapes, blends = pack_blends(projection.blends)
    mean, components = (part.astype("<f4").tobytes() for part in (projection.mean, projection.components))
    summary = Summary(projection.fitted_on, projection.shares, projection.classes, shapes, projection.groups)
    return summary, {_MEAN: mean, _COMPONENTS: components, _BLENDS: blends}


def from_entries(summary: Summary, entries: Mapping[str, bytes], dim: int) -> Projection:
    """A projection of embeddings of `dim` dimensions from its entries. Raises ValueError, saying what is wrong."""
    mean, components = entries[_MEAN], entries[_COMPONENTS]
    if len(mean) != 4 * dim or len(components) % len(mean) or not components:
        raise ValueError("the projection does not fit the embeddings")
    projection = Projection(
        np.frombuffer(mean, "<f4"),
        np.frombuffer(components, "<f4").reshape(dim, -1),
        summary.fitted_on,
        summary.shares,
        summary.classes,
        unpack_blends(entries.get(_BLENDS, b""), summary.shapes),
        summary.groups,
    )
    if not projection.is_whole:
        raise ValueError("the projection does not fit its parts")
    return projection


def check_projection(projection: Projection, dim: int) -> None:
    """Raise ValueError for a projection that cannot be applied to embeddings of `dim` dimensions."""
    mean, components = projection.mean, projection.components
    if mean.shape != (dim,) or components.ndim != 2 or len(components) != dim or not components.size:
        raise ValueError(f"a projection of {mean.shape} and {components.shape} does not fit embeddings of {dim}")
    if not (np.isfinite(mean).all() and np.isfinite(components).all()):
        raise ValueError("a projection that is not finite")
    if not projection.is_whole:
        raise ValueError("a projection whose columns do not fit its parts")
    if any(not (np.isfinite(blend.anchors).all() and blend.anchors.size) for blend in projection.blends if blend):
        raise ValueError("a projection without anchors, or some that are not finite")


def pack_blends(blends: Sequence[Blend | None]) -> tuple[Shapes, bytes]:
    """The shapes of blends, and their arrays as little-endian float32, one blend after another, anchors first."""
    shapes = tuple((*blend.anchors.shape, len(blend.deviations)) if blend else None for blend in blends)
    arrays = [part.astype("<f4").tobytes() for blend in blends if blend for part in (blend.anchors, blend.deviations)]
    return shapes, b"".join(arrays)


def unpack_blends(content: bytes, shapes: Shapes) -> tuple[Blend | None, ...]:
    """Blends from what `pack_blends` gave. Raises ValueError for shapes or content that do not fit."""
    blends: list[Blend | None] = []
    for shape in shapes:
        if shape is None:
            blends.append(None)
            continue
        if len(shape) != 3:
            raise ValueError("blends of no shape")
        count, width, deviations = shape
        if min(count, width, deviations) < 0 or 4 * (count * width + deviations) > len(content):
            raise ValueError("blends of other shapes")
        anchors = np.frombuffer(content, "<f4", count * width).reshape(count, width)
        blends.append(Blend(anchors, np.frombuffer(content, "<f4", deviations, anchors.nbytes)))
        content = content[4 * (count * width + deviations) :]
    if content:
        raise ValueError("more numbers than the blends have")
    return tuple(blends)
