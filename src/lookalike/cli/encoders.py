"""`lookalike encoders`: list, compare, check, adopt and fetch encoders."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    ENCODERS,
    ForceOption,
    JsonOption,
    ProgressOption,
    SplitsOption,
    command,
    complete_encoder,
    group,
)
from lookalike.cli.printing import (
    exit_if_failed,
    note,
    plus_minus,
    print_json,
    print_table,
    print_text,
    progress_bar,
    show_figure,
)
from lookalike.errors import DatasetError
from lookalike.files import check_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.datasets.labelled import Dataset
    from lookalike.encoders import Encoder
    from lookalike.evaluation.collections import Collection
    from lookalike.evaluation.compare import Comparison, ComparisonOfMany

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
_LABELS = {  # in the plot
    "top_1": "first hit right",
    "part_found": "crop finds its original",
    "mirrored_found": "mirror image finds it",
    "paler_kept": "hits kept when paler",
    "lighter_kept": "when lighter",
    "darker_kept": "when darker",
}


_PROTOCOL = ("mAP", "P@10", "top_1")  # shown with their intervals


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
    print_table(["larger models to fetch (not tested here)", "for", "licence"], more)
    note("fetch one: lookalike encoders fetch NAME")


@command(
    "compare",
    "lookalike encoders compare Photos -e histogram -e patches",
    "lookalike encoders compare flowers birds",
    under=encoders,
)
def compare_encoders(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Pictures, in one folder for each class if there are classes."),
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
    split: SplitsOption = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Ignore the folders: they are not classes.")] = False,
    drawing: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE", help="Also draw the comparison into this picture file.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Compare encoders on your pictures, and recommend one.

    They are compared by quality, size and speed. With a folder for each class, quality is measured as `lookalike
    evaluate` does it; otherwise each encoder is tested on finding altered copies of the pictures. With several
    collections, the means over them decide.
    """
    from lookalike.evaluation import compare as comparing  # noqa: PLC0415  (numpy and onnxruntime)
    from lookalike.evaluation.collections import name_collections  # noqa: PLC0415  (the same)
    from lookalike.gallery import protected  # noqa: PLC0415  (the same)

    if drawing is not None:
        check_output(drawing, force=force, protects=protected)  # now rather than after minutes
    collections = name_collections(folders, split or ())
    names, hidden = encoder or comparing.CANDIDATES, no_progress or json
    if len(collections) > 1:
        many = comparing.compare_on_collections(
            collections,
            lambda collection: _data(collection, no_labels=no_labels),
            names,
            open_progress=lambda work: progress_bar(work, hidden=hidden),
        )
        _draw(many.mean.rows if many.mean is not None else [], drawing, force=force)
        print_json(many.to_dict()) if json else _print_many(many)
        exit_if_failed(many.failed, len(collections))
        return
    data = _data(collections[0], no_labels=no_labels)
    with progress_bar("comparing", hidden=hidden) as progress:
        compared = comparing.compare_encoders(data, names, on_progress=progress)
    _draw(compared.rows, drawing, force=force)
    print_json(compared.to_dict()) if json else _print_one(compared)


@command("check", "lookalike encoders check model.onnx", under=encoders)
def check_encoder(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An .onnx file with its card (a .json file) beside it, or a folder.")
    ],
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

    Without @COMMIT (40 hexadecimal digits), the newest commit is fetched. The name with its commit is printed; it is
    the name that a gallery remembers. Every address that is asked is printed. The files are tried, kept with their
    SHA-256 and not downloaded again. `index -e NAME` does the same.
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


def _data(collection: Collection, *, no_labels: bool) -> Dataset | list[bytes]:
    """A labelled collection, or the files of one that has no classes."""
    from lookalike.images.walk import walk  # noqa: PLC0415

    if not collection.folder.is_dir():
        raise DatasetError(f"{collection.folder} is not a folder")
    if collection.split is not None:
        return collection.load()
    if not no_labels:
        try:
            return collection.load()
        except lookalike.LookalikeError:
            note(f"no class folders in {collection.name}: each encoder is tested on finding altered copies")
    root = os.path.abspath(os.fsencode(collection.folder))
    return sorted(entry.path for entry in walk(root) if not entry.problem)


def _draw(rows: list[dict[str, Any]], file: Path | None, *, force: bool) -> None:
    if file is None:
        return
    from lookalike.training import plots  # noqa: PLC0415  (matplotlib)

    labels = {name: _LABELS.get(name, name) for name in _FIGURES}
    plots.draw_comparison([row for row in rows if "reason" not in row], labels, file, force=force)


def _print_one(compared: Comparison) -> None:
    _print({"": compared.rows})
    note(f"recommended: {compared.recommended} ({compared.reason})")


def _print_many(compared: ComparisonOfMany) -> None:
    """The encoders on each collection, and their means at the end."""
    if compared.mean is None:
        return
    _print({**{each.name: found.rows for each, found in compared.each}, "mean": compared.mean.rows})
    note(f"recommended: {compared.mean.recommended} ({compared.mean.reason})")


def _print(tables: dict[str, list[dict[str, Any]]]) -> None:
    """The rows of each collection, as one table of quality and one of everything else."""
    rows = [(name, row) for name, some in tables.items() for row in some]
    measured = [(name, row) for name, row in rows if "reason" not in row]
    with_classes = [(name, row) for name, row in measured if _PROTOCOL[0] in row]
    if with_classes:
        _print_rows(
            with_classes, _PROTOCOL, [[show_figure(row, each) for each in _PROTOCOL] for _, row in with_classes]
        )
        print_text(f"{plus_minus()} half the width of the 95% interval (bootstrap over the queries)\n")
    others = [figure for figure in _FIGURES if figure not in _PROTOCOL]
    _print_rows(measured, [*others, "dim", "pictures/s", "MB"], [_list_costs(row, others) for _, row in measured])
    for name, row in rows:
        if "reason" in row and name != "mean":
            note(f"{row['name']}{f' on {name}' if name else ''}: {row['reason']}")


def _print_rows(
    rows: Sequence[tuple[str, dict[str, Any]]], columns: Sequence[str], cells: Sequence[Sequence[object]]
) -> None:
    """Rows of cells after the names of encoders, and of collections if these have names."""
    names = [[name, row["name"]] if name else [row["name"]] for name, row in rows]
    headings = ["collection", "encoder"][-len(names[0]) :]
    titles = [_FIGURES.get(column, column) for column in columns]
    print_table([*headings, *titles], [[*name, *some] for name, some in zip(names, cells, strict=True)])


def _list_costs(row: dict[str, Any], figures: Sequence[str]) -> list[object]:
    found = [f"{row[figure]:.3f}" if figure in row else "" for figure in figures]
    return [*found, row["dim"], round(row["rate"]), f"{row['model_bytes'] / 1e6:.1f}"]


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
