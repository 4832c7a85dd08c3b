"""Commands that look after a gallery: what is in it, whether it is sound, what was skipped or moved, copies of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    GALLERY,
    FollowLinksOption,
    ForceOption,
    IndexOption,
    JsonOption,
    MegapixelsOption,
    ProgressOption,
    RayOption,
    TimeoutOption,
    WaitOption,
    command,
    read_location,
)
from lookalike.cli.printing import (
    note,
    path_fields,
    print_json,
    print_report,
    print_table,
    progress_bar,
    saying_what_is_saved,
    skipped_fields,
)
from lookalike.errors import Unreachable, UsageError, counted
from lookalike.images.paths import show_path
from lookalike.store.keys import absolute
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from lookalike import Gallery, Report
    from lookalike.store.sqlite.repair import Repair

__all__: list[str] = []

_SHOWN, _ROWS = ("mAP", "P@10", "top_1"), ("without_labels", "with_labels")


@command("info", "lookalike info", "lookalike info -i all.gallery --json", panel=GALLERY)
def info(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """Show what is in the gallery, its encoder and its folders."""
    with lookalike.Gallery.open(gallery) as opened:
        fields = opened.info()
        roots = [{**path_fields(root.path), "exclude": list(root.rules.exclude)} for root in opened.roots]
    if json:
        print_json({**fields, "roots": roots})
        return
    sizes = fields.pop("files")
    rows = [(name.replace("_", " "), str(value)) for name, value in fields.items()]
    rows += [(f"size of {name}", f"{size:,}") for name, size in sizes.items()]
    for root in roots:
        rows.append(("folder", str(root["display"])))
        rows += [("  excluded", show_path(pattern)) for pattern in root["exclude"]]
    print_table(["", ""], rows)


@command("skipped", "lookalike skipped", panel=GALLERY)
def skipped(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the files that could not be indexed, and why."""
    with lookalike.Gallery.open(gallery) as opened:
        found = opened.skipped()
    if json:
        print_json({"skipped": skipped_fields(found)})
    else:
        print_table(["path", "reason"], [(path_fields(path)["display"], reason) for path, reason in found])


@command("retry", "lookalike retry", "lookalike retry Photos/Panoramas --max-megapixels 400", panel=GALLERY)
def retry(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", show_default=False, help="A file, or a folder for all files below it (default: all)."
        ),
    ] = Path("/"),
    *,
    gallery: IndexOption = None,
    follow_links: FollowLinksOption = False,
    max_megapixels: MegapixelsOption = 100.0,
    timeout: TimeoutOption = 10.0,
    wait: WaitOption = 0.0,
    ray: RayOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Read skipped files again, although they have not changed.

    Use it after you have raised a limit, installed a package or repaired a disk. If PATH is a picture of the gallery,
    it is read again, and updated if its content has changed.
    """
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(follow_links=follow_links),
        limits=lookalike.Limits(megapixels=max_megapixels, seconds=timeout),
        ray=ray,
    )
    with (
        lookalike.Gallery.open(gallery) as opened,
        progress_bar("reading again", hidden=no_progress or json) as progress,
        saying_what_is_saved(opened),
    ):
        report = opened.retry(path, options=options, on_progress=progress, wait=wait)
    print_report(report, gallery, in_json=json)


@command("remove", "lookalike remove Photos/blurred.jpg", "lookalike remove Screenshots", panel=GALLERY)
def remove(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A picture, or a folder for all pictures below it.")],
    *,
    gallery: IndexOption = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Remove pictures from the gallery, but keep their files.

    Indexing their folder again brings them back, unless `index --exclude` leaves them out.
    """
    with lookalike.Gallery.open(gallery) as opened:
        removed = opened.remove(path, wait=wait)
    if json:
        print_json({"removed": removed})
    else:
        print_table(["removed"], [(removed,)])


@command("relocate", "lookalike relocate /media/old/Photos /media/new/Photos --dry-run", panel=GALLERY)
def relocate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Where the pictures were.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where they are now.")],
    *,
    gallery: IndexOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many paths would change, without writing anything.")
    ] = False,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Update the paths of a folder that was moved.

    No picture is read; the next `index` checks them as usual.
    """
    with lookalike.Gallery.open(gallery) as opened:
        moved = opened.relocate(old, new, dry_run=dry_run, wait=wait)
    if json:
        print_json({"relocated": moved})
    else:
        print_table(["relocated"], [(moved,)])
    from lookalike.images.origins import exists  # noqa: PLC0415  (Pillow)

    with suppress(Unreachable):
        if not exists(absolute(new)):
            note(f"warning: {show_path(new)} is not there")


@command("adapt", "lookalike adapt", "lookalike adapt --labels Photos", panel=GALLERY)
def adapt(
    *,
    gallery: IndexOption = None,
    dim: Annotated[
        int | None,
        typer.Option(
            "-d",
            "--dim",
            metavar="N",
            min=1,
            max=256,
            help="Dimensions to keep (default: 256 with blending, else 64).",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|CSV",
            help="Also fit to classes: a folder of class folders, or a CSV file with file and class.",
        ),
    ] = None,
    blend: Annotated[
        bool | None,
        typer.Option(
            "--blend/--no-blend", help="Smooth each picture with its nearest neighbours (default: as before)."
        ),
    ] = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Re-tune the gallery to the pictures now in it.

    `index` does this automatically whenever the gallery has grown enough. With --labels, the gallery is also tuned to
    the classes of its pictures, if that finds pictures of the same class better.
    """
    if labels is not None and blend is not None:
        raise UsageError("vectors that are adapted to labels are not blended: leave out --labels or --blend")
    with lookalike.Gallery.open(gallery) as opened:
        figures: dict[str, Any] = {"pictures": len(opened)}
        if labels:
            figures |= _adapted_to_labels(opened, labels, dim, wait)
        else:
            figures["dim"] = opened.adapt(dim=dim, blend=blend, wait=wait)
    if json:
        print_json(figures)
    elif labels:
        print_table(["cross-validated", *_SHOWN], [(row, *(figures[row][name] for name in _SHOWN)) for row in _ROWS])
        note("kept: adapted to the labels" if figures["adapted"] else "not kept: the labels do not improve the results")
    else:
        print_table(["pictures", "dimensions"], [(figures["pictures"], figures["dim"])])


