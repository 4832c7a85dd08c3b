"""One training, in one folder: what was asked for, how it went, and an encoder at the end.

preset.json      the preset, the versions and the day
split.csv        which picture was trained on; the same for evaluation
skipped.csv      files that could not be read, with the reason
history.csv      an epoch a line: penalised losses, bare errors, learning rate, seconds
checkpoint.npz   weights and optimiser after the last whole epoch; a run that was broken off goes on from here
best.weights.h5  the weights of the epoch with the smallest held-out error
model.weights.h5 the weights at the end
encoder.onnx     the encoder with its card, encoder.json: `lookalike index -e FOLDER` takes it
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import os
import time
import warnings
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.errors import TrainingError
from lookalike.images.decode import View
from lookalike.presets import Preset
from lookalike.training.data import batches, gather
from lookalike.training.model import build, encoder_of, load_keras, rate_at, schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures, Progress

    Watch = Callable[["Step"], None]
    """Called after every training step."""

__all__ = ["Finished", "Step", "reconstruction_error", "reconstructions", "train"]

_PRESET, _HISTORY, _CHECKPOINT = "preset.json", "history.csv", "checkpoint.npz"
_BEST, _LAST, _ENCODER = "best.weights.h5", "model.weights.h5", "encoder.onnx"
_AGREE = 1e-4  # how far the exported encoder may be from Keras's, relative to the largest number


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training is: steps from its beginning, and the loss of the epoch so far."""

    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history. `loss` and `val_loss` have the penalties in them, `mse` and `val_mse` are bare."""

    epoch: int
    loss: float
    mse: float
    val_loss: float
    val_mse: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """What a training came to."""

    folder: Path
    history: tuple[Epoch, ...]
    parameters: int
    skipped: int


def train(  # noqa: PLR0913  (what, where, how; the rest is optional)
    folder: Path,
    home: Path,
    preset: Preset,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    patience: int | None = None,
) -> Finished:
    """Train `preset` on the pictures below `folder`, into the folder `home`; go on if it was begun there.

    patience: end after so many epochs without a smaller held-out error. Raises TrainingError when `home` holds
    another training, MissingExtra without Keras.
    """
    load_keras().utils.set_random_seed(preset.seed)
    home.mkdir(parents=True, exist_ok=True)
    _claim(home, preset)
    pictures = gather(folder, home, preset, progress=progress)
    run = _Run(home, preset, pictures, watch)
    run.resume()
    encoder = home / _ENCODER
    while not run.is_done(patience):
        encoder.unlink(missing_ok=True)  # of an earlier, shorter training
        run.train_epoch()
    if not encoder.exists():  # exported again it would be another file, and no gallery made by it could be searched
        run.export()
    skipped = len((home / "skipped.csv").read_text(encoding="utf-8").splitlines()) - 1
    return Finished(home, tuple(run.history), int(run.model.count_params()), skipped)


def reconstruction_error(home: Path, folder: Path) -> dict[str, Any]:
    """The bare mean squared error of a finished training on its own split, with its last weights.

    Over all pixels and channels in [0, 1]: `held_out_mse` of the pictures it never saw, `train_mse` of the others.
    """
    preset, model, pictures = _reopen(home, folder)
    return {
        "preset": preset.name,
        "size": preset.size,
        "held_out_mse": _error(model, pictures, pictures.held_out, preset.batch_size),
        "train_mse": _error(model, pictures, pictures.train, preset.batch_size),
        "n_held_out": len(pictures.held_out),
        "n_train": len(pictures.train),
    }


def reconstructions(home: Path, folder: Path, count: int = 20) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Held-out pictures and what the model makes of them, float32 (count, size, size, 3) in [0, 1] each.

    Trained pictures for a model that holds none out.
    """
    _, model, pictures = _reopen(home, folder)
    some = pictures.held_out if len(pictures.held_out) else pictures.train
    chosen = some[np.linspace(0, len(some) - 1, min(count, len(some))).astype(np.intp)]
    originals = np.concatenate(list(batches(pictures, chosen, len(chosen))))
    return originals, np.asarray(model.predict_on_batch(originals), np.float32)


