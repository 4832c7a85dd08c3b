"""Commands that train encoders of one's own."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import JsonOption, ProgressOption, app, print_json, print_table, progress_bar, warn

if TYPE_CHECKING:
    from lookalike.training import Finished, Step
    from lookalike.training.presets import Preset
    from lookalike.training.trainer import OnEpoch

__all__ = ["train_and_draw", "varied"]

_SHOWN = 5  # epochs of the history that are printed


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="The pictures to learn from.")],
    *,
    preset: Annotated[str, typer.Option(help="An experiment's name: lookalike experiments list.")] = "tiny",
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where all of it goes.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Vary the preset.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    size: Annotated[int | None, typer.Option(help="Short for --set size=N.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="For selfsup: a folder of class folders, or a CSV file with the columns file and class."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew instead of going on.")] = False,
    early_stopping: Annotated[int | None, typer.Option(min=1, help="End after N epochs without progress.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write events into output/tensorboard.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Train the described autoencoder on a folder; broken off, the same command goes on where it was.

    The presets `patches` and `selfsup` learn from small pieces of the pictures instead: a minute, and no TensorFlow.

    The result, in output/PRESET by default, is an encoder: lookalike index FOLDER -e output/PRESET.
    """
    from lookalike import encoders, training  # noqa: PLC0415  (numpy; TensorFlow when it begins)

    home = output or Path("output") / preset
    if preset in encoders.learned_names():
        _learn(preset, folder, home, labels=labels, fresh=fresh, json=json, hidden=no_progress or json)
        return
    if labels is not None:
        raise typer.BadParameter(
            "a network takes the folders that pictures lie in: --preset supervised", param_hint="--labels"
        )
    chosen = varied(preset, changes or [], epochs, size)
    if fresh:
        training.start_afresh(home)
    board = training.Board(home, chosen.epochs) if tensorboard else None
    done = train_and_draw(folder, home, chosen, patience=early_stopping, on_epoch=board, hidden=no_progress or json)
    if board is not None:
        board.add(done.history)  # of a training that was finished before
    if json:
        print_json(_fields(done, chosen))
    else:
        _print(done)


def _learn(name: str, folder: Path, home: Path, *, labels: Path | None, fresh: bool, json: bool, hidden: bool) -> None:
    """Learn an encoder that is no network: there are no epochs to print."""
    from lookalike.encoders import find_learner  # noqa: PLC0415  (numpy)
    from lookalike.indexing.learned import forget, learn_into  # noqa: PLC0415

    if labels is not None and not find_learner(name).takes_labels:
        raise typer.BadParameter(f"{name} makes nothing of them", param_hint="--labels")
    known = None
    if labels is not None:
        from lookalike.datasets.labels import read_labels  # noqa: PLC0415  (a gallery comes with it)

        known = read_labels(labels)
    if fresh:
        forget(home)
    elif (home / "encoder.onnx").exists():
        raise typer.BadParameter(f"there is an encoder in {home}; --fresh begins anew", param_hint="--output")
    start = time.monotonic()
    with progress_bar(name, hidden=hidden) as progress:
        learn_into(home, name, [folder], labels=known, progress=progress)
    seconds = time.monotonic() - start
    if json:
        print_json({"output": str(home), "preset": {"name": name}, "seconds": seconds})
    else:
        print_table(["learned", "seconds"], [(name, seconds)])
        warn(f"everything is in {home}; use it: lookalike index FOLDER -e {home}")


def varied(name: str, changes: list[str], epochs: int | None, size: int | None) -> Preset:
    """A preset with what the options change of it."""
    from lookalike.training.presets import find_preset, vary  # noqa: PLC0415

    for change in changes:
        if "=" not in change:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
    values = dict(change.split("=", 1) for change in changes)
    short = {"epochs": epochs, "size": size}
    return vary(find_preset(name), values | {key: str(value) for key, value in short.items() if value is not None})


def train_and_draw(
    folder: Path,
    home: Path,
    preset: Preset,
    *,
    patience: int | None = None,
    on_epoch: OnEpoch | None = None,
    hidden: bool,
) -> Finished:
    """Train with a bar for each of its two parts, and draw how it went."""
    from lookalike import training  # noqa: PLC0415

    with progress_bar("decoding", hidden=hidden) as decoding, progress_bar(preset.name, hidden=hidden) as bar:

        def watch(step: Step) -> None:
            if bar is not None:
                bar(step.done, step.total)

        done = training.train(
            folder, home, preset, on_progress=decoding, on_step=watch, on_epoch=on_epoch, patience=patience
        )
    _draw(done, folder, preset)
    return done


def _draw(done: Finished, folder: Path, preset: Preset) -> None:
    from lookalike import training  # noqa: PLC0415  (matplotlib)
    from lookalike.training import plots  # noqa: PLC0415  (matplotlib)

    title = f"{preset.name}: {preset.latent_dim} numbers, {preset.size} pixels"
    plots.draw_losses(done.history, title, done.folder / "loss.png")
    plots.draw_layers(done.layers, title, done.folder / "model.png")
    originals, made = training.reconstructions(done.folder, folder)
    title = f"Pictures above what {preset.name} keeps of them in {preset.latent_dim} numbers"
    plots.draw_reconstructions(originals, made, title, done.folder / "reconstructions.png")


def _fields(done: Finished, preset: Preset) -> dict[str, Any]:
    return {
        "output": str(done.folder),
        "preset": asdict(preset),
        "parameters": done.parameters,
        "skipped": done.skipped,
        "history": [_finite(asdict(epoch)) for epoch in done.history],
    }


def _finite(fields: dict[str, float]) -> dict[str, float | None]:
    """What is not a number is null: JSON knows no NaN."""
    return {key: value if math.isfinite(value) else None for key, value in fields.items()}


def _print(done: Finished) -> None:
    columns = ["epoch", "loss", "mse", "val_loss", "val_mse", "seconds"]
    rows = [[getattr(epoch, column) for column in columns] for epoch in done.history[-_SHOWN:]]
    print_table(columns, rows)
    if done.skipped:
        warn(f"{done.skipped} files were skipped: {done.folder / 'skipped.csv'}")
    warn(f"everything is in {done.folder}; use it: lookalike index FOLDER -e {done.folder}")
