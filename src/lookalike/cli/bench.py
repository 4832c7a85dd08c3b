"""`lookalike bench`: how fast this machine is at it, as ratios to the bare libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

import lookalike
from lookalike.cli.app import IndexOption, JsonOption, ProgressOption, app, print_json, print_table

__all__: list[str] = []

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
    pictures: Annotated[int, typer.Option(min=100, help="Rows of the gallery.")] = 2688,
    dim: Annotated[int, typer.Option(min=1, help="Numbers of a row.")] = 128,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """A warm exact search against the bare numpy product with argpartition."""
    _print(_measure().bench_search(pictures, dim), as_json=json)


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


def _measure() -> Any:  # noqa: ANN401  (a module)
    from lookalike import benchmarking  # noqa: PLC0415  (imports numpy and onnxruntime)

    return benchmarking


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    rows = [(name, f"{value:.3f}" if isinstance(value, float) else str(value)) for name, value in figures.items()]
    print_table(["figure", "value"], rows)
