"""`lookalike train`: train an encoder on a folder of pictures."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.app import ENCODERS, JsonOption, ProgressOption, command, complete_preset
from lookalike.cli.printing import note, print_json, print_table, progress_bar
from lookalike.errors import UsageError, counted
from lookalike.files import check_output

if TYPE_CHECKING:
    from lookalike.files import Protects
    from lookalike.training import Finished, Step
    from lookalike.training.presets import Preset
    from lookalike.training.trainer import OnEpoch

__all__ = ["EpochsOption", "SizeOption", "train_and_draw", "varied"]

_DRAWINGS = ("loss.png", "model.png", "reconstructions.png")
_SIDES = ("on trained pictures", "on held-out ones")
_FEW_STEPS = 10  # in an epoch
_SHOWN = 5  # epochs of the history that are printed


EpochsOption = Annotated[int | None, typer.Option(metavar="N", help="Short for --set epochs=N.")]
SizeOption = Annotated[int | None, typer.Option(metavar="N", help="Short for --set size=N, in pixels.")]


@command(
    "train",
    "lookalike train Photos",
    "lookalike train Photos --preset final --epochs 20 -o output/mine",
    panel=ENCODERS,
)
def train(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The pictures to learn from.")],
    *,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_preset,
            help="What to train: patches, selfsup, or a name from `lookalike experiments list`.",
        ),
    ] = "tiny",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the results (default: output/PRESET)."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a value of the preset, such as learning_rate=0.0005. Repeatable."
        ),
    ] = None,
    epochs: EpochsOption = None,
    size: SizeOption = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|CSV",
            help="For selfsup: a folder of class folders, or a CSV file with the columns file and class.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start from the beginning instead of resuming.")] = False,
    early_stopping: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop after N epochs without improvement.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write events for TensorBoard into output/tensorboard.")
    ] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Train an encoder on your own pictures.

    Most presets train an autoencoder, with TensorFlow. `patches` and `selfsup` learn from small pieces of the pictures
    instead, in about a minute and without TensorFlow. If interrupted, run the same command again: it resumes.

    The result is an encoder. To search with it: lookalike index FOLDER -e output/PRESET.
    """
    from lookalike import encoders, training  # noqa: PLC0415  (numpy; TensorFlow when it begins)

    home = output or Path("output") / preset
    if preset in encoders.learned_names():
        _learn(preset, folder, home, labels=labels, fresh=fresh, json=json, hidden=no_progress or json)
        return
    if labels is not None:
        raise UsageError(f"the preset {preset} takes no --labels", hint="class folders as labels: --preset supervised")
    chosen = varied(preset, changes or [], epochs, size)
    if fresh:
        training.start_afresh(home)
    board = training.Board(home, chosen.epochs) if tensorboard else None
    done, errors = train_and_draw(
        folder, home, chosen, patience=early_stopping, on_epoch=board, hidden=no_progress or json
    )
    if board is not None:
        board.add(done.history)  # of a training that was finished before
    if json:
        print_json(_fields(done, chosen) | errors)
    else:
        _print(done, errors)


def _learn(name: str, folder: Path, home: Path, *, labels: Path | None, fresh: bool, json: bool, hidden: bool) -> None:
    """Learn an encoder from small pieces of the pictures: it has no epochs to print."""
    from lookalike.encoders import find_learner  # noqa: PLC0415  (numpy)
    from lookalike.indexing.learned import forget, learn_into  # noqa: PLC0415

    if labels is not None and not find_learner(name).takes_labels:
        raise UsageError(f"the preset {name} takes no --labels", hint="use --preset selfsup")
    known = None
    if labels is not None:
        from lookalike.datasets.labels import read_labels  # noqa: PLC0415  (a gallery comes with it)

        known = read_labels(labels)
    if fresh:
        forget(home)
    elif (home / "encoder.onnx").exists():
        raise UsageError(f"there is already an encoder in {home}", hint="--fresh starts from the beginning")
    start = time.monotonic()
    with progress_bar(name, hidden=hidden) as progress:
        learn_into(home, name, [folder], labels=known, on_progress=progress)
    seconds = time.monotonic() - start
    if json:
        print_json({"output": str(home), "preset": {"name": name}, "seconds": seconds})
    else:
        print_table(["learned", "seconds"], [(name, seconds)])
        note(f"everything is in {home}; use it: lookalike index FOLDER -e {home}")


