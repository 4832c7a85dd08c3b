"""`lookalike map`, `clusters`, `outliers` and `confusions`: the whole collection at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import FIND, ForceOption, IndexOption, JsonOption, ProgressOption, command
from lookalike.cli.printing import note, print_json, print_table, progress_bar
from lookalike.errors import UsageError, counted
from lookalike.files import check_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from lookalike import Gallery
    from lookalike.explore.confusions import Confusions
    from lookalike.explore.map import Map

__all__: list[str] = []

_FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FIELD:VALUE",
        help="Only pictures that match: folder:beach, width:>1000, or -label:forest to leave those out. Repeatable.",
    ),
]
_GroupsOption = Annotated[
    int | None,
    typer.Option("-n", "--groups", metavar="N", help="How many groups to make (default: chosen to fit the pictures)."),
]
_MontageOption = Annotated[
    Path | None, typer.Option("--montage", metavar="FILE", help="Draw the listed pictures into this picture file.")
]
_SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed; change it to get another result.")]


@command(
    "map",
    "lookalike map --html map.html",
    "lookalike map --draw map.png --filter folder:2024",
    "lookalike map --json",
    panel=FIND,
)
def draw_map(
    *,
    gallery: IndexOption = None,
    drawing: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE", help="Draw the map into this picture file.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the map as one HTML file, to explore in a browser."),
    ] = None,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Longer side of --draw, in pixels.")] = 2400,
    megabytes: Annotated[
        float,
        typer.Option("--megabytes", metavar="MB", min=0, help="Size limit for all thumbnails of --html together."),
    ] = 16.0,
    where: _FilterOption = None,
    groups: _GroupsOption = None,
    seed: _SeedOption = 0,
    fine: Annotated[
        bool,
        typer.Option("--fine", help="Keep more neighbours together; takes twenty times as long and needs openTSNE."),
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Draw the whole collection as a map.

    Pictures that are alike lie near each other, and each group of them has a name. Without --draw or --html, the
    position of every picture is printed.
    """
    with lookalike.Gallery.open(gallery) as opened:
        for output in (drawing, page):
            if output is not None:
                check_output(output, force=force, protects=opened.protects)
        _note_selection(opened, where)
        with progress_bar("laying out", hidden=no_progress) as progress:
            made = opened.map(where=where or (), groups=groups, seed=seed, fine=fine, on_progress=progress)
        if drawing is not None:
            _draw(opened, made, drawing, size, force=force, hidden=no_progress)
        if page is not None:
            _write_page(opened, made, page, megabytes, force=force, hidden=no_progress)
    if json:
        print_json(made.to_dict())
    elif drawing is None and page is None:
        rows = [(point.id, point.x, point.y, point.cluster, point.display) for point in made]
        print_table(["id", "x", "y", "group", "path"], rows)


def _draw(opened: Gallery, made: Map, file: Path, size: int, *, force: bool, hidden: bool) -> None:
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)

    with progress_bar("drawing", hidden=hidden) as progress:
        write_drawing(made.draw(size, on_progress=progress), file, force=force, protects=opened.protects)
    note(f"{counted(len(made), 'picture')} drawn: {file}")


def _write_page(opened: Gallery, made: Map, file: Path, megabytes: float, *, force: bool, hidden: bool) -> None:
    with progress_bar("drawing", hidden=hidden) as progress:
        shown = made.write_html(file, megabytes=megabytes, force=force, protects=opened.protects, on_progress=progress)
    note(f"{counted(len(made), 'picture')} on the map: {file}")
    if left := len(made) - shown:
        gone = sum(point.is_missing for point in made)
        why = "the file is gone" if left == gone == 1 else "the files are gone" if left == gone else ""
        why = (
            why
            or f"their thumbnails do not fit into {megabytes:g} MB; allow more: --megabytes {2 * max(1, megabytes):g}"
        )
        note(f"{counted(left, 'picture')} shown as {'a point' if left == 1 else 'points'}: {why}")


