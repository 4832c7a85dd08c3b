"""`lookalike index`: make a gallery from folders of pictures, and keep it up to date."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import (
    FIND,
    DeviceOption,
    EncoderOption,
    FollowLinksOption,
    IndexOption,
    JsonOption,
    MegapixelsOption,
    ProgressOption,
    RayOption,
    TimeoutOption,
    WaitOption,
    command,
)
from lookalike.cli.printing import (
    note,
    note_passed_over,
    path_fields,
    print_line,
    print_report,
    progress_bar,
    saying_what_is_saved,
    summarize,
)
from lookalike.cli.signals import ending
from lookalike.errors import NoGallery, UsageError, counted
from lookalike.images.paths import is_remote, show_path, to_bytes
from lookalike.store.keys import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Gallery, IndexOptions, Report

__all__: list[str] = []


@command(
    "index",
    "lookalike index Photos",
    "lookalike index Photos Scans --exclude '*_thumb.jpg' -i all.gallery",
    "lookalike index --watch",
    panel=FIND,
)
def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...", help="Folders, pictures or s3://BUCKET/PREFIX (default: all folders of the gallery)."
        ),
    ] = None,
    *,
    gallery: IndexOption = None,
    encoder: EncoderOption = None,
    device: DeviceOption = "auto",
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help='Skip files and folders matching this pattern, as in a .lookalikeignore: "*_thumb.jpg", cache/. '
            "Repeatable.",
        ),
    ] = None,
    no_exclude: Annotated[
        bool, typer.Option("--no-exclude", help="Drop the patterns that these folders had before.")
    ] = False,
    follow_links: FollowLinksOption = False,
    max_megapixels: MegapixelsOption = 100.0,
    timeout: TimeoutOption = 10.0,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="How many pictures to save at a time.")
    ] = 128,
    wait: WaitOption = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, without writing anything.")] = (
        False
    ),
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Also read files that look unchanged, and encode those whose content has changed."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Read and encode all files again, whether they have changed or not.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep watching the folders and update as they change (Ctrl-C stops).")
    ] = False,
    ray: RayOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Make a gallery from folders, or bring it up to date.

    The gallery is what the other commands search; the pictures themselves are never changed. Later runs find new,
    changed, renamed and removed files, and do not read unchanged ones again.

    Without --index, the gallery is the nearest .lookalike in the first folder or above it, or a new one in that folder.
    It remembers its folders, each with its --exclude and --follow-links, until you give these options again or
    --no-exclude. Without FOLDER, all of them are brought up to date.
    """
    is_ruled = bool(exclude or no_exclude or follow_links)
    if is_ruled and not folders:
        raise UsageError("--exclude, --no-exclude and --follow-links apply to folders", hint="name the folders as well")
    _check_not_both("--exclude", exclude, "--no-exclude", no_exclude)
    _check_not_both("--watch", watch, "--dry-run", dry_run)
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(exclude=tuple(exclude or ()), follow_links=follow_links) if is_ruled else None,
        limits=lookalike.Limits(megapixels=max_megapixels, seconds=timeout),
        batch_size=batch_size,
        dry_run=dry_run,
        refresh=refresh,
        force=force,
        ray=ray,
    )
    place = gallery or _place_for(folders)
    _check_names(folders or [], place)
    with (
        _opened(place, folders or [], encoder, options, hidden=no_progress or json) as opened,
        progress_bar("indexing", hidden=no_progress or json) as progress,
    ):
        if watch:
            _check_watchable(opened, folders or [])
        with saying_what_is_saved(opened):
            report = opened.index(*folders or (), options=options, on_progress=progress, wait=wait)
        pictures = len(opened)
    if watch:
        _watch(place, report, replace(options, refresh=False, force=False), in_json=json)
    print_report(report, place, in_json=json)
    if dry_run:
        note("dry run: nothing was written")
    elif not json:
        _note_nothing(report, folders or [])
        if force and report.unchanged:
            note(f"encoded again: {counted(report.unchanged, 'unchanged picture')}")
        note(f"{path_fields(os.fsencode(place))['display']}: {summarize(report, pictures)}")


def _check_not_both(one: str, is_one: object, other: str, is_other: object) -> None:
    if is_one and is_other:
        raise UsageError(f"{one} and {other} cannot be combined")


def _place_for(folders: list[Path] | None) -> Path:
    """Where the gallery of a folder is: the nearest one upward from it, else a new one inside it."""
    if not folders:
        return lookalike.find_gallery()
    if is_remote(to_bytes(folders[0])):
        return _place_for_objects()
    inside = folders[0] if folders[0].is_dir() else folders[0].parent
    try:
        return lookalike.find_gallery(inside)
    except lookalike.LookalikeError:
        return inside / ".lookalike"


