"""The folder of one training. Every file is made beside its place and put there as a whole.

preset.json         the preset, the folder of the pictures, the versions, the machine and the day
split.csv           each picture, its class, whether it is trained on, its SHA-256
skipped.csv         files that could not be read, with the reason
history.csv, .json  an epoch a line: penalised losses, bare errors, learning rate, seconds
pictures.u8         the decoded pictures; gone when the training is finished
checkpoint.npz      what learning goes on from after the last whole epoch; gone after the last of all
best.*, model.*     the weights of the epoch with the smallest held-out error, and those at the end
tensorboard/        events for TensorBoard, if they were asked for
encoder.onnx        the encoder, with its card encoder.json: `lookalike index -e FOLDER` takes it
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import json
import math
import os
import zipfile
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError, UsageError
from lookalike.files import remove_leftovers, replace_file
from lookalike.training.machine import describe_machine
from lookalike.training.presets import Preset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "BOARD", "CARD", "CHECKPOINT", "ENCODER", "PICTURES", "PRESET", "SKIPPED", "SPLIT", "Epoch", "as_preset", "claim",
    "forget", "is_finished", "is_imported", "made", "read_history", "read_notes", "read_preset",
    "write_arrays", "write_csv", "write_history", "write_json", "writing_to",
]  # fmt: skip

PRESET, SPLIT, SKIPPED, PICTURES = "preset.json", "split.csv", "skipped.csv", "pictures.u8"
HISTORY, CHECKPOINT, ENCODER, CARD = "history.csv", "checkpoint.npz", "encoder.onnx", "encoder.json"
BOARD = "tensorboard"
_OURS = (
    PRESET, SPLIT, SKIPPED, PICTURES, HISTORY, "history.json", CHECKPOINT, ENCODER, CARD, "best.weights.h5",
    "model.weights.h5", "best.weights.npz", "model.weights.npz", "loss.png", "reconstructions.png", "model.png",
)  # fmt: skip
_PACKAGES = ("lookalike", "numpy", "keras", "tensorflow", "tensorflow-cpu")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history. `loss` and `val_loss` have the penalties in them, `mse` and `val_mse` are bare.

    What there is no number for, as without held-out pictures, is NaN; null in JSON.
    """

    epoch: int
    loss: float
    mse: float
    val_loss: float
    val_mse: float
    learning_rate: float
    seconds: float


def claim(home: Path, preset: Preset, folder: Path | None, *, imported: Mapping[str, str] | None = None) -> None:
    """Make the folder and note what is trained there. Raises TrainingError if it holds something else.

    imported: instead of a folder of pictures, from where its weights come.
    """
    pictures = "" if folder is None else os.fsdecode(os.path.abspath(folder))
    wanted = {"preset": json.loads(json.dumps(asdict(preset))), "pictures": pictures}
    home.mkdir(parents=True, exist_ok=True)
    if not (home / PRESET).exists():
        write_json(home / PRESET, wanted | _circumstances() | ({"imported": dict(imported)} if imported else {}))
        return
    found = _read_claim(home)
    hint = "take another --output, or begin with --fresh"
    begun = asdict(read_preset(home))
    differs = [key for key, value in asdict(preset).items() if begun[key] != value]
    if differs:
        raise TrainingError(f"{home} holds another training: {', '.join(differs)} differ", hint=hint)
    if found["pictures"] != wanted["pictures"]:
        raise TrainingError(f"{home} holds another training: of the pictures in {found['pictures']}", hint=hint)


def read_preset(home: Path) -> Preset:
    """What was trained in this folder. Raises TrainingError when it holds no training."""
    try:
        return as_preset(_read_claim(home)["preset"])
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{home} holds no training: {type(error).__name__} {error}") from None


def as_preset(found: Mapping[str, Any]) -> Preset:
    """A preset as JSON tells it; what older versions did not write has its usual value. Raises KeyError, TypeError."""
    known = {field.name: found[field.name] for field in fields(Preset) if field.name in found}
    return Preset(**{**known, "filters": tuple(found["filters"])})


def read_notes(home: Path) -> dict[str, Any]:
    """Everything that was noted of a training beside its preset: `pictures`, `versions`, `begun` and so on.

    Raises TrainingError when the folder holds none.
    """
    return {key: value for key, value in _read_claim(home).items() if key != "preset"}


def is_imported(home: Path) -> bool:
    """Whether the weights in this folder come from elsewhere. Raises TrainingError when it holds no training."""
    return "imported" in read_notes(home)


def is_finished(home: Path) -> bool:
    """The card is the last file that a training writes."""
    return (home / CARD).exists()


def forget(home: Path) -> None:
    """Remove a training's files, and nothing else that may be in its folder. Nothing happens without a training."""
    if (home / PRESET).is_file():
        for name in _OURS:
            (home / name).unlink(missing_ok=True)
            remove_leftovers(home / name)
        for events in (home / BOARD).glob("*/events.out.tfevents.*"):
            events.unlink()


def made(home: Path) -> set[bytes]:
    """The paths of the pictures that are drawn of a training: they are not to be learned from."""
    return {os.path.abspath(os.fsencode(home / name)) for name in _OURS if name.endswith(".png")}


@contextlib.contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Raise UsageError, naming the file or else `place`, for what the disk refuses inside."""
    try:
        yield
    except OSError as error:
        file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else place
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error


def write_arrays(path: str | Path, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write arrays as `numpy.savez` does, but one after the other: no two of them need be in memory."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_csv(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; names of files that are no text are kept as Python keeps them (PEP 383)."""
    with (
        replace_file(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows(rows)


def write_history(home: Path, history: Sequence[Epoch]) -> None:
    """The history as a table and as JSON."""
    rows = [asdict(epoch) for epoch in history]
    write_csv(home / HISTORY, [field.name for field in fields(Epoch)], [list(row.values()) for row in rows])
    plain = [{key: value if math.isfinite(value) else None for key, value in row.items()} for row in rows]
    write_json((home / HISTORY).with_suffix(".json"), plain)


def write_json(path: Path, document: object) -> None:
    """A document as indented JSON."""
    with replace_file(path) as part:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8", errors="surrogateescape")


def read_history(home: Path) -> list[Epoch]:
    """The epochs so far; none when there is no history yet. Raises TrainingError for one that is damaged."""
    try:
        rows = list(csv.DictReader((home / HISTORY).read_text(encoding="utf-8").splitlines()))
        return [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{home / HISTORY} is damaged: {error}", hint="begin anew with --fresh") from None


def _read_claim(home: Path) -> dict[str, Any]:
    try:
        found = json.loads((home / PRESET).read_text(encoding="utf-8"))
        return {**found, "preset": dict(found["preset"]), "pictures": str(found["pictures"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{home} holds no training: {type(error).__name__} {error}") from None


def _circumstances() -> dict[str, Any]:
    begun = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {"versions": _versions(), "machine": describe_machine(), "begun": begun}


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # TensorFlow goes by two names
            continue
    return versions