def _adapted_to_labels(gallery: Gallery, labels: Path, dim: int | None, wait: float) -> dict[str, Any]:
    from lookalike.datasets.labels import read_labels  # noqa: PLC0415  (numpy)

    choice = gallery.adapt_to_labels(read_labels(labels), dim=dim, wait=wait)
    rows = dict(zip(_ROWS, (choice.without, choice.with_labels), strict=True))
    return {"dim": gallery.info()["dim"], "adapted": choice.is_better, **rows}


@command("verify", "lookalike verify", "lookalike verify --repair", panel=GALLERY)
def verify(
    *,
    gallery: IndexOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged and index those files again.")
    ] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Check the stored data against its checksums.

    The exit status is 1 if something is damaged and not repaired.
    """
    if repair:
        with progress_bar("indexing again", hidden=no_progress or json) as progress:
            done, report = lookalike.Gallery.repair(gallery, on_progress=progress)
        _print_repair(done, report, as_json=json)
        return
    with lookalike.Gallery.open(gallery) as opened:
        problems = opened.verify()
        pictures, place = len(opened), opened.location
    if json:
        print_json({"problems": problems})
    elif problems:
        print_table(["problem"], [(problem,) for problem in problems])
        note(f"  hint: {name_command('verify --repair', place)}")
    else:
        print_table(["verified"], [(f"{counted(pictures, 'picture')}, no problems",)])
    if problems:
        raise typer.Exit(1)


def _print_repair(done: Repair, report: Report | None, *, as_json: bool) -> None:
    if as_json:
        fields = {"problems": done.problems, "kept": done.kept, "lost": [path_fields(key) for key in done.lost]}
        aside = {"aside": path_fields(bytes(done.aside))} if done.aside else {}
        print_json({**fields, **aside, **({"report": report.to_dict()} if report else {})})
        return
    if not done.problems or report is None or done.aside is None:
        print_table(["verified"], [("no problems",)])
        return
    print_table(["problem"], [(problem,) for problem in done.problems])
    print_table(["kept", "lost", "read again"], [(done.kept, len(done.lost), report.added)])
    note(f"the damaged database is kept as {done.aside}; delete it once you are satisfied")


@command("compact", "lookalike compact", panel=GALLERY)
def compact(
    *,
    gallery: IndexOption = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Free the disk space of removed pictures."""
    with lookalike.Gallery.open(gallery) as opened:
        before = opened.info()["bytes"]
        opened.compact(wait=wait)
    with lookalike.Gallery.open(gallery) as opened:
        after = opened.info()["bytes"]
    if json:
        print_json({"bytes_before": before, "bytes": after})
    else:
        print_table(["bytes before", "bytes now"], [(before, after)])


@command("export", "lookalike export backup.gallery", "lookalike export --parquet pictures.parquet", panel=GALLERY)
def export(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The copy to write.")] = None,
    *,
    gallery: IndexOption = None,
    parquet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Parquet table of paths, file details and embeddings."),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Copy the gallery into one file, or write it as a table.

    The copy is checked, and can be made while another process is indexing. `import` makes a gallery from the file.
    """
    if file is None and parquet is None:
        raise UsageError("name the file to write, or --parquet FILE")
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


@command("copy", "lookalike copy Photos postgresql://db.example/photos", panel=GALLERY)
def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", parser=read_location, help="The gallery to copy.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", parser=read_location, help="Folder or URL to copy it to.")],
    *,
    force: ForceOption = False,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Copy a gallery to a folder or a server, and check the copy.

    Everything is copied: embeddings, adaptation, taught names and folders. No picture is read. If interrupted, run the
    same command again: it resumes. With --force, pictures that only TARGET has are removed from it.
    """
    with (
        lookalike.Gallery.open(source) as opened,
        progress_bar("copying", hidden=no_progress or json) as progress,
    ):
        pictures = opened.copy_to(target, force=force, wait=wait, on_progress=progress)
    if json:
        print_json({"pictures": pictures, "location": target})
    else:
        print_table(["pictures", "location"], [(pictures, show_path(target))])


@command("import", "lookalike import backup.gallery -i all.gallery", panel=GALLERY)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `lookalike export` wrote.")],
    *,
    gallery: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--index",
            metavar="DIR",
            parser=read_location,
            envvar="LOOKALIKE_INDEX",
            help="Folder of the new gallery (default: .lookalike in the current folder).",
        ),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Make a gallery from an exported file.

    The whole file is checked first.
    """
    pictures = lookalike.Gallery.restore(file, gallery or ".lookalike", force=force)
    if json:
        print_json({"pictures": pictures})
    else:
        print_table(["pictures"], [(pictures,)])
