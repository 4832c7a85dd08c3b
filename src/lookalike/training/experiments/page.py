"""The page of all experiments, made of the files that tell their results and of nothing else."""

from __future__ import annotations

import textwrap
from string import ascii_uppercase
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.files import replace_file
from lookalike.training import plots
from lookalike.training.experiments.lessons import as_shuffled, label, lessons, steps
from lookalike.training.experiments.logged import LOGGED, Logged, logged_epochs
from lookalike.training.experiments.results import read_results
from lookalike.training.folder import writing_to
from lookalike.training.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lookalike.training.experiments.results import Result

__all__ = ["write_page"]

_WIDTH = 120
_CURVES, _ERRORS = "experiments-curves.png", "experiments-errors.png"
_NOT_RUN = "*not run*"

_HEAD = """\
# The experiments, and what came of them

The described system is told as a log of eighteen trainings. Here each of them, and what has joined them since, stands
beside what came of it in this project. This page is made by `lookalike experiments report` from the files in
{results}, one for each finished training: what is not there was not run, and nothing is copied from the log as if it
were ours. Do not edit it by hand.

- **Logged** is what the original's log says: losses with their penalties in them, at the last epoch that it prints, and
  the error that its evaluation came to. That evaluation shuffled before it split, so three quarters of its "test"
  pictures had been trained on.
- **Held out** and **trained on** are ours: the bare mean squared error over all pixels and channels in [0, 1] of the
  quarter that no training saw, and of the rest, after the last epoch.
- Errors of different sizes are not comparable: smaller pictures have fewer details to lose. Nor are errors of
  brightness and of colours. What is not the full length or the full size of its experiment is marked in *italics*.
"""


def write_page(results: Path, page: Path) -> int:
    """Write the page, and its pictures into the folder `images` beside it; how many results there were.

    Raises UsageError without any and where nothing can be written, DatasetError for a file that is no result,
    MissingExtra without matplotlib.
    """
    found = read_results(results)
    if not found:
        raise UsageError(f"no results in {results}", hint="lookalike experiments run FOLDER NAME")
    with writing_to(page):
        (page.parent / "images").mkdir(parents=True, exist_ok=True)
        _draw(found, page.parent / "images")
        is_beside = results.absolute().parent == page.absolute().parent
        text = "\n".join(_sections(found, f"[{results.name}]({results.name})" if is_beside else f"`{results.name}`"))
        with replace_file(page) as part:
            part.write_text(text, encoding="utf-8")
    return len(found)


def _draw(results: Sequence[Result], images: Path) -> None:
    ordered = sorted(results, key=lambda result: -result.preset.size)  # those that can be compared beside each other
    curves = [(_title(r), r.history, logged_epochs(r.preset.name) if r.is_full else []) for r in ordered]
    plots.draw_curves(curves, images / _CURVES)
    errors = [(_title(r), r.held_out_mse, r.train_mse) for r in ordered if r.train_mse is not None]
    plots.draw_errors(errors, images / _ERRORS)


def _sections(results: Sequence[Result], folder: str) -> Iterator[str]:
    yield _HEAD.format(results=folder)
    yield "## All of them\n"
    yield _table(_COLUMNS, _rows(results))
    yield f"![Errors of every row](images/{_ERRORS})\n"
    yield "## One change at a time\n"
    yield from _steps(results)
    yield "## Curves\n"
    yield _wrapped(
        "Bare errors over the epochs, on one scale; the mark is the smallest held-out error. Errors of trained "
        "pictures are means over the epoch, while it learns; those of the table are taken after the last. Where the "
        "described experiment was run as it is, dots are the losses that its log prints, with their penalties in them, "
        "and dotted lines ours with theirs."
    )
    yield f"![Errors over the epochs](images/{_CURVES})\n"
    yield "## Retrieval with the codes\n"
    yield from _retrieval(results)
    yield "## What it teaches\n"
    for size, paragraphs in lessons(results).items():
        yield f"### At {size} pixels\n"
        yield from map(_wrapped, paragraphs or ["Too little was run at this size to say anything."])
    yield "## Where it was run\n"
    yield "".join(f"- **{letter}**: {place}\n" for place, letter in _letters(results).items())
    yield _table(["experiment", "begun", "on", "command"], _places(results)).rstrip() + "\n"


_COLUMNS = [
    "experiment", "numbers", "pixels", "epochs", "logged loss, trained on / held out", "logged error", "trained on",
    "held out", "held-out loss with penalties", "smallest held out (epoch)", "as the original would measure", "minutes",
    "on",
]  # fmt: skip


