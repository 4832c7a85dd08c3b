"""Two layers above the responses of patches, trained without labels so that what belongs together is close.

Altered views of one picture belong together, and so do views of mutual neighbours by their patches; everything else in
a batch is pushed away (InfoNCE, van den Oord et al. 2018, with several positives as in Khosla et al. 2020, neighbours
as in Dwibedi et al. 2021). That takes some hundred steps on small matrices: numpy, Adam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

__all__ = ["Head", "train_head"]

_HIDDEN = 1024
_EPOCHS = 60
_BATCH = 256  # pictures, with two views of each
_TEMPERATURE = 0.3
_DROPPED = 0.15  # the dropout rate of both layers
_RATE = 1e-3  # Adam's, with cosine decay to zero
_MOMENTA = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Head:
    """Two layers with a ReLU in between: (n, d) @ first (d, h) + first_shift, then @ second (h, dim) + second_shift."""

    first: Matrix
    first_shift: Matrix
    second: Matrix
    second_shift: Matrix

    @classmethod
    def begin(cls, inputs: int, dim: int, rng: np.random.Generator) -> Self:
        """Draw random weights as He et al. (2015) do."""
        return cls(
            rng.normal(0, math.sqrt(2 / inputs), (inputs, _HIDDEN)).astype(np.float32),
            np.zeros(_HIDDEN, np.float32),
            rng.normal(0, math.sqrt(1 / _HIDDEN), (_HIDDEN, dim)).astype(np.float32),
            np.zeros(dim, np.float32),
        )

    def weights(self) -> list[Matrix]:
        """All weights, to be changed in place."""
        return [getattr(self, field.name) for field in fields(self)]

    def rows(self, inputs: Matrix) -> Matrix:
        """float32 (n, d) in, (n, dim) of length 1 out."""
        hidden = np.maximum(inputs @ self.first + self.first_shift, 0)
        return unit(hidden @ self.second + self.second_shift)


def train_head(views: Matrix, together: NDArray[np.bool_], dim: int, rng: np.random.Generator) -> Head:
    """Train a head on float32 (views, n, d): several views of each picture.

    together: bool (n, n), symmetric: which pictures belong together.
    """
    head = Head.begin(views.shape[2], dim, rng)
    adam = _Adam(head.weights(), _EPOCHS * len(list(_batches(views.shape[1], np.random.default_rng(0)))))
    for _ in range(_EPOCHS):
        for batch in _batches(views.shape[1], rng):
            one, other = (views[rng.integers(0, len(views), len(batch)), batch] for _ in range(2))
            adam.step(_gradients(head, np.concatenate([one, other]), _targets(together, batch), rng))
    return head


def _batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """All pictures once, in random order, in batches of as equal a size as possible."""
    yield from np.array_split(rng.permutation(count), max(1, round(count / _BATCH)))


def _targets(together: NDArray[np.bool_], batch: NDArray[np.intp]) -> Matrix:
    """float32 (2 b, 2 b), rows of sum 1: which views each view of a batch's pictures belongs with, except itself."""
    near = together[np.ix_(batch, batch)] | np.eye(len(batch), dtype=bool)
    wanted = np.tile(near, (2, 2)) & ~np.eye(2 * len(batch), dtype=bool)
    return np.asarray(wanted / wanted.sum(axis=1, keepdims=True), np.float32)


def _gradients(head: Head, inputs: Matrix, wanted: Matrix, rng: np.random.Generator) -> list[Matrix]:
    """Gradients of the mean cross-entropy between `wanted` and the softmax of the similarities, for every weight."""
    inputs = inputs * _dropout(inputs.shape, rng)
    mask = _dropout((len(inputs), _HIDDEN), rng)
    hidden = np.maximum(inputs @ head.first + head.first_shift, 0) * mask
    out = hidden @ head.second + head.second_shift
    back = _through_loss(out, wanted)
    inner = (back @ head.second.T) * mask * (hidden > 0)
    return [inputs.T @ inner, inner.sum(axis=0), hidden.T @ back, back.sum(axis=0)]


def _through_loss(out: Matrix, wanted: Matrix) -> Matrix:
    """The gradient of the loss with respect to the head's output, before that is scaled to length 1."""
    lengths = np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    rows = out / lengths
    similarity = rows @ rows.T / _TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    softmax = np.exp(similarity - similarity.max(axis=1, keepdims=True))
    error = (softmax / softmax.sum(axis=1, keepdims=True) - wanted) / len(out)
    by_rows = (error + error.T) @ rows / _TEMPERATURE
    along = np.einsum("ij,ij->i", by_rows, rows)[:, None]
    return np.asarray((by_rows - along * rows) / lengths, np.float32)


def _dropout(shape: tuple[int, ...], rng: np.random.Generator) -> Matrix:
    """A dropout mask (Srivastava et al. 2014): random zeros, and the factor that makes up for them."""
    return (rng.random(shape, np.float32) >= _DROPPED) * np.float32(1 / (1 - _DROPPED))


class _Adam:
    """Adam (Kingma & Ba 2015), on weights that it changes in place."""

    def __init__(self, weights: list[Matrix], steps: int) -> None:
        self._weights = weights
        self._steps = steps
        self._done = 0
        self._moments = [(np.zeros_like(weight), np.zeros_like(weight)) for weight in weights]

    def step(self, gradients: list[Matrix]) -> None:
        """Take one step."""
        rate = _RATE * (1 + math.cos(math.pi * self._done / self._steps)) / 2
        self._done += 1
        first, second = _MOMENTA
        rate *= math.sqrt(1 - second**self._done) / (1 - first**self._done)
        for weight, gradient, moments in zip(self._weights, gradients, self._moments, strict=True):
            mean, square = moments
            mean += (1 - first) * (gradient - mean)
            square += (1 - second) * (gradient * gradient - square)
            np.subtract(weight, np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8)), out=weight)
