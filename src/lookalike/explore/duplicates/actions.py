"""What is done with the duplicates of a gallery: a plan, moves, and pairs that a person has marked as distinct."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.explore.duplicates.find import prove_pair
from lookalike.explore.duplicates.keep import Keep, Plan, check_keep, make_plan
from lookalike.explore.duplicates.reading import Reader
from lookalike.explore.duplicates.trash import Moved, move_copies
from lookalike.images.paths import show_path, to_bytes
from lookalike.indexing.folders import canonical_path
from lookalike.store import Record, is_folder

if TYPE_CHECKING:
    from lookalike.explore.duplicates.groups import Duplicates, Picture
    from lookalike.explore.duplicates.proof import Evidence, Kind
    from lookalike.indexing.folders import AnyPath
    from lookalike.store import Store

__all__ = ["apply_plan", "find_trash", "mark_distinct", "plan_moves"]

_TRASH = ".lookalike-trash"


def plan_moves(duplicates: Duplicates, keep: str = "largest") -> Plan:
    """What to keep and what to move, by a rule of `lookalike.explore.duplicates.keep.KEEP`. Raises UsageError."""
    rule: Keep = check_keep(keep)
    with Reader() as reader:

        def prove(one: Picture, other: Picture) -> tuple[Kind | None, Evidence]:
            return prove_pair(_as_record(one), _as_record(other), reader)

        return make_plan(duplicates, rule, prove)


def apply_plan(store: Store, plan: Plan, trash: Path, *, wait: float = 0.0) -> Moved:
    """Move the copies of a plan into a trash folder, and remove their records from the store.

    Raises StoreBusy; UsageError if the folder cannot be used.
    """
    moved: list[int] = []
    with store.writing(wait=wait):
        try:
            return move_copies(plan.moves, trash, on_moved=lambda move: moved.append(move.copy.id))
        finally:
            store.remove(moved)


def find_trash(location: str) -> Path:
    """The trash folder of a gallery by its location: beside the gallery, hidden. Raises UsageError for a URL."""
    if not is_folder(location):
        raise UsageError(
            f"{location} is not a folder, so a trash folder cannot be put beside it", hint="name one: --trash FOLDER"
        )
    return Path(os.path.abspath(location)).parent / _TRASH


def mark_distinct(store: Store, one: AnyPath, other: AnyPath, *, wait: float = 0.0) -> None:
    """Remember that two pictures, by path, are not duplicates of each other, as long as their contents are the same.

    Raises StoreBusy; UsageError for a path that is not in the gallery.
    """
    with store.writing(wait=wait):
        if canonical_path(one, store) == canonical_path(other, store):
            raise UsageError(f"{show_path(canonical_path(one, store))} was named twice", hint="name two pictures")
        digests = sorted(_digest(store, path) for path in (one, other))
        pair = (digests[0], digests[1])
        store.set_distinct(sorted({*store.distinct, pair}))


def _digest(store: Store, path: AnyPath) -> bytes:
    key = canonical_path(path, store)
    record = store.find([key]).get(key)
    if record is None or record.digest is None:
        raise UsageError(f"{show_path(key)} is not in the gallery", hint="add it: lookalike index FOLDER")
    return record.digest


def _as_record(picture: Picture) -> Record:
    return Record(to_bytes(picture.path), digest=picture.digest)
