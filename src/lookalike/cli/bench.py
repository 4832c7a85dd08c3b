"""`lookalike bench`: speed and memory on this machine, as ratios to the bare libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    RESEARCH,
    EncoderOption,
    ForceOption,
    IndexOption,
    JsonOption,
    ProgressOption,
    SplitsOption,
    command,
    group,
)
from lookalike.cli.printing import note, print_json, print_table, progress_bar
from lookalike.files import check_output

__all__: list[str] = []

_MOST = 100_000_000
_LEAST = 20  # pictures; the nearest ten among fewer are no measurement

bench = group(
    "bench",
    "lookalike bench index Photos",
    "lookalike bench search --sizes 1000,10000",
    panel=RESEARCH,
    text="Measure speed and memory on this machine.",
)


@command("index", "lookalike bench index Photos", under=bench)
def bench_index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The pictures to index, into a temporary gallery.")],
    *,
    encoder: EncoderOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure indexing, and how fast its parts are on their own.

    The parts are decoding and encoding; encoding is compared with the bare ONNX Runtime.
    """
    name = encoder or lookalike.encoder_names()[0]
    _print(_measure().bench_index(os.fsencode(folder.absolute()), name), as_json=json)


@command("search", "lookalike bench search --sizes 1000,10000", under=bench)
def bench_search(
    *,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="How many pictures each gallery has.")
    ] = "1000,10000,100000",
    dim: Annotated[int, typer.Option(metavar="N", min=1, max=65536, help="Dimensions of the random embeddings.")] = 128,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Use real embeddings, float32 (n, dim), instead.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw time against size into this picture file; needs the extra `plots`."),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure writing, searching and adding at several sizes.

    Searches are compared with a bare matrix product and with exact search.
    """
    from lookalike.evaluation import scaling  # noqa: PLC0415  (numpy)
    from lookalike.gallery import protected  # noqa: PLC0415  (numpy)

    if draw is not None:
        check_output(draw, force=force, protects=protected)
    made = (
        (lambda count: scaling.load_embeddings(embeddings, count))
        if embeddings
        else (lambda count: scaling.make_clustered(count, dim))
    )
    figures = scaling.bench_scaling(_sizes(sizes), made, report=(lambda _: None) if no_progress else note)
    if draw is not None:
        from lookalike.training.plots import draw_scaling  # noqa: PLC0415  (matplotlib)

        draw_scaling(figures, draw, force=force)
    if json:
        print_json({"galleries": figures})
        return
    table = [[name, *(_shown(figure[name]) for figure in figures)] for name in figures[0]]
    print_table(["figure", *(f"{figure['pictures']:,}" for figure in figures)], table)


@command("cold", "lookalike bench cold beach.jpg", under=bench)
def bench_cold(
    query: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to search with.")],
    *,
    gallery: IndexOption = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many pairs of processes to time.")] = 9,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure a search in a newly started process.

    The whole process is compared with a script that only embeds one picture, and `--help` with its imports alone.
    """
    from lookalike.store import locate  # noqa: PLC0415  (numpy)

    _print(_measure().bench_cold(Path(locate(gallery or lookalike.find_gallery())), query, rounds), as_json=json)


@command("feedback", "lookalike bench feedback flowers birds", under=bench)
def bench_feedback(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Labelled collections: one folder for each class.")
    ],
    *,
    split: SplitsOption = None,
    encoder: EncoderOption = None,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="How many pictures to search for.")
    ] = 120,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, max=20, help="How many rounds of marking.")] = 3,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Measure what marking hits as good or bad gains.

    A simulated user looks at ten hits at a time, and marks either the first right and the first wrong one, or all. The
    table shows the share of right pictures among the next ten hits after each round, with and without the marks. Only
    the gallery pictures of each split are searched.
    """
    from lookalike.evaluation.collections import name_collections  # noqa: PLC0415  (numpy)
    from lookalike.evaluation.feedback import measure_feedback  # noqa: PLC0415  (the same)

    found = []
    for collection in name_collections(folders, split or ()):
        with progress_bar(collection.name, hidden=no_progress or json) as report:
            figures = measure_feedback(collection.load(), encoder, queries=queries, rounds=rounds, on_progress=report)
        found.append({**collection.to_dict(), **figures})
    if json:
        print_json({"collections": found})
        return
    table = [
        [each["collection"], user, name.replace("_", " "), *figures[name]]
        for each in found
        for user, figures in each["users"].items()
        for name in ("without", "with_marks")
    ]
    print_table(["collection", "marks", "P@10", *(f"round {number}" for number in range(rounds + 1))], table)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < _LEAST or max(sizes) > _MOST:
        raise typer.BadParameter(f"--sizes is {text!r}; give numbers from {_LEAST} to {_MOST:,}, separated by commas")
    return sizes


def _shown(value: object) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def _measure() -> Any:  # noqa: ANN401  (a module)
    from lookalike.evaluation import speed as benchmarking  # noqa: PLC0415  (imports numpy and onnxruntime)

    return benchmarking


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    print_table(["figure", "value"], [(name, _shown(value)) for name, value in figures.items()])
