"""Conclusions from the results, in sentences whose every figure is computed from them."""

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

__all__ = ["Step", "as_shuffled", "label", "lessons", "spell", "steps"]

_BAR, _GOAL = "linear", "exp6d"
_SHARE = 0.75  # of the test pictures in the original's evaluation had been trained on
_RISE = 1.01  # of the smallest held-out error: more is overfitting
_FEW = 4  # with fewer rows a rank correlation means nothing
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Step(NamedTuple):
    """Two results, and in words what was changed from one to the other."""

    before: Result
    after: Result
    change: str


def lessons(results: Sequence[Result]) -> dict[int, list[str]]:
    """Return paragraphs by picture size, largest first: one for every question that the results answer."""
    return {
        size: [
            text
            for tell in (_bar, _overfitting, _penalties, _shuffling, _ranking, _ways, _contrast, _time)
            for text in tell(same)
        ]
        for size, same in sorted(_by_size(results).items(), reverse=True)
    }


def steps(results: Sequence[Result]) -> list[Step]:
    """Pair every result with the earlier one that has the fewest changes, at the same size, both with held-out errors.

    Only presets at their full number of epochs are compared, so that a difference is due to the change.
    """
    whole = [r for r in results if r.held_out_mse is not None and len(r.history) == PRESETS[r.preset.name].epochs]
    pairs = [(_before(after, whole), after) for after in whole]
    return [Step(before, after, _change(before.preset, after.preset)) for before, after in pairs if before is not None]


def as_shuffled(result: Result) -> float | None:
    """The error as the original's evaluation measured it: with three quarters of its pictures trained on."""
    if result.held_out_mse is None or result.train_mse is None:
        return None
    return _SHARE * result.train_mse + (1 - _SHARE) * result.held_out_mse


def label(result: Result) -> str:
    """The name of a preset with what was varied, except the size and the epochs, which have their own columns."""
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
    bar = (
        f"`{_BAR}`, the principal components of the pixels, has a held-out error of {_error(bars[0]):.4f} with "
        f"{bars[0].preset.latent_dim} dimensions. "
    )
    if len(networks) == 1:
        yield bar + f"The only network, {label(networks[0])}, has an error of {_error(networks[0]):.4f}."
    elif below:
        listed = ", ".join(f"{label(r)} {_error(r):.4f}" for r in below)
        yield bar + f"{_some(below, networks)} {'has' if len(below) == 1 else 'have'} a smaller one: {listed}."
    else:
        nearest = f"The best of them is {label(networks[0])}, with {_error(networks[0]):.4f}."
        yield bar + f"{_some(below, networks)} has a smaller one. {nearest}"


def _overfitting(results: Sequence[Result]) -> Iterator[str]:
    networks = [(r, r.best) for r in _networks(results) if len(r.history) > 1]
    risen = [
        f"{label(r)} (smallest at epoch {best.epoch} of {len(r.history)}, "
        f"{r.history[-1].val_mse / best.val_mse - 1:+.0%} at the end)"
        for r, best in networks
        if best is not None and r.history[-1].val_mse > _RISE * best.val_mse
    ]
    if len(networks) > 1:
        ends = "ends with a held-out error more than 1% above its smallest"
        if len(risen) > 1:
            ends = "end with a held-out error more than 1% above their smallest"
        yield f"{_some(risen, networks)} {ends}{': ' + ', '.join(risen) if risen else ''}."


def _penalties(results: Sequence[Result]) -> Iterator[str]:
    last = [(r, r.history[-1]) for r in _networks(results) if r.preset.l1_activity or r.preset.l2_kernel]
    if last:
        by_share = sorted(last, key=lambda pair: pair[1].val_loss / pair[1].val_mse)
        (least, low), (most, high) = by_share[0], by_share[-1]
        other = f", and that of {label(least)} {low.val_loss / low.val_mse:.2f} times" if least is not most else ""
        yield (
            "Losses with penalties should not be read as errors. The final held-out loss of "
            f"{label(most)} is {high.val_loss / high.val_mse:.2f} times its error "
            f"({high.val_loss:.4f} and {high.val_mse:.4f}){other}."
        )


def _shuffling(results: Sequence[Result]) -> Iterator[str]:
    pairs = [(r, mixed) for r in _networks(results) if (mixed := as_shuffled(r)) is not None and mixed < _error(r)]
    if not pairs:
        return
    result, mixed = min(pairs, key=lambda pair: pair[1] / _error(pair[0]))
    logged = [
        f"{label(r)} {mixed:.4f}, logged {known.error:.4f}"
        for r, mixed in pairs
        if r.is_full and (known := LOGGED.get(r.preset.name)) is not None and known.error is not None
    ]
    yield (
        "The original measured errors on pictures of which three quarters had been trained on. In that way, "
        f"{_better(pairs, result)}: {mixed:.4f} instead of {_error(result):.4f}."
        + (f" For comparison with the log: {'; '.join(logged)}." if logged else "")
    )


