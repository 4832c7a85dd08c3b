"""The folder of one training. Every file is written under another name first and then renamed.

preset.json         the preset, the folder of the pictures, package versions, the machine and the date
split.csv           each picture, its class, whether it is trained on, its SHA-256
skipped.csv         files that could not be read, with the reason
history.csv, .json  one line per epoch: losses with penalties, bare errors, learning rate, seconds
pictures.u8         the decoded pictures; removed when the training is finished
checkpoint.npz      the state after the last complete epoch, from which training resumes; removed at the end
best.*, model.*     the weights of the epoch with the smallest held-out error, and those at the end
tensorboard/        events for TensorBoard, if requested
encoder.onnx        the encoder, with its card encoder.json: use it with `lookalike index -e FOLDER`
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import json
import math
import os
import shlex
import zipfile
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError, UsageError
from lookalike.evaluation.record import describe_machine, find_versions
from lookalike.files import MARK, remove_leftovers, replace_file
from lookalike.training.models.backend import PACKAGES, backend
from lookalike.training.presets import Preset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "BOARD",
    "CARD",
    "CHECKPOINT",
    "ENCODER",
    "PICTURES",
    "PRESET",
    "SKIPPED",
    "SPLIT",
    "Epoch",
    "claim",
    "forget",
    "is_finished",
    "is_imported",
    "list_drawings",
    "parse_preset",
    "read_history",
    "read_notes",
    "read_preset",
    "start_over",
    "write_arrays",
    "write_csv",
    "write_history",
    "write_json",
    "writing_to",
]  # fmt: skip

PRESET, SPLIT, SKIPPED, PICTURES = "preset.json", "split.csv", "skipped.csv", "pictures.u8"
HISTORY, CHECKPOINT, ENCODER, CARD = "history.csv", "checkpoint.npz", "encoder.onnx", "encoder.json"
BOARD = "tensorboard"
_OURS = (
    PRESET, SPLIT, SKIPPED, PICTURES, HISTORY, "history.json", CHECKPOINT, ENCODER, CARD, "best.weights.h5",
    "model.weights.h5", "best.weights.npz", "model.weights.npz", "loss.png", "reconstructions.png", "model.png",
)  # fmt: skip
_PACKAGES = ("lookalike", "numpy", "keras")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history. `loss` and `val_loss` include the penalties, `mse` and `val_mse` do not.

    Missing values, as without held-out pictures, are NaN; null in JSON.
    """

    epoch: int
    loss: float
    mse: float
    val_loss: float
    val_mse: float
    learning_rate: float
    seconds: float


def claim(run: Path, preset: Preset, folder: Path | None, *, imported: Mapping[str, str] | None = None) -> None:
    """Create the folder and write down what is trained there. Raises TrainingError if it holds something else.

    imported: where the weights come from, instead of a folder of pictures.
    """
    pictures = "" if folder is None else os.fsdecode(os.path.abspath(folder))
    wanted = {"preset": json.loads(json.dumps(asdict(preset))), "pictures": pictures}
    run.mkdir(parents=True, exist_ok=True)
    if not (run / PRESET).exists():
        write_json(run / PRESET, wanted | _circumstances() | ({"imported": dict(imported)} if imported else {}))
        return
    found = _read_claim(run)
    hint = f"choose another --output, or {start_over(run)}"
    begun = asdict(read_preset(run))
    # Descriptions are for people: a later version may word them in another way.
    differs = [key for key, value in asdict(preset).items() if key != "description" and begun[key] != value]
    if differs:
        raise TrainingError(f"{run} holds another training: {', '.join(differs)} differ", hint=hint)
    if found["pictures"] != wanted["pictures"]:
        raise TrainingError(f"{run} holds another training: of the pictures in {found['pictures']}", hint=hint)
    if (earlier := found.get("backend", backend())) != backend() and not is_finished(run):
        raise TrainingError(f"the training in {run} was begun on {earlier}", hint=f"set KERAS_BACKEND={earlier}")


def start_over(run: Path) -> str:
    """The hint to begin the training in a folder again."""
    return f"start over: lookalike train FOLDER -o {shlex.quote(str(run))} --fresh"


def read_preset(run: Path) -> Preset:
    """Read what is trained in a folder. Raises TrainingError when it holds no training."""
    try:
        return parse_preset(_read_claim(run)["preset"])
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{run} holds no training: {type(error).__name__} {error}") from None


def parse_preset(found: Mapping[str, Any]) -> Preset:
    """Turn parsed JSON into a preset; missing values have their defaults. Raises KeyError, TypeError."""
    known = {field.name: found[field.name] for field in fields(Preset) if field.name in found}
    return Preset(**{**known, "filters": tuple(found["filters"])})


def read_notes(run: Path) -> dict[str, Any]:
    """Read what is known about a training besides its preset: `pictures`, `versions`, `begun` and so on.

    Raises TrainingError when the folder holds no training.
    """
    return {key: value for key, value in _read_claim(run).items() if key != "preset"}


def is_imported(run: Path) -> bool:
    """Whether the weights in this folder were imported. Raises TrainingError when it holds no training."""
    return "imported" in read_notes(run)


def is_finished(run: Path) -> bool:
    """Whether the training is finished: its card is the last file that it writes."""
    return (run / CARD).exists()


def forget(run: Path) -> None:
    """Remove a training's files and nothing else in its folder; does nothing if there is no training."""
    if (run / PRESET).is_file():
        for name in _OURS:
            (run / name).unlink(missing_ok=True)
            remove_leftovers(run / name)
        for events in (run / BOARD).glob("*/events.out.tfevents.*"):
            events.unlink()


def list_drawings(run: Path) -> set[bytes]:
    """List the paths of a training's own plots, which must not be trained on."""
    return {os.path.abspath(os.fsencode(run / name)) for name in _OURS if name.endswith(".png")}


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
        archive.comment = MARK.encode()
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_csv(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; file names that are not valid text are kept as Python represents them (PEP 383)."""
    with (
        replace_file(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows(rows)


def write_history(run: Path, history: Sequence[Epoch]) -> None:
    """Write the history as a table and as JSON."""
    rows = [asdict(epoch) for epoch in history]
    write_csv(run / HISTORY, [field.name for field in fields(Epoch)], [list(row.values()) for row in rows])
    plain = [{key: value if math.isfinite(value) else None for key, value in row.items()} for row in rows]
    write_json((run / HISTORY).with_suffix(".json"), plain)


def write_json(path: Path, document: object) -> None:
    """A document as indented JSON."""
    with replace_file(path) as part:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8", errors="surrogateescape")


def read_history(run: Path) -> list[Epoch]:
    """Read the epochs so far; an empty list without a history. Raises TrainingError for a damaged one."""
    try:
        rows = list(csv.DictReader((run / HISTORY).read_text(encoding="utf-8").splitlines()))
        return [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{run / HISTORY} is damaged: {error}", hint=start_over(run)) from None


def _read_claim(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / PRESET).read_text(encoding="utf-8"))
        return {**found, "preset": dict(found["preset"]), "pictures": str(found["pictures"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{run} holds no training: {type(error).__name__} {error}") from None


def _circumstances() -> dict[str, Any]:
    begun = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    versions = find_versions((*_PACKAGES, *PACKAGES[backend()]))
    return {"backend": backend(), "versions": versions, "machine": describe_machine(), "begun": begun}
