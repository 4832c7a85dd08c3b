"""Which pictures an encoder is learned from, when there are more than it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.images.decode import fit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lookalike.encoders import Shown
    from lookalike.images.decode import View

__all__ = ["MOST", "draw"]

MOST = 2000  # pictures that are kept in memory while learning: 55 MB at 96 pixels, 98 at 128


def draw(shown: Iterable[Shown], view: View, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Pictures cut to a view, uint8 (n, size, size, 3), n at most 2,000: each as likely as any (Vitter 1985).

    And their classes, str (n,). The pictures may have any size.
    """
    kept: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for seen, (picture, label) in enumerate(shown):
        place = seen if seen < MOST else int(rng.integers(0, seen + 1))
        if place < MOST:
            kept[place : place + 1] = [_viewed(picture, view)]
            labels[place : place + 1] = [label]
    pictures = np.stack(kept) if kept else np.empty((0, view.size, view.size, 3), np.uint8)
    return pictures, np.array(labels, np.str_)


def _viewed(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """A copy of the picture, cut to the view; one that is cut already stays as it is."""
    if image.shape == (view.size, view.size, 3):
        return image.copy()
    return np.asarray(fit(Image.fromarray(image), view))
