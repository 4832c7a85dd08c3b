"""The described autoencoder in training: Keras 3 on TensorFlow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.export import write_network
from lookalike.training.learner import Errors, Layer
from lookalike.training.model import build, encoder_of, load_keras, rate_at, schedule_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.presets import Preset
    from lookalike.training.data import Pictures
    from lookalike.training.learner import Told

__all__ = ["Network"]

_AHEAD = 2  # batches that are read while one is learned


class Network:
    """A Keras model as a `lookalike.training.learner.Learner`."""

    ending = ".weights.h5"

    def __init__(self, preset: Preset) -> None:
        keras = load_keras()
        keras.utils.set_random_seed(preset.seed)
        self._preset = preset
        self._model = build(preset)
        self._model.compile(keras.optimizers.Adam(schedule_of(preset)), loss="mse", metrics=["mse"])

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(np.asarray(self._model.optimizer.learning_rate))

    def layers(self) -> list[Layer]:
        """Its summary, in the order of the flow."""
        return [
            Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), int(layer.count_params()))
            for layer in self._model.layers
        ]

    def learn(self, pictures: Pictures, epoch: int, told: Told) -> Errors:
        """Go once through the training pictures, in an order of this epoch's own."""
        rate = rate_at(self._preset, epoch)
        if rate is not None:
            self._model.optimizer.learning_rate = rate
        rng = np.random.default_rng((self._preset.seed, epoch))
        order = rng.permutation(pictures.train)
        steps = math.ceil(len(order) / self._preset.batch_size)
        flips = rng.random(len(order)) < 0.5 if self._preset.flip else np.zeros(len(order), bool)
        tell = load_keras().callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: told(step + 1, steps, float(logs["loss"]))
        )
        fitted = self._model.fit(
            self._fed(pictures, order, flips), epochs=1, verbose=0, callbacks=[tell], shuffle=False
        )
        return Errors(float(fitted.history["loss"][0]), float(fitted.history["mse"][0]))

    def measure(self, pictures: Pictures) -> Errors:
        """The penalised loss and the bare error of the pictures that are held out; NaN if there are none."""
        chosen = pictures.held_out
        if not len(chosen):
            return Errors(math.nan, math.nan)
        found = self._model.evaluate(self._fed(pictures, chosen), verbose=0, return_dict=True)
        return Errors(float(found["loss"]), float(found["mse"]))

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Weights and optimiser, by their number: Keras's own names differ with what a process did before."""
        for number, variable in enumerate(self._variables()):
            yield f"{number:04}", np.asarray(variable)

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up what `state` gave. Raises KeyError, ValueError for that of another model."""
        for number, variable in enumerate(self._variables()):
            variable.assign(state[f"{number:04}"])

    def save(self, path: str) -> None:
        """Write the weights. Keras insists on the ending of the name."""
        self._bare().save_weights(path)

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""
        self._bare().load_weights(path)

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, (n, latent_dim) out."""
        return np.asarray(encoder_of(self._model, self._preset)(batch), np.float32)

    def reconstruct(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size, size, 3) in, what is left of it out."""
        return np.asarray(self._model.predict_on_batch(batch), np.float32)

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_network(path, self._preset, lambda name: self._model.get_layer(name).get_weights())

    def _bare(self) -> Any:  # noqa: ANN401
        """The model without its optimiser, which has twice the size and would be written and wanted as well."""
        return load_keras().Model(self._model.inputs[0], self._model.outputs[0])

    def _variables(self) -> list[Any]:
        if not self._model.optimizer.built:  # two numbers for each parameter: not for a model that is only measured
            self._model.optimizer.build(self._model.trainable_variables)
        return [*self._model.variables, *self._model.optimizer.variables]

    def _fed(self, pictures: Pictures, chosen: NDArray[np.intp], flips: NDArray[np.bool_] | None = None) -> Any:  # noqa: ANN401
        """A `tf.data.Dataset` of (batch, batch): bytes are read ahead by a thread, and become floats on the device."""
        import tensorflow as tf  # noqa: PLC0415  (heavy, and an extra)

        size, side = self._preset.batch_size, self._preset.size

        def read() -> Iterator[NDArray[np.uint8]]:
            for start in range(0, len(chosen), size):
                batch = pictures.pixels[chosen[start : start + size]]
                if flips is not None:
                    mirrored = flips[start : start + size]
                    batch[mirrored] = batch[mirrored, :, ::-1]
                yield batch

        shape = tf.TensorSpec((None, side, side, 3), tf.uint8)
        data = tf.data.Dataset.from_generator(read, output_signature=shape)
        data = data.apply(tf.data.experimental.assert_cardinality(math.ceil(len(chosen) / size)))
        data = data.map(lambda batch: tf.cast(batch, tf.float32) / 255.0)
        return data.map(lambda batch: (batch, batch)).prefetch(_AHEAD)
