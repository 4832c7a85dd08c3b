"""Commands for what changes without a run: skipped files, pictures to be forgotten, folders that were moved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import lookalike
from lookalike.cli.app import (
    FollowLinksOption,
    IndexOption,
    JsonOption,
    MegapixelsOption,
    ProgressOption,
    WaitOption,
    app,
    path_fields,
    print_json,
    print_table,
    progress_bar,
    warn,
)
from lookalike.cli.reports import print_report, skipped_fields

__all__: list[str] = []


@app.command()
def skipped(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the files that were met but are no part of the gallery, with the reason."""
    with lookalike.Gallery.open(gallery) as opened:
        found = opened.skipped()
    if json:
        print_json({"skipped": skipped_fields(found)})
    else:
        print_table(["path", "reason"], [(path_fields(path)["display"], reason) for path, reason in found])


@app.command()
def retry(
    path: Annotated[Path, typer.Argument(help="A file, or a folder for all below it; by default all.")] = Path("/"),
    *,
    gallery: IndexOption = None,
    follow_links: FollowLinksOption = False,
    max_megapixels: MegapixelsOption = 100.0,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Read skipped files again although they have not changed: with other limits, another version, a repaired disk."""
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(follow_links=follow_links), limits=lookalike.Limits(megapixels=max_megapixels)
    )
    with (
        lookalike.Gallery.open(gallery) as opened,
        progress_bar("reading again", hidden=no_progress or json) as progress,
    ):
        report = opened.retry(path, options=options, progress=progress, wait=wait)
    print_report(report, gallery, in_json=json)


@app.command()
def remove(
    path: Annotated[Path, typer.Argument(help="A picture, or a folder for all pictures below it.")],
    *,
    gallery: IndexOption = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Take a picture out of the gallery. Its file stays; indexing its folder again brings it back."""
    with lookalike.Gallery.open(gallery) as opened:
        removed = opened.remove(path, wait=wait)
    if json:
        print_json({"removed": removed})
    else:
        print_table(["removed"], [(removed,)])


@app.command()
def relocate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Where the pictures were.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where they are now.")],
    *,
    gallery: IndexOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell how many; write nothing.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Rewrite the paths of a folder that was moved. No picture is read; `index` looks at them as ever."""
    with lookalike.Gallery.open(gallery) as opened:
        moved = opened.relocate(old, new, dry_run=dry_run)
    if json:
        print_json({"relocated": moved})
    else:
        print_table(["relocated"], [(moved,)])
    if not new.exists():
        warn(f"warning: {new} is not there")
