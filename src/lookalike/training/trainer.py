"""Train a preset in a folder: epoch by epoch, each on disk before the next begins; at the end, export the encoder."""

from __future__ import annotations

import contextlib
import math
import os
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.errors import StoreBusy, TrainingError
from lookalike.files import replace_file
from lookalike.images.decode import View
from lookalike.store.sqlite.lock import WriterLock
from lookalike.training import folder as place
from lookalike.training.data import gather
from lookalike.training.models.compact import Compact
from lookalike.training.models.linear import Linear
from lookalike.training.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lookalike.training.data import Pictures, Progress
    from lookalike.training.models.learner import Layer, Learner
    from lookalike.training.presets import Model, Precision, Preset

    Watch = Callable[["Step"], None]
    """Called after every training step."""

    After = Callable[[Sequence[place.Epoch], Learner, Pictures], None]
    """Called when an epoch is on disk, with all epochs so far."""

__all__ = ["Finished", "Step", "learner_of", "start_afresh", "train"]

# How far the exported encoder may be from the model, relative to its largest number: measured 2e-6 and 7e-3.
_AGREE: dict[Precision, float] = {"float32": 1e-5, "mixed": 5e-2}


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training is: steps from its beginning, and the loss of the epoch so far."""

    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True, slots=True)
class Finished:
    """What a training came to."""

    folder: Path
    history: tuple[place.Epoch, ...]
    layers: tuple[Layer, ...]
    skipped: int

    @property
    def parameters(self) -> int:
        """Numbers that the model has, those that are trained and the running means of its normalisations."""
        return sum(layer.parameters for layer in self.layers)


def train(  # noqa: PLR0913  (what, where, how; the rest is optional)
    folder: Path,
    home: Path,
    preset: Preset,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    after: After | None = None,
    patience: int | None = None,
) -> Finished:
    """Train `preset` on the pictures below `folder`, into the folder `home`; go on if it was begun there.

    patience: end after so many epochs without a smaller held-out error. Raises UsageError when there is no such
    folder; TrainingError when `home` holds another training, the pictures are no longer the same, the loss is no
    number or the disk is full; StoreBusy when another process trains there; MissingExtra without Keras.
    """
    with _named_errors(home):
        learner = learner_of(preset)
        place.claim(home, preset, folder)
        with _alone(home):
            run = _Run(home, preset, learner, watch)
            run.after = after
            if not run.is_done(patience):
                pictures = gather(folder, home, preset, progress=progress)
                run.go_on(pictures, patience)
        skipped = len((home / place.SKIPPED).read_text(encoding="utf-8").splitlines()) - 1
        return Finished(home, tuple(run.history), tuple(learner.layers()), skipped)


def learner_of(preset: Preset) -> Learner:
    """The model of a preset, as it is before it has learned anything. Raises MissingExtra."""
    learners: dict[Model, Callable[[Preset], Learner]] = {
        "linear": Linear,
        "compact": Compact,
        "convolutional": Network,
    }
    return learners[preset.model](preset)


def start_afresh(home: Path) -> None:
    """Remove the training in this folder, if it holds one, and nothing else. Raises StoreBusy."""
    if home.is_dir():
        with _named_errors(home), _alone(home):
            place.forget(home)


class _Run:
    def __init__(self, home: Path, preset: Preset, learner: Learner, watch: Watch | None) -> None:
        self._home = home
        self._preset = preset
        self._learner = learner
        self._watch = watch
        self.after: After | None = None
        self.history = place.read_history(home)

    def is_done(self, patience: int | None) -> bool:
        """Whether there is nothing left to do, not even to export."""
        return place.is_finished(self._home) and self._is_enough(patience)

    def go_on(self, pictures: Pictures, patience: int | None) -> None:
        """Learn from the last whole epoch on, and export."""
        self._resume()
        while not self._is_enough(patience):
            (self._home / place.CARD).unlink(missing_ok=True)  # of an earlier, shorter training
            self._keep(self._epoch(pictures))
            if self.after is not None:
                self.after(self.history, self._learner, pictures)
        self._export(pictures)
        (self._home / place.PICTURES).unlink()
        if len(self.history) == self._preset.epochs:
            (self._home / place.CHECKPOINT).unlink(missing_ok=True)

    def _resume(self) -> None:
        path = self._home / place.CHECKPOINT
        try:
            with np.load(path, allow_pickle=False) as saved:
                self._learner.restore(saved)
                epochs = int(saved["epochs"])
        except FileNotFoundError:
            epochs = 0
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path} is damaged: {error}", hint="begin anew with --fresh") from None
        if epochs > len(self.history):
            raise TrainingError(f"the history in {self._home} is damaged", hint="begin anew with --fresh")
        del self.history[epochs:]  # an epoch is in the history first

    def _is_enough(self, patience: int | None) -> bool:
        if len(self.history) >= self._preset.epochs:
            return True
        errors = [epoch.val_mse for epoch in self.history]
        if patience is None or not np.isfinite(errors).any():
            return False
        return len(errors) - 1 - int(np.nanargmin(errors)) >= patience

    def _epoch(self, pictures: Pictures) -> place.Epoch:
        start, number = time.monotonic(), len(self.history)
        learned = self._learner.learn(pictures, number, self._tell)
        if not math.isfinite(learned.loss):
            raise TrainingError(f"epoch {number + 1}: the loss is {learned.loss}", hint="try a lower learning_rate")
        held_out = self._learner.measure(pictures)
        errors = (learned.loss, learned.mse, held_out.loss, held_out.mse)
        return place.Epoch(number + 1, *errors, self._learner.rate, round(time.monotonic() - start, 2))

    def _tell(self, step: int, steps: int, loss: float) -> None:
        if self._watch is not None:
            done = len(self.history) * steps + step
            self._watch(Step(len(self.history) + 1, done, steps * self._preset.epochs, loss))

    def _keep(self, epoch: place.Epoch) -> None:
        """Put the epoch on disk: history first, so that a checkpoint never counts epochs that it has not."""
        self.history.append(epoch)
        place.write_history(self._home, self.history)
        counted = [("epochs", np.array(len(self.history)))]
        with replace_file(self._home / place.CHECKPOINT) as part:
            place.write_arrays(part, [*counted, *self._learner.state()])
        errors = [epoch.val_mse for epoch in self.history]
        if math.isnan(errors[-1]) or errors[-1] == np.nanmin(errors):
            self._save("best")

    def _save(self, name: str) -> None:
        with replace_file(self._home / f"{name}{self._learner.ending}") as part:
            self._learner.save(str(part))

    def _export(self, pictures: Pictures) -> None:
        """Write the weights and the encoder, see that it gives what the model gives, and its card at the very last."""
        self._save("model")
        path = self._home / place.ENCODER
        with replace_file(path) as part:
            self._learner.export(str(part))
        name = f"{self._preset.name}-{self._preset.latent_dim}"
        beside = {"histogram": self._preset.histogram} if self._preset.histogram else {}
        card = Card(
            name,
            View(self._preset.size),
            metric="cosine" if self._preset.contrast else "euclidean",
            trained_on=f"{len(pictures.train)} pictures",
            beside=beside,
        )
        some = np.asarray(pictures.pixels[:4])
        expected = self._learner.encode(some.astype(np.float32) / np.float32(255))
        found = OnnxEncoder(path.read_bytes(), card).encode(some)
        if np.abs(found - expected).max() > _AGREE[self._preset.precision] * max(1.0, float(np.abs(expected).max())):
            raise TrainingError(f"{path} does not give what the model gives")
        with replace_file(self._home / place.CARD) as part:
            card.write(part)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody else trains in this folder meanwhile. Raises StoreBusy."""
    lock = WriterLock(home)
    try:
        held = contextlib.ExitStack()
        held.enter_context(lock.held(wait=0))
    except StoreBusy as error:
        raise StoreBusy(str(error), hint="wait until it is done, or take another --output") from None
    with held:
        lock.note(0)
        yield
        lock.forget()


@contextlib.contextmanager
def _named_errors(home: Path) -> Iterator[None]:
    """Raise TrainingError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        file = os.fsdecode(error.filename or home)
        hint = "every whole epoch is kept: the same command goes on from there"
        raise TrainingError(f"{file}: {error.strerror or error}", hint=hint) from error
