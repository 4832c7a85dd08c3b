"""`lookalike encoders`: list, compare, check, adopt and fetch encoders."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import ENCODERS, JsonOption, ProgressOption, SplitOption, command, complete_encoder, group
from lookalike.cli.printing import note, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from lookalike.datasets.labelled import Dataset
    from lookalike.encoders import Encoder

__all__: list[str] = []

_TEXT = "List encoders, compare them on your pictures, or add one."

encoders = group(
    "encoders",
    "lookalike encoders",
    "lookalike encoders compare Photos",
    panel=ENCODERS,
    text=_TEXT,
    is_command=True,
)

_FIGURES = {
    "mAP": "mAP",
    "P@10": "P@10",
    "top_1": "top-1",
    "part_found": "part",
    "mirrored_found": "mirrored",
    "paler_kept": "paler",
    "lighter_kept": "lighter",
    "darker_kept": "darker",
}


@encoders.callback(help=_TEXT)
def list_encoders(context: typer.Context, *, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the encoders unless one of the commands below was asked for."""
    if context.invoked_subcommand is not None:
        return
    rows = [_described(name) for name in lookalike.encoder_names()] + [_learned(name) for name in _learned_names()]
    if json:
        print_json({"encoders": rows, "recommended": _recommended()})
        return
    columns = ["name", "dim", "metric", "trained_on", "available"]
    shown = [[row[column] if row[column] is not None else "" for column in columns] for row in rows]
    print_table([column.replace("_", " ") for column in columns], shown)
    for row in rows:
        if "reason" in row:
            note(f"{row['name']}: {row['reason']}; {row['hint']}")
    sys.stdout.write("\n")
    more = [(row["name"], row["purpose"], row["licence"]) for row in _recommended()]
    print_table(["larger, to fetch (not tested here)", "for", "licence"], more)
    note("fetch one: lookalike encoders fetch NAME")


@command("compare", "lookalike encoders compare Photos -e histogram -e patches", under=encoders)
def compare_encoders(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The pictures, in one folder for each class if there are classes.")
    ],
    *,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--encoder",
            metavar="NAME|FILE",
            autocompletion=complete_encoder,
            help="An encoder to compare (default: all). Repeatable.",
        ),
    ] = None,
    split: SplitOption = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Ignore the folders: they are not classes.")] = False,
    drawing: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE", help="Also draw the comparison into this picture file.")
    ] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Compare encoders on a collection, and recommend one.

    They are compared by quality, size and speed. With a folder for each class, quality is measured as `lookalike
    evaluate` does it; otherwise each encoder is tested on finding altered copies of the pictures.
    """
    from lookalike.evaluation import compare as comparing  # noqa: PLC0415  (numpy and onnxruntime)

    data = _data(folder, split, no_labels=no_labels)
    with progress_bar("comparing", hidden=no_progress or json) as progress:
        compared = comparing.compare_encoders(data, encoder or comparing.CANDIDATES, on_progress=progress)
    if drawing is not None:
        from lookalike.training import plots  # noqa: PLC0415  (matplotlib)

        labels = {name: name.replace("_", " ") for name in _FIGURES}
        plots.draw_comparison([row for row in compared.rows if "reason" not in row], labels, drawing)
    if json:
        print_json({"encoders": compared.rows, "recommended": compared.recommended, "reason": compared.reason})
        return
    _print(compared.rows)
    note(f"recommended: {compared.recommended} ({compared.reason})")


@command("check", "lookalike encoders check model.onnx", under=encoders)
def check_encoder(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx file with its card beside it, or a folder.")],
    *,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Try a model file in a separate, limited process.

    Time and memory are limited; the exit status is 1 if the model fails. The text encoder of a CLIP-like pair is tried
    as well. `index -e FILE` does the same before a model is first used.
    """
    from lookalike.encoders import MODEL, hub_names  # noqa: PLC0415
    from lookalike.encoders.huggingface import hub  # noqa: PLC0415
    from lookalike.encoders.untrusted import load_onnx, load_text  # noqa: PLC0415  (numpy and onnxruntime)

    place = hub.find_model(str(model)) if hub_names(model) else model
    file = place / MODEL if place.is_dir() else place
    encoder = load_onnx(file, again=True)
    if encoder.encode_texts is not None:
        load_text(file.parent, encoder.dim, again=True)(["a picture"])
    fields = {**_fields(encoder), "texts": encoder.encode_texts is not None}
    if json:
        print_json({"model": str(model), **fields, "fingerprint": encoder.fingerprint})
    else:
        print_table(list(fields), [list(fields.values())])


