"""Names for groups of pictures: by the folders that set a group apart, otherwise by its most typical picture.

A namer sees all groups and proposes a name for each, or None where it knows none; the first proposal counts. Whoever
can name groups by what is to be seen in them adds a namer in front.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from lookalike.images.paths import show_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lookalike.store import Record

    Groups = Sequence[Sequence[Record]]
    """The records of each group, the most typical first."""

    Namer = Callable[[Groups], Sequence[str | None]]
    """Proposes a name for each group, or None."""

__all__ = ["name_by_folder", "name_groups"]

_COVERED = 0.6  # of a group's pictures, at least, lie in the folders that name it
_NAMED = 3  # folders in a name
_EACH = 0.2  # of a group's pictures, at least, lie in each of them
_TELLING = 1.2  # times as often as in all groups together


def name_groups(groups: Groups, namers: Iterable[Namer] = ()) -> list[str]:
    """A name for each group, no two of them the same: `coast`, `coast (2)`, `like IMG_1.jpg`."""
    proposals = [namer(groups) for namer in (*namers, name_by_folder, _name_by_exemplar)]
    return _tell_apart([next(name for name in names if name) for names in zip(*proposals, strict=True)])


def name_by_folder(groups: Groups) -> list[str | None]:
    """The folders that directly hold most of a group's pictures, if they hold far fewer of the others."""
    counts = [Counter(_folder(record) for record in group) for group in groups]
    everywhere = sum(counts, Counter[str]())
    return [_name(count, everywhere) for count in counts]


def _name(count: Counter[str], everywhere: Counter[str]) -> str | None:
    size, total = count.total(), everywhere.total()
    telling = [
        (folder, number)
        for folder, number in count.most_common(_NAMED)
        if folder and number >= _EACH * size and number / size >= _TELLING * everywhere[folder] / total
    ]
    if telling and telling[0][1] >= _COVERED * size:
        return telling[0][0]
    return ", ".join(folder for folder, _ in telling) if sum(n for _, n in telling) >= _COVERED * size else None


def _name_by_exemplar(groups: Groups) -> list[str | None]:
    return [f"like {show_path(os.path.basename(group[0].path))}" for group in groups]


def _folder(record: Record) -> str:
    return show_path(os.path.basename(os.path.dirname(record.path)))


def _tell_apart(names: Sequence[str]) -> list[str]:
    """The names with a number behind each that an earlier one has."""
    taken: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name} ({number})"
        taken[free] = None
    return list(taken)
