"""What the numbers of the results teach, in sentences that are computed from them and say nothing else."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.training.experiments.logged import LOGGED
from lookalike.training.presets import PRESETS, Preset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.training.experiments.results import Result

__all__ = ["Step", "as_shuffled", "label", "lessons", "steps"]

_BAR, _GOAL = "linear", "exp6d"
_SHARE = 0.75  # of the pictures that the original's evaluation took for its test had been trained on
_RISE = 1.01  # of the smallest held-out error: more is overfitting
_FEW = 4  # rows below which a rank correlation says nothing


class Step(NamedTuple):
    """Two results of which one is the other with something changed, in words."""

    before: Result
    after: Result
    change: str


def lessons(results: Sequence[Result]) -> dict[int, list[str]]:
    """By size of the pictures, the largest first: a paragraph for each thing that the results say something of."""
    return {
        size: [
            text
            for tell in (_bar, _overfitting, _penalties, _shuffling, _ranking, _ways, _contrast, _time)
            for text in tell(same)
        ]
        for size, same in sorted(_by_size(results).items(), reverse=True)
    }


def steps(results: Sequence[Result]) -> list[Step]:
    """Of every result the one before it with the fewest changes, at the same size, both measured on held-out pictures.

    Only presets at their full number of epochs are compared, so that a difference is the change's.
    """
    whole = [r for r in results if r.held_out_mse is not None and len(r.history) == PRESETS[r.preset.name].epochs]
    pairs = [(_before(after, whole), after) for after in whole]
    return [Step(before, after, _change(before.preset, after.preset)) for before, after in pairs if before is not None]


def as_shuffled(result: Result) -> float | None:
    """The error as the original's evaluation took it: three quarters of its pictures trained on."""
    if result.held_out_mse is None or result.train_mse is None:
        return None
    return _SHARE * result.train_mse + (1 - _SHARE) * result.held_out_mse


def label(result: Result) -> str:
    """The name of a preset, with what was varied of it but the size and the epochs, which have columns of their own."""
    changes = [f"{key} {value}" for key, value in result.varied.items() if key not in {"size", "epochs"}]
    changes += ["errors of brightness"] if result.preset.grey else []
    return f"`{result.preset.name}`" + (f" ({', '.join(changes)})" if changes else "")


def _by_size(results: Sequence[Result]) -> dict[int, list[Result]]:
    sizes: dict[int, list[Result]] = defaultdict(list)
    for result in results:
        sizes[result.preset.size].append(result)
    return sizes


def _bar(results: Sequence[Result]) -> Iterator[str]:
    bars = [r for r in results if r.preset.name == _BAR and r.held_out_mse is not None]
    networks = sorted((r for r in _networks(results) if not r.preset.grey), key=_error)
    if not bars or not networks:
        return
    below = [r for r in networks if _error(r) < _error(bars[0])]
    told = f"The principal components come to {_error(bars[0]):.4f} with {bars[0].preset.latent_dim} numbers. "
    if below:
        listed = ", ".join(f"{label(r)} {_error(r):.4f}" for r in below)
        yield told + f"{len(below)} of {_count(networks)} {'is' if len(below) == 1 else 'are'} below it: {listed}."
    else:
        nearest = f"the nearest is {label(networks[0])}, {_error(networks[0]):.4f}"
        yield told + f"None of {_count(networks)} is below it; {nearest}."


def _overfitting(results: Sequence[Result]) -> Iterator[str]:
    networks = [(r, r.best) for r in _networks(results) if len(r.history) > 1]
    risen = [
        f"{label(r)} (epoch {best.epoch} of {len(r.history)}, then {r.history[-1].val_mse / best.val_mse - 1:+.0%})"
        for r, best in networks
        if best is not None and r.history[-1].val_mse > _RISE * best.val_mse
    ]
    if networks:
        yield (
            f"{len(risen)} of {_count(networks)} {'ends' if len(risen) == 1 else 'end'} with a held-out error more "
            "than 1% above the smallest"
            f"{': ' + ', '.join(risen) if risen else ''}."
        )


def _penalties(results: Sequence[Result]) -> Iterator[str]:
    last = [(r, r.history[-1]) for r in _networks(results) if r.preset.l1_activity or r.preset.l2_kernel]
    if last:
        by_share = sorted(last, key=lambda pair: pair[1].val_loss / pair[1].val_mse)
        (least, low), (most, high) = by_share[0], by_share[-1]
        other = f", that of {label(least)} {low.val_loss / low.val_mse:.2f} times" if least is not most else ""
        yield (
            f"A loss with penalties is not an error: the last held-out loss of {label(most)} is "
            f"{high.val_loss / high.val_mse:.2f} times its error ({high.val_loss:.4f} and {high.val_mse:.4f}){other}."
        )