@command(
    "clusters", "lookalike clusters", "lookalike clusters -n 8 --sheet Groups", "lookalike clusters --json", panel=FIND
)
def clusters(
    *,
    gallery: IndexOption = None,
    groups: _GroupsOption = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw a contact sheet of each group into this folder.")
    ] = None,
    where: _FilterOption = None,
    seed: _SeedOption = 0,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Sort the collection into groups of pictures that are alike.

    Each group is named by the folders that set it apart, or by its most typical picture, which is listed with it.
    """
    with lookalike.Gallery.open(gallery) as opened:
        _note_selection(opened, where)
        found = opened.clusters(groups, where=where or (), seed=seed)
        if sheet is not None:
            from lookalike.explore.sheets import write_sheets  # noqa: PLC0415  (Pillow)

            written = write_sheets(found, sheet, force=force, protects=opened.protects)
            note(f"{counted(len(written), 'sheet')} drawn in {sheet}")
    if json:
        print_json(found.to_dict())
    else:
        rows = [(each.name, len(each.pictures), each.exemplars[0].display) for each in found]
        print_table(["group", "pictures", "most typical"], rows)


@command("outliers", "lookalike outliers", "lookalike outliers -k 50 --filter folder:2024", panel=FIND)
def outliers(
    *,
    gallery: IndexOption = None,
    top: Annotated[int, typer.Option("-k", "--top", metavar="N", help="How many pictures to list.")] = 20,
    montage: _MontageOption = None,
    where: _FilterOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """List the pictures that are least like the others.

    A picture's distance is the mean distance to its ten nearest neighbours. It is also given as a multiple of the
    median picture's distance and of the neighbours' own distances. Beyond 2 times the median, a picture probably does
    not belong.
    """
    with lookalike.Gallery.open(gallery) as opened:
        _check_montage(opened, montage, force=force)
        _note_selection(opened, where)
        found = opened.outliers(top, where=where or ())
        if montage is not None and found:
            from lookalike.explore.sheets import draw_outliers  # noqa: PLC0415  (Pillow)

            _write_montage(opened, draw_outliers(found), montage, force=force)
    if json:
        print_json(found.to_dict())
        return
    rows = [(each.distance, f"{each.times:.2f}x", f"{each.around:.2f}x", each.display) for each in found]
    print_table(["distance", "of median", "of those around", "path"], rows)


@command(
    "confusions",
    "lookalike confusions",
    "lookalike confusions Photos",
    "lookalike confusions --labels labels.csv --json",
    panel=FIND,
)
def confusions(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="A folder with one folder for each class (default: the folder that each picture lies in).",
        ),
    ] = None,
    *,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|CSV",
            help="Where the classes come from: such a folder, or a CSV file with the columns file and class.",
        ),
    ] = None,
    gallery: IndexOption = None,
    top: Annotated[
        int,
        typer.Option(
            "-k", "--top", metavar="N", min=1, help="How many pairs of classes, and how many pictures, to list."
        ),
    ] = 20,
    montage: _MontageOption = None,
    where: _FilterOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """List classes that are mixed up, and labels that seem wrong.

    Each picture's neighbours vote on its class. No picture or label is changed.
    """
    if folder is not None and labels is not None:
        raise UsageError("the classes are given twice: name FOLDER or --labels, not both")
    source = folder or labels
    with lookalike.Gallery.open(gallery or lookalike.find_gallery(near=source)) as opened:
        _check_montage(opened, montage, force=force)
        _note_selection(opened, where)
        found = opened.confusions(source, where=where or ())
        if montage is not None and found.wrong_labels:
            from lookalike.explore.sheets import draw_wrong_labels  # noqa: PLC0415  (Pillow)

            _write_montage(opened, draw_wrong_labels(found.wrong_labels[:top]), montage, force=force)
    if json:
        print_json(found.to_dict())
    else:
        _print_confusions(found, top)


def _print_confusions(found: Confusions, top: int) -> None:
    rows = [(pair.one, pair.other, f"{pair.share:.1%}") for pair in found.pairs[:top]]
    print_table(["class", "taken for", "neighbours"], rows)
    wrong = found.wrong_labels
    if not wrong:
        note("no label seems wrong")
        return
    print_table(
        ["label", "probably", "lead", "path"],
        [(each.label, each.suggested, f"{each.lead:.0%}", each.display) for each in wrong[:top]],
    )
    if len(wrong) > top:
        note(f"... and {len(wrong) - top:,} more labels that seem wrong; list them: -k {len(wrong)}")


def _check_montage(opened: Gallery, file: Path | None, *, force: bool) -> None:
    """Raise UsageError if a drawing cannot be written there, before anything is computed."""
    if file is not None:
        check_output(file, force=force, protects=opened.protects)


def _write_montage(opened: Gallery, drawn: Image.Image, file: Path, *, force: bool) -> None:
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)

    write_drawing(drawn, file, force=force, protects=opened.protects)
    note(f"drawn: {file}")


def _note_selection(opened: Gallery, where: Sequence[str] | None) -> None:
    """Say that there is nothing to look at, and why."""
    if not len(opened):
        note("the gallery is empty; add pictures: lookalike index FOLDER")
    for sentence in opened.explain_filters(where or ()):
        note(sentence)
