"""The described autoencoder in training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.export import LUMA, write_network
from lookalike.training.models.autoencoder import build, embedding_name, encoder_of
from lookalike.training.models.contrast import belongings, pairs
from lookalike.training.models.fitting import Fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.models.learner import Errors, Layer, Told
    from lookalike.training.presets import Preset

__all__ = ["Network"]


class Network:
    """The described Keras model, in colour or in grey, as a `lookalike.training.models.learner.Learner`."""

    ending = ".weights.h5"

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._fit = Fit(preset, lambda: build(preset), contrasted=embedding_name(preset) if preset.contrast else "")

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self._fit.rate

    def layers(self) -> list[Layer]:
        """Its summary, in the order of the flow."""
        return self._fit.layers()

    def learn(self, pictures: Pictures, epoch: int, told: Told) -> Errors:
        """Go once through the training pictures, in an order of this epoch's own; altered, if they are contrasted."""
        rng = np.random.default_rng((self._preset.seed, epoch))
        order = rng.permutation(pictures.train)
        if self._preset.contrast:
            numbers, seed = belongings(pictures, self._preset), int(rng.integers(1 << 32))
            return self._fit.learn(lambda: self._pairs(pictures, order, numbers, seed), self._steps(order), epoch, told)
        flips = rng.random(len(order)) < 0.5 if self._preset.flip else np.zeros(len(order), bool)
        return self._fit.learn(lambda: self._read(pictures, order, flips), self._steps(order), epoch, told)

    def measure(self, pictures: Pictures) -> Errors:
        """The penalised loss and the bare error of the pictures that are held out; NaN if there are none.

        They are shown once and as they are, so there is no contrast in that loss.
        """
        chosen = pictures.held_out
        return self._fit.measure(lambda: self._read(pictures, chosen), self._steps(chosen))

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Weights and optimiser."""
        return self._fit.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up what `state` gave. Raises KeyError, ValueError for that of another model."""
        self._fit.restore(state)

    def save(self, path: str) -> None:
        """Write the weights."""
        self._fit.save(path)

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""
        self._fit.load(path)

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, (n, latent_dim) out."""
        return np.asarray(encoder_of(self._fit.model, self._preset)(self._shown(batch)), np.float32)

    def seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model is shown of (n, size, size, 3): all of it, or its brightness."""
        return np.broadcast_to(self._shown(batch), batch.shape)

    def reconstruct(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, what is left of it out."""
        made = np.asarray(self._fit.model.predict_on_batch(self._shown(batch)), np.float32)
        return np.broadcast_to(made, batch.shape)

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_network(path, self._preset, self._fit.weights)

    def _steps(self, chosen: NDArray[np.intp]) -> int:
        return math.ceil(len(chosen) / self._preset.batch_size)

    def _shown(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return (batch @ LUMA)[..., None] if self._preset.grey else batch

    def _read(
        self, pictures: Pictures, chosen: NDArray[np.intp], flips: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        for part in self._parts(len(chosen)):
            batch = pictures.pixels[chosen[part]]
            if flips is not None:
                batch[flips[part]] = batch[flips[part], :, ::-1]
            apart = np.arange(len(batch), dtype=np.int32)[:, None]
            yield (self._fed(batch), apart) if self._preset.contrast else (self._fed(batch),)

    def _pairs(
        self, pictures: Pictures, chosen: NDArray[np.intp], numbers: NDArray[np.int32], seed: int
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        rng = np.random.default_rng(seed)
        for part in self._parts(len(chosen)):
            views, same = pairs(pictures.pixels[chosen[part]], numbers[chosen[part]], rng)
            yield self._fed(views), same

    def _parts(self, count: int) -> Iterator[slice]:
        size = self._preset.batch_size
        return (slice(start, start + size) for start in range(0, count, size))

    def _fed(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        return self._shown(batch.astype(np.float32) / np.float32(255)) if self._preset.grey else batch
