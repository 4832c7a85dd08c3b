"""Selfsup: what `patches` learns, and a small network on top of it that is trained without labels.

The first layer is the dictionaries of `lookalike.encoders.patches`. The two layers above their pooled responses learn
that altered views of one picture, and pictures that are mutual neighbours, belong together (`head`). Their 64
dimensions are concatenated with the 64 of `patches`, each with half of the similarity: the network recognises kinds of
pictures, patches tell one picture from another. With labels, pictures of a class belong together instead, and the
network has most of the similarity. It takes minutes instead of seconds, and only numpy; docs/decisions.md has what was
tried.
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
from lookalike.encoders.patches import VIEW, learn_responses, save_model
from lookalike.encoders.patches.graph import add_responses
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
    from lookalike.encoders.patches import Responses
    from lookalike.encoders.patches.projection import Axes
    from lookalike.encoders.selfsup.head import Head

    Matrix = NDArray[np.float32]

__all__ = ["LEARNER", "fit_selfsup"]

_LARGE = View(128)  # large enough that parts of a picture still have the detail of VIEW
_VIEWS = 6  # of each picture, besides itself and its twin
_DIM = 64
_NEIGHBOURS = 40
_SHARE, _LABELLED_SHARE = 0.5, 0.7  # the network's share of the similarity, learned without labels and with them


def fit_selfsup(
    images: Iterable[NDArray[np.uint8]], *, labels: Sequence[str] | None = None, seed: int = 0
) -> tuple[bytes, Card]:
    """Learn an encoder from uint8 (h, w, 3) pictures of any size: an ONNX model and its card.

    As `lookalike.encoders.patches.fit_patches`, but with 128 dimensions and length 1. labels: the class of each
    picture, empty where it is not known; fewer than two classes are ignored. Raises ValueError for more or fewer labels
    than pictures.
    """
    shown = zip(images, repeat("")) if labels is None else zip(images, labels, strict=True)
    return _fit(shown, seed)


def _fit(shown: Iterable[Shown], seed: int) -> tuple[bytes, Card]:
    rng = np.random.default_rng(seed)
    pictures, labels = draw(shown, _LARGE, rng)
    has_classes = len(np.unique(labels[labels != ""])) > 1
    learned = learn_responses(_cut(pictures), rng)
    spread = _spread(learned.axes, learned.rows)
    more = (learned.encoder.encode(alter(pictures, VIEW.size, rng)) for _ in range(_VIEWS))
    seen = (learned.axes.rows(rows) / spread for rows in chain((learned.rows, learned.twins), more))
    projection = learned.project()
    together = _belong_together(projection.rows(learned.rows), labels if has_classes else np.full_like(labels, ""))
    head = train_head(np.stack(list(seen)), together, _DIM, rng)
    share = _LABELLED_SHARE if has_classes else _SHARE
    return _write_model(learned, projection, spread, head, share), Card(name="selfsup", view=VIEW)


def _spread(axes: Axes, rows: Matrix) -> np.float32:
    """The mean deviation of float32 (n, d) along the axes, by which the network's input is divided; 1 for none."""
    return np.float32(axes.rows(rows).std(axis=0, dtype=np.float64).mean() or 1.0)


def _belong_together(rows: Matrix, labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which pictures belong together, bool (n, n): those of a class, and mutual neighbours among those without one.

    Neighbours are found after smoothing every row with its neighbours, which separates kinds better.
    """
    known, same = labels != "", np.equal(labels[:, None], labels)
    if known.all():
        return same
    near = mutual_neighbours(expand(rows, unit(rows)), _NEIGHBOURS)
    return np.where(np.outer(known, known), same, near)


def _write_model(learned: Responses, projection: Axes, spread: np.float32, head: Head, share: float) -> bytes:
    """Write the model: the projection is within the span of the axes, so both parts begin with coordinates along them.

    share: the network's share of the similarity.
    """
    graph, axes = Graph(), learned.axes
    responses = add_responses(graph, learned.banks, VIEW.size)
    along = graph.add("MatMul", graph.add("Sub", responses, axes.mean), axes.directions)
    own = graph.add("MatMul", along, axes.directions.T @ projection.directions)
    hidden = graph.add("Relu", graph.add("Add", graph.add("MatMul", along, head.first / spread), head.first_shift))
    kind = graph.add("Add", graph.add("MatMul", hidden, head.second), head.second_shift)
    parts = [graph.add("LpNormalization", part, axis=1, p=2) for part in (own, kind)]
    lengths = np.sqrt([1 - share, share], dtype=np.float32)
    output = graph.add("Concat", *(graph.add("Mul", *pair) for pair in zip(parts, lengths, strict=True)), axis=1)
    return graph.model("selfsup", output, size=VIEW.size, dim=projection.directions.shape[1] + head.second.shape[1])


def _cut(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut pictures to VIEW; an empty array for none."""
    small = [np.asarray(fit(Image.fromarray(picture), VIEW)) for picture in pictures]
    return np.stack(small) if small else np.empty((0, VIEW.size, VIEW.size, 3), np.uint8)


def _learn(shown: Iterable[Shown], folder: Path) -> None:
    save_model(folder, *_fit(shown, seed=0))


LEARNER = Learner(_LARGE, _learn, takes_labels=True)
