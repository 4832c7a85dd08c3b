"""What can be trained: a model that learns in epochs, reconstructs pictures and exports an encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lookalike.training.data import read_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures

    OnBatch = Callable[[int, int, float], None]
    """Called after every batch: steps of the epoch that are done, steps in total, and the loss so far."""

__all__ = ["Errors", "Layer", "Trainable", "measure_held_out"]


@dataclass(frozen=True, slots=True)
class Errors:
    """Means over some pictures: the loss that is minimised, including penalties, and the squared error alone."""

    loss: float
    mse: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of a model's summary: name, kind of layer, output shape and number of parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


class Trainable(Protocol):
    """A model in training. Pixels are float32 in [0, 1]."""

    @property
    def ending(self) -> str:
        """The ending of its weight files."""

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""

    def layers(self) -> list[Layer]:
        """Its summary, from input to output."""

    def learn(self, pictures: Pictures, epoch: int, on_batch: OnBatch) -> Errors:
        """Train for one epoch; the same epoch, counted from 0, is the same in every run."""

    def measure(self, pictures: Pictures) -> Errors:
        """Measure the errors of the held-out pictures; NaN if there are none."""

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Everything needed to resume training, one array at a time: together they may be gigabytes."""

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what `state` gave. Raises KeyError, ValueError for the state of another model."""

    def save(self, path: str) -> None:
        """Write the weights."""

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, (n, latent_dim) out."""

    def seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, what the model sees of it and is measured against out, in the same shape."""

    def reconstruct(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, its reconstruction out: the same shape, in [0, 1]."""

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""


def measure_held_out(
    pictures: Pictures, size: int, reconstruct: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Errors:
    """Measure the squared error of the held-out pictures, `size` at a time; NaN if there are none."""
    total, count = 0.0, 0
    for batch in read_batches(pictures, pictures.held_out, size):
        total += float(np.square(reconstruct(batch) - batch).sum(dtype=np.float64))
        count += batch.size
    mse = total / count if count else math.nan
    return Errors(mse, mse)
