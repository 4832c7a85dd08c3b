"""Blends of a projection as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.neighbours import Blend

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Shapes", "packed", "unpacked"]

Shapes = tuple[tuple[int, ...] | None, ...]
"""Of each blend how many anchors it has, of how many numbers, and how many deviations; None where there is none."""


def packed(blends: Sequence[Blend | None]) -> tuple[Shapes, bytes]:
    """The shapes of blends and their numbers as little-endian float32, anchors first, one blend after the other."""
    shapes = tuple((*blend.anchors.shape, len(blend.deviations)) if blend else None for blend in blends)
    numbers = [part.astype("<f4").tobytes() for blend in blends if blend for part in (blend.anchors, blend.deviations)]
    return shapes, b"".join(numbers)


def unpacked(content: bytes, shapes: Shapes) -> tuple[Blend | None, ...]:
    """The same blends. Raises ValueError for content of another length and shapes that are none."""
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
