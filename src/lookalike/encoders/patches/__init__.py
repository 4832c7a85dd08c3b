"""Patches: an encoder learned from a person's own pictures in seconds, without labels or outside weights.

Dictionaries of whitened patches (Coates, Lee & Ng 2011) of several sizes; what each atom answers to a picture is
averaged in a 4 x 4 grid and projected onto few numbers. `dictionary` learns, `graph` writes it as ONNX,
`projection` finds the numbers that are kept; what was tried is in docs/decisions.md.
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
from lookalike.encoders.patches.projection import learn_projection, widest
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

__all__ = ["LEARNER", "VIEW", "Answers", "fit_patches", "learn_answers", "save_model"]

VIEW = View(96)
_GRAINS = (Grain(6, 2, 200, 2.0), Grain(12, 3, 200, 2.5))
_DIM = 64


def fit_patches(images: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    images: an iterable or an array (n, h, w, 3); of more than 2,000 as many are drawn. The same pictures in the same
    order and the same seed give the same model on the same machine. Raises EncoderError for fewer than two pictures.
    """
    rng = np.random.default_rng(seed)
    pictures, _ = draw(((image, "") for image in images), VIEW, rng)
    learned = learn_answers(pictures, rng)
    return build_graph(learned.banks, VIEW.size, learned.project()), Card(name="patches", view=VIEW)


@dataclass(frozen=True, slots=True)
class Answers:
    """Dictionaries, and what they answer to the pictures that they were learned from, float32 (n, d), and to twins.

    encoder: gives such answers to pictures cut by VIEW. axes: the widest directions of the answers.
    """

    banks: list[Bank]
    encoder: OnnxEncoder
    rows: NDArray[np.float32]
    twins: NDArray[np.float32]
    axes: Axes

    def project(self) -> Axes:
        """Directions (d, 64) for the numbers that are kept."""
        return learn_projection(self.rows, _DIM, twins=self.twins, axes=self.axes)


def learn_answers(pictures: NDArray[np.uint8], rng: np.random.Generator) -> Answers:
    """Learn the dictionaries from uint8 (n, 96, 96, 3). Twins are mirrored and have half the saturation.

    Raises EncoderError for fewer than two pictures.
    """
    if len(pictures) < 2:
        raise EncoderError("an encoder is learned from at least two pictures", hint="give it a folder with more")
    banks = [learn_bank(pictures, grain, rng) for grain in _GRAINS]
    encoder = OnnxEncoder(build_graph(banks, VIEW.size), Card(name="answers", view=VIEW))
    rows = encoder.encode(pictures)
    return Answers(banks, encoder, rows, encoder.encode(_altered(pictures)), widest(rows))


def save_model(folder: Path, model: bytes, card: Card) -> None:
    """Write `encoder.onnx` and `encoder.json` into a folder, made if it is not there: what `load_encoder` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.onnx").write_bytes(model)
    card.write(folder / "encoder.json")


def _learn(shown: Iterable[Shown], folder: Path) -> None:
    save_model(folder, *fit_patches(picture for picture, _ in shown))


LEARNER = Learner(VIEW, _learn)


def _altered(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirrored, with half the saturation: what a picture shows is not to depend on either."""
    return np.stack([np.asarray(TONES["paler"](mirror(Image.fromarray(picture)))) for picture in pictures])
