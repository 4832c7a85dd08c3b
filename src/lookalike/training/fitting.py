"""A Keras model in training: fed from a stream of batches, measured, kept on disk and taken up again."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.learner import Errors, Layer
from lookalike.training.model import load_keras, mixed_policy, rate_at, schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.presets import Preset
    from lookalike.training.learner import Told

    Source = Callable[[], Iterator[NDArray[Any]]]
    """Gives an epoch's batches, (n, ...) uint8 of a pixel's 0..255 or float32, anew with every call."""

__all__ = ["Fit"]

_AHEAD = 2  # batches that are read while one is learned


class Fit:
    """A model that gives back what it takes, its optimiser, and everything that a training does with them.

    Built by `build` under the preset's seed and precision, on every graphics processor that there is.
    """

    def __init__(self, preset: Preset, build: Callable[[], Any]) -> None:
        keras = load_keras()
        keras.utils.set_random_seed(preset.seed)
        self._preset = preset
        with _on_all_devices(), mixed_policy(preset):
            self.model = build()
            self.model.compile(keras.optimizers.Adam(schedule_of(preset)), loss="mse", metrics=["mse"])

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(np.asarray(self.model.optimizer.learning_rate))

    def layers(self) -> list[Layer]:
        """The model's summary, in the order of the flow."""
        return [
            Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), int(layer.count_params()))
            for layer in self.model.layers
        ]

    def learn(self, source: Source, steps: int, epoch: int, told: Told) -> Errors:
        """One epoch, counted from 0; its means as they were while it learned."""
        rate = rate_at(self._preset, epoch)
        if rate is not None:
            self.model.optimizer.learning_rate = rate
        tell = load_keras().callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: told(step + 1, steps, float(logs["loss"]))
        )
        fed = self._fed(source, steps)
        fitted = self.model.fit(fed, epochs=1, verbose=0, callbacks=[tell], shuffle=False).history
        return Errors(float(fitted["loss"][0]), float(fitted["mse"][0]))

    def measure(self, source: Source, steps: int) -> Errors:
        """The penalised loss and the bare error; NaN without a batch."""
        if not steps:
            return Errors(math.nan, math.nan)
        found = self.model.evaluate(self._fed(source, steps), verbose=0, return_dict=True)
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

    def weights(self, name: str) -> list[NDArray[Any]]:
        """A layer's weights by its name, in Keras's order."""
        return list(self.model.get_layer(name).get_weights())

    def _bare(self) -> Any:  # noqa: ANN401
        """The model without its optimiser, which has twice the size and would be written and wanted as well."""
        return load_keras().Model(self.model.inputs[0], self.model.outputs[0])

    def _variables(self) -> list[Any]:
        if not self.model.optimizer.built:  # two numbers for each parameter: not for a model that is only measured
            self.model.optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *self.model.optimizer.variables]

    def _fed(self, source: Source, steps: int) -> Any:  # noqa: ANN401
        """A `tf.data.Dataset` of (batch, batch): read ahead by a thread; bytes become floats on the device."""
        import tensorflow as tf  # noqa: PLC0415  (heavy, and an extra)

        first = next(iter(source()))
        shape = tf.TensorSpec((None, *first.shape[1:]), first.dtype)
        data = tf.data.Dataset.from_generator(source, output_signature=shape)
        data = data.apply(tf.data.experimental.assert_cardinality(steps))
        if first.dtype == np.uint8:
            data = data.map(lambda batch: tf.cast(batch, tf.float32) / 255.0)
        return data.map(lambda batch: (batch, batch)).prefetch(_AHEAD)


def _on_all_devices() -> contextlib.AbstractContextManager[Any]:
    """Every graphics processor takes its part of each batch, if there is more than one (Keras's own scheme)."""
    import tensorflow as tf  # noqa: PLC0415

    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy().scope() if several else contextlib.nullcontext()
