"""Commands that tell how good an encoder is, and what it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    IndexOption,
    JsonOption,
    OrderOption,
    ProgressOption,
    app,
    print_json,
    print_table,
    progress_bar,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.datasets.labelled import Dataset

__all__: list[str] = []

_EXTREMES = 10  # pictures that are drawn of either end


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="One folder for each class, pictures inside.")],
    *,
    encoder: Annotated[str, typer.Option("-e", "--encoder", metavar="NAME|FILE", help="What is measured.")] = "",
    split: Annotated[Path | None, typer.Option(help="A CSV file with the columns file, class and split.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Do not adapt the embeddings to the gallery.")] = False,
    blend: Annotated[
        bool | None,
        typer.Option("--blend/--no-blend", help="Let pictures vouch for their neighbours. Default: where it helps."),
    ] = None,
    order: OrderOption = "distance",
    labels: Annotated[
        bool, typer.Option("--labels", help="Apart, also adapt to the gallery pictures' classes.")
    ] = False,
    model: Annotated[Path | None, typer.Option("-m", "--model", help="A training's folder.")] = None,
    drawing: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE", help="Draw what --model reconstructs best and worst.")
    ] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure retrieval on a labelled folder; with --model also how well a trained model reconstructs it.

    Train pictures of the split are searched with its test pictures; without one, those a --model was trained on with
    the others, or three quarters with the rest.
    """
    from lookalike.evaluation import retrieval as protocol  # noqa: PLC0415  (numpy and onnxruntime)

    if raw and blend is not None:
        raise typer.BadParameter("raw embeddings are not blended", param_hint="--blend")
    if drawing is not None and model is None:
        raise typer.BadParameter("what is drawn are the reconstructions of a --model", param_hint="--draw")
    dataset = _dataset(folder, split, model)
    figures = _reconstruction(model, folder, drawing, hidden=no_progress or json) if model is not None else {}
    with progress_bar("indexing", hidden=no_progress or json) as progress:
        ways = model is not None and not encoder
        also = [name for name, wanted in (("ways", ways), ("labels", labels)) if wanted]
        adaption: protocol.Adaption | None = None if blend is None else "blended" if blend else "projected"
        figures |= protocol.evaluate_retrieval(
            dataset, encoder or model, adaption="none" if raw else adaption, order=order, also=also, progress=progress
        )
    if model is not None and not encoder:
        figures["n_queries_trained_on"] = _trained_on(model, dataset)
    if json:
        print_json(figures)
    else:
        _print_figures(figures)


@app.command("inspect")
def inspect_match(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="One picture.")],
    hit: Annotated[Path, typer.Argument(metavar="HIT", help="Another: mostly one that a search has found.")],
    *,
    gallery: IndexOption = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The drawing.")] = Path("heat.png"),
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Draw what of two pictures matches: what makes them less alike when it is covered."""
    with lookalike.Gallery.open(gallery) as opened:
        found = opened.explain(query, hit)
    try:
        found.draw().save(output)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the drawing cannot be written to {output}: {error}", param_hint="-o") from None
    if json:
        heats = {"query_heat": found.query_heat.tolist(), "hit_heat": found.hit_heat.tolist()}
        print_json({"distance": found.distance, **heats, "output": str(output)})
    else:
        print_table(["distance", "drawing"], [(found.distance, str(output))])


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
    """How many of the queries the model has seen: what it was fitted on is no fair question."""
    from lookalike import training  # noqa: PLC0415

    count = training.count_trained(model, dataset.queries)
    if count:
        warn(f"warning: the model was trained on {count:,} of the {len(dataset.queries):,} queries")
    return count


def _reconstruction(model: Path, folder: Path, drawing: Path | None, *, hidden: bool) -> dict[str, Any]:
    from lookalike import training  # noqa: PLC0415  (TensorFlow, matplotlib)
    from lookalike.training import plots  # noqa: PLC0415  (TensorFlow, matplotlib)

    with progress_bar("reconstructing", hidden=hidden) as progress:
        measured = training.measure(model, folder, on_progress=progress)
    if drawing is not None:
        names = measured.ranked
        extremes = names[:_EXTREMES] + names[_EXTREMES:][-_EXTREMES:]
        originals, made = training.reconstructions(model, folder, extremes)
        plots.draw_reconstructions(originals, made, "The best reconstructions, and the worst", drawing)
    return training.summary(measured)


def _print_figures(figures: dict[str, Any]) -> None:
    print_table(["figure", "value"], list(_rows({k: v for k, v in figures.items() if k != "retrieval"})))
    if ways := figures.get("retrieval"):
        columns = ["dim", "mAP", "P@10", "top_1"]
        print_table(["retrieval", *columns], [(way, *(found[c] for c in columns)) for way, found in ways.items()])


def _rows(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A line for each figure, also for each of those that belong together."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {key}", _shown(part)) for key, part in value.items())
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
