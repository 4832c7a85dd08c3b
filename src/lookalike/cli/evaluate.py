"""`lookalike evaluate`: how good an encoder is on a labelled folder."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import (
    RESEARCH,
    DeviceOption,
    EncoderOption,
    ForceOption,
    JsonOption,
    ModelOption,
    OrderOption,
    ProgressOption,
    SplitsOption,
    command,
)
from lookalike.cli.printing import (
    exit_if_failed,
    note,
    plus_minus,
    print_json,
    print_table,
    print_text,
    progress_bar,
    show_figure,
)
from lookalike.errors import UsageError, counted
from lookalike.files import check_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.datasets.labelled import Dataset
    from lookalike.evaluation.collections import Collection
    from lookalike.evaluation.retrieval import Adaptation, Method

__all__: list[str] = []

_EXTREMES = 10  # pictures that are drawn of either end
_NOT_SHOWN = ("path", "display", "retrieval", "repeats")  # in the table of one folder: the last two have their own
_PARTS = ("with_labels", "learned_with_labels")
_COLUMNS = ("mAP", "P@10", "top_1", "nDCG@10")  # of several folders


@command(
    "evaluate",
    "lookalike evaluate Photos",
    "lookalike evaluate Photos -e histogram --split split.csv --json",
    "lookalike evaluate flowers birds scenes --split scenes=split.csv",
    panel=RESEARCH,
)
def evaluate(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders with one folder of pictures for each class."),
    ],
    *,
    encoder: EncoderOption = None,
    device: DeviceOption = "auto",
    split: SplitsOption = None,
    repeats: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also measure N other splits, and report how much the results vary.")
    ] = 0,
    raw: Annotated[
        bool, typer.Option("--raw", help="Compare the embeddings as they are, not adapted to the gallery.")
    ] = False,
    blend: Annotated[
        bool | None,
        typer.Option(
            "--blend/--no-blend", help="Smooth each picture with its nearest neighbours (default: where it helps)."
        ),
    ] = None,
    order: OrderOption = "distance",
    labels: Annotated[bool, typer.Option("--labels", help="Also report results adapted to the class labels.")] = False,
    model: ModelOption = None,
    drawing: Annotated[
        Path | None,
        typer.Option("--draw", metavar="FILE", help="Draw the pictures that --model reconstructs best and worst."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write the figures, with date and machine, as JSON."),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure retrieval quality on labelled folders.

    The queries are the test pictures of --split, and its train pictures the gallery. Without a split, the queries are
    the held-out pictures of --model; without either, a quarter of the pictures. Several folders are measured one after
    another, and their figures averaged. --model also measures how well that model reconstructs the pictures.
    """
    from lookalike.evaluation.collections import name_collections  # noqa: PLC0415  (numpy and onnxruntime)
    from lookalike.evaluation.retrieval import Method  # noqa: PLC0415  (the same)
    from lookalike.gallery import protected  # noqa: PLC0415  (the same)

    if raw and blend is not None:
        raise UsageError("raw embeddings are not blended: leave out --raw or --blend")
    if drawing is not None and model is None:
        raise UsageError("--draw needs --model: it draws what that model reconstructs")
    if model is not None and (repeats or len(folders) > 1):
        raise UsageError(
            "--model is measured on one folder and on the split of its training: name one folder, without --repeats",
            hint="measure only its encoder: lookalike evaluate FOLDER... -e MODEL",
        )
    collections = name_collections(folders, split or ())
    if drawing is not None:
        check_output(drawing, force=force, protects=protected)
    record = _Record(output, force)
    record.check()
    adaptation: Adaptation | None = None if blend is None else "blended" if blend else "projected"
    method = Method("none" if raw else adaptation, order, ["labels"] if labels else [], repeats)
    hidden = no_progress or json
    if len(collections) > 1:
        _evaluate_many(collections, encoder, method, record, in_json=json, hidden=hidden)
        return
    draw = _Drawing(drawing, force=force) if drawing is not None else None
    document = _evaluate_one(collections[0], encoder, method, model, draw, hidden=hidden)
    record.write(document)
    if json:
        print_json(document)
    else:
        _print_figures(document)


def _evaluate_one(
    collection: Collection,
    encoder: str | None,
    method: Method,
    model: Path | None,
    drawing: _Drawing | None,
    *,
    hidden: bool,
) -> dict[str, Any]:
    """The document of one folder."""
    from lookalike.evaluation.retrieval import measure_dataset  # noqa: PLC0415

    dataset = _dataset(collection, model)
    figures = _reconstruction(model, collection.folder, drawing, hidden=hidden) if model is not None else {}
    is_own = model is not None and not encoder
    if is_own:
        method = replace(method, also=["ways", *method.also])
    with progress_bar("indexing", hidden=hidden) as progress:
        figures |= measure_dataset(dataset, encoder or model, method, on_progress=progress).to_dict()
    if model is not None and is_own:
        figures["n_queries_trained_on"] = _trained_on(model, dataset)
    return {**collection.to_dict(), **figures}


def _evaluate_many(
    collections: Sequence[Collection],
    encoder: str | None,
    method: Method,
    record: _Record,
    *,
    in_json: bool,
    hidden: bool,
) -> None:
    """Print the figures of several folders and their mean. Raises Exit with status 1 when one of them fails."""
    from lookalike.evaluation.collections import evaluate_collections  # noqa: PLC0415

    evaluation = evaluate_collections(
        collections, encoder, method, open_progress=lambda work: progress_bar(work, hidden=hidden)
    )
    document = evaluation.to_dict()
    if evaluation.measured:
        record.write(document)
    if in_json:
        print_json(document)
    elif evaluation.measured:
        _print_collections(document)
    exit_if_failed(evaluation.failed, len(collections))


