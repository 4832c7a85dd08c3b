"""Write a training for TensorBoard: losses, errors and learning rate, and reconstructions of held-out pictures.

The events are those that TensorBoard's plug-ins for scalars and images read. TensorFlow writes the files; TensorBoard
itself need not be installed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.files import expands_home
from lookalike.training.folder import BOARD
from lookalike.training.models.backend import load_keras, load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.folder import Epoch
    from lookalike.training.models.trainable import Trainable

__all__ = ["Board"]

_SHOWN = 8  # held-out pictures, evenly spaced
# Keras's layout: TensorBoard draws the same tag in two folders as two lines of one plot.
_SCALARS = {
    "train": {"loss": "loss", "mse": "mse", "learning_rate": "learning_rate", "seconds": "seconds"},
    "validation": {"loss": "val_loss", "mse": "val_mse"},
}


class Board:
    """The event files of one training. Call it after every epoch; it adds the epochs that the files do not have yet.

    A resumed training adds to the existing files. If the files are first requested late in a training, they have the
    values of all epochs, but pictures only from then on. Raises MissingExtra without TensorFlow.
    """

    @expands_home
    def __init__(self, run: Path, epochs: int) -> None:
        load_keras()
        self._epochs = epochs
        self._events = {side: _Events(run / BOARD / side) for side in _SCALARS}

    def __call__(self, history: Sequence[Epoch], trainable: Trainable, pictures: Pictures) -> None:
        """Add missing epochs and, after epochs 1, 2, 4, 8 and so on and the last, reconstructions."""
        self.add(history)
        epoch = len(history)
        if epoch & (epoch - 1) == 0 or epoch == self._epochs:
            chosen = pictures.held_out if len(pictures.held_out) else pictures.train
            some = chosen[np.linspace(0, len(chosen) - 1, min(_SHOWN, len(chosen))).astype(int)]
            self._draw(epoch, pictures.pixels[some], trainable)

    def add(self, history: Sequence[Epoch]) -> None:
        """Add the values of all epochs that the files do not have yet."""
        for side, names in _SCALARS.items():
            events = self._events[side]
            for epoch in history[events.last :]:
                for tag, name in names.items():
                    events.scalar(tag, getattr(epoch, name), epoch.epoch)
            events.flush()

    def _draw(self, epoch: int, pixels: NDArray[np.uint8], trainable: Trainable) -> None:
        """Draw some pictures as the model sees them, above their reconstructions."""
        batch = pixels.astype(np.float32) / np.float32(255)
        rows = [np.concatenate(list(row), axis=1) for row in (trainable.seen(batch), trainable.reconstruct(batch))]
        sheet = np.round(np.clip(np.concatenate(rows), 0, 1) * 255).astype(np.uint8)
        self._events["validation"].image("reconstructions", sheet, epoch)
        self._events["validation"].flush()


class _Events:
    """The events of one side of the split. last: the last step that has values."""

    def __init__(self, folder: Path) -> None:
        self._tf = tf = load_tensorflow()
        self.last = _last_step(folder)
        self._writer = tf.summary.create_file_writer(str(folder))

    def flush(self) -> None:
        """Write everything to disk, where TensorBoard can see it."""
        self._writer.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write one value, unless it is not finite."""
        self.last = step
        if math.isfinite(value):
            self._write(tag, np.float32(value), step, self._metadata("scalars", "DATA_CLASS_SCALAR"))

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a picture, uint8 (h, w, 3)."""
        size = [str(side).encode() for side in (pixels.shape[1], pixels.shape[0])]
        tensor = np.array([*size, self._tf.io.encode_png(pixels).numpy()], object)
        self._write(tag, tensor, step, self._metadata("images", "DATA_CLASS_BLOB_SEQUENCE"))

    def _write(self, tag: str, tensor: Any, step: int, metadata: Any) -> None:  # noqa: ANN401  (TensorFlow has no types)
        with self._writer.as_default():
            self._tf.summary.write(tag, tensor, step=step, metadata=metadata)

    def _metadata(self, plugin: str, kind: str) -> Any:  # noqa: ANN401
        metadata = self._tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = plugin
        field = metadata.DESCRIPTOR.fields_by_name["data_class"]
        metadata.data_class = field.enum_type.values_by_name[kind].number
        return metadata


def _last_step(folder: Path) -> int:
    """Find the last epoch with values in a folder's events; 0 without any. An incomplete end of a file is ignored."""
    tf = load_tensorflow()
    last = 0
    for path in sorted(folder.glob("events.out.tfevents.*")):
        try:
            for record in tf.data.TFRecordDataset([str(path)]):
                event = tf.compat.v1.Event.FromString(record.numpy())
                if any(value.tag == "mse" for value in event.summary.value):
                    last = max(last, int(event.step))
        except tf.errors.DataLossError:
            continue
    return last
