"""A Keras model in training: fed from a stream of batches, measured, kept on disk and taken up again."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.models.autoencoder import load_keras, mixed_policy, rate_at, schedule_of
from lookalike.training.models.contrast import contrastive_loss
from lookalike.training.models.learner import Errors, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.models.learner import Told
    from lookalike.training.presets import Preset

    Source = Callable[[], Iterator[tuple[NDArray[Any], ...]]]
    """Gives an epoch's batches anew with every call: pictures (n, ...), uint8 of a pixel's 0..255 or float32; beside
    them int32 (n, 1), the same number for what belongs together, if that is learned too."""

__all__ = ["Fit"]

_AHEAD = 2  # batches that are read while one is learned


class Fit:
    """A model that gives back what it takes, its optimiser, and everything that a training does with them.

    Built by `build` under the preset's seed and precision, on every graphics processor that there is. contrasted: the
    layer of it whose output the preset's contrastive loss is of; nothing for none.
    """

    def __init__(self, preset: Preset, build: Callable[[], Any], *, contrasted: str = "") -> None:
        keras = load_keras()
        keras.utils.set_random_seed(preset.seed)
        self._preset = preset
        with _on_all_devices(), mixed_policy(preset):
            self.model = self._learning = build()
            aims: list[tuple[Any, float, list[str]]] = [("mse", 1.0, ["mse"])]
            if contrasted:
                likened = self.model.get_layer(contrasted).output
                self._learning = keras.Model(self.model.inputs[0], [self.model.outputs[0], likened])
                aims.append((contrastive_loss(preset.temperature), preset.contrast, []))
            losses, shares, metrics = map(list, zip(*aims, strict=True))
            adam = keras.optimizers.Adam(schedule_of(preset))
            self._learning.compile(adam, loss=losses, loss_weights=shares, metrics=metrics)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(np.asarray(self._learning.optimizer.learning_rate))

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
            self._learning.optimizer.learning_rate = rate
        tell = load_keras().callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: told(step + 1, steps, float(logs["loss"]))
        )
        fed = self._fed(source, steps)
        fitted = self._learning.fit(fed, epochs=1, verbose=0, callbacks=[tell], shuffle=False).history
        return _errors({name: values[0] for name, values in fitted.items()})

    def measure(self, source: Source, steps: int) -> Errors:
        """The penalised loss and the bare error; NaN without a batch."""
        if not steps:
            return Errors(math.nan, math.nan)
        return _errors(self._learning.evaluate(self._fed(source, steps), verbose=0, return_dict=True))

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
        optimizer = self._learning.optimizer
        if not optimizer.built:  # two numbers for each parameter: not for a model that is only measured
            optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _fed(self, source: Source, steps: int) -> Any:  # noqa: ANN401
        """A `tf.data.Dataset` of pictures and what is to come of them: read ahead by a thread, floats by the device."""
        import tensorflow as tf  # noqa: PLC0415  (heavy, and an extra)

        def aimed(pictures: Any, *numbers: Any) -> Any:  # noqa: ANN401  (tensors)
            pictures = tf.cast(pictures, tf.float32) / 255.0 if pictures.dtype == tf.uint8 else pictures
            return pictures, (pictures, *numbers)

        shapes = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in next(iter(source())))
        data = tf.data.Dataset.from_generator(source, output_signature=shapes)
        return data.apply(tf.data.experimental.assert_cardinality(steps)).map(aimed).prefetch(_AHEAD)


def _errors(found: Mapping[str, float]) -> Errors:
    """What Keras says of a model; names of metrics begin with that of their output if there are several."""
    (mse,) = (value for name, value in found.items() if name.endswith("mse"))
    return Errors(float(found["loss"]), float(mse))


def _on_all_devices() -> contextlib.AbstractContextManager[Any]:
    """Every graphics processor takes its part of each batch, if there is more than one (Keras's own scheme)."""
    import tensorflow as tf  # noqa: PLC0415

    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy().scope() if several else contextlib.nullcontext()
