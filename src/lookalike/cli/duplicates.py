"""`lookalike duplicates`: pictures that are there more than once, moved away on demand, and brought back."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    FIND,
    ForceOption,
    IndexOption,
    JsonOption,
    ProgressOption,
    WaitOption,
    command,
    group,
    read_name,
)
from lookalike.cli.printing import note, path_fields, print_json, print_paths, print_table, progress_bar
from lookalike.errors import UsageError, counted
from lookalike.store.keys import absolute
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from lookalike import Gallery
    from lookalike.explore.duplicates.groups import Duplicates
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.explore.duplicates.trash import Moved
    from lookalike.images.pool import OnProgress

__all__: list[str] = []

_TEXT = """Find pictures that you have more than once.

It finds identical files; the same picture, resized, cropped, turned, mirrored, with changed tones or with text on it;
and different pictures of the same scene. The pictures themselves are compared, and each pair is listed with the
evidence.

Nothing is moved without --apply. With it, only proven copies are moved, into a trash folder from which `lookalike
duplicates undo` brings them back. Pictures of the same scene are never moved.
"""

_NAMED = 10  # files that could not be compared or moved

duplicates = group(
    "duplicates",
    "lookalike duplicates",
    "lookalike duplicates --keep oldest --plan plan.csv --sheet Sheets",
    "lookalike duplicates --apply",
    "lookalike duplicates --against Archive -0 | xargs -0 ls -l",
    "lookalike duplicates not Photos/1.jpg Photos/2.jpg",
    "lookalike duplicates undo",
    panel=FIND,
    text=_TEXT,
    is_command=True,
)

_TrashOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        parser=read_name,
        help="Where copies are moved (default: .lookalike-trash beside the gallery).",
    ),
]


@duplicates.callback(help=_TEXT)
def find(
    context: typer.Context,
    *,
    gallery: IndexOption = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            parser=read_name,
            help="Find only copies of pictures in this folder or other gallery; nothing there is moved.",
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="RULE", help="Which picture of a group to keep: largest, oldest, 'path order' or 'most metadata'."
        ),
    ] = "largest",
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            parser=read_name,
            help="Write a list of the files that would be moved, as .csv or as a .sh script.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Move the proven copies into the trash folder.")] = False,
    trash: _TrashOption = None,
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", parser=read_name, help="Draw a contact sheet of each group into this folder."),
    ] = None,
    budget: Annotated[
        int, typer.Option(metavar="PAIRS", min=0, help="Compare at most this many pairs, the likeliest first.")
    ] = 20_000,
    null: Annotated[
        bool,
        typer.Option(
            "-0", "--null", help="Print only the paths of the copies that would be moved, each followed by a NUL."
        ),
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    wait: WaitOption = 0.0,
    no_progress: ProgressOption = False,
) -> None:
    """Find duplicates unless one of the commands below was asked for."""
    if context.invoked_subcommand is not None:
        return
    from lookalike.explore.duplicates.keep import check_keep  # noqa: PLC0415  (numpy)

    check_keep(keep)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(lookalike.Gallery.open(gallery))
        other = _open_other(opened, against, stack)
        with progress_bar("comparing", hidden=no_progress) as progress:
            found = opened.duplicates(against=other, budget=budget, on_progress=progress)
        planned = opened.plan_moves(found, keep)
        folder = Path(trash) if trash is not None else None
        _write_files(opened, found, planned, folder, (plan, sheet), force=force)
        moved = opened.move_duplicates(planned, folder, wait=wait) if apply else None
        _print(found, planned, moved, as_json=json, null=null)
        _note_limits(found, opened)
        _note_moves(opened, planned, moved)
    if moved is not None and moved.failed:
        raise typer.Exit(1)


def _open_other(opened: Gallery, against: str | None, stack: contextlib.ExitStack) -> Gallery | str | None:
    """A folder of this gallery, or another gallery."""
    if against is None:
        return None
    if opened.knows(absolute(against)):
        return against
    return stack.enter_context(lookalike.Gallery.open(against))


def _write_files(
    opened: Gallery,
    found: Duplicates,
    planned: Plan,
    trash: Path | None,
    outputs: tuple[str | None, str | None],
    *,
    force: bool,
) -> None:
    from lookalike.explore.duplicates.actions import find_trash  # noqa: PLC0415  (numpy)
    from lookalike.explore.duplicates.plans import write_plan  # noqa: PLC0415
    from lookalike.explore.duplicates.sheets import write_sheets  # noqa: PLC0415

    plan, sheet = outputs
    if plan is not None:
        folder = trash or find_trash(opened.location)
        write_plan(found, planned, path=Path(plan), trash=folder, force=force, protects=opened.protects)
    if sheet is not None:
        write_sheets(found, planned, Path(sheet), force=force, protects=opened.protects)


def _print(found: Duplicates, planned: Plan, moved: Moved | None, *, as_json: bool, null: bool) -> None:
    if as_json:
        done = {} if moved is None else moved.to_dict()
        print_json({**found.to_dict(), **planned.to_dict(), **done})
    elif null:
        print_paths([os.fsencode(move.copy.path) for move in planned.moves], null=True)
    else:
        _print_groups(found, planned)


def _print_groups(found: Duplicates, planned: Plan) -> None:
    moves = {(move.group, move.copy) for move in planned.moves}
    rows = []
    for number, each in enumerate(found.groups, 1):
        kept = planned.kept.get(number)
        for picture in each.pictures:
            action = "keep" if picture == kept else "move" if (number, picture) in moves else ""
            kind = each.kind if each.proven else f"{each.kind}?"
            size = f"{picture.width}x{picture.height}" if picture.width else ""
            rows.append((number, kind, action, size, each.explain(picture, kept), picture.display))
    if rows:
        print_table(["group", "kind", "", "pixels", "found", "path"], rows)
    else:
        note("no duplicates found")


def _note_limits(found: Duplicates, opened: Gallery) -> None:
    if found.left:
        more = 2 * (found.left + found.compared)
        note(f"{counted(found.left, 'less likely pair')} not compared; compare more: --budget {more}")
    if found.undescribed:
        pictures = counted(found.undescribed, "picture")
        refresh = name_command("index --refresh", opened.location)
        note(f"{pictures} without a perceptual hash: turned copies are missed until this has been run: {refresh}")
    for path, reason in found.unreadable[:_NAMED]:
        note(f"not compared {path_fields(path)['display']}: {reason}")
    if len(found.unreadable) > _NAMED:
        note(f"... and {len(found.unreadable) - _NAMED:,} more that were not compared")


def _note_moves(opened: Gallery, planned: Plan, moved: Moved | None) -> None:
    for left in planned.left[:_NAMED]:
        note(f"left in place {left.picture.display}: {left.reason}")
    if moved is None:
        if planned.moves:
            note(f"{counted(len(planned.moves), 'file')} would be moved: --apply moves them, --plan writes a list")
        return
    for path, reason in moved.failed[:_NAMED]:
        note(f"not moved {path_fields(path)['display']}: {reason}")
    if moved.done:
        trash = path_fields(moved.done[0][1].parent)["display"]
        undo = name_command(f"duplicates undo --trash {shlex.quote(trash)}", opened.location)
        note(f"{counted(len(moved.done), 'file')} moved to {trash}; bring back: {undo}")


@command("undo", "lookalike duplicates undo", "lookalike duplicates undo --trash Trash", under=duplicates)
def undo(
    *,
    gallery: IndexOption = None,
    trash: _TrashOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Bring back the files that `duplicates --apply` moved.

    A file stays in the trash if another file has taken its place. Files that come back are indexed again.
    """
    with contextlib.ExitStack() as stack:
        opened = _open_if_there(gallery, stack, is_needed=trash is None or gallery is not None)
        with progress_bar("indexing", hidden=no_progress) as progress:
            done = _undo_moves(opened, trash, progress)
    _print_undone(done, as_json=json)
    if done.failed:
        raise typer.Exit(1)