def _rows(results: Sequence[Result]) -> Iterator[list[str]]:
    letters = _letters(results)
    for name, preset in PRESETS.items():
        told = [result for result in results if result.preset.name == name]
        for result in told:
            yield [*_what(result), *_logged(LOGGED.get(name)), *_ours(result), letters[_place(result)]]
        if not told:
            what = [f"`{name}`", str(preset.latent_dim), str(preset.size), str(preset.epochs)]
            yield [*what, *_logged(LOGGED.get(name)), _NOT_RUN, *[""] * 6]


def _what(result: Result) -> list[str]:
    usual, epochs = PRESETS[result.preset.name], len(result.history)
    size = str(result.preset.size) if result.preset.size == usual.size else f"*{result.preset.size} of {usual.size}*"
    length = str(epochs) if epochs == usual.epochs else f"*{epochs} of {usual.epochs}*"
    return [label(result), str(result.preset.latent_dim), size, length]


def _logged(logged: Logged | None) -> list[str]:
    if logged is None:
        return ["", ""]
    losses = f"{_number(logged.train_loss)} / {_number(logged.val_loss)}"
    remark = f" ({logged.remark})" if logged.remark else ""
    return [losses + remark, _number(logged.error)]


def _ours(result: Result) -> list[str]:
    best, last = result.best, result.history[-1]
    return [
        _number(result.train_mse),
        f"**{_number(result.held_out_mse)}**" if result.held_out_mse is not None else "",
        _number(last.val_loss) if last.val_loss > last.val_mse else "",
        f"{best.val_mse:.4f} ({best.epoch})" if best is not None else "",
        _number(as_shuffled(result)),
        f"{result.seconds / 60:.1f}",
    ]


def _steps(results: Sequence[Result]) -> Iterator[str]:
    rows = [
        [label(before), label(after), change, str(after.preset.size), *_moved(before, after)]
        for before, after, change in steps(results)
    ]
    if not rows:
        yield _wrapped("No two experiments were run at the same size and at their full number of epochs.")
        return
    yield _wrapped(
        "Each experiment beside the earlier one that it differs from the least, where both were run with all their "
        "epochs at the same size. A single training of each: differences of a few per cent may be chance."
    )
    yield _table(["from", "to", "what changed", "pixels", "held out, before", "after", "change"], rows)


def _moved(before: Result, after: Result) -> list[str]:
    one, other = before.held_out_mse or 0.0, after.held_out_mse or 0.0
    return [f"{one:.4f}", f"{other:.4f}", f"{other / one - 1:+.1%}" if one else ""]


def _retrieval(results: Sequence[Result]) -> Iterator[str]:
    told = [result for result in results if result.retrieval]
    if not told:
        yield _wrapped("No experiment was run on pictures with classes.")
        return
    yield _wrapped(
        "[The protocol](evaluation.md) on each training's own split: the pictures it was trained on are searched with "
        "those held out. Four ways of comparing the same codes; mAP / P@10 / top-1."
    )
    ways = list(told[0].retrieval)
    rows = [[label(r), str(r.preset.size), *(_found(r.retrieval.get(way)) for way in ways), _seen(r)] for r in told]
    yield _table(["experiment", "pixels", *(way.replace("_", ", ") for way in ways), "queries trained on"], rows)


def _found(measures: dict[str, float] | None) -> str:
    return " / ".join(f"{measures[name]:.3f}" for name in ("mAP", "P@10", "top_1")) if measures else ""


def _seen(result: Result) -> str:
    return str(result.queries_trained_on) if result.queries_trained_on else ""


def _places(results: Sequence[Result]) -> Iterator[list[str]]:
    letters = _letters(results)
    for result in results:
        yield [label(result), result.date[:10], letters[_place(result)], f"`{result.command}`"]


def _letters(results: Sequence[Result]) -> dict[str, str]:
    """A letter for each machine with its versions, in the order in which the results name them."""
    places = dict.fromkeys(map(_place, results))
    return {place: ascii_uppercase[number % 26] * (1 + number // 26) for number, place in enumerate(places)}


def _place(result: Result) -> str:
    machine = result.machine
    parts = [machine["processor"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", machine["system"]]
    noted = f" (noted {machine['noted']})" if "noted" in machine else ""
    versions = ", ".join(f"{package} {version}" for package, version in result.versions.items())
    return ", ".join([*parts, *machine["accelerators"]]) + f"{noted}; {versions}"


def _title(result: Result) -> str:
    mark = ", cut short" if len(result.history) < PRESETS[result.preset.name].epochs else ""
    return f"{label(result).replace('`', '')}, {result.preset.size} px{mark}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of the page; a cell's bar would end it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"
