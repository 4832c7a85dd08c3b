"""`lookalike evaluate`: how good an encoder is on a labelled folder."""

from __future__ import annotations

from dataclasses import dataclass
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
    SplitOption,
    command,
)
from lookalike.cli.printing import note, print_json, print_table, progress_bar
from lookalike.errors import UsageError
from lookalike.files import check_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.datasets.labelled import Dataset

__all__: list[str] = []

_EXTREMES = 10  # pictures that are drawn of either end


@command(
    "evaluate",
    "lookalike evaluate Photos",
    "lookalike evaluate Photos -e histogram --split split.csv --json",
    panel=RESEARCH,
)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder with one folder of pictures for each class.")
    ],
    *,
    encoder: EncoderOption = None,
    device: DeviceOption = "auto",
    split: SplitOption = None,
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
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure retrieval quality on a labelled folder.

    The queries are the test pictures of --split, and its train pictures the gallery. Without a split, the queries are
    the held-out pictures of --model; without either, a quarter of the pictures. --model also measures how well that
    model reconstructs the pictures.
    """
    from lookalike.evaluation import retrieval as protocol  # noqa: PLC0415  (numpy and onnxruntime)
    from lookalike.gallery import protected  # noqa: PLC0415  (the same)

    if raw and blend is not None:
        raise UsageError("raw embeddings are not blended: leave out --raw or --blend")
    if drawing is not None and model is None:
        raise UsageError("--draw needs --model: it draws what that model reconstructs")
    if drawing is not None:
        check_output(drawing, force=force, protects=protected)
    dataset = _dataset(folder, split, model)
    draw = _Drawing(drawing, force=force) if drawing is not None else None
    figures = _reconstruction(model, folder, draw, hidden=no_progress or json) if model is not None else {}
    with progress_bar("indexing", hidden=no_progress or json) as progress:
        ways = model is not None and not encoder
        also = [name for name, wanted in (("ways", ways), ("labels", labels)) if wanted]
        adaptation: protocol.Adaptation | None = None if blend is None else "blended" if blend else "projected"
        figures |= protocol.evaluate_retrieval(
            dataset,
            encoder or model,
            adaptation="none" if raw else adaptation,
            order=order,
            also=also,
            on_progress=progress,
        )
    if model is not None and not encoder:
        figures["n_queries_trained_on"] = _trained_on(model, dataset)
    if json:
        print_json(figures)
    else:
        _print_figures(figures)


@dataclass(frozen=True)
class _Drawing:
    """A file to draw into, and whether it may replace another."""

    file: Path
    force: bool


def _dataset(folder: Path, split: Path | None, model: Path | None) -> Dataset:
    from lookalike.datasets import labelled as datasets  # noqa: PLC0415

    if split is not None:
        return datasets.read_split(split, folder)
    pictures = datasets.load_labelled(folder)
    if model is None:
        return datasets.split_by_content(pictures)
    from lookalike import training  # noqa: PLC0415

    return training.own_split(model, pictures)


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
            originals, made, "The best reconstructions and the worst", drawing.file, force=drawing.force
        )
    return training.summary(measured)


def _print_figures(figures: dict[str, Any]) -> None:
    print_table(["figure", "value"], list(_rows({k: v for k, v in figures.items() if k != "retrieval"})))
    if ways := figures.get("retrieval"):
        columns = ["dim", "mAP", "P@10", "top_1"]
        print_table(["retrieval", *columns], [(way, *(found[c] for c in columns)) for way, found in ways.items()])


def _rows(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A line for each figure, and for each value of a figure by class."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {key}", _shown(part)) for key, part in value.items())
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