@command("adopt", "lookalike encoders adopt clip-vit-base-patch32 -o clip", under=encoders)
def adopt_export(
    export: Annotated[
        Path, typer.Argument(metavar="EXPORT", help="A folder with model.onnx and preprocessor_config.json.")
    ],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The new folder for the encoder.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the encoder (default: that of EXPORT).")] = "",
    json: JsonOption = False,
) -> None:
    """Make an encoder from a model exported by another tool.

    The export has Hugging Face's layout: one model.onnx, or vision_model.onnx and text_model.onnx with tokenizer.json.
    The encoder is tried before it is kept. No network is used.
    """
    from lookalike.encoders.huggingface.exported import adopt_new  # noqa: PLC0415

    encoder = adopt_new(export, output, name or export.resolve().name)
    fields = _fields(encoder)
    if json:
        print_json({"model": str(output), **fields, "fingerprint": encoder.fingerprint})
    else:
        print_table(list(fields), [list(fields.values())])
        note(f"use it: lookalike index FOLDER -e {output}")


@command("fetch", "lookalike encoders fetch hf:OWNER/NAME", under=encoders)
def fetch_encoder(
    name: Annotated[str, typer.Argument(metavar="hf:OWNER/NAME[@COMMIT]", help="A model on the Hugging Face hub.")],
    *,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Download a model from the Hugging Face hub.

    Without a commit, its 40 digits, it is the newest; the name with the commit is printed and is what a gallery
    remembers. `index -e NAME` does the same. Every address is printed; the files are kept with their SHA-256, tried,
    and not downloaded again.
    """
    from lookalike.encoders.huggingface import hub  # noqa: PLC0415

    name = hub.pin(name, note)
    place = hub.fetch(name, note, bars=not (no_progress or json) and sys.stderr.isatty())
    encoder = lookalike.load_encoder(name)
    fields = _fields(encoder)
    if json:
        print_json({"model": name, **fields, "fingerprint": encoder.fingerprint, "folder": str(place)})
    else:
        print_table(list(fields), [list(fields.values())])
        note(f"saved in {place}; use it: lookalike index FOLDER -e {name}")


def _recommended() -> list[dict[str, Any]]:
    """The rows of models that are worth fetching."""
    from lookalike.encoders.huggingface.recommended import RECOMMENDED  # noqa: PLC0415  (4 ms)

    return [{**model._asdict(), "tested": False} for model in RECOMMENDED]


def _fields(encoder: Encoder) -> dict[str, Any]:
    return {"name": encoder.name, "dim": encoder.dim, "metric": encoder.metric, "size": encoder.view.size}


def _data(folder: Path, split: Path | None, *, no_labels: bool) -> Dataset | list[bytes]:
    """A labelled collection, or the files of one that has no classes."""
    from lookalike.datasets import labelled as datasets  # noqa: PLC0415
    from lookalike.images.walk import walk  # noqa: PLC0415

    if split is not None:
        return datasets.read_split(split, folder)
    if not no_labels:
        try:
            return datasets.split_by_content(datasets.load_labelled(folder))
        except lookalike.LookalikeError:
            note("no folders of classes: each encoder is tested on finding altered copies")
    return sorted(entry.path for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem)


def _print(rows: list[dict[str, Any]]) -> None:
    figures = [figure for figure in _FIGURES if any(figure in row for row in rows)]
    columns = ["encoder", *(_FIGURES[figure] for figure in figures), "dimensions", "pictures/s", "MB"]
    measured = [
        (
            row["name"],
            *(f"{row[figure]:.3f}" for figure in figures),
            row["dim"],
            round(row["rate"]),
            f"{row['model_bytes'] / 1e6:.1f}",
        )
        for row in rows
        if "reason" not in row
    ]
    print_table(columns, measured)
    for row in rows:
        if "reason" in row:
            note(f"{row['name']}: {row['reason']}")


def _learned_names() -> list[str]:
    from lookalike.encoders import learned_names  # noqa: PLC0415

    return learned_names()


def _learned(name: str) -> dict[str, Any]:
    """The row of an encoder that is learned when a gallery is made."""
    unknown: dict[str, Any] = dict.fromkeys(("dim", "size", "fingerprint"))
    return {"name": name, "metric": "cosine", "trained_on": "your own pictures", **unknown, "available": True}


def _described(name: str) -> dict[str, Any]:
    try:
        encoder = lookalike.load_encoder(name)
    except lookalike.LookalikeError as error:
        unknown: dict[str, Any] = dict.fromkeys(("dim", "metric", "trained_on", "size", "fingerprint"))
        return {"name": name, **unknown, "available": False, "reason": str(error), "hint": error.hint}
    return {
        "name": name,
        "dim": encoder.dim,
        "metric": encoder.metric,
        "trained_on": encoder.trained_on,
        "size": encoder.view.size,
        "fingerprint": encoder.fingerprint,
        "available": True,
    }
