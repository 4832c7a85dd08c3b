"""Commands that train encoders of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import JsonOption, ProgressOption, app, print_json, print_table, progress_bar, warn

if TYPE_CHECKING:
    from lookalike.presets import Preset
    from lookalike.training import Finished, Step

__all__: list[str] = []

experiments = typer.Typer(help="The described experiments by name.", no_args_is_help=True)
app.add_typer(experiments, name="experiments")

_SHOWN = 5  # epochs of the history that are printed
_MADE = (
    "split.csv", "skipped.csv", "history.csv", "history.json", "pictures.u8", "pictures.json", "checkpoint.npz",
    "best.weights.h5", "model.weights.h5", "encoder.onnx", "encoder.json", "loss.png", "reconstructions.png",
    "preset.json",
)  # fmt: skip


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="The pictures to learn from.")],
    *,
    preset: Annotated[str, typer.Option(help="An experiment's name: lookalike experiments list.")] = "tiny",
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where all of it goes.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Vary the preset.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    size: Annotated[int | None, typer.Option(help="Short for --set size=N.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew instead of going on.")] = False,
    early_stopping: Annotated[int | None, typer.Option(min=1, help="End after N epochs without progress.")] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Train the described autoencoder on a folder; broken off, the same command goes on where it was.

    The result, in output/PRESET by default, is an encoder: lookalike index FOLDER -e output/PRESET.
    """
    from lookalike import training  # noqa: PLC0415  (numpy; TensorFlow when it begins)

    chosen = _varied(preset, changes or [], epochs, size)
    home = output or Path("output") / chosen.name
    if fresh:
        _forget(home)
    hidden = no_progress or json
    with progress_bar("decoding", hidden=hidden) as decoding, progress_bar("training", hidden=hidden) as bar:

        def watch(step: Step) -> None:
            if bar is not None:
                bar(step.done, step.total)

        done = training.train(
            folder, home, chosen, progress=decoding, watch=watch if bar is not None else None, patience=early_stopping
        )
    _draw(done, folder, chosen)
    if json:
        print_json(_fields(done, chosen))
    else:
        _print(done)


@experiments.command("list")
def list_experiments(*, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the experiments and what each changes."""
    from lookalike.presets import PRESETS  # noqa: PLC0415

    if json:
        print_json({"experiments": [asdict(preset) for preset in PRESETS.values()]})
        return
    columns = ["name", "latent_dim", "learning_rate", "schedule", "epochs", "size", "description"]
    rows = [[f"{getattr(preset, column)}" for column in columns] for preset in PRESETS.values()]
    print_table([column.replace("_", " ") for column in columns], rows)


def _forget(home: Path) -> None:
    """Remove the training in `home`, and nothing else: the folder may hold the user's own pictures."""
    if (home / "preset.json").is_file():
        for name in _MADE:  # preset.json last: broken off, the same command removes the others
            (home / name).unlink(missing_ok=True)


def _varied(name: str, changes: list[str], epochs: int | None, size: int | None) -> Preset:
    from lookalike.presets import find_preset, vary  # noqa: PLC0415

    for change in changes:
        if "=" not in change:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
    values = dict(change.split("=", 1) for change in changes)
    short = {"epochs": epochs, "size": size}
    return vary(find_preset(name), values | {key: str(value) for key, value in short.items() if value is not None})


def _draw(done: Finished, folder: Path, preset: Preset) -> None:
    from lookalike import plots, training  # noqa: PLC0415  (matplotlib)

    title = f"{preset.name}: {preset.latent_dim} numbers, {preset.size} pixels"
    plots.draw_losses(done.history, title, done.folder / "loss.png")
    plots.draw_reconstructions(*training.reconstructions(done.folder, folder), done.folder / "reconstructions.png")


def _fields(done: Finished, preset: Preset) -> dict[str, Any]:
    return {
        "output": str(done.folder),
        "preset": asdict(preset),
        "parameters": done.parameters,
        "skipped": done.skipped,
        "history": [asdict(epoch) for epoch in done.history],
    }


def _print(done: Finished) -> None:
    columns = ["epoch", "loss", "mse", "val_loss", "val_mse", "seconds"]
    rows = [[getattr(epoch, column) for column in columns] for epoch in done.history[-_SHOWN:]]
    print_table(columns, rows)
    if done.skipped:
        warn(f"{done.skipped} files were skipped: {done.folder / 'skipped.csv'}")
    warn(f"everything is in {done.folder}; use it: lookalike index FOLDER -e {done.folder}")
