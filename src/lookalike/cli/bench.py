"""`lookalike bench`: how fast this machine is at it, as ratios to the bare libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

import lookalike
from lookalike.cli.app import IndexOption, JsonOption, ProgressOption, app, print_json, print_table, warn

__all__: list[str] = []

_LEAST = 20  # pictures; the nearest ten among fewer are no measurement

bench = typer.Typer(help="Measure speed and memory here, as ratios to the bare libraries.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command("index")
def bench_index(
    folder: Annotated[Path, typer.Argument(help="The pictures to index, into a temporary gallery.")],
    *,
    encoder: Annotated[str, typer.Option("-e", "--encoder", help="An encoder's name or model file.")] = "",
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Indexing against decoding alone and encoding alone; encoding against ONNX Runtime alone."""
    name = encoder or lookalike.encoder_names()[0]
    _print(_measure().bench_index(os.fsencode(folder.absolute()), name), as_json=json)


@bench.command("search")
def bench_search(
    *,
    sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Pictures of the galleries.")] = "1000,10000,100000",
    dim: Annotated[int, typer.Option(min=1, help="Numbers of a made-up embedding.")] = 128,
    rows: Annotated[Path | None, typer.Option(metavar="FILE.npy", help="Real embeddings, float32 (n, dim).")] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw time against size (extra train).")] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Writing, searching and adding in galleries of several sizes, against the bare product and exact search."""
    from lookalike.evaluation import scaling  # noqa: PLC0415  (numpy)

    made = (
        (lambda count: scaling.load_embeddings(rows, count))
        if rows
        else (lambda count: scaling.make_clustered(count, dim))
    )
    figures = scaling.bench_scaling(_sizes(sizes), made, report=(lambda _: None) if no_progress else warn)
    if draw is not None:
        from lookalike.training.plots import draw_scaling  # noqa: PLC0415  (matplotlib)

        draw_scaling(figures, draw)
    if json:
        print_json({"galleries": figures})
        return
    table = [[name, *(_shown(figure[name]) for figure in figures)] for name in figures[0]]
    print_table(["figure", *(f"{figure['pictures']:,}" for figure in figures)], table)


@bench.command("cold")
def bench_cold(
    query: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to look for.")],
    *,
    gallery: IndexOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of processes.")] = 9,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Whole processes: a search against embedding one picture by hand, `--help` against its imports."""
    _print(_measure().bench_cold(gallery or lookalike.find_gallery(), query, rounds), as_json=json)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < _LEAST:
        raise typer.BadParameter(f"--sizes is {text!r}; numbers from {_LEAST} on, separated by commas")
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
