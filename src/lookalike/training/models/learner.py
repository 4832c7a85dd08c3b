"""What can be trained: something that learns in epochs, draws pictures again and gives an encoder away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lookalike.training.data import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures

    Told = Callable[[int, int, float], None]
    """Called with the steps of an epoch that are done, how many it has, and its loss so far."""

__all__ = ["Errors", "Layer", "Learner", "held_out_errors"]


@dataclass(frozen=True, slots=True)
class Errors:
    """Means over some pictures: the loss that is minimised, penalties and all, and the bare squared error."""

    loss: float
    mse: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of a model's summary: what it does, the shape that it gives, and how many parameters it has."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


class Learner(Protocol):
    """A model in training. Pixels are float32 in [0, 1]."""

    @property
    def ending(self) -> str:
        """How the names of its files of weights end."""

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""

    def layers(self) -> list[Layer]:
        """Its summary, in the order of the flow."""

    def learn(self, pictures: Pictures, epoch: int, told: Told) -> Errors:
        """Go once through the training pictures; the same epoch, counted from 0, goes the same way in every run."""

    def measure(self, pictures: Pictures) -> Errors:
        """The errors of the pictures that are held out; not a number if there are none."""

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Everything that learning goes on from, one array after the other: together they may be gigabytes."""

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up what `state` gave. Raises KeyError, ValueError for that of another model."""

    def save(self, path: str) -> None:
        """Write the weights."""

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, (n, latent_dim) out."""

    def seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, what the model is shown of it and measured against out: the same shape."""

    def reconstruct(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, what is left of it out: the same shape, in [0, 1]."""

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""


def held_out_errors(
    pictures: Pictures, size: int, reconstruct: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Errors:
    """The bare error of the held-out pictures, `size` at a time, as loss and as error; NaN if there are none."""
    total, count = 0.0, 0
    for batch in batches(pictures, pictures.held_out, size):
        total += float(np.square(reconstruct(batch) - batch).sum(dtype=np.float64))
        count += batch.size
    mse = total / count if count else math.nan
    return Errors(mse, mse)
