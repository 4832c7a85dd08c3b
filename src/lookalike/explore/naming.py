"""Names for groups of pictures: by the folders that set a group apart, by what its pictures show, or by a picture.

A namer sees all groups and proposes a name for each, or None where it knows none; the first proposal counts.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from lookalike.images.paths import show_path
from lookalike.search.text import find_classes
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.store import Record, Store

    Groups = Sequence[Sequence[Record]]
    """The records of each group, the most typical first."""

    Namer = Callable[[Groups], Sequence[str | None]]
    """Proposes a name for each group, or None."""

__all__ = ["name_by_folder", "name_by_words", "name_groups"]

_COVERED = 0.6  # of a group's pictures, at least, lie in the folders that name it
_NAMED = 3  # folders in a name
_EACH = 0.2  # of a group's pictures, at least, lie in each of them
_TELLING = 1.2  # times as often as in all groups together
_TYPICAL = 64  # pictures of a group whose embeddings are compared with words
_CLEAR = 0.04  # how much nearer a group is to its word than the mean of all groups, as a cosine


def name_groups(groups: Groups, namers: Iterable[Namer] = ()) -> list[str]:
    """A name for each group, no two of them the same: `coast`, `coast (2)`, `like IMG_1.jpg`."""
    proposals = [namer(groups) for namer in (*namers, name_by_folder, _name_by_exemplar)]
    return _tell_apart([next(name for name in names if name) for names in zip(*proposals, strict=True)])


def name_by_folder(groups: Groups) -> list[str | None]:
    """The folders that directly hold most of a group's pictures, if they hold far fewer of the others."""
    counts = [Counter(_folder(record) for record in group) for group in groups]
    everywhere = sum(counts, Counter[str]())
    return [_name(count, everywhere) for count in counts]


def name_by_words(store: Store, load: Callable[[], Encoder]) -> Namer:
    """A namer by folders, and for groups that these do not tell apart by the encoder's words: `alp`, `streetcar`.

    The word of a group is the class that it is nearer to than the other groups are, by the cosines of the mean. load:
    returns the encoder; it is called only for groups without a folder.
    """

    def name(groups: Groups) -> list[str | None]:
        names = name_by_folder(groups)
        found = None if all(names) else find_classes(load())
        if found is None:
            return names
        vocabulary, columns = found
        means = np.stack([_read_mean(store, group[:_TYPICAL], columns) for group in groups])
        gains = means @ vocabulary.directions.T
        gains -= gains.mean(axis=0)
        words = [vocabulary.class_names[int(row.argmax())] if row.max() >= _CLEAR else None for row in gains]
        return [folder or word for folder, word in zip(names, words, strict=True)]

    return name


def _read_mean(store: Store, group: Sequence[Record], columns: slice) -> NDArray[np.float32]:
    """The mean of some embeddings, each cut to the columns and scaled to length 1: float32 (w,)."""
    parts = [rows[:, columns] for _, rows in store.embeddings([record.id for record in group])]
    return np.asarray(unit(np.concatenate(parts)).mean(axis=0))


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