class _Means:
    """The mean loss and bare error over the pictures of an epoch; not a number before the first."""

    def __init__(self) -> None:
        self._totals = [0.0, 0.0]
        self._pictures = 0

    def add(self, logs: dict[str, float], pictures: int) -> None:
        """Count in a batch: Keras gives the means over that batch alone."""
        self._pictures += pictures
        self._totals[0] += pictures * float(logs["loss"])
        self._totals[1] += pictures * float(logs["mse"])

    @property
    def loss(self) -> float:
        return self._totals[0] / self._pictures if self._pictures else math.nan

    @property
    def mse(self) -> float:
        return self._totals[1] / self._pictures if self._pictures else math.nan


class _Run:
    def __init__(self, home: Path, preset: Preset, pictures: Pictures, watch: Watch | None) -> None:
        self.history: list[Epoch] = []
        self._home = home
        self._preset = preset
        self._pictures = pictures
        self._watch = watch
        keras = load_keras()
        self.model = build(preset)
        self.model.compile(keras.optimizers.Adam(schedule_of(preset)), loss="mse", metrics=["mse"])
        self.model.optimizer.build(self.model.trainable_variables)

    def resume(self) -> None:
        """Go on from the last whole epoch, if there is one."""
        if not (self._home / _CHECKPOINT).exists():
            return
        with np.load(self._home / _CHECKPOINT, allow_pickle=False) as saved:
            for key, variable in self._variables().items():
                variable.assign(saved[key])
            epochs = int(saved["epochs"])
        self.history = _read_history(self._home / _HISTORY)[:epochs]

    def is_done(self, patience: int | None) -> bool:
        if len(self.history) >= self._preset.epochs:
            return True
        if patience is None or not self.history:
            return False
        errors = [epoch.val_mse for epoch in self.history]
        return len(errors) - 1 - int(np.nanargmin(errors)) >= patience

    def train_epoch(self) -> None:
        start = time.monotonic()
        rate = rate_at(self._preset, len(self.history))
        if rate is not None:
            self.model.optimizer.learning_rate = rate
        loss, mse = self._fit()
        val_loss, val_mse = self._validate()
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        epoch = Epoch(len(self.history) + 1, loss, mse, val_loss, val_mse, rate, round(time.monotonic() - start, 2))
        if not math.isfinite(epoch.loss):
            raise TrainingError(f"epoch {epoch.epoch}: the loss is {epoch.loss}", hint="try a lower learning_rate")
        self.history.append(epoch)
        self._keep()

    def export(self) -> None:
        """Write the weights and the encoder, and see that the encoder gives what Keras gives."""
        _replace(self._home / _LAST, self.model.save_weights)
        encoder = encoder_of(self.model, self._preset)
        some = self._pictures.pixels[:4]
        expected = np.asarray(encoder(some.astype(np.float32) / 255))  # Keras exports only what has been called
        path = self._home / _ENCODER
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's and tf2onnx's own use of what numpy will change
            _replace(path, lambda target: encoder.export(target, format="onnx", verbose=False))
        card = Card(
            f"{self._preset.name}-{self._preset.latent_dim}",
            View(self._preset.size),
            metric="euclidean",
            trained_on=f"{len(self._pictures.train)} pictures",
        )
        card.write(path.with_suffix(".json"))
        got = OnnxEncoder(path.read_bytes(), card).encode(np.asarray(some))
        if np.abs(got - expected).max() > _AGREE * max(1.0, float(np.abs(expected).max())):
            raise TrainingError(f"{path} does not give what the model gives")

    def _fit(self) -> tuple[float, float]:
        """One pass over the training pictures in an order of this epoch's own; the mean loss and bare error."""
        rng = np.random.default_rng((self._preset.seed, len(self.history)))
        order = rng.permutation(self._pictures.train)
        steps = -(-len(order) // self._preset.batch_size)
        means = _Means()
        for step, batch in enumerate(batches(self._pictures, order, self._preset.batch_size), 1):
            fed = _flipped(batch, rng) if self._preset.flip else batch
            means.add(self.model.train_on_batch(fed, fed, return_dict=True), len(batch))
            if self._watch is not None:
                done = len(self.history) * steps + step
                self._watch(Step(len(self.history) + 1, done, steps * self._preset.epochs, means.loss))
        return means.loss, means.mse

    def _validate(self) -> tuple[float, float]:
        """The penalised loss and the bare error of the pictures that are held out; not a number if there are none."""
        means = _Means()
        for batch in batches(self._pictures, self._pictures.held_out, self._preset.batch_size):
            means.add(self.model.test_on_batch(batch, batch, return_dict=True), len(batch))
        return means.loss, means.mse

    def _keep(self) -> None:
        """Put the epoch on disk: history first, so that a checkpoint never counts epochs that it has not."""
        _write_history(self._home / _HISTORY, self.history)
        values = {key: np.asarray(variable) for key, variable in self._variables().items()}
        values["epochs"] = np.array(len(self.history))
        _replace(self._home / _CHECKPOINT, lambda path: np.savez(path, **values))  # type: ignore[arg-type]
        errors = [epoch.val_mse for epoch in self.history]
        if math.isnan(errors[-1]) or errors[-1] == np.nanmin(errors):
            _replace(self._home / _BEST, self.model.save_weights)

    def _variables(self) -> dict[str, Any]:
        """Weights and optimiser, by their number: Keras's own names differ with what a process did before."""
        return {f"{n:04}": v for n, v in enumerate([*self.model.variables, *self.model.optimizer.variables])}


def _claim(home: Path, preset: Preset) -> None:
    """Note what is trained here. Raises TrainingError if it is something else than before."""
    wanted = json.loads(json.dumps(asdict(preset)))
    path = home / _PRESET
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))["preset"]
        if found != wanted:
            differs = ", ".join(key for key in wanted if found.get(key) != wanted[key])
            raise TrainingError(
                f"{home} holds another training: {differs} differ", hint="take another --output, or begin with --fresh"
            )
        return
    versions = {
        "lookalike": version("lookalike"),
        "keras": load_keras().__version__,
        "backend": load_keras().backend.backend(),
    }
    document = {"preset": wanted, "versions": versions, "begun": dt.datetime.now(dt.UTC).isoformat()}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _reopen(home: Path, folder: Path) -> tuple[Preset, Any, Pictures]:
    """A finished training. Raises TrainingError for a folder that holds none."""
    try:
        found = json.loads((home / _PRESET).read_text(encoding="utf-8"))["preset"]
        known = {field.name for field in fields(Preset)}
        preset = Preset(**{**{key: found[key] for key in known}, "filters": tuple(found["filters"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{home} holds no training: {type(error).__name__} {error}") from None
    if not (home / _LAST).exists():
        raise TrainingError(f"the training in {home} is not finished", hint="go on with the same `lookalike train`")
    model = build(preset)
    try:
        model.load_weights(home / _LAST)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{home / _LAST} does not hold the weights of {preset.name}: {error}") from None
    return preset, model, gather(folder, home, preset)


def _error(model: Any, pictures: Pictures, chosen: NDArray[np.intp], batch_size: int) -> float:  # noqa: ANN401
    """Summed in float64, batch by batch; not a number if there are no pictures."""
    total, count = 0.0, 0
    for batch in batches(pictures, chosen, batch_size):
        total += float(np.square(np.asarray(model.predict_on_batch(batch), np.float64) - batch).sum())
        count += batch.size
    return total / count if count else math.nan


def _flipped(batch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each picture mirrored, left and right, or not."""
    mirrored = rng.random(len(batch)) < 0.5
    return np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)


def _replace(path: Path, write: Callable[[str], object]) -> None:
    """Let `write` make the file beside its place, put it on disk and then into place."""
    part = path.with_name(f"part-{path.name}")
    write(str(part))
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _write_history(path: Path, history: list[Epoch]) -> None:
    rows = [asdict(epoch) for epoch in history]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(rows)
    path.with_suffix(".json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _read_history(path: Path) -> list[Epoch]:
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows]
