"""`lookalike experiments`: list, run and report the described trainings."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import RESEARCH, ForceOption, JsonOption, ProgressOption, command, complete_experiment, group
from lookalike.cli.printing import note, print_json, print_table, progress_bar
from lookalike.cli.train import EpochsOption, SizeOption, train_and_draw, varied

if TYPE_CHECKING:
    from lookalike.training.experiments import Result

__all__: list[str] = []

experiments = group(
    "experiments",
    "lookalike experiments list",
    "lookalike experiments run Photos exp3 final",
    panel=RESEARCH,
    text="List, run and report the training experiments.",
)

_COLUMNS = ("preset", "size", "epochs", "held_out_mse", "train_mse", "mAP", "seconds")


@command("list", "lookalike experiments list --json", under=experiments)
def list_experiments(*, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the experiments and what each of them changes."""
    from lookalike.training.presets import PRESETS  # noqa: PLC0415

    if json:
        print_json({"experiments": [asdict(preset) for preset in PRESETS.values()]})
        return
    columns = ["name", "latent_dim", "learning_rate", "schedule", "epochs", "size", "description"]
    rows = [[f"{getattr(preset, column)}" for column in columns] for preset in PRESETS.values()]
    print_table([column.replace("_", " ") for column in columns], rows)


@command(
    "run",
    "lookalike experiments run Photos exp3 final --epochs 5",
    "lookalike experiments run Photos exp3 --size 64 --seeds 3",
    under=experiments,
)
def run_experiments(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The pictures to learn from.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            autocompletion=complete_experiment,
            help="The experiments to run (default: all of `experiments list`).",
        ),
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder in which each experiment gets a folder of its own."),
    ] = Path("output"),
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the results, one file for each finished experiment (default: output/results).",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of every preset. Repeatable.")
    ] = None,
    epochs: EpochsOption = None,
    size: SizeOption = None,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Train each with N random seeds; the report gives means, and intervals if N is at least 3.",
        ),
    ] = 1,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Train experiments one after another, and measure each.

    If interrupted, run the same command again: it resumes.
    """
    from lookalike.training.presets import PRESETS  # noqa: PLC0415

    chosen = [varied(name, changes or [], epochs, size) for name in names or PRESETS]
    done = []
    for preset in (replace(each, seed=each.seed + more) for more in range(seeds) for each in chosen):
        home = output / (preset.name if preset.seed == 1 else f"{preset.name}-seed-{preset.seed}")
        train_and_draw(folder, home, preset, hidden=no_progress or json)
        done.append(_record(home, folder, results or output / "results", hidden=no_progress or json))
    if json:
        print_json({"experiments": done})
    else:
        print_table(_COLUMNS, [["" if row[column] is None else row[column] for column in _COLUMNS] for row in done])


@command("report", "lookalike experiments report output/exp3 -o experiments.md", under=experiments)
def report_experiments(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN...", help="Folders of finished trainings to add to the results.")
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The page to write; its pictures go into the folder `images` beside it.",
        ),
    ] = Path("docs/experiments.md"),
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder with a file of results for each training.")
    ] = Path("docs/results"),
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Write a page about all experiments from their results.

    Finished trainings that you name are first measured, on the pictures of their training, and added to the results.
    """
    from lookalike.training.experiments import write_page  # noqa: PLC0415  (matplotlib)
    from lookalike.training.folder import read_notes  # noqa: PLC0415

    for run in runs or []:
        _record(run, Path(read_notes(run)["pictures"]), results, hidden=no_progress or json)
    count = write_page(results, output, force=force)
    if json:
        print_json({"page": str(output), "results": count})
    else:
        print_table(["page", "results"], [(str(output), count)])


def _record(home: Path, folder: Path, results: Path, *, hidden: bool) -> dict[str, Any]:
    from lookalike.training.experiments import record  # noqa: PLC0415  (TensorFlow when it begins)

    with progress_bar("measuring", hidden=hidden) as progress:
        path, result = record(home, folder, results, on_progress=progress)
    note(f"{home}: {path}")
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
