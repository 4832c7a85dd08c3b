"""Which encoders there are, and which of them suits a collection."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import JsonOption, ProgressOption, app, print_json, print_table, progress_bar, warn

if TYPE_CHECKING:
    from lookalike.datasets.labelled import Dataset
    from lookalike.encoders import Encoder

__all__: list[str] = []

encoders = typer.Typer(
    help="List the encoders that are there, or try them on a collection.", invoke_without_command=True
)
app.add_typer(encoders, name="encoders")

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


@encoders.callback()
def list_encoders(context: typer.Context, *, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the encoders that are there, or try them on a collection."""
    if context.invoked_subcommand is not None:
        return
    rows = [_described(name) for name in lookalike.encoder_names()] + [_learned(name) for name in _learned_names()]
    if json:
        print_json({"encoders": rows})
    else:
        columns = ["name", "dim", "metric", "trained_on", "available"]
        shown = [[row[column] if row[column] is not None else "" for column in columns] for row in rows]
        print_table([column.replace("_", " ") for column in columns], shown)


@encoders.command("compare")
def compare_encoders(
    folder: Annotated[Path, typer.Argument(help="The pictures; one folder for each class, if there are classes.")],
    *,
    encoder: Annotated[
        list[str] | None, typer.Option("-e", "--encoder", metavar="NAME|FILE", help="One to try; all if none is named.")
    ] = None,
    split: Annotated[Path | None, typer.Option(help="A CSV file with the columns file, class and split.")] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="The folders are no classes.")] = False,
    drawing: Annotated[Path | None, typer.Option("--draw", metavar="FILE", help="Draw it, too.")] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Try encoders on a collection: quality, size, speed, and which of them to take.

    With a folder for each class by the protocol of `lookalike evaluate`, otherwise by finding altered pictures again.
    """
    from lookalike.evaluation import compare as comparing  # noqa: PLC0415  (numpy and onnxruntime)

    data = _data(folder, split, no_labels=no_labels)
    with progress_bar("comparing", hidden=no_progress or json) as progress:
        compared = comparing.compare(data, encoder or comparing.CANDIDATES, progress=progress)
    if drawing is not None:
        from lookalike.training import plots  # noqa: PLC0415  (matplotlib)

        labels = {name: name.replace("_", " ") for name in _FIGURES}
        plots.draw_comparison([row for row in compared.rows if "reason" not in row], labels, drawing)
    if json:
        print_json({"encoders": compared.rows, "recommended": compared.recommended, "reason": compared.reason})
        return
    _print(compared.rows)
    warn(f"recommended: {compared.recommended} ({compared.reason})")


@encoders.command("check")
def check_encoder(
    model: Annotated[Path, typer.Argument(help="An .onnx file with its card beside it, or a folder.")],
    *,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Try a model file in a process of its own, with limits on time and memory; exits with 1 if it fails.

    Of a pair of towers both, with a text. `index -e FILE` does so by itself before a model is first used.
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


@encoders.command("adopt")
def adopt_export(
    export: Annotated[
        Path, typer.Argument(metavar="EXPORT", help="A folder with model.onnx and preprocessor_config.json.")
    ],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The encoder, a new folder.")],
    name: Annotated[str, typer.Option(help="What it is called; by default as EXPORT is.")] = "",
    json: JsonOption = False,
) -> None:
    """Make an encoder from a model that other tools have exported, in Hugging Face's layout, and try it.

    Also of a pair of vision_model.onnx and text_model.onnx with tokenizer.json. No network is used.
    """
    from lookalike.encoders.huggingface.exported import adopt_new  # noqa: PLC0415

    encoder = adopt_new(export, output, name or export.resolve().name)
    fields = _fields(encoder)
    if json:
        print_json({"model": str(output), **fields, "fingerprint": encoder.fingerprint})
    else:
        print_table(list(fields), [list(fields.values())])
        warn(f"use it: lookalike index FOLDER -e {output}")


@encoders.command("fetch")
def fetch_encoder(
    name: Annotated[str, typer.Argument(metavar="hf:OWNER/NAME@COMMIT", help="A model of the hub at one commit.")],
    *,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Fetch a model from the Hugging Face hub over the network, once, and try it.

    `index -e NAME` does so as well. Every address is printed; the files are kept with their SHA-256 and never asked
    for again.
    """
    from lookalike.encoders.huggingface import hub  # noqa: PLC0415

    place = hub.fetch(name, warn, bars=not (no_progress or json) and sys.stderr.isatty())
    encoder = lookalike.load_encoder(name)
    fields = _fields(encoder)
    if json:
        print_json({"model": name, **fields, "fingerprint": encoder.fingerprint, "folder": str(place)})
    else:
        print_table(list(fields), [list(fields.values())])
        warn(f"kept in {place}; use it: lookalike index FOLDER -e {name}")


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
            warn("no folders of classes: pictures are looked for by what may have become of them")
    return sorted(entry.path for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem)


def _print(rows: list[dict[str, Any]]) -> None:
    figures = [figure for figure in _FIGURES if any(figure in row for row in rows)]
    columns = ["encoder", *(_FIGURES[figure] for figure in figures), "numbers", "pictures/s", "MB"]
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
            warn(f"{row['name']}: {row['reason']}")


def _learned_names() -> list[str]:
    from lookalike.encoders import learned_names  # noqa: PLC0415

    return learned_names()


def _learned(name: str) -> dict[str, Any]:
    """An encoder that is not there before it is learned."""
    unknown: dict[str, Any] = dict.fromkeys(("dim", "size", "fingerprint"))
    return {"name": name, "metric": "cosine", "trained_on": "your own pictures", **unknown, "available": True}


def _described(name: str) -> dict[str, Any]:
    try:
        encoder = lookalike.load_encoder(name)
    except lookalike.LookalikeError as error:
        unknown: dict[str, Any] = dict.fromkeys(("dim", "metric", "trained_on", "size", "fingerprint"))
        return {"name": name, **unknown, "available": False, "reason": str(error)}
    return {
        "name": name,
        "dim": encoder.dim,
        "metric": encoder.metric,
        "trained_on": encoder.trained_on,
        "size": encoder.view.size,
        "fingerprint": encoder.fingerprint,
        "available": True,
    }
