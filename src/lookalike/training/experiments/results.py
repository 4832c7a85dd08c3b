"""A finished training in one JSON file: what was trained, on what machine, and how well it does."""

from __future__ import annotations

import json
import math
import os
import statistics
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from lookalike import training
from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import load_labelled
from lookalike.errors import DatasetError, TrainingError
from lookalike.evaluation.retrieval import evaluate_retrieval
from lookalike.training import Epoch
from lookalike.training import folder as place
from lookalike.training.machine import describe_machine
from lookalike.training.presets import PRESETS, Preset

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.indexing.update import Progress

__all__ = ["Result", "read_results", "record"]


@dataclass(frozen=True, slots=True)
class Result:
    """One training as its file tells it.

    varied: what differs from the preset as it is today, and how. Errors are bare means over all pixels; None where
    there are no such pictures. retrieval: for each way of comparing its measures; empty for pictures without classes.
    queries_trained_on: how many of the queries the model had seen.
    """

    preset: Preset
    varied: dict[str, Any]
    history: tuple[Epoch, ...]
    held_out_mse: float | None
    train_mse: float | None
    mse_by_class: dict[str, float]
    retrieval: dict[str, dict[str, float]]
    queries_trained_on: int
    pictures: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    date: str
    command: str

    @property
    def seconds(self) -> float:
        """All epochs together, measuring the held-out pictures after each included.

        The first as it was, which may prepare something, and the median of the others for each of them: a training
        that was suspended, or shared its machine for a while, took no longer because of itself.
        """
        first, *others = (epoch.seconds for epoch in self.history)
        return first + statistics.median(others) * len(others) if others else first

    @property
    def is_full(self) -> bool:
        """Whether the preset was trained as it is, to its last epoch."""
        return not self.varied and len(self.history) == self.preset.epochs

    @property
    def best(self) -> Epoch | None:
        """The epoch with the smallest held-out error."""
        return min((e for e in self.history if math.isfinite(e.val_mse)), key=lambda e: e.val_mse, default=None)


def record(home: Path, folder: Path, results: Path, *, progress: Progress | None = None) -> tuple[Path, Result]:
    """Measure the finished training in `home` on the pictures below `folder`: its file in `results`, and what it tells.

    Nothing is measured that is told there already. Raises TrainingError for what is no finished training of a
    preset.
    """
    preset = place.read_preset(home)
    path = results / _file_name(preset)
    if _told_encoder(path) != _digest(home):
        told = _measured(home, folder, progress)
        with place.writing_to(path):
            results.mkdir(parents=True, exist_ok=True)
            place.write_json(path, told)
    return path, _read(path)


def read_results(folder: Path) -> list[Result]:
    """Every result that is told in a folder: in the order of the presets, whole ones first, then by their size.

    Raises DatasetError for a file that tells none.
    """
    order = list(PRESETS)
    results = [_read(path) for path in sorted(folder.glob("*.json"))]
    return sorted(results, key=lambda r: (order.index(r.preset.name), not r.is_full, -r.preset.size))


def _read(path: Path) -> Result:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        preset = place.as_preset(found["preset"])
        made: dict[str, Any] = {
            "preset": preset,
            "varied": _varied(preset),
            "history": tuple(map(_epoch, found["history"])),
        }
        told = {field.name: found[field.name] for field in fields(Result) if field.name not in made}
        return Result(**made, **told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TrainingError) as error:
        raise DatasetError(f"{path} tells no result: {type(error).__name__} {error}") from None


def _epoch(row: dict[str, Any]) -> Epoch:
    errors = {key: math.nan if value is None else float(value) for key, value in row.items() if key != "epoch"}
    return Epoch(int(row["epoch"]), **errors)


def _measured(home: Path, folder: Path, progress: Progress | None) -> dict[str, Any]:
    preset, history = place.read_preset(home), place.read_history(home)
    errors = training.reconstruction_error(home, folder, progress=progress)
    return _circumstances(home, folder, preset) | {
        "encoder": _digest(home),
        "preset": asdict(preset),
        "varied": _varied(preset),
        "full": not _varied(preset) and len(history) == preset.epochs,
        "epochs": len(history),
        "seconds": round(math.fsum(epoch.seconds for epoch in history), 1),
        **{key: errors[key] for key in ("held_out_mse", "train_mse", "mse_by_class")},
        **_retrieval(home, folder),
        "pictures": {"folder": folder.resolve().name, **{key: errors[key] for key in ("n_train", "n_held_out")}},
        "history": [_finite(asdict(epoch)) for epoch in history],
    }


def _circumstances(home: Path, folder: Path, preset: Preset) -> dict[str, Any]:
    notes = place.read_notes(home)
    changes = " ".join(f"--set {key}={_as_text(value)}" for key, value in _varied(preset).items())
    command = f"lookalike train {folder.resolve().name} --preset {preset.name} {changes}".rstrip()
    # Trainings that were begun before machines were noted: this one is where it is measured.
    machine = notes.get("machine") or {**describe_machine(), "noted": "when it was measured"}
    return {
        "name": preset.name, "date": notes["begun"], "command": command, "versions": notes["versions"],
        "machine": machine,
    }  # fmt: skip


def _varied(preset: Preset) -> dict[str, Any]:
    if preset.name not in PRESETS:
        raise TrainingError(f"{preset.name} is no preset: what it came to has no place among the experiments")
    usual, own = asdict(PRESETS[preset.name]), asdict(preset)
    return {key: value for key, value in own.items() if value != usual[key] and key != "description"}


def _file_name(preset: Preset) -> str:
    changes = [f"-{key}-{_as_text(value).replace(',', '-')}" for key, value in _varied(preset).items()]
    return f"{preset.name}{''.join(changes)}.json"


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _digest(home: Path) -> str:
    """What a finished training is known by. Raises TrainingError for one that is not finished."""
    if not place.is_finished(home):
        raise TrainingError(f"the training in {home} is not finished", hint="go on with the same `lookalike train`")
    return file_digest(os.fsencode(home / place.ENCODER)).hex()


def _told_encoder(path: Path) -> object:
    with suppress(OSError, ValueError, AttributeError):
        return json.loads(path.read_text(encoding="utf-8")).get("encoder")
    return None


def _retrieval(home: Path, folder: Path) -> dict[str, Any]:
    try:
        dataset = training.own_split(home, load_labelled(folder))
    except DatasetError:  # no classes: there is nothing to be right or wrong about
        return {"retrieval": {}, "queries_trained_on": 0}
    found = evaluate_retrieval(dataset, home, also=["ways"])["retrieval"]
    return {"retrieval": found, "queries_trained_on": training.count_trained(home, dataset.queries)}


def _finite(fields: dict[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in fields.items()}