@dataclass(frozen=True)
class _Drawing:
    """A file to draw into, and whether it may replace another."""

    file: Path
    force: bool


@dataclass(frozen=True)
class _Record:
    """The file that figures are recorded in, if any, and whether it may replace another."""

    file: Path | None
    force: bool

    def check(self) -> None:
        """Raise UsageError before anything is measured if the file must not be written."""
        from lookalike.evaluation.record import MARK  # noqa: PLC0415
        from lookalike.gallery import protected  # noqa: PLC0415

        if self.file is not None:
            check_output(self.file, force=self.force, protects=protected, mark=MARK)

    def write(self, document: dict[str, Any]) -> None:
        """Write the document with its circumstances."""
        from lookalike.evaluation.record import write_record  # noqa: PLC0415

        if self.file is not None:
            write_record(document, _as_typed(), self.file, force=self.force)


def _as_typed() -> str:
    """The command as it was typed, with the names of folders and files instead of their paths."""
    return shlex.join(["lookalike", *map(_without_folders, sys.argv[1:])])


def _without_folders(argument: str) -> str:
    if argument.startswith("hf:"):
        return argument
    return "=".join(Path(part).name or part for part in argument.split("="))


def _dataset(collection: Collection, model: Path | None) -> Dataset:
    if collection.split is not None or model is None:
        return collection.load()
    from lookalike import training  # noqa: PLC0415
    from lookalike.datasets.labelled import load_labelled  # noqa: PLC0415

    return training.own_split(model, load_labelled(collection.folder))


def _trained_on(model: Path, dataset: Dataset) -> int | None:
    """Count the queries that the model was trained on, and warn of them: results for those are too good."""
    from lookalike import training  # noqa: PLC0415

    count = training.count_trained(model, dataset.queries)
    if count:
        note(f"warning: the model was trained on {count:,} of the {len(dataset.queries):,} queries")
    return count


def _reconstruction(model: Path, folder: Path, drawing: _Drawing | None, *, hidden: bool) -> dict[str, Any]:
    from lookalike import training  # noqa: PLC0415  (TensorFlow, matplotlib)
    from lookalike.training import plots  # noqa: PLC0415  (TensorFlow, matplotlib)

    with progress_bar("reconstructing", hidden=hidden) as progress:
        measured = training.measure(model, folder, on_progress=progress)
    if drawing is not None:
        names = measured.ranked
        extremes = names[:_EXTREMES] + names[_EXTREMES:][-_EXTREMES:]
        originals, made = training.reconstructions(model, folder, extremes)
        plots.draw_reconstructions(
            originals, made, "The best and the worst reconstructions", drawing.file, force=drawing.force
        )
    return training.summary(measured)


def _print_figures(document: dict[str, Any]) -> None:
    shown = {name: value for name, value in document.items() if name not in _NOT_SHOWN}
    print_table(["figure", "value", "95% interval"], list(_rows(shown)))
    if ways := document.get("retrieval"):
        columns = ["dim", "mAP", "P@10", "top_1"]
        rows = [(way, found["dim"], *(show_figure(found, c) for c in columns[1:])) for way, found in ways.items()]
        print_table(["retrieval", *columns], rows)
    if repeats := document.get("repeats"):
        print_text("")
        rows = [*_spread_rows(repeats["mean"], repeats["spread"])]
        print_table([counted(repeats["n"], "other split"), "mean", "deviation"], rows)


def _rows(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """A line for each figure, and for each value of a figure by class."""
    intervals = figures.get("intervals", {})
    for name, value in figures.items():
        if name == "intervals":
            continue
        if isinstance(value, dict):
            yield from _rows(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", _shown(value), _show_interval(intervals.get(name))


def _spread_rows(means: dict[str, Any], spread: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """A line for each figure: its mean over the splits and its standard deviation."""
    for name, value in means.items():
        if isinstance(value, dict):
            yield from _spread_rows(value, spread[name], f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", _shown(value), _shown(spread[name])


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _show_interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _print_collections(document: dict[str, Any]) -> None:
    """A row for each collection and one for their mean; the same below for each part and for other splits."""
    rows = [*document["collections"], {"collection": "mean", **document["mean"]}]
    counts = [[row.get("n_gallery", ""), row.get("n_queries", "")] for row in rows]
    _print_each("collection", rows, rows, counts)
    print_text(f"{plus_minus()} half the width of the 95% interval (bootstrap over the queries)")
    for part in _PARTS:
        if part in document["mean"]:
            print_text("")
            _print_each(part.replace("_", " "), rows, [row[part] for row in rows])
    if repeats := document["mean"].get("repeats"):
        print_text("")
        means = [row["repeats"]["mean"] for row in rows]
        spread = [row["repeats"]["spread"] for row in rows]
        _print_each(counted(repeats["n"], "other split"), rows, means, spread=spread)
        print_text(f"{plus_minus()} the standard deviation of the splits")


def _print_each(
    heading: str,
    rows: Sequence[dict[str, Any]],
    figures: Sequence[dict[str, Any]],
    counts: Sequence[Sequence[object]] = (),
    *,
    spread: Sequence[dict[str, Any]] = (),
) -> None:
    """A row of figures for each collection."""
    cells = [
        [
            row["collection"],
            *(counts[n] if counts else []),
            *(show_figure(figures[n], c, *spread[n : n + 1]) for c in _COLUMNS),
        ]
        for n, row in enumerate(rows)
    ]
    titles = [column.replace("top_1", "top-1") for column in _COLUMNS]
    print_table([heading, *(["gallery", "queries"] if counts else []), *titles], cells)
