"""Train a preset in a folder, with checkpoints on disk to resume from; at the end the encoder is exported."""

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
from lookalike.files import expands_home, replace_file
from lookalike.images.decode import View
from lookalike.store.sqlite.lock import WriterLock
from lookalike.training import folder as run_folder
from lookalike.training.data import check_folder, gather
from lookalike.training.models.compact import Compact
from lookalike.training.models.linear import Linear
from lookalike.training.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lookalike.images.pool import OnProgress
    from lookalike.training.data import Pictures
    from lookalike.training.models.trainable import Layer, Trainable
    from lookalike.training.presets import Model, Precision, Preset

    OnStep = Callable[["Step"], None]
    """Called after every training step."""

    OnEpoch = Callable[[Sequence[run_folder.Epoch], Trainable, Pictures], None]
    """Called when an epoch is on disk, with all epochs so far, the model and the pictures."""

__all__ = ["Finished", "Step", "create_trainable", "start_afresh", "train"]

# The largest difference between exported encoder and model, relative to the largest value: measured 2e-6 and 7e-3 on
# processors.
_AGREE: dict[Precision, float] = {"float32": 1e-4, "mixed": 5e-2}

_QUICK = 1.0  # seconds; a checkpoint that takes no longer is written after every epoch
_SHARE = 0.1  # of the time at most goes into other checkpoints


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of a training: steps since its beginning, and the loss of the epoch so far."""

    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a training."""

    folder: Path
    history: tuple[run_folder.Epoch, ...]
    layers: tuple[Layer, ...]
    skipped: int

    @property
    def parameters(self) -> int:
        """The number of parameters: those that are trained and the running statistics of its normalisations."""
        return sum(layer.parameters for layer in self.layers)


@expands_home
def train(  # noqa: PLR0913  (what, where, how; the rest is optional)
    folder: Path,
    run: Path,
    preset: Preset,
    *,
    on_progress: OnProgress | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
    patience: int | None = None,
) -> Finished:
    """Train `preset` on the pictures below `folder`, in the folder `run`; resumes a training that was begun there.

    It resumes from the last checkpoint. One is written after every epoch, unless that would take a tenth of the time or
    more, as on a GPU: then after every epoch that has improved on all before it, and after others as time allows.

    patience: stop after this many epochs without a smaller held-out error. Raises UsageError for a missing folder;
    TrainingError when `run` holds another training, the pictures have changed, the loss is not finite or the disk is
    full; StoreBusy when another process trains there; MissingExtra without Keras.
    """
    if not run_folder.is_finished(run):
        check_folder(folder)  # before TensorFlow is loaded, in 3 s
    with _explain_errors(run):
        trainable = create_trainable(preset)
        run_folder.claim(run, preset, folder)
        with _lock(run):
            training = _Training(run, preset, trainable, on_step)
            training.on_epoch = on_epoch
            if not training.is_done(patience):
                pictures = gather(folder, run, preset, on_progress=on_progress)
                training.resume(pictures, patience)
        skipped = len((run / run_folder.SKIPPED).read_text(encoding="utf-8").splitlines()) - 1
        return Finished(run, tuple(training.history), tuple(trainable.layers()), skipped)


def create_trainable(preset: Preset) -> Trainable:
    """Create the untrained model of a preset. Raises MissingExtra."""
    kinds: dict[Model, Callable[[Preset], Trainable]] = {
        "linear": Linear,
        "compact": Compact,
        "convolutional": Network,
    }
    return kinds[preset.model](preset)


@expands_home
def start_afresh(run: Path) -> None:
    """Remove the training in this folder, if there is one, and nothing else. Raises StoreBusy."""
    if run.is_dir():
        with _explain_errors(run), _lock(run):
            run_folder.forget(run)


