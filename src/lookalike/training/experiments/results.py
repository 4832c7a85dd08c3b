"""The result of a finished training in one JSON file: what was trained, on which machine, and how good it is."""

from __future__ import annotations

import json
import math
import os
import statistics
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from lookalike import training
from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import load_labelled
from lookalike.errors import DatasetError, TrainingError
from lookalike.evaluation.record import describe_machine
from lookalike.evaluation.retrieval import evaluate_retrieval
from lookalike.files import expands_home
from lookalike.training import Epoch
from lookalike.training import folder as run_folder
from lookalike.training.presets import PRESETS, Preset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.images.pool import OnProgress

__all__ = ["Result", "merge_seeds", "read_results", "record"]

_ERRORS = ("loss", "mse", "val_loss", "val_mse")
_ENOUGH = 3  # seeds for an interval
# 97.5% quantiles of Student's t for 2 to 9 degrees of freedom
_STUDENT = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one training.

    varied: the values that differ from today's preset. Errors are means over all pixels, without penalties; None where
    there are no such pictures. retrieval: the measures for each way of comparing; empty for pictures without classes.
    queries_trained_on: how many of the queries the model was trained on. others: the results with further seeds, if
    this is the mean of several. margins: half the width of the 95% interval of `held_out_mse` and `train_mse`, from
    three seeds on.
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
    others: tuple[Result, ...] = ()
    margins: dict[str, float] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings that this is the mean of."""
        return self.preset.seed, *(other.preset.seed for other in self.others)

    @property
    def seconds(self) -> float:
        """The time of all epochs together, including the measurement of held-out pictures after each.

        The first counts as it was, as it may prepare something; each other one counts as the median of them, so that
        a training that was suspended, or shared its machine for a while, does not look slower.
        """
        first, *others = (epoch.seconds for epoch in self.history)
        return first + statistics.median(others) * len(others) if others else first

    @property
    def is_full(self) -> bool:
        """Whether the preset was trained unchanged, to its last epoch."""
        return not self.varied and len(self.history) == self.preset.epochs

    @property
    def best(self) -> Epoch | None:
        """The epoch with the smallest held-out error."""
        return min((e for e in self.history if math.isfinite(e.val_mse)), key=lambda e: e.val_mse, default=None)


@expands_home
def record(run: Path, folder: Path, results: Path, *, on_progress: OnProgress | None = None) -> tuple[Path, Result]:
    """Measure the finished training in `run` on the pictures below `folder`; returns its file in `results` and result.

    A training whose result is recorded already is not measured again. Raises TrainingError for anything but a finished
    training of a preset.
    """
    preset = run_folder.read_preset(run)
    path = results / _file_name(preset)
    if _recorded_encoder(path) != _digest(run):
        measured = _measure(run, folder, on_progress)
        with run_folder.writing_to(path):
            results.mkdir(parents=True, exist_ok=True)
            run_folder.write_json(path, measured)
    return path, _read(path)


@expands_home
def read_results(folder: Path) -> list[Result]:
    """Read every result in a folder: in the order of the presets, full runs first, then by size.

    Files with the results of something else than a training are passed over. Raises DatasetError for a file that is
    neither.
    """
    order = list(PRESETS)
    results = [_read(path) for path in sorted(folder.glob("*.json")) if not _is_of_something_else(path)]
    return sorted(results, key=lambda r: (order.index(r.preset.name), not r.is_full, -r.preset.size))


def merge_seeds(results: Sequence[Result]) -> list[Result]:
    """Merge results that differ only in their seeds, in the order of the first of each.

    Its errors, measures and epochs are means; times, the machine and the command are those of the first seed. Trainings
    of different lengths are not merged.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        alike = {**asdict(result.preset), "seed": None, "description": None, "length": len(result.history)}
        groups.setdefault(json.dumps(alike), []).append(result)
    return [_merge(sorted(group, key=lambda result: result.preset.seed)) for group in groups.values()]


def _merge(group: Sequence[Result]) -> Result:
    first = group[0]
    if len(group) == 1:
        return first
    errors = {name: [getattr(result, name) for result in group] for name in ("held_out_mse", "train_mse")}
    known: dict[str, Any] = {name: values for name, values in errors.items() if None not in values}
    means: dict[str, Any] = {name: statistics.fmean(values) for name, values in known.items()}
    return replace(
        first,
        varied={key: value for key, value in first.varied.items() if key != "seed"},
        history=tuple(_mean_epoch(epochs) for epochs in zip(*(result.history for result in group), strict=True)),
        retrieval=_mean_measures([result.retrieval for result in group]),
        others=tuple(group[1:]),
        margins={name: _margin(values) for name, values in known.items() if len(values) >= _ENOUGH},
        **means,
    )


def _mean_epoch(epochs: Sequence[Epoch]) -> Epoch:
    means: dict[str, Any] = {name: statistics.fmean(getattr(epoch, name) for epoch in epochs) for name in _ERRORS}
    return replace(epochs[0], **means)


