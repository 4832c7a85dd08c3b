"""A training as TensorBoard shows it: its numbers, and now and then what it makes of held-out pictures.

The events are those that TensorBoard's own plug-ins for scalars and images read; TensorFlow writes the files, and
TensorBoard itself is not needed to write them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.folder import BOARD
from lookalike.training.models.autoencoder import load_keras

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.folder import Epoch
    from lookalike.training.models.learner import Learner

__all__ = ["Board"]

_SHOWN = 8  # held-out pictures, evenly from all
# As Keras lays it out: the same tag in two folders is drawn as two lines of one plot.
_SCALARS = {
    "train": {"loss": "loss", "mse": "mse", "learning_rate": "learning_rate", "seconds": "seconds"},
    "validation": {"loss": "val_loss", "mse": "val_mse"},
}


class Board:
    """The event files of one training. Called after every epoch; those that are missing in the files are added.

    A training that goes on adds to what is there; one that is asked for this late in its course has all of its
    numbers, but pictures from then on. Raises MissingExtra without TensorFlow.
    """

    def __init__(self, home: Path, epochs: int) -> None:
        load_keras()
        self._epochs = epochs
        self._events = {side: _Events(home / BOARD / side) for side in _SCALARS}

    def __call__(self, history: Sequence[Epoch], learner: Learner, pictures: Pictures) -> None:
        """Add what is missing of the history and, after epochs 1, 2, 4, 8 and so on and the last, reconstructions."""
        self.add(history)
        epoch = len(history)
        if epoch & (epoch - 1) == 0 or epoch == self._epochs:
            chosen = pictures.held_out if len(pictures.held_out) else pictures.train
            some = chosen[np.linspace(0, len(chosen) - 1, min(_SHOWN, len(chosen))).astype(int)]
            self._draw(epoch, pictures.pixels[some], learner)

    def add(self, history: Sequence[Epoch]) -> None:
        """The numbers of all epochs that the files do not have yet."""
        for side, names in _SCALARS.items():
            events = self._events[side]
            for epoch in history[events.last :]:
                for tag, name in names.items():
                    events.scalar(tag, getattr(epoch, name), epoch.epoch)
            events.flush()

    def _draw(self, epoch: int, pixels: NDArray[np.uint8], learner: Learner) -> None:
        """What the model is shown of some pictures above what it makes of it, on one sheet."""
        batch = pixels.astype(np.float32) / np.float32(255)
        rows = [np.concatenate(list(row), axis=1) for row in (learner.seen(batch), learner.reconstruct(batch))]
        sheet = np.round(np.clip(np.concatenate(rows), 0, 1) * 255).astype(np.uint8)
        self._events["validation"].image("reconstructions", sheet, epoch)
        self._events["validation"].flush()


class _Events:
    """The events of one side: a file that begins with the first of them. last: the last step that has numbers."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf  # noqa: PLC0415  (heavy, and an extra)

        self._tf = tf
        self.last = _last_step(folder)
        self._writer = tf.summary.create_file_writer(str(folder))

    def flush(self) -> None:
        """Put all of it where TensorBoard can see it."""
        self._writer.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """One number; none of the epoch if it is not finite."""
        self.last = step
        if math.isfinite(value):
            self._write(tag, np.float32(value), step, self._metadata("scalars", "DATA_CLASS_SCALAR"))

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int) -> None:
        """uint8 (h, w, 3)."""
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
    """The last epoch whose numbers a folder's events have; 0 without any. A file's torn end is passed over."""
    import tensorflow as tf  # noqa: PLC0415  (heavy, and an extra)

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
