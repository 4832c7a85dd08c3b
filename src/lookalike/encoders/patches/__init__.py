"""Patches: an encoder learned from a person's own pictures in seconds, without labels or outside weights.

It learns dictionaries of whitened patches (Coates, Lee & Ng 2011) of several sizes. The response of each atom to a
picture is averaged in a 4 x 4 grid and projected onto a few dimensions. `dictionary` learns the atoms, `projection`
the dimensions, `graph` writes both as ONNX; docs/decisions.md has what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.encoders import Learner
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.patches.dictionary import Grain, learn_bank
from lookalike.encoders.patches.graph import build_graph
from lookalike.encoders.patches.projection import find_axes, learn_projection
from lookalike.encoders.reservoir import draw
from lookalike.errors import EncoderError
from lookalike.images.augment import TONES, mirror
from lookalike.images.decode import View

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders import Shown
    from lookalike.encoders.patches.dictionary import Bank
    from lookalike.encoders.patches.projection import Axes

__all__ = ["LEARNER", "VIEW", "Responses", "fit_patches", "learn_responses", "save_model"]

VIEW = View(96)
_GRAINS = (Grain(6, 2, 200, 2.0), Grain(12, 3, 200, 2.5))
_DIM = 64


def fit_patches(images: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    images: an iterable or an array (n, h, w, 3); a random 2,000 are used of more than that. The same pictures in the
    same order and the same seed give the same model on the same machine. Raises EncoderError for fewer than two
    pictures.
    """
    rng = np.random.default_rng(seed)
    pictures, _ = draw(((image, "") for image in images), VIEW, rng)
    learned = learn_responses(pictures, rng)
    return build_graph(learned.banks, VIEW.size, learned.project()), Card(name="patches", view=VIEW)


@dataclass(frozen=True, slots=True)
class Responses:
    """Dictionaries, and their responses to the pictures that they were learned from, float32 (n, d), and to twins.

    encoder: gives these responses to pictures cut by VIEW. axes: the principal directions of the responses.
    """

    banks: list[Bank]
    encoder: OnnxEncoder
    rows: NDArray[np.float32]
    twins: NDArray[np.float32]
    axes: Axes

    def project(self) -> Axes:
        """Return the directions (d, 64) that the encoder keeps."""
        return learn_projection(self.rows, _DIM, twins=self.twins, axes=self.axes)


def learn_responses(pictures: NDArray[np.uint8], rng: np.random.Generator) -> Responses:
    """Learn the dictionaries from uint8 (n, 96, 96, 3). A twin is mirrored and has half the saturation.

    Raises EncoderError for fewer than two pictures.
    """
    if len(pictures) < 2:
        raise EncoderError("learning an encoder takes at least two pictures", hint="choose a folder with more")
    banks = [learn_bank(pictures, grain, rng) for grain in _GRAINS]
    encoder = OnnxEncoder(build_graph(banks, VIEW.size), Card(name="answers", view=VIEW))
    rows = encoder.encode(pictures)
    return Responses(banks, encoder, rows, encoder.encode(_make_twins(pictures)), find_axes(rows))


def save_model(folder: Path, model: bytes, card: Card) -> None:
    """Write `encoder.onnx` and `encoder.json` into a folder, which is created if needed; `load_encoder` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.onnx").write_bytes(model)
    card.write(folder / "encoder.json")


def _learn(shown: Iterable[Shown], folder: Path) -> None:
    save_model(folder, *fit_patches(picture for picture, _ in shown))


LEARNER = Learner(VIEW, _learn)


def _make_twins(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror pictures and halve their saturation: what a picture shows does not depend on either."""
    return np.stack([np.asarray(TONES["paler"](mirror(Image.fromarray(picture)))) for picture in pictures])
