"""`lookalike experiments`: the described trainings by name, run and reported."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import JsonOption, ProgressOption, app, print_json, print_table, progress_bar, warn
from lookalike.cli.train import train_and_draw, varied

if TYPE_CHECKING:
    from lookalike.training.experiments import Result

__all__: list[str] = []

experiments = typer.Typer(help="The described experiments by name.", no_args_is_help=True)
app.add_typer(experiments, name="experiments")

_COLUMNS = ("preset", "size", "epochs", "held_out_mse", "train_mse", "mAP", "seconds")


@experiments.command("list")
def list_experiments(*, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the experiments and what each changes."""
    from lookalike.training.presets import PRESETS  # noqa: PLC0415

    if json:
        print_json({"experiments": [asdict(preset) for preset in PRESETS.values()]})
        return
    columns = ["name", "latent_dim", "learning_rate", "schedule", "epochs", "size", "description"]
    rows = [[f"{getattr(preset, column)}" for column in columns] for preset in PRESETS.values()]
    print_table([column.replace("_", " ") for column in columns], rows)


@experiments.command("run")
def run_experiments(
    folder: Annotated[Path, typer.Argument(help="The pictures to learn from.")],
    names: Annotated[list[str] | None, typer.Argument(help="Experiments; all of them if none is named.")] = None,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="A folder for each goes in here.")
    ] = Path("output"),
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A file for each that is finished; by default output/results.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Vary them all.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    size: Annotated[int | None, typer.Option(help="Short for --set size=N.")] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Train some experiments or all, one after the other, and measure each; broken off, the same command goes on."""
    from lookalike.training.presets import PRESETS  # noqa: PLC0415

    chosen = [varied(name, changes or [], epochs, size) for name in names or PRESETS]
    done = []
    for preset in chosen:
        home = output / preset.name
        train_and_draw(folder, home, preset, hidden=no_progress or json)
        done.append(_record(home, folder, results or output / "results", hidden=no_progress or json))
    if json:
        print_json({"experiments": done})
    else:
        print_table(_COLUMNS, [["" if row[column] is None else row[column] for column in _COLUMNS] for row in done])


@experiments.command("report")
def report_experiments(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help="Finished trainings to add.")] = None,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The page; its pictures go into images beside it.")
    ] = Path("docs/experiments.md"),
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="A file for each training; all of them are reported.")
    ] = Path("docs/results"),
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Make the page of all experiments from their results, and measure finished trainings that have none yet.

    A training is measured on the pictures that it was made of, which have to be where they were.
    """
    from lookalike.training import experiments as told  # noqa: PLC0415  (matplotlib)
    from lookalike.training.folder import read_notes  # noqa: PLC0415

    for run in runs or []:
        _record(run, Path(read_notes(run)["pictures"]), results, hidden=no_progress or json)
    count = told.write_page(results, output)
    if json:
        print_json({"page": str(output), "results": count})
    else:
        print_table(["page", "results"], [(str(output), count)])


def _record(home: Path, folder: Path, results: Path, *, hidden: bool) -> dict[str, Any]:
    from lookalike.training.experiments import record  # noqa: PLC0415  (TensorFlow when it begins)

    with progress_bar("measuring", hidden=hidden) as progress:
        path, result = record(home, folder, results, on_progress=progress)
    warn(f"{home}: {path}")
    return _fields(result) | {"result": str(path)}


def _fields(result: Result) -> dict[str, Any]:
    return {
        "preset": result.preset.name,
        "size": result.preset.size,
        "latent_dim": result.preset.latent_dim,
        "held_out_mse": result.held_out_mse,
        "train_mse": result.train_mse,
        **result.pictures,
        "mse_by_class": result.mse_by_class,
        "retrieval": result.retrieval,
        "mAP": result.retrieval["raw_euclidean"]["mAP"] if result.retrieval else None,
        "epochs": len(result.history),
        "seconds": result.seconds,
    }
