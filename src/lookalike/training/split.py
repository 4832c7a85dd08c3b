"""Which pictures a training has seen: by content, as its split is, whatever their names and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import Dataset, split_by_content
from lookalike.errors import TrainingError
from lookalike.files import expands_home
from lookalike.training.data import read_split
from lookalike.training.folder import SPLIT, is_imported, start_over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.datasets.labelled import LabelledPicture

__all__ = ["count_trained", "own_split", "seen_by"]


@expands_home
def seen_by(run: Path) -> dict[bytes, tuple[str, bool]] | None:
    """Map the SHA-256 of each picture of a training to its path below the folder and whether it is trained on.

    None for an imported model, for which this is unknown. Raises TrainingError for a folder without a training.
    """
    if is_imported(run):
        return None
    try:
        return read_split(run)
    except FileNotFoundError:
        raise TrainingError(f"{run} has lost its {SPLIT}", hint=start_over(run)) from None


@expands_home
def own_split(run: Path, pictures: Sequence[LabelledPicture]) -> Dataset:
    """Split labelled pictures as a training did: those it was trained on are the gallery, all others the queries.

    If it has seen all or none of them, or if that is unknown, they are split as pictures without a training are.
    """
    seen = seen_by(run) or {}
    sides: dict[bool, list[LabelledPicture]] = {True: [], False: []}
    for picture in pictures:
        sides[_is_trained(seen, picture)].append(picture)
    if not all(sides.values()):
        return split_by_content(pictures)
    return Dataset(tuple(sides[True]), tuple(sides[False]))


@expands_home
def count_trained(run: Path, pictures: Sequence[LabelledPicture]) -> int | None:
    """Count the pictures that the model was trained on; None for an imported model, for which this is unknown."""
    seen = seen_by(run)
    return None if seen is None else sum(_is_trained(seen, picture) for picture in pictures)


def _is_trained(seen: dict[bytes, tuple[str, bool]], picture: LabelledPicture) -> bool:
    return seen.get(file_digest(picture.path), ("", False))[1]
