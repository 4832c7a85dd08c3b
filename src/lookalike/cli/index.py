"""`lookalike index`: make a gallery from folders of pictures, and keep it up to date."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import (
    FIND,
    EncoderOption,
    FollowLinksOption,
    IndexOption,
    JsonOption,
    MegapixelsOption,
    ProgressOption,
    WaitOption,
    command,
)
from lookalike.cli.printing import note, path_fields, print_line, print_report, progress_bar, summarize
from lookalike.errors import NoGallery, UsageError

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
        typer.Argument(metavar="FOLDER...", help="Folders or single pictures (default: all indexed before)."),
    ] = None,
    *,
    gallery: IndexOption = None,
    encoder: EncoderOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help='Skip files and folders matching this pattern, e.g. "*_thumb.jpg". Repeatable.'
        ),
    ] = None,
    follow_links: FollowLinksOption = False,
    max_megapixels: MegapixelsOption = 100.0,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="How many pictures to save at a time.")
    ] = 128,
    wait: WaitOption = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, without writing anything.")] = (
        False
    ),
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Read every file again; encode only those whose content has changed.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep watching the folders and update as they change (Ctrl-C stops).")
    ] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Make a gallery from folders, or bring it up to date.

    New, changed, renamed and removed files are found; unchanged ones are not read again. Without --index, the gallery
    is the nearest .lookalike in the first folder or above it, or a new one in that folder. Folders are remembered with
    their --exclude and --follow-links: without FOLDER, all of them are brought up to date.
    """
    if not folders and (exclude or follow_links):
        raise UsageError("--exclude and --follow-links apply to folders", hint="name the folders as well")
    if watch and dry_run:
        raise UsageError("--watch and --dry-run cannot be combined")
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(exclude=tuple(exclude or ()), follow_links=follow_links),
        limits=lookalike.Limits(megapixels=max_megapixels),
        batch_size=batch_size,
        dry_run=dry_run,
        refresh=refresh,
    )
    place = gallery or _place_for(folders)
    with (
        _opened(place, folders or [], encoder, options, hidden=no_progress or json) as opened,
        progress_bar("indexing", hidden=no_progress or json) as progress,
    ):
        report = opened.index(*folders or (), options=options, on_progress=progress, wait=wait)
        pictures = len(opened)
    if watch:
        _watch(place, report, replace(options, refresh=False), in_json=json)
    print_report(report, place, in_json=json)
    if dry_run:
        note("dry run: nothing was written")
    elif not json:
        note(f"{path_fields(os.fsencode(place))['display']}: {summarize(report, pictures)}")


def _place_for(folders: list[Path] | None) -> Path:
    """Where the gallery of a folder is: the nearest one upward from it, else a new one inside it."""
    if not folders:
        return lookalike.find_gallery()
    inside = folders[0] if folders[0].is_dir() else folders[0].parent
    try:
        return lookalike.find_gallery(inside)
    except lookalike.LookalikeError:
        return inside / ".lookalike"


@contextmanager
def _opened(
    place: str | Path, folders: list[Path], encoder: str | None, options: IndexOptions, *, hidden: bool
) -> Iterator[Gallery]:
    """Open the gallery, or make it; an encoder that has to be learned is learned from the folders first.

    A dry run that finds no gallery gets a temporary one.
    """
    with ExitStack() as stack:
        is_new = (options.dry_run or encoder is not None) and not _is_there(place)
        if encoder is not None and not options.dry_run:
            _fetch_named(encoder, hidden=hidden)
        if is_new and options.dry_run:
            place = stack.enter_context(TemporaryDirectory(prefix="lookalike-"))
        with progress_bar("learning", hidden=hidden or not is_new or encoder is None) as on_progress:
            opened = lookalike.Gallery.open(
                place, encoder=encoder, create=True, learn_from=folders, options=options, on_progress=on_progress
            )
        yield stack.enter_context(opened)


def _is_there(place: str | Path) -> bool:
    try:
        lookalike.Gallery.open(place).close()
    except NoGallery:
        return False
    return True


def _fetch_named(encoder: str, *, hidden: bool) -> None:
    """Fetch an encoder that is on a hub and not yet here, and print the addresses; do nothing for other names."""
    from lookalike.encoders import fetch  # noqa: PLC0415

    fetch(encoder, note, bars=not hidden and sys.stderr.isatty())


def _watch(place: str | Path, first: Report, options: IndexOptions, *, in_json: bool) -> None:
    """Print a line for the first run and for each that follows; Ctrl-C ends it."""
    from lookalike.indexing.watch import watch  # noqa: PLC0415  (watchfiles, 0.06 s)

    print_line(first, in_json=in_json)
    with lookalike.Gallery.open(place) as opened:
        places = ", ".join(path_fields(root.path)["display"] for root in opened.roots)
        note(f"watching {places} (Ctrl-C stops)")
        watch(opened, lambda report: print_line(report, in_json=in_json), options=options)
