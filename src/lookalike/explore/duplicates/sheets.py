"""A sheet for each group of duplicates: the picture that is kept on top, the others below it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lookalike.explore.thumbnails import open_for_sheet
from lookalike.images.drawing import write_drawing
from lookalike.images.paths import show_path
from lookalike.search.montage import draw_montage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

    from lookalike.explore.duplicates.groups import Duplicates, Group, Picture
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.files import Protects

__all__ = ["draw_group", "write_sheets"]


def write_sheets(
    duplicates: Duplicates, plan: Plan, folder: Path, *, force: bool = False, protects: Protects | None = None
) -> list[Path]:
    """Write a sheet for each group into a folder, made if it is missing, and return their paths. Raises UsageError."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_write_all(duplicates, plan, folder, force, protects))


def _write_all(
    duplicates: Duplicates,
    plan: Plan,
    folder: Path,
    force: bool,  # noqa: FBT001
    protects: Protects | None,
) -> Iterator[Path]:
    moved = {move.copy for move in plan.moves}
    for number, group in enumerate(duplicates.groups, 1):
        path = folder / f"group-{number:04d}-{group.kind.replace(' ', '-')}.jpg"
        write_drawing(draw_group(group, plan.kept.get(number), moved), path, force=force, protects=protects)
        yield path


def draw_group(group: Group, kept: Picture | None, moved: set[Picture]) -> Image.Image:
    """Draw a group: the kept picture, or the first, on top, and the others with what was found of them."""
    first = kept or group.pictures[0]
    word = group.kind if group.proven else f"{group.kind}?"
    top = open_for_sheet(first.path), f"{'keep   ' if kept else ''}{_measure(first)}\n{word}\n{_name(first)}"
    below = [
        (each.path, f"{_act(each, kept, moved)}{_measure(each)}\n{group.explain(each, first)}\n{_name(each)}")
        for each in group.pictures
        if each is not first
    ]
    return draw_montage(top, below)


def _act(picture: Picture, kept: Picture | None, moved: set[Picture]) -> str:
    """What a plan does with a picture beside the one that is kept; nothing where it keeps none, as of scenes."""
    return "" if kept is None else "move   " if picture in moved else "stay   "


def _measure(picture: Picture) -> str:
    size = f"{picture.width} x {picture.height}" if picture.width and picture.height else "?"
    return f"{size}, {(picture.size or 0) / 1000:,.0f} kB"


def _name(picture: Picture) -> str:
    return show_path(os.fsencode(os.path.join(picture.path.parent.name, picture.path.name)))