class _Training:
    def __init__(self, run: Path, preset: Preset, trainable: Trainable, on_step: OnStep | None) -> None:
        self._run = run
        self._preset = preset
        self._trainable = trainable
        self._on_step = on_step
        self.on_epoch: OnEpoch | None = None
        self.history = run_folder.read_history(run)
        self._written = 0.0  # when the last checkpoint was, and how many seconds it took
        self._took = 0.0

    def is_done(self, patience: int | None) -> bool:
        """Whether nothing is left to do, not even the export."""
        return run_folder.is_finished(self._run) and self._is_enough(patience)

    def resume(self, pictures: Pictures, patience: int | None) -> None:
        """Train from the last complete epoch on, and export."""
        self._restore()
        while not self._is_enough(patience):
            (self._run / run_folder.CARD).unlink(missing_ok=True)  # of an earlier, shorter training
            self._keep(self._train_epoch(pictures), patience)
            if self.on_epoch is not None:
                self.on_epoch(self.history, self._trainable, pictures)
        self._export(pictures)
        (self._run / run_folder.PICTURES).unlink()
        if len(self.history) == self._preset.epochs:
            (self._run / run_folder.CHECKPOINT).unlink(missing_ok=True)

    def _restore(self) -> None:
        path = self._run / run_folder.CHECKPOINT
        try:
            with np.load(path, allow_pickle=False) as saved:
                self._trainable.restore(saved)
                epochs = int(saved["epochs"])
        except FileNotFoundError:
            epochs = 0
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path} is damaged: {error}", hint=run_folder.start_over(self._run)) from None
        if epochs > len(self.history):
            raise TrainingError(f"the history in {self._run} is damaged", hint=run_folder.start_over(self._run))
        del self.history[epochs:]  # an epoch is written to the history first

    def _is_enough(self, patience: int | None) -> bool:
        if len(self.history) >= self._preset.epochs:
            return True
        errors = [epoch.val_mse for epoch in self.history]
        if patience is None or not np.isfinite(errors).any():
            return False
        return len(errors) - 1 - int(np.nanargmin(errors)) >= patience

    def _train_epoch(self, pictures: Pictures) -> run_folder.Epoch:
        start, number = time.monotonic(), len(self.history)
        learned = self._trainable.learn(pictures, number, self._report)
        if not math.isfinite(learned.loss):
            raise TrainingError(
                f"epoch {number + 1}: the loss is {learned.loss}",
                hint="try a lower --set learning_rate=X",
            )
        held_out = self._trainable.measure(pictures)
        errors = (learned.loss, learned.mse, held_out.loss, held_out.mse)
        return run_folder.Epoch(number + 1, *errors, self._trainable.rate, round(time.monotonic() - start, 2))

    def _report(self, step: int, steps: int, loss: float) -> None:
        if self._on_step is not None:
            done = len(self.history) * steps + step
            self._on_step(Step(len(self.history) + 1, done, steps * self._preset.epochs, loss))

    def _keep(self, epoch: run_folder.Epoch, patience: int | None) -> None:
        """Write an epoch to disk, the history first, so that a checkpoint never has epochs that are not in it."""
        self.history.append(epoch)
        run_folder.write_history(self._run, self.history)
        errors = [epoch.val_mse for epoch in self.history]
        is_measured = not math.isnan(errors[-1])
        is_best = is_measured and errors[-1] == np.nanmin(errors)
        if is_best or self._is_enough(patience) or self._can_afford_checkpoint():
            self._write_checkpoint()
            if is_best or not is_measured:
                self._save("best")

    def _can_afford_checkpoint(self) -> bool:
        return self._took <= _QUICK or self._took <= _SHARE * (time.monotonic() - self._written)

    def _write_checkpoint(self) -> None:
        start = time.monotonic()
        counted = [("epochs", np.array(len(self.history)))]
        with replace_file(self._run / run_folder.CHECKPOINT) as part:
            run_folder.write_arrays(part, [*counted, *self._trainable.state()])
        self._written = time.monotonic()
        self._took = self._written - start

    def _save(self, name: str) -> None:
        with replace_file(self._run / f"{name}{self._trainable.ending}") as part:
            self._trainable.save(str(part))

    def _export(self, pictures: Pictures) -> None:
        """Write the weights and the encoder, compare the encoder with the model, and write its card last of all."""
        self._save("model")
        path = self._run / run_folder.ENCODER
        with replace_file(path) as part:
            self._trainable.export(str(part))
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
        expected = self._trainable.encode(some.astype(np.float32) / np.float32(255))
        found = OnnxEncoder(path.read_bytes(), card).encode(some)
        if np.abs(found - expected).max() > _AGREE[self._preset.precision] * max(1.0, float(np.abs(expected).max())):
            raise TrainingError(f"{path} does not give the same embeddings as the model")
        with replace_file(self._run / run_folder.CARD) as part:
            card.write(part)


@contextlib.contextmanager
def _lock(run: Path) -> Iterator[None]:
    """Keep other processes from training in this folder. Raises StoreBusy."""
    lock = WriterLock(run)
    try:
        held = contextlib.ExitStack()
        held.enter_context(lock.held(wait=0))
    except StoreBusy as error:
        raise StoreBusy(str(error), hint="wait until it is done, or choose another --output") from None
    with held:
        lock.note(0)
        yield
        lock.forget()


@contextlib.contextmanager
def _explain_errors(run: Path) -> Iterator[None]:
    """Raise TrainingError for errors of the disk."""
    try:
        yield
    except OSError as error:
        file = os.fsdecode(error.filename or run)
        hint = "the same command resumes from the last checkpoint"
        raise TrainingError(f"{file}: {error.strerror or error}", hint=hint) from error
