"""Commands that look after a gallery: what is in it, is it sound, copies of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    IndexOption,
    JsonOption,
    ProgressOption,
    app,
    path_fields,
    print_json,
    print_table,
    progress_bar,
    warn,
)
from lookalike.cli.reports import report_fields

if TYPE_CHECKING:
    from lookalike import Gallery, Report
    from lookalike.store.sqlite.repair import Repair

__all__: list[str] = []

_SHOWN, _ROWS = ("mAP", "P@10", "top_1"), ("without_labels", "with_labels")

ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@app.command()
def info(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """Describe the gallery: how many pictures, which encoder, which folders, how large."""
    with lookalike.Gallery.open(gallery) as opened:
        fields = opened.info()
        roots = [{**path_fields(root.path), "exclude": list(root.rules.exclude)} for root in opened.roots]
    if json:
        print_json({**fields, "roots": roots})
        return
    sizes = fields.pop("files")
    rows = [(name.replace("_", " "), str(value)) for name, value in fields.items()]
    rows += [(f"size of {name}", f"{size:,}") for name, size in sizes.items()]
    rows += [("folder", str(root["display"])) for root in roots]
    print_table(["", ""], rows)


@app.command()
def verify(
    *,
    gallery: IndexOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Drop what is damaged and index those files again.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Check every stored row against its checksum. Exits with 1 if anything is wrong in the end."""
    if repair:
        with progress_bar("indexing again", hidden=no_progress or json) as progress:
            done, report = lookalike.Gallery.repair(gallery, progress=progress)
        _print_repair(done, report, as_json=json)
        return
    with lookalike.Gallery.open(gallery) as opened:
        problems = opened.verify()
        pictures = len(opened)
    if json:
        print_json({"problems": problems})
    elif problems:
        print_table(["problem"], [(problem,) for problem in problems])
        warn("  hint: lookalike verify --repair")
    else:
        print_table(["verified"], [(f"{pictures} pictures, no problem",)])
    if problems:
        raise typer.Exit(1)


@app.command()
def adapt(
    *,
    gallery: IndexOption = None,
    numbers: Annotated[
        int | None,
        typer.Option("-n", "--numbers", min=1, max=256, help="Numbers of a picture. Default: 256 blended, else 64."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FOLDER|CSV", help="Classes: their folders, or a file with file and class.")
    ] = None,
    blend: Annotated[
        bool | None,
        typer.Option("--blend/--no-blend", help="Let pictures vouch for their neighbours. Default: as it was."),
    ] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Fit the gallery's projection anew to the pictures that it holds now; with --labels to their classes, too."""
    if labels is not None and blend is not None:
        raise typer.BadParameter("rows that are adapted to labels are not blended", param_hint="--blend")
    with lookalike.Gallery.open(gallery) as opened:
        figures: dict[str, Any] = {"pictures": len(opened)}
        if labels:
            figures |= _adapted_to_labels(opened, labels, numbers)
        else:
            figures["dim"] = opened.adapt(dim=numbers, blend=blend)
    if json:
        print_json(figures)
    elif labels:
        print_table(["cross-validated", *_SHOWN], [(row, *(figures[row][name] for name in _SHOWN)) for row in _ROWS])
        warn("kept: adapted to the labels" if figures["adapted"] else "not kept: it is no better with the labels")
    else:
        print_table(["pictures", "numbers"], [(figures["pictures"], figures["dim"])])


@app.command()
def compact(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """Give back the room that removed pictures took."""
    with lookalike.Gallery.open(gallery) as opened:
        before = opened.info()["bytes"]
        opened.compact()
    with lookalike.Gallery.open(gallery) as opened:
        after = opened.info()["bytes"]
    if json:
        print_json({"bytes_before": before, "bytes": after})
    else:
        print_table(["bytes before", "bytes now"], [(before, after)])


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The copy.")] = None,
    *,
    gallery: IndexOption = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Paths, what is known of files, and embeddings as a table.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Copy the gallery into one file, checked, also while it is being written; or write a table for other programs."""
    if file is None and parquet is None:
        raise typer.BadParameter("name a file, or --parquet FILE")
    done: dict[str, Any] = {}
    with lookalike.Gallery.open(gallery) as opened:
        if file is not None:
            done["pictures"] = opened.export(file, force=force)
        if parquet is not None:
            done["rows"] = opened.write_parquet(parquet, force=force)
    if json:
        print_json(done)
    else:
        print_table(list(done), [list(done.values())])


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `lookalike export` made.")],
    *,
    gallery: IndexOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Make a gallery from an exported file, after checking all of it. Without --index in .lookalike, here."""
    pictures = lookalike.Gallery.restore(file, gallery or Path(".lookalike"), force=force)
    if json:
        print_json({"pictures": pictures})
    else:
        print_table(["pictures"], [(pictures,)])


def _print_repair(done: Repair, report: Report | None, *, as_json: bool) -> None:
    if as_json:
        fields = {"problems": done.problems, "kept": done.kept, "lost": [path_fields(key) for key in done.lost]}
        aside = {"aside": path_fields(bytes(done.aside))} if done.aside else {}
        print_json({**fields, **aside, **({"report": report_fields(report)} if report else {})})
        return
    if not done.problems or report is None or done.aside is None:
        print_table(["verified"], [("no problem",)])
        return
    print_table(["problem"], [(problem,) for problem in done.problems])
    print_table(["kept", "lost", "read again"], [(done.kept, len(done.lost), report.added)])
    warn(f"the damaged database is kept as {done.aside}; delete it when you are content")


def _adapted_to_labels(gallery: Gallery, labels: Path, numbers: int | None) -> dict[str, Any]:
    from lookalike.datasets.labels import read_labels  # noqa: PLC0415  (numpy)

    choice = gallery.adapt_to_labels(read_labels(labels), dim=numbers)
    rows = dict(zip(_ROWS, (choice.without, choice.with_labels), strict=True))
    return {"dim": gallery.info()["dim"], "adapted": choice.is_better, **rows}