def varied(name: str, changes: list[str], epochs: int | None, size: int | None) -> Preset:
    """The preset of this name, changed as the options say."""
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
) -> tuple[Finished, dict[str, float | None]]:
    """Train with a bar for each of its two parts, and draw the losses, the layers and some reconstructions.

    Returned with the training are `train_mse` and `held_out_mse`, both measured with its final weights.
    """
    from lookalike import training  # noqa: PLC0415
    from lookalike.gallery import protected  # noqa: PLC0415

    for name in _DRAWINGS:
        _check_drawing(home / name, protected)  # now rather than after hours
    with progress_bar("decoding", hidden=hidden) as decoding, progress_bar(preset.name, hidden=hidden) as bar:
        steps: list[int] = []

        def watch(step: Step) -> None:
            steps[:] = [step.total // preset.epochs]
            if bar is not None:
                bar(step.done, step.total)

        done = training.train(
            folder, home, preset, on_progress=decoding, on_step=watch, on_epoch=on_epoch, patience=patience
        )
    _warn_of_few_steps(steps[0] if steps else _FEW_STEPS, preset)
    with progress_bar("measuring", hidden=hidden) as measuring:
        found = training.reconstruction_error(home, folder, on_progress=measuring)
    errors = {name: found[name] for name in ("train_mse", "held_out_mse")}
    _draw(done, folder, preset, errors)
    return done, errors


def _warn_of_few_steps(steps: int, preset: Preset) -> None:
    """Say why a training on few pictures looks broken: a network learns by steps, not by epochs."""
    if steps < _FEW_STEPS and preset.model == "convolutional":
        note(
            f"warning: an epoch is only {counted(steps, 'step')} of {counted(preset.batch_size, 'picture')}, so the "
            f"errors of {counted(preset.epochs, 'epoch')} say little; for more steps: "
            f"--epochs {10 * preset.epochs}, or --set batch_size=8"
        )


def _check_drawing(file: Path, protects: Protects) -> None:
    try:
        check_output(file, protects=protects)
    except UsageError as error:
        raise UsageError(str(error), hint="choose another --output") from None


def _draw(done: Finished, folder: Path, preset: Preset, errors: dict[str, float | None]) -> None:
    from lookalike import training  # noqa: PLC0415  (matplotlib)
    from lookalike.training import plots  # noqa: PLC0415  (matplotlib)

    title = f"{preset.name}: {preset.latent_dim} dimensions, {preset.size} pixels"
    plots.draw_losses(done.history, title, done.folder / _DRAWINGS[0], final=errors)
    plots.draw_layers(done.layers, title, done.folder / _DRAWINGS[1])
    originals, made = training.reconstructions(done.folder, folder)
    title = f"Pictures and, below them, their reconstructions by {preset.name} from {preset.latent_dim} dimensions"
    if training.has_collapsed(originals, made):
        title = f"Collapsed: {preset.name} gives nearly the same picture for all of these"
        rate = f"--set learning_rate={preset.learning_rate / 10:g}"
        note(f"warning: the training has collapsed: all reconstructions are nearly the same; train longer, or {rate}")
    plots.draw_reconstructions(originals, made, title, done.folder / _DRAWINGS[2])


def _fields(done: Finished, preset: Preset) -> dict[str, Any]:
    return {
        "output": str(done.folder),
        "preset": asdict(preset),
        "parameters": done.parameters,
        "skipped": done.skipped,
        "history": [_finite(asdict(epoch)) for epoch in done.history],
    }


def _finite(fields: dict[str, float]) -> dict[str, float | None]:
    """Replace values that are not a number with null, because JSON has no NaN."""
    return {key: value if math.isfinite(value) else None for key, value in fields.items()}


def _print(done: Finished, errors: dict[str, float | None]) -> None:
    columns = ["epoch", "loss", "mse", "val_loss", "val_mse", "seconds"]
    rows = [[getattr(epoch, column) for column in columns] for epoch in done.history[-_SHOWN:]]
    print_table(columns, rows)
    shown = [f"{value:.4f} {of}" for of, value in zip(_SIDES, errors.values(), strict=True) if value is not None]
    note(f"mean squared error with the final weights: {', '.join(shown)}; mse above is the mean during each epoch")
    if done.skipped:
        note(f"{counted(done.skipped, 'file')} skipped: {done.folder / 'skipped.csv'}")
    note(f"everything is in {done.folder}; use it: lookalike index FOLDER -e {done.folder}")
