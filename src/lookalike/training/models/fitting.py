"""A Keras model in training: fed from a stream of batches, measured, saved and restored."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.models.autoencoder import create_schedule, mixed_policy, rate_at
from lookalike.training.models.backend import backend, load_keras, load_tensorflow, on_all_devices, to_numpy
from lookalike.training.models.contrast import contrastive_loss
from lookalike.training.models.trainable import Errors, Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.models.trainable import OnBatch
    from lookalike.training.presets import Preset

    Source = Callable[[], Iterator[tuple[NDArray[Any], ...]]]
    """Yields the batches of an epoch, at every call from the start: pictures (n, ...), uint8 in 0..255 or float32; and
    with a contrastive loss int32 (n, 1), the same number for pictures that belong together."""

__all__ = ["Fit"]

_AHEAD = 2  # batches that are read while one is trained on


class Fit:
    """A model that reconstructs its input, its optimiser, and everything that a training does with them.

    Built by `build` with the preset's seed and precision, on all GPUs. contrasted: the name of the layer whose output
    gets the preset's contrastive loss; empty for none.
    """

    def __init__(self, preset: Preset, build: Callable[[], Any], *, contrasted: str = "") -> None:
        keras = load_keras()
        keras.utils.set_random_seed(preset.seed)
        self._preset = preset
        with on_all_devices(), mixed_policy(preset):
            self.model = self._learning = build()
            goals: list[tuple[Any, float, list[str]]] = [("mse", 1.0, ["mse"])]
            if contrasted:
                embedding = self.model.get_layer(contrasted).output
                self._learning = keras.Model(self.model.inputs[0], [self.model.outputs[0], embedding])
                goals.append((contrastive_loss(preset.temperature), preset.contrast, []))
            losses, shares, metrics = map(list, zip(*goals, strict=True))
            adam = keras.optimizers.Adam(create_schedule(preset))
            self._learning.compile(adam, loss=losses, loss_weights=shares, metrics=metrics)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(to_numpy(self._learning.optimizer.learning_rate))

    def layers(self) -> list[Layer]:
        """The model's summary, from input to output."""
        return [
            Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), int(layer.count_params()))
            for layer in self.model.layers
        ]

    def learn(self, source: Source, steps: int, epoch: int, on_batch: OnBatch) -> Errors:
        """Train for one epoch, counted from 0; returns its means, taken while the weights changed."""
        rate = rate_at(self._preset, epoch)
        if rate is not None:
            self._learning.optimizer.learning_rate = rate
        callback = load_keras().callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: on_batch(step + 1, steps, float(logs["loss"]))
        )
        fitted = self._learning.fit(
            feed(source), steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[callback], shuffle=False
        ).history
        return _parse_errors({name: values[0] for name, values in fitted.items()})

    def measure(self, source: Source, steps: int) -> Errors:
        """Measure the loss with its penalties and the error alone; NaN without a batch."""
        if not steps:
            return Errors(math.nan, math.nan)
        return _parse_errors(self._learning.evaluate(feed(source), steps=steps, verbose=0, return_dict=True))

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Weights and optimiser, numbered: Keras's own names depend on what the process did before."""
        for number, variable in enumerate(self._variables()):
            yield f"{number:04}", to_numpy(variable)

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what `state` gave. Raises KeyError, ValueError for the state of another model."""
        for number, variable in enumerate(self._variables()):
            variable.assign(state[f"{number:04}"])

    def save(self, path: str) -> None:
        """Write the weights. Keras requires the ending of the name."""
        self._bare().save_weights(path)

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""
        self._bare().load_weights(path)

    def weights(self, name: str) -> list[NDArray[Any]]:
        """Return the weights of a layer, in Keras's order."""
        return list(self.model.get_layer(name).get_weights())

    def _bare(self) -> Any:  # noqa: ANN401
        """The model without its optimiser, which is twice as large and would be saved and required as well."""
        return load_keras().Model(self.model.inputs[0], self.model.outputs[0])

    def _variables(self) -> list[Any]:
        optimizer = self._learning.optimizer
        if not optimizer.built:  # two values for each parameter: not for a model that is only measured
            optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]


def _parse_errors(found: Mapping[str, float]) -> Errors:
    """Keras's results for a model. With several outputs, the names of metrics begin with that of their output."""
    (mse,) = (value for name, value in found.items() if name.endswith("mse"))
    return Errors(float(found["loss"]), float(mse))


def feed(source: Source) -> Any:  # noqa: ANN401  (what Keras's `fit` takes)
    """The batches of an epoch with their targets, read ahead by a thread and converted to floats on the device."""
    return _dataset(source) if backend() == "tensorflow" else _batches(source)


def _dataset(source: Source) -> Any:  # noqa: ANN401
    tf = load_tensorflow()

    def add_targets(pictures: Any, *groups: Any) -> Any:  # noqa: ANN401  (tensors)
        pictures = tf.cast(pictures, tf.float32) / 255.0 if pictures.dtype == tf.uint8 else pictures
        return pictures, (pictures, *groups)

    shapes = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in next(iter(source())))
    return tf.data.Dataset.from_generator(source, output_signature=shapes).map(add_targets).prefetch(_AHEAD)


def _batches(source: Source) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    ops = load_keras().ops
    for pictures, *groups in _read_ahead(source()):
        given = ops.convert_to_tensor(pictures)
        floats = ops.cast(given, "float32") / 255.0 if pictures.dtype == np.uint8 else given
        yield floats, (floats, *map(ops.convert_to_tensor, groups))


def _read_ahead(batches: Iterator[tuple[NDArray[Any], ...]]) -> Iterator[tuple[NDArray[Any], ...]]:
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, batches, None) for _ in range(_AHEAD))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, batches, None))
            yield batch
