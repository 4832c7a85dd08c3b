"""How well a finished training reconstructs pictures. The split is the training's own, by the content of the files.

Any folder can be measured: the one that was trained on, even if it moved or grew, or another. A picture counts as
trained on exactly if its bytes were, so the error of a picture that the model has seen is never reported as held out.
For an imported model it is unknown what it was trained on, and its errors are reported as neither.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError
from lookalike.files import expands_home
from lookalike.training.data import Labelled, list_pictures, read_labelled, split_batches
from lookalike.training.folder import is_finished, read_preset
from lookalike.training.split import seen_by
from lookalike.training.trainer import create_trainable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.images.pool import OnProgress
    from lookalike.training.models.trainable import Trainable
    from lookalike.training.presets import Preset

__all__ = ["Measured", "has_collapsed", "measure", "reconstruction_error", "reconstructions", "summary"]


_COLLAPSED = 0.01  # of the originals' variance


@dataclass(frozen=True, slots=True)
class Measured:
    """The mean squared error of each picture, over all pixels and channels in [0, 1], by its path below the folder."""

    preset: Preset
    train: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    unknown: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def foremost(self) -> dict[str, float]:
        """The held-out errors, or else those of the trained pictures, or else those of unknown ones."""
        return self.held_out or self.train or self.unknown

    @property
    def by_class(self) -> dict[str, float]:
        """The mean of the foremost errors of each class, by name."""
        errors = self.foremost
        labels = sorted({self.labels[name] for name in errors})
        return {label: _mean(e for name, e in errors.items() if self.labels[name] == label) for label in labels}

    @property
    def ranked(self) -> list[str]:
        """The pictures of the foremost errors, smallest error first."""
        errors = self.foremost
        return sorted(errors, key=lambda name: (errors[name], name))

    def side(self, seen: Mapping[bytes, tuple[str, bool]] | None, digest: bytes) -> dict[str, float]:
        """Return where the error of a picture belongs. seen: from `seen_by`; None if unknown."""
        if seen is None:
            return self.unknown
        return self.train if seen.get(digest, ("", False))[1] else self.held_out


@expands_home
def measure(run: Path, folder: Path, *, on_progress: OnProgress | None = None) -> Measured:
    """Measure the errors of the pictures below `folder` with the final weights of the training in `run`.

    Only one batch of pictures is in memory at a time. Raises TrainingError when `run` holds no finished
    training or `folder` no picture, UsageError when there is no such folder.
    """
    preset, trainable = _reopen(run)
    seen, measured = seen_by(run), Measured(preset)
    read = read_labelled(folder, list_pictures(folder, without=run), preset.size, on_progress=on_progress)
    for some in split_batches((item for item in read if isinstance(item, Labelled)), preset.batch_size):
        batch = _to_floats([item.pixels for item in some])
        errors = np.square(trainable.reconstruct(batch) - trainable.seen(batch)).mean(axis=(1, 2, 3), dtype=np.float64)
        for item, error in zip(some, errors, strict=True):
            measured.side(seen, item.digest)[item.name] = float(error)
            measured.labels[item.name] = item.label
    if not measured.labels:
        raise TrainingError(f"{folder} has no picture that can be read")
    return measured


@expands_home
def reconstruction_error(run: Path, folder: Path, *, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Summarise `measure` as `lookalike evaluate --model` prints it; None where there are no pictures."""
    return summary(measure(run, folder, on_progress=on_progress))


def summary(measured: Measured) -> dict[str, Any]:
    """Return the mean errors, overall and for the held-out pictures of each class, and what was trained.

    For an imported model `unknown_mse` and `n_unknown`, as it is unknown which pictures it was trained on.
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


@expands_home
def reconstructions(
    run: Path, folder: Path, names: Sequence[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read pictures below `folder` and reconstruct them, float32 (n, size, size, 3) in [0, 1] each.

    names: their paths below `folder`; by default twenty held-out ones of the training, evenly spaced in its list, or
    trained ones if none are held out. Those that can no longer be read are left out; TrainingError if all are.
    """
    preset, trainable = _reopen(run)
    root = os.path.abspath(os.fsencode(folder))
    paths = [os.path.join(root, os.fsencode(name)) for name in (_pick_names(run) if names is None else names)]
    read = [item.pixels for item in read_labelled(folder, paths, preset.size) if isinstance(item, Labelled)]
    if not read:
        raise TrainingError(f"none of the pictures can be found in {folder}")
    originals = _to_floats(read)
    return originals, np.concatenate([trainable.reconstruct(originals[at : at + 8]) for at in range(0, len(read), 8)])


def has_collapsed(originals: NDArray[np.float32], made: NDArray[np.float32]) -> bool:
    """Whether reconstructions of different pictures are nearly the same: the network has learned only their mean.

    Their variance over the pictures is then below a hundredth of the originals'.
    """
    return bool(made.var(axis=0).mean() < _COLLAPSED * originals.var(axis=0).mean())


def _reopen(run: Path) -> tuple[Preset, Trainable]:
    """Load a finished training. Raises TrainingError for a folder without one."""
    preset = read_preset(run)
    if not is_finished(run):
        raise TrainingError(
            f"the training in {run} is not finished", hint="resume it with the same `lookalike train` command"
        )
    trainable = create_trainable(preset)
    path = run / f"model{trainable.ending}"
    try:
        trainable.load(os.fspath(path))
    except Exception as error:  # noqa: BLE001  (h5py, zipfile and Keras raise a dozen different ones)
        raise TrainingError(f"{path} does not hold the weights of {preset.name}: {error}") from None
    return preset, trainable


def _pick_names(run: Path) -> list[str]:
    rows = sorted((seen_by(run) or {}).values())
    names = [name for name, is_train in rows if not is_train] or [name for name, _ in rows]
    return [names[n] for n in np.linspace(0, len(names) - 1, min(20, len(names))).astype(int)] if names else []


def _to_floats(pixels: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.stack(pixels).astype(np.float32) / np.float32(255)


def _mean(errors: Iterable[float]) -> float:
    values = list(errors)
    return math.fsum(values) / len(values)
