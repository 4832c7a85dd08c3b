"""A random sample of the pictures that an encoder is learned from, where there are more than it needs."""

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

MOST = 2000  # pictures in memory while learning: 55 MB at 96 pixels, 98 at 128


def draw(shown: Iterable[Shown], view: View, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Draw at most 2,000 pictures, cut to a view, uint8 (n, size, size, 3), and their classes, str (n,).

    The pictures may have any size, and each is as likely to be drawn as any other (reservoir sampling, Vitter 1985).
    """
    kept: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for seen, (picture, label) in enumerate(shown):
        slot = seen if seen < MOST else int(rng.integers(0, seen + 1))
        if slot < MOST:
            kept[slot : slot + 1] = [_crop(picture, view)]
            labels[slot : slot + 1] = [label]
    pictures = np.stack(kept) if kept else np.empty((0, view.size, view.size, 3), np.uint8)
    return pictures, np.array(labels, np.str_)


def _crop(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """A copy of the picture, cut to the view unless it has that size already."""
    if image.shape == (view.size, view.size, 3):
        return image.copy()
    return np.asarray(fit(Image.fromarray(image), view))
