"""Selfsup: what `patches` learns, and a small network above it that is trained without labels.

The first layer are the dictionaries of `lookalike.encoders.patches`; the two layers above their pooled answers learn
that altered views of one picture, and pictures that are each other's neighbours, belong together (`head`). Their 64
numbers stand beside the 64 of `patches`, each with half of the similarity: the network knows kinds, patches tell one
picture from another. Minutes instead of seconds, numpy alone; what was tried is in docs/decisions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from lookalike.distance import unit
from lookalike.encoders import Learner
from lookalike.encoders.drawing import draw
from lookalike.encoders.graph import Graph
from lookalike.encoders.onnx import Card
from lookalike.encoders.patches import VIEW, learn_answers, save_model
from lookalike.encoders.patches.graph import add_answers
from lookalike.encoders.patches.projection import mutual_neighbours, principal
from lookalike.encoders.selfsup.head import train_head
from lookalike.encoders.selfsup.views import altered
from lookalike.images.decode import View, fit
from lookalike.neighbours import expand

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders.patches import Answers
    from lookalike.encoders.selfsup.head import Head

    Matrix = NDArray[np.float32]

__all__ = ["LEARNER", "fit_selfsup"]

_LARGE = View(128)  # pictures are kept so large, so that parts of them still have the detail of VIEW
_VIEWS = 6  # of each picture, beside itself and its twin
_DIRECTIONS = 256  # of the answers that the network sees; 768 are better by half a hundredth and three times the file
_DIM = 64
_NEIGHBOURS = 40


def fit_selfsup(images: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    As `lookalike.encoders.patches.fit_patches`, and 128 numbers of length 1.
    """
    rng = np.random.default_rng(seed)
    pictures = draw(images, _LARGE, rng)
    learned = learn_answers(_small(pictures), rng)
    mean, directions = learned.project()
    inputs = _Inputs.of(learned.rows)
    views = [inputs.rows(learned.rows), inputs.rows(learned.twins)]
    views += [inputs.rows(learned.encoder.encode(altered(pictures, VIEW.size, rng))) for _ in range(_VIEWS)]
    together = _together(np.asarray((learned.rows - mean) @ directions, np.float32))
    head = train_head(np.stack(views), together, _DIM, rng)
    return _model(learned, (mean, directions), inputs, head), Card(name="selfsup", view=VIEW)


class _Inputs(NamedTuple):
    """What the network sees of answers: centred (d,), along directions (d, k)."""

    mean: Matrix
    directions: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> _Inputs:
        """The widest directions of float32 (n, d), on the average of deviation 1; one of zeros if there is none."""
        mean = rows.mean(axis=0)
        directions = principal(rows - mean, _DIRECTIONS)
        if directions.shape[1] == 0:
            return cls(mean, np.zeros((len(mean), 1), np.float32))
        spread = ((rows - mean) @ directions).std(axis=0, dtype=np.float64)
        return cls(mean, np.asarray(directions / spread.mean(), np.float32))

    def rows(self, answers: Matrix) -> Matrix:
        """float32 (n, d) in, (n, k) out."""
        return np.asarray((answers - self.mean) @ self.directions, np.float32)


def _together(rows: Matrix) -> NDArray[np.bool_]:
    """Which are each other's nearest, bool (n, n), once all are drawn to their neighbours, which tells kinds better."""
    return mutual_neighbours(expand(rows, unit(rows)).astype(np.float64), _NEIGHBOURS)


def _model(learned: Answers, projected: tuple[Matrix, Matrix], inputs: _Inputs, head: Head) -> bytes:
    graph = Graph()
    answers = add_answers(graph, learned.banks, VIEW.size)
    mean, directions = projected
    own = graph.add("MatMul", graph.add("Sub", answers, mean), directions)
    seen = graph.add("MatMul", graph.add("Sub", answers, inputs.mean), inputs.directions)
    hidden = graph.add("Relu", graph.add("Add", graph.add("MatMul", seen, head.first), head.first_shift))
    kind = graph.add("Add", graph.add("MatMul", hidden, head.second), head.second_shift)
    parts = [graph.add("LpNormalization", part, axis=1, p=2) for part in (own, kind)]
    output = graph.add("Concat", *parts, axis=1)
    return graph.model("selfsup", output, size=VIEW.size, dim=directions.shape[1] + head.second.shape[1])


def _small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut to VIEW; none of none."""
    cut = [np.asarray(fit(Image.fromarray(picture), VIEW)) for picture in pictures]
    return np.stack(cut) if cut else np.empty((0, VIEW.size, VIEW.size, 3), np.uint8)


def _learn(images: Iterable[NDArray[np.uint8]], folder: Path) -> None:
    save_model(folder, *fit_selfsup(images))


LEARNER = Learner(_LARGE, _learn)