def _mean_measures(found: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """The means of each way's figures, without the intervals of each over its queries."""
    return {
        way: {
            name: statistics.fmean(each[way][name] for each in found)
            for name, value in measures.items()
            if isinstance(value, int | float)
        }
        for way, measures in found[0].items()
        if all(way in each for each in found)
    }


def _margin(values: Sequence[float]) -> float:
    """Half the width of the 95% interval of a mean, by Student's t."""
    factor = _STUDENT[min(len(values), len(_STUDENT) + 2) - 3]
    return factor * statistics.stdev(values) / math.sqrt(len(values))


def _is_of_something_else(path: Path) -> bool:
    """Whether a file has the figures of another measurement, as `bench feedback` and the benchmarks write them."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and bool(found) and not {"preset", "history"} & found.keys()


def _read(path: Path) -> Result:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        preset = run_folder.parse_preset(found["preset"])
        parsed: dict[str, Any] = {
            "preset": preset,
            "varied": _varied(preset),
            "history": tuple(map(_epoch, found["history"])),
            "others": (),
            "margins": {},
        }
        others = {each.name: found[each.name] for each in fields(Result) if each.name not in parsed}
        return Result(**parsed, **others)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TrainingError) as error:
        raise DatasetError(f"{path} is not a result: {type(error).__name__} {error}") from None


def _epoch(row: dict[str, Any]) -> Epoch:
    errors = {key: math.nan if value is None else float(value) for key, value in row.items() if key != "epoch"}
    return Epoch(int(row["epoch"]), **errors)


def _measure(run: Path, folder: Path, on_progress: OnProgress | None) -> dict[str, Any]:
    preset, history = run_folder.read_preset(run), run_folder.read_history(run)
    errors = training.reconstruction_error(run, folder, on_progress=on_progress)
    return _circumstances(run, folder, preset) | {
        "encoder": _digest(run),
        "preset": asdict(preset),
        "varied": _varied(preset),
        "full": not _varied(preset) and len(history) == preset.epochs,
        "epochs": len(history),
        "seconds": round(math.fsum(epoch.seconds for epoch in history), 1),
        **{key: errors[key] for key in ("held_out_mse", "train_mse", "mse_by_class")},
        **_retrieval(run, folder),
        "pictures": {"folder": folder.resolve().name, **{key: errors[key] for key in ("n_train", "n_held_out")}},
        "history": [_finite(asdict(epoch)) for epoch in history],
    }


def _circumstances(run: Path, folder: Path, preset: Preset) -> dict[str, Any]:
    notes = run_folder.read_notes(run)
    changes = " ".join(f"--set {key}={_as_text(value)}" for key, value in _varied(preset).items())
    backend = f"KERAS_BACKEND={name} " if (name := notes.get("backend", "tensorflow")) != "tensorflow" else ""
    command = f"{backend}lookalike train {folder.resolve().name} --preset {preset.name} {changes}".rstrip()
    # Older trainings did not describe their machine: this is the one where they are measured.
    machine = notes.get("machine") or {**describe_machine(), "noted": "when it was measured"}
    return {
        "name": preset.name, "date": notes["begun"], "command": command, "versions": notes["versions"],
        "machine": machine,
    }  # fmt: skip


def _varied(preset: Preset) -> dict[str, Any]:
    if preset.name not in PRESETS:
        raise TrainingError(f"{preset.name} is not a preset, so its result cannot be recorded")
    usual, own = asdict(PRESETS[preset.name]), asdict(preset)
    return {key: value for key, value in own.items() if value != usual[key] and key != "description"}


def _file_name(preset: Preset) -> str:
    changes = [f"-{key}-{_as_text(value).replace(',', '-')}" for key, value in _varied(preset).items()]
    return f"{preset.name}{''.join(changes)}.json"


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _digest(run: Path) -> str:
    """The digest of a training's encoder. Raises TrainingError if the training is not finished."""
    if not run_folder.is_finished(run):
        raise TrainingError(
            f"the training in {run} is not finished", hint="resume it with the same `lookalike train` command"
        )
    return file_digest(os.fsencode(run / run_folder.ENCODER)).hex()


def _recorded_encoder(path: Path) -> object:
    with suppress(OSError, ValueError, AttributeError):
        return json.loads(path.read_text(encoding="utf-8")).get("encoder")
    return None


def _retrieval(run: Path, folder: Path) -> dict[str, Any]:
    try:
        dataset = training.own_split(run, load_labelled(folder))
    except DatasetError:  # without classes no hit is right or wrong
        return {"retrieval": {}, "queries_trained_on": 0}
    found = evaluate_retrieval(dataset, run, also=["ways"])["retrieval"]
    return {"retrieval": found, "queries_trained_on": training.count_trained(run, dataset.queries)}


def _finite(fields: dict[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in fields.items()}
