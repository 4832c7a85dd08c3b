"""How well a finished training draws pictures again. The split is the training's own, by the content of the files.

Any folder can be measured, the one that was trained on, moved or grown, or another: a picture counts as trained on
exactly if its bytes were, so that no error of a picture that the model has seen is ever reported as held out. Of an
imported model nobody knows what it was trained on: its errors are reported as neither.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError
from lookalike.training.data import Labelled, paths_below, read_labelled, stacked
from lookalike.training.folder import is_finished, read_preset
from lookalike.training.split import seen_by
from lookalike.training.trainer import learner_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.data import Progress
    from lookalike.training.models.learner import Learner
    from lookalike.training.presets import Preset

__all__ = ["Measured", "measure", "reconstruction_error", "reconstructions", "summary"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The bare squared error of each picture, by its path below the folder, over all pixels and channels in [0, 1]."""

    preset: Preset
    train: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    unknown: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def foremost(self) -> dict[str, float]:
        """The held-out errors; those of the trained pictures if none are held out; those of unknown ones."""
        return self.held_out or self.train or self.unknown

    @property
    def by_class(self) -> dict[str, float]:
        """The mean of the foremost errors of each class, by its name."""
        errors = self.foremost
        labels = sorted({self.labels[name] for name in errors})
        return {label: _mean(e for name, e in errors.items() if self.labels[name] == label) for label in labels}

    @property
    def ranked(self) -> list[str]:
        """The pictures of the foremost errors, best first."""
        errors = self.foremost
        return sorted(errors, key=lambda name: (errors[name], name))

    def side(self, seen: Mapping[bytes, tuple[str, bool]] | None, digest: bytes) -> dict[str, float]:
        """Where the error of a picture belongs, given what the training has seen; None if nobody knows."""
        if seen is None:
            return self.unknown
        return self.train if seen.get(digest, ("", False))[1] else self.held_out


def measure(home: Path, folder: Path, *, progress: Progress | None = None) -> Measured:
    """The errors of the pictures below `folder` with the last weights of the training in `home`.

    Pictures are decoded, measured and let go batch by batch. Raises TrainingError when `home` holds no finished
    training or `folder` no picture, UsageError when there is no such folder.
    """
    preset, learner = _reopen(home)
    seen, measured = seen_by(home), Measured(preset)
    read = read_labelled(folder, paths_below(folder, without=home), preset.size, progress=progress)
    for some in stacked((item for item in read if isinstance(item, Labelled)), preset.batch_size):
        batch = _as_floats([item.pixels for item in some])
        errors = np.square(learner.reconstruct(batch) - learner.seen(batch)).mean(axis=(1, 2, 3), dtype=np.float64)
        for item, error in zip(some, errors, strict=True):
            measured.side(seen, item.digest)[item.name] = float(error)
            measured.labels[item.name] = item.label
    if not measured.labels:
        raise TrainingError(f"{folder} has no picture that can be read")
    return measured


def reconstruction_error(home: Path, folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """`measure` in a few numbers, as `lookalike evaluate --model` prints them; None where there are no pictures."""
    return summary(measure(home, folder, progress=progress))


def summary(measured: Measured) -> dict[str, Any]:
    """The means over all pictures and over the held-out ones of each class, and what was trained.

    Of an imported model's pictures, `unknown_mse` and `n_unknown`: nobody knows which it was trained on.
    """
    unknown: dict[str, Any] = {}
    if measured.unknown:
        unknown = {"unknown_mse": _mean(measured.unknown.values()), "n_unknown": len(measured.unknown)}
    return {
        "preset": measured.preset.name,
        "size": measured.preset.size,
        "latent_dim": measured.preset.latent_dim,
        "held_out_mse": _mean(measured.held_out.values()) if measured.held_out else None,
        "train_mse": _mean(measured.train.values()) if measured.train else None,
        "n_held_out": len(measured.held_out),
        "n_train": len(measured.train),
        **unknown,
        "mse_by_class": measured.by_class,
    }


def reconstructions(
    home: Path, folder: Path, names: Sequence[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures below `folder` and what the model makes of them, float32 (n, size, size, 3) in [0, 1] each.

    names: their paths below `folder`; by default twenty held-out ones of the training, evenly from its list, or
    trained ones if none are held out. Those that cannot be read any more are left out; TrainingError if all are.
    """
    preset, learner = _reopen(home)
    root = os.path.abspath(os.fsencode(folder))
    paths = [os.path.join(root, os.fsencode(name)) for name in (_twenty(home) if names is None else names)]
    read = [item.pixels for item in read_labelled(folder, paths, preset.size) if isinstance(item, Labelled)]
    if not read:
        raise TrainingError(f"none of the pictures can be found in {folder}")
    originals = _as_floats(read)
    return originals, np.concatenate([learner.reconstruct(originals[at : at + 8]) for at in range(0, len(read), 8)])


def _reopen(home: Path) -> tuple[Preset, Learner]:
    """A finished training. Raises TrainingError for a folder that holds none."""
    preset = read_preset(home)
    if not is_finished(home):
        raise TrainingError(f"the training in {home} is not finished", hint="go on with the same `lookalike train`")
    learner = learner_of(preset)
    path = home / f"model{learner.ending}"
    try:
        learner.load(os.fspath(path))
    except Exception as error:  # noqa: BLE001  (what h5py, zipfile and Keras raise for nonsense is any of a dozen)
        raise TrainingError(f"{path} does not hold the weights of {preset.name}: {error}") from None
    return preset, learner


def _twenty(home: Path) -> list[str]:
    rows = sorted((seen_by(home) or {}).values())
    names = [name for name, is_train in rows if not is_train] or [name for name, _ in rows]
    return [names[n] for n in np.linspace(0, len(names) - 1, min(20, len(names))).astype(int)] if names else []


def _as_floats(pixels: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.stack(pixels).astype(np.float32) / np.float32(255)


def _mean(errors: Iterable[float]) -> float:
    values = list(errors)
    return math.fsum(values) / len(values)