def _shuffling(results: Sequence[Result]) -> Iterator[str]:
    pairs = [(r, mixed) for r in _networks(results) if (mixed := as_shuffled(r)) is not None and mixed < _error(r)]
    if not pairs:
        return
    result, mixed = min(pairs, key=lambda pair: pair[1] / _error(pair[0]))
    logged = [
        f"{label(r)} {mixed:.4f}, in its log {known.error:.4f}"
        for r, mixed in pairs
        if r.is_full and (known := LOGGED.get(r.preset.name)) is not None and known.error is not None
    ]
    yield (
        "Measured as the original measured, with pictures three quarters of which had been trained on, "
        f"{_count(pairs)} would seem to do better, {label(result)} the most: {mixed:.4f} instead of "
        f"{_error(result):.4f}." + (f" Beside what was logged: {'; '.join(logged)}." if logged else "")
    )


def _ranking(results: Sequence[Result]) -> Iterator[str]:
    told = [r for r in results if r.held_out_mse and r.retrieval and not r.preset.grey]
    pairs = [(_error(r), r.retrieval["raw_euclidean"]["mAP"]) for r in told]
    if len(pairs) >= _FEW:
        yield (
            f"Over {len(pairs)} rows the rank correlation (Spearman) of the held-out error with the mAP of the raw "
            f"codes by L2 is {_spearman(pairs):+.2f}: -1 would say that drawing better means finding better."
        )


def _ways(results: Sequence[Result]) -> Iterator[str]:
    told = [r.retrieval for r in results if len(r.retrieval) > 2 and not r.queries_trained_on]
    if not told:
        return
    means = {way: float(np.mean([found[way]["mAP"] for found in told])) for way in told[0]}
    best = max(means, key=lambda way: means[way])
    listed = ", ".join(f"{way.replace('_', ' ')} {value:.3f}" for way, value in means.items())
    yield f"Of the ways of comparing codes, {best.replace('_', ' ')} has the highest mean mAP: {listed}."


def _contrast(results: Sequence[Result]) -> Iterator[str]:
    told = [(r, max(found["mAP"] for found in r.retrieval.values())) for r in _networks(results) if r.retrieval]
    without = max(
        ((r, value) for r, value in told if not (r.preset.contrast or r.preset.histogram)),
        key=lambda pair: pair[1],
        default=None,
    )
    if without is None:
        return
    for result, value in told:
        if result.preset.contrast:
            what = "folders" if result.preset.labelled else "views"
            yield (
                f"Taught which {what} belong together, {label(result)} has a mAP of {value:.3f} by its best way; of "
                f"the networks that only draw {label(without[0])} has the best, {without[1]:.3f}."
            )


def _time(results: Sequence[Result]) -> Iterator[str]:
    goals = [r for r in results if r.preset.name == _GOAL and r.best is not None and not r.varied.keys() - {"size"}]
    if not goals or goals[0].best is None:
        return
    goal, error = goals[0], goals[0].best.val_mse
    own = goals[0].best.epoch * min(epoch.seconds for epoch in goal.history)  # other work on the machine is not its own
    told = [
        f"{label(r)} after {_minutes(seconds)} ({seconds / own:.3f} of that)"
        for r in results
        if r is not goal
        and not r.preset.grey
        and (seconds := _seconds_to(r, error)) is not None
        and _machine(r) == _machine(goal)
    ]
    reached = f": {', '.join(told)}" if told else ": by no other row"
    yield (
        f"The smallest held-out error of `{_GOAL}`, {error:.4f}, took it {_minutes(own)}, all epochs taken to be as "
        f"quick as its quickest; it is reached on the same machine{reached}."
    )


def _seconds_to(result: Result, error: float) -> float | None:
    """How long a training took until its held-out error was no larger than this; None if it never was."""
    for number, epoch in enumerate(result.history, 1):
        if epoch.val_mse <= error:
            return math.fsum(e.seconds for e in result.history[:number])
    return None


def _machine(result: Result) -> dict[str, object]:
    return {key: value for key, value in result.machine.items() if key != "noted"}


def _networks(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.preset.model != "linear" and r.held_out_mse is not None]


def _error(result: Result) -> float:
    return math.nan if result.held_out_mse is None else result.held_out_mse


def _count(networks: Sequence[object]) -> str:
    return f"{len(networks)} network{'' if len(networks) == 1 else 's'}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _before(after: Result, whole: Sequence[Result]) -> Result | None:
    """The nearest of the earlier ones of its size and kind; an error of greys is not comparable with one of colours."""
    earlier = [
        r for r in whole[: whole.index(after)]
        if (r.preset.size, r.preset.model, r.preset.grey) == (after.preset.size, after.preset.model, after.preset.grey)
    ]  # fmt: skip
    return min(reversed(earlier), key=lambda r: len(_differences(r.preset, after.preset)), default=None)


def _differences(one: Preset, other: Preset) -> dict[str, tuple[object, object]]:
    before, after = asdict(one), asdict(other)
    return {k: (before[k], after[k]) for k in after if k not in {"name", "description"} and before[k] != after[k]}


def _change(one: Preset, other: Preset) -> str:
    return ", ".join(f"{key} {old} to {new}" for key, (old, new) in _differences(one, other).items()) or "nothing"


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Ties are broken by place, which figures of six digits do not have."""
    one, other = (np.argsort(np.argsort(values)) for values in zip(*pairs, strict=True))
    return float(np.corrcoef(one, other)[0, 1])