def _open_if_there(gallery: str | None, stack: contextlib.ExitStack, *, is_needed: bool) -> Gallery | None:
    """A gallery, or None if there is none and a trash folder was named."""
    try:
        return stack.enter_context(lookalike.Gallery.open(gallery))
    except UsageError:
        if is_needed:
            raise
        return None


def _undo_moves(opened: Gallery | None, trash: str | None, progress: OnProgress | None) -> Moved:
    from lookalike.explore.duplicates.trash import undo_moves  # noqa: PLC0415

    return opened.undo_moves(trash, on_progress=progress) if opened is not None else undo_moves(Path(trash or ""))


def _print_undone(done: Moved, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = done.to_dict()
        print_json({"restored": document["moved"], "failed": document["failed"]})
    else:
        print_table(["restored", "failed"], [(len(done.done), len(done.failed))])
    for path, reason in done.failed[:_NAMED]:
        note(f"left in the trash {path_fields(path)['display']}: {reason}")


@command("not", "lookalike duplicates not Photos/1.jpg Photos/2.jpg", under=duplicates)
def mark_distinct(
    one: Annotated[Path, typer.Argument(metavar="A", help="A picture of the gallery.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another picture, which is not a duplicate of it.")],
    *,
    gallery: IndexOption = None,
    json: JsonOption = False,
    wait: WaitOption = 0.0,
    no_progress: ProgressOption = False,
) -> None:
    """Remember that two pictures are not duplicates of each other.

    This holds wherever the files are moved, until one of them is edited.
    """
    with lookalike.Gallery.open(gallery or lookalike.find_gallery(near=one)) as opened:
        opened.mark_distinct(one, other, wait=wait)
    if json:
        print_json({"distinct": [path_fields(os.path.abspath(path)) for path in (one, other)]})
    else:
        note("remembered: they will no longer be listed together")
