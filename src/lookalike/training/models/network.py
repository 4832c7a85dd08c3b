"""The described autoencoder in training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.export import LUMA, write_network
from lookalike.training.models.autoencoder import build, build_encoder, embedding_name
from lookalike.training.models.backend import full_precision, to_numpy
from lookalike.training.models.contrast import draw_pairs, group_pictures
from lookalike.training.models.fitting import Fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.models.trainable import Errors, Layer, OnBatch
    from lookalike.training.presets import Preset

__all__ = ["Network"]


class Network:
    """The described Keras model, in colour or in grey. See `lookalike.training.models.trainable.Trainable`."""

    ending = ".weights.h5"

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._fit = Fit(preset, lambda: build(preset), contrasted=embedding_name(preset) if preset.contrast else "")

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self._fit.rate

    def layers(self) -> list[Layer]:
        """Its summary, from input to output."""
        return self._fit.layers()

    def learn(self, pictures: Pictures, epoch: int, on_batch: OnBatch) -> Errors:
        """Train for one epoch, in random order; on altered pictures if there is a contrastive loss."""
        rng = np.random.default_rng((self._preset.seed, epoch))
        order = rng.permutation(pictures.train)
        if self._preset.contrast:
            groups, seed = group_pictures(pictures, self._preset), int(rng.integers(1 << 32))
            return self._fit.learn(
                lambda: self._pairs(pictures, order, groups, seed), self._steps(order), epoch, on_batch
            )
        flips = rng.random(len(order)) < 0.5 if self._preset.flip else np.zeros(len(order), bool)
        return self._fit.learn(lambda: self._read(pictures, order, flips), self._steps(order), epoch, on_batch)

    def measure(self, pictures: Pictures) -> Errors:
        """Measure the loss with its penalties and the error alone of the held-out pictures; NaN if there are none.

        Each picture is seen once and unaltered, so this loss has no contrastive part.
        """
        chosen = pictures.held_out
        return self._fit.measure(lambda: self._read(pictures, chosen), self._steps(chosen))

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Weights and optimiser."""
        return self._fit.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what `state` gave. Raises KeyError, ValueError for the state of another model."""
        self._fit.restore(state)

    def save(self, path: str) -> None:
        """Write the weights."""
        self._fit.save(path)

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""
        self._fit.load(path)

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, (n, latent_dim) out."""
        with full_precision():
            found = build_encoder(self._fit.model, self._preset)(self._to_channels(batch))
        return to_numpy(found)

    def seen(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model sees of (n, size, size, 3): all of it, or its brightness."""
        return np.broadcast_to(self._to_channels(batch), batch.shape)

    def reconstruct(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, its reconstruction out."""
        output = np.asarray(self._fit.model.predict_on_batch(self._to_channels(batch)), np.float32)
        return np.broadcast_to(output, batch.shape)

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_network(path, self._preset, self._fit.weights)

    def _steps(self, chosen: NDArray[np.intp]) -> int:
        return math.ceil(len(chosen) / self._preset.batch_size)

    def _to_channels(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return (batch @ LUMA)[..., None] if self._preset.grey else batch

    def _read(
        self, pictures: Pictures, chosen: NDArray[np.intp], flips: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        for part in self._parts(len(chosen)):
            batch = pictures.pixels[chosen[part]]
            if flips is not None:
                batch[flips[part]] = batch[flips[part], :, ::-1]
            groups = np.arange(len(batch), dtype=np.int32)[:, None]
            yield (self._to_input(batch), groups) if self._preset.contrast else (self._to_input(batch),)

    def _pairs(
        self, pictures: Pictures, chosen: NDArray[np.intp], groups: NDArray[np.int32], seed: int
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        rng = np.random.default_rng(seed)
        for part in self._parts(len(chosen)):
            views, same = draw_pairs(pictures.pixels[chosen[part]], groups[chosen[part]], rng)
            yield self._to_input(views), same

    def _parts(self, count: int) -> Iterator[slice]:
        size = self._preset.batch_size
        return (slice(start, start + size) for start in range(0, count, size))

    def _to_input(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        return self._to_channels(batch.astype(np.float32) / np.float32(255)) if self._preset.grey else batch
