"""Selfsup: what `patches` learns, and a small network above it that is trained without labels.

The first layer are the dictionaries of `lookalike.encoders.patches`; the two layers above their pooled answers learn
that altered views of one picture, and pictures that are each other's neighbours, belong together (`head`). Their 64
numbers stand beside the 64 of `patches`, each with half of the similarity: the network knows kinds, patches tell one
picture from another. Minutes instead of seconds, numpy alone; what was tried is in docs/decisions.md.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.distance import unit
from lookalike.encoders import Learner
from lookalike.encoders.drawing import draw
from lookalike.encoders.graph import Graph
from lookalike.encoders.onnx import Card
from lookalike.encoders.patches import VIEW, learn_answers, save_model
from lookalike.encoders.patches.graph import add_answers
from lookalike.encoders.patches.projection import mutual_neighbours
from lookalike.encoders.selfsup.head import train_head
from lookalike.images.augmentation import altered
from lookalike.images.decode import View, fit
from lookalike.neighbours import expand

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders.patches import Answers
    from lookalike.encoders.patches.projection import Axes
    from lookalike.encoders.selfsup.head import Head

    Matrix = NDArray[np.float32]

__all__ = ["LEARNER", "fit_selfsup"]

_LARGE = View(128)  # pictures are kept so large, so that parts of them still have the detail of VIEW
_VIEWS = 6  # of each picture, beside itself and its twin
_DIM = 64
_NEIGHBOURS = 40


def fit_selfsup(images: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    As `lookalike.encoders.patches.fit_patches`, and 128 numbers of length 1.
    """
    rng = np.random.default_rng(seed)
    pictures = draw(images, _LARGE, rng)
    learned = learn_answers(_small(pictures), rng)
    spread = _spread(learned.axes, learned.rows)
    more = (learned.encoder.encode(altered(pictures, VIEW.size, rng)) for _ in range(_VIEWS))
    seen = (learned.axes.rows(rows) / spread for rows in chain((learned.rows, learned.twins), more))
    projection = learned.project()
    head = train_head(np.stack(list(seen)), _together(projection.rows(learned.rows)), _DIM, rng)
    return _model(learned, projection, spread, head), Card(name="selfsup", view=VIEW)


def _spread(axes: Axes, rows: Matrix) -> np.float32:
    """The mean deviation of float32 (n, d) along the axes, by which they are divided for the network; 1 for none."""
    return np.float32(axes.rows(rows).std(axis=0, dtype=np.float64).mean() or 1.0)


def _together(rows: Matrix) -> NDArray[np.bool_]:
    """Which are each other's nearest, bool (n, n), once all are drawn to their neighbours, which tells kinds better."""
    return mutual_neighbours(expand(rows, unit(rows)), _NEIGHBOURS)


def _model(learned: Answers, projection: Axes, spread: np.float32, head: Head) -> bytes:
    """All that the projection keeps lies along the axes, so both halves begin with the numbers along these."""
    graph, axes = Graph(), learned.axes
    answers = add_answers(graph, learned.banks, VIEW.size)
    along = graph.add("MatMul", graph.add("Sub", answers, axes.mean), axes.directions)
    own = graph.add("MatMul", along, axes.directions.T @ projection.directions)
    hidden = graph.add("Relu", graph.add("Add", graph.add("MatMul", along, head.first / spread), head.first_shift))
    kind = graph.add("Add", graph.add("MatMul", hidden, head.second), head.second_shift)
    parts = [graph.add("LpNormalization", part, axis=1, p=2) for part in (own, kind)]
    output = graph.add("Concat", *parts, axis=1)
    return graph.model("selfsup", output, size=VIEW.size, dim=projection.directions.shape[1] + head.second.shape[1])


def _small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut to VIEW; none of none."""
    cut = [np.asarray(fit(Image.fromarray(picture), VIEW)) for picture in pictures]
    return np.stack(cut) if cut else np.empty((0, VIEW.size, VIEW.size, 3), np.uint8)


def _learn(images: Iterable[NDArray[np.uint8]], folder: Path) -> None:
    save_model(folder, *fit_selfsup(images))


LEARNER = Learner(_LARGE, _learn)
