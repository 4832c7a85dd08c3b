"""Patches: an encoder learned from a person's own pictures in seconds, without labels or outside weights.

Dictionaries of whitened patches (Coates, Lee & Ng 2011) of several sizes; what each atom answers to a picture is
averaged in a 4 x 4 grid and projected onto few numbers. `dictionary` learns, `graph` writes it as ONNX,
`projection` finds the numbers that are kept; what was tried is in docs/decisions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.encoders import Learner
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.patches.dictionary import Grain, learn_bank
from lookalike.encoders.patches.graph import build_graph
from lookalike.encoders.patches.projection import learn_projection
from lookalike.errors import EncoderError
from lookalike.images.alterations import TONES, mirrored
from lookalike.images.decode import View, fit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LEARNER", "VIEW", "fit_patches", "save_patches"]

VIEW = View(96)
_GRAINS = (Grain(6, 2, 200, 2.0), Grain(12, 3, 200, 2.5))
_DIM = 64
_MOST = 2000  # pictures that are kept in memory while fitting: 55 MB, and as much again for each grain's answers


def fit_patches(images: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    images: an iterable or an array (n, h, w, 3); of more than 2,000 as many are drawn. The same pictures in the same
    order and the same seed give the same model on the same machine. Raises EncoderError for fewer than two pictures.
    """
    rng = np.random.default_rng(seed)
    pictures = _drawn(images, rng)
    if len(pictures) < 2:
        raise EncoderError("patches are learned from at least two pictures", hint="give it a folder with more")
    banks = [learn_bank(pictures, grain, rng) for grain in _GRAINS]
    card = Card(name="patches", view=VIEW)
    pooled = OnnxEncoder(build_graph(banks, VIEW.size), card)
    projected = learn_projection(pooled.encode(pictures), _DIM, twins=pooled.encode(_altered(pictures)))
    return build_graph(banks, VIEW.size, projected), card


def save_patches(folder: Path, model: bytes, card: Card) -> None:
    """Write `encoder.onnx` and `encoder.json` into a folder, made if it is not there: what `load_encoder` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.onnx").write_bytes(model)
    card.write(folder / "encoder.json")


def _learn(images: Iterable[NDArray[np.uint8]], folder: Path) -> None:
    save_patches(folder, *fit_patches(images))


LEARNER = Learner(VIEW, _learn)


def _altered(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirrored, with half the saturation: what a picture shows is not to depend on either."""
    return np.stack([np.asarray(TONES["paler"](mirrored(Image.fromarray(picture)))) for picture in pictures])


def _drawn(images: Iterable[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (n, size, size, 3), n at most _MOST: each picture as likely as any (Vitter's reservoir, 1985)."""
    kept: list[NDArray[np.uint8]] = []
    for seen, image in enumerate(images):
        place = seen if seen < _MOST else int(rng.integers(0, seen + 1))
        if seen < _MOST:
            kept.append(_viewed(image))
        elif place < _MOST:
            kept[place] = _viewed(image)
    return np.stack(kept) if kept else np.empty((0, VIEW.size, VIEW.size, 3), np.uint8)


def _viewed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of the picture, cut to the view; one that is cut already stays as it is."""
    if image.shape == (VIEW.size, VIEW.size, 3):
        return image.copy()
    return np.asarray(fit(Image.fromarray(image), VIEW))
