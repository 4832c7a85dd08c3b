"""Selfsup: what `patches` learns, and a small network above it that is trained without labels.

The first layer are the dictionaries of `lookalike.encoders.patches`; the two layers above their pooled answers learn
that altered views of one picture, and pictures that are each other's neighbours, belong together (`head`). Their 64
numbers stand beside the 64 of `patches`, each with half of the similarity: the network knows kinds, patches tell one
picture from another. With labels pictures of a class belong together instead, and the network has most of the
similarity. Minutes instead of seconds, numpy alone; what was tried is in docs/decisions.md.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.adaptation.expansion import expand
from lookalike.encoders import Learner
from lookalike.encoders.onnx import Card
from lookalike.encoders.onnx_graph import Graph
from lookalike.encoders.patches import VIEW, learn_answers, save_model
from lookalike.encoders.patches.graph import add_answers
from lookalike.encoders.patches.projection import mutual_neighbours
from lookalike.encoders.reservoir import draw
from lookalike.encoders.selfsup.head import train_head
from lookalike.images.augment import alter
from lookalike.images.decode import View, fit
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders import Shown
    from lookalike.encoders.patches import Answers
    from lookalike.encoders.patches.projection import Axes
    from lookalike.encoders.selfsup.head import Head

    Matrix = NDArray[np.float32]

__all__ = ["LEARNER", "fit_selfsup"]

_LARGE = View(128)  # pictures are kept so large, so that parts of them still have the detail of VIEW
_VIEWS = 6  # of each picture, beside itself and its twin
_DIM = 64
_NEIGHBOURS = 40
_SHARE, _LABELLED_SHARE = 0.5, 0.7  # of the similarity that the network has, learned without labels and with them


def fit_selfsup(
    images: Iterable[NDArray[np.uint8]], *, labels: Sequence[str] | None = None, seed: int = 0
) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    As `lookalike.encoders.patches.fit_patches`, and 128 numbers of length 1. labels: of each picture, empty for those
    whose class is not known; nothing is made of fewer than two classes. Raises ValueError for more or fewer labels than
    pictures.
    """
    shown = zip(images, repeat("")) if labels is None else zip(images, labels, strict=True)
    return _fit(shown, seed)


def _fit(shown: Iterable[Shown], seed: int) -> tuple[bytes, Card]:
    rng = np.random.default_rng(seed)
    pictures, labels = draw(shown, _LARGE, rng)
    has_classes = len(np.unique(labels[labels != ""])) > 1
    learned = learn_answers(_small(pictures), rng)
    spread = _spread(learned.axes, learned.rows)
    more = (learned.encoder.encode(alter(pictures, VIEW.size, rng)) for _ in range(_VIEWS))
    seen = (learned.axes.rows(rows) / spread for rows in chain((learned.rows, learned.twins), more))
    projection = learned.project()
    together = _together(projection.rows(learned.rows), labels if has_classes else np.full_like(labels, ""))
    head = train_head(np.stack(list(seen)), together, _DIM, rng)
    share = _LABELLED_SHARE if has_classes else _SHARE
    return _model(learned, projection, spread, head, share), Card(name="selfsup", view=VIEW)


def _spread(axes: Axes, rows: Matrix) -> np.float32:
    """The mean deviation of float32 (n, d) along the axes, by which they are divided for the network; 1 for none."""
    return np.float32(axes.rows(rows).std(axis=0, dtype=np.float64).mean() or 1.0)


def _together(rows: Matrix, labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which belong together, bool (n, n): those of a class, and of those without one each other's nearest.

    These are found once all are drawn to their neighbours, which tells kinds better.
    """
    known, same = labels != "", np.equal(labels[:, None], labels)
    if known.all():
        return same
    near = mutual_neighbours(expand(rows, unit(rows)), _NEIGHBOURS)
    return np.where(np.outer(known, known), same, near)


def _model(learned: Answers, projection: Axes, spread: np.float32, head: Head, share: float) -> bytes:
    """All that the projection keeps lies along the axes, so both parts begin with the numbers along these.

    share: of the similarity that the network has.
    """
    graph, axes = Graph(), learned.axes
    answers = add_answers(graph, learned.banks, VIEW.size)
    along = graph.add("MatMul", graph.add("Sub", answers, axes.mean), axes.directions)
    own = graph.add("MatMul", along, axes.directions.T @ projection.directions)
    hidden = graph.add("Relu", graph.add("Add", graph.add("MatMul", along, head.first / spread), head.first_shift))
    kind = graph.add("Add", graph.add("MatMul", hidden, head.second), head.second_shift)
    parts = [graph.add("LpNormalization", part, axis=1, p=2) for part in (own, kind)]
    lengths = np.sqrt([1 - share, share], dtype=np.float32)
    output = graph.add("Concat", *(graph.add("Mul", *pair) for pair in zip(parts, lengths, strict=True)), axis=1)
    return graph.model("selfsup", output, size=VIEW.size, dim=projection.directions.shape[1] + head.second.shape[1])


def _small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut to VIEW; none of none."""
    cut = [np.asarray(fit(Image.fromarray(picture), VIEW)) for picture in pictures]
    return np.stack(cut) if cut else np.empty((0, VIEW.size, VIEW.size, 3), np.uint8)


def _learn(shown: Iterable[Shown], folder: Path) -> None:
    save_model(folder, *_fit(shown, seed=0))


LEARNER = Learner(_LARGE, _learn, takes_labels=True)