def _ranking(results: Sequence[Result]) -> Iterator[str]:
    rows = [r for r in results if r.held_out_mse and r.retrieval and not r.preset.grey]
    pairs = [(_error(r), r.retrieval["raw_euclidean"]["mAP"]) for r in rows]
    if len(pairs) >= _FEW:
        yield (
            f"Over {len(pairs)} rows, the rank correlation (Spearman) between the held-out error and the mAP of the "
            f"raw embeddings by Euclidean distance is {_spearman(pairs):+.2f}. It would be -1 if a better "
            "reconstruction always meant better retrieval."
        )


def _ways(results: Sequence[Result]) -> Iterator[str]:
    rows = [r.retrieval for r in results if len(r.retrieval) > 2 and not r.queries_trained_on]
    if not rows:
        return
    means = {way: float(np.mean([found[way]["mAP"] for found in rows])) for way in rows[0]}
    best = max(means, key=lambda way: means[way])
    listed = ", ".join(f"{way.replace('_', ' ')} {value:.3f}" for way, value in means.items())
    yield f"Among the ways to compare embeddings, {best.replace('_', ' ')} has the highest mean mAP ({listed})."


def _contrast(results: Sequence[Result]) -> Iterator[str]:
    rows = [(r, max(found["mAP"] for found in r.retrieval.values())) for r in _networks(results) if r.retrieval]
    without = max(
        ((r, value) for r, value in rows if not (r.preset.contrast or r.preset.histogram)),
        key=lambda pair: pair[1],
        default=None,
    )
    if without is None:
        return
    for result, value in rows:
        if result.preset.contrast:
            what = "pictures of one folder" if result.preset.labelled else "views of one picture"
            yield (
                f"{label(result)}, which also learns that {what} belong together, reaches a mAP of {value:.3f} when "
                "its embeddings are compared in the best way. The best network that only reconstructs, "
                f"{label(without[0])}, reaches {without[1]:.3f}."
            )


def _time(results: Sequence[Result]) -> Iterator[str]:
    goals = [r for r in results if r.preset.name == _GOAL and r.best is not None and not r.varied.keys() - {"size"}]
    if not goals or goals[0].best is None:
        return
    goal, error = goals[0], goals[0].best.val_mse
    own = goals[0].best.epoch * min(epoch.seconds for epoch in goal.history)  # other work on the machine is not counted
    faster = [
        f"{label(r)} after {_minutes(seconds)} ({seconds / own:.3f} times as long)"
        for r in results
        if r is not goal
        and not r.preset.grey
        and (seconds := _seconds_to(r, error)) is not None
        and _machine(r) == _machine(goal)
    ]
    others = f"others reached this error: {', '.join(faster)}" if faster else "no other row reached this error"
    yield (
        f"`{_GOAL}` reached its smallest held-out error, {error:.4f}, after {_minutes(own)}, if every epoch is taken "
        f"to be as fast as its fastest. On the same machine, {others}."
    )


def _seconds_to(result: Result, error: float) -> float | None:
    """How long a training took to reach this held-out error; None if it never did."""
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


def _some(part: Sequence[object], networks: Sequence[object]) -> str:
    """How many of several networks, as the subject of a sentence."""
    if len(part) == len(networks):
        return "Both networks" if len(networks) == 2 else f"All {spell(len(networks))} networks"
    none = "Neither" if len(networks) == 2 else "None"
    count = spell(len(part)).capitalize() if part else none
    return f"{count} of the {spell(len(networks))} networks"


def _better(pairs: Sequence[object], best: Result) -> str:
    if len(pairs) == 1:
        return f"{label(best)} would seem better"
    return f"{spell(len(pairs))} networks would seem better, {label(best)} the most"


def spell(count: int) -> str:
    """A count as it is written in a sentence: in words up to nine."""
    return _WORDS[count] if count < len(_WORDS) else str(count)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _before(after: Result, whole: Sequence[Result]) -> Result | None:
    """The nearest of the earlier results of its size and kind; errors of brightness and of colours do not compare."""
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
    """The rank correlation; ties, which figures of six digits do not have, are broken by order."""
    one, other = (np.argsort(np.argsort(values)) for values in zip(*pairs, strict=True))
    return float(np.corrcoef(one, other)[0, 1])