def _place_for_objects() -> Path:
    """The nearest gallery. Raises UsageError if there is none, because none is made inside a bucket."""
    try:
        return lookalike.find_gallery()
    except NoGallery:
        raise UsageError(
            "there is no gallery here, and none can be made in an object store", hint="name one with -i FOLDER"
        ) from None


def _check_names(folders: list[Path], place: str | Path) -> None:
    """Raise UsageError if one of the folders does not exist and is not one of the gallery's, as on a missing drive."""
    from lookalike.images.origins import exists  # noqa: PLC0415  (Pillow)

    wrong = [folder for folder in folders if not exists(absolute(folder))]
    if wrong:
        with suppress(NoGallery), lookalike.Gallery.open(place) as opened:
            wrong = [folder for folder in wrong if not _is_known(opened, folder)]
    if wrong:
        names = ", ".join(path_fields(os.fsencode(folder))["display"] for folder in wrong)
        raise UsageError(f"no such file or folder: {names}")


def _is_known(gallery: Gallery, folder: Path) -> bool:
    path = absolute(folder)
    return gallery.knows(path) or any(root.path == path for root in gallery.roots)


def _note_nothing(report: Report, folders: list[Path]) -> None:
    """Say that folders contain no picture: counts of zero do not explain themselves."""
    if not (
        report.added
        or report.changed
        or report.unchanged
        or report.renamed
        or report.removed
        or report.skipped
        or report.missing
    ):
        where = ", ".join(path_fields(os.fsencode(folder))["display"] for folder in folders) or "the known folders"
        note(f"no picture was found in {where}")


@contextmanager
def _opened(
    place: str | Path, folders: list[Path], encoder: str | None, options: IndexOptions, *, hidden: bool
) -> Iterator[Gallery]:
    """Open the gallery, or make it; an encoder that has to be learned is learned from the folders first.

    A dry run that finds no gallery gets a temporary one.
    """
    with ExitStack() as stack:
        source = _source(place) if options.dry_run or encoder is not None else None
        is_new = source is None and (options.dry_run or encoder is not None)
        if encoder is not None and not options.dry_run:
            encoder = _fetch_named(encoder, source, hidden=hidden)
        if is_new and options.dry_run:
            place = stack.enter_context(TemporaryDirectory(prefix="lookalike-"))
        with progress_bar("learning", hidden=hidden or not is_new or encoder is None) as on_progress:
            opened = lookalike.Gallery.open(
                place, encoder=encoder, create=True, learn_from=folders, options=options, on_progress=on_progress
            )
        yield stack.enter_context(opened)


def _source(place: str | Path) -> str | None:
    """The name of the encoder of a gallery, as it remembers it; None if there is no gallery."""
    try:
        with lookalike.Gallery.open(place) as gallery:
            return gallery.store.space.source
    except NoGallery:
        return None


def _fetch_named(encoder: str, source: str | None, *, hidden: bool) -> str:
    """Fetch an encoder that is on a hub and not yet here, and print the addresses; do nothing for other names.

    Returns its name with the commit: the one that the gallery remembers as its `source`, or the newest.
    """
    from lookalike.encoders import fetch, recall  # noqa: PLC0415

    return fetch(recall(encoder, source or ""), note, bars=not hidden and sys.stderr.isatty())


def _check_watchable(opened: Gallery, folders: list[Path]) -> None:
    """Raise UsageError, before anything is indexed, where all is in object stores."""
    from lookalike.indexing.watch import check_watchable  # noqa: PLC0415  (watchfiles, 0.06 s)

    check_watchable([*(root.path for root in opened.roots), *map(absolute, folders)])


def _watch(place: str | Path, first: Report, options: IndexOptions, *, in_json: bool) -> None:
    """Print a line for the first run and for each that follows; Ctrl-C stops it."""
    from lookalike.indexing.watch import watch  # noqa: PLC0415  (watchfiles, 0.06 s)

    print_line(first, place, in_json=in_json)
    note_passed_over(first)
    with lookalike.Gallery.open(place) as opened:
        places = ", ".join(path_fields(root.path)["display"] for root in opened.roots)
        note(f"watching {places} (Ctrl-C stops)")
        try:
            for root in (root for root in opened.roots if is_remote(root.path)):
                note(f"warning: {show_path(root.path)} is checked only when a folder on this machine changes")
            watch(opened, lambda report: print_line(report, place, in_json=in_json), options=options, on_warning=note)
        except KeyboardInterrupt:  # also what watchfiles raises at any signal
            raise (ending() or KeyboardInterrupt) from None
