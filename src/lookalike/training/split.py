"""Which pictures a training has seen. By content, as its split is: under whatever name, in whatever folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import Dataset, split_by_content
from lookalike.errors import TrainingError
from lookalike.training.data import read_split
from lookalike.training.folder import SPLIT, is_imported

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.datasets.labelled import LabelledPicture

__all__ = ["count_trained", "own_split", "seen_by"]


def seen_by(home: Path) -> dict[bytes, tuple[str, bool]] | None:
    """For each SHA-256 of a training's pictures a path below its folder, and whether it is trained on.

    None for an imported model, of which nobody knows. Raises TrainingError for a folder that holds no training.
    """
    if is_imported(home):
        return None
    try:
        return read_split(home)
    except FileNotFoundError:
        raise TrainingError(f"{home} has lost its {SPLIT}", hint="begin anew with --fresh") from None


def own_split(home: Path, pictures: Sequence[LabelledPicture]) -> Dataset:
    """A training's own split of labelled pictures: those it was trained on, to be searched with all others.

    Where it has seen all of them or none, or nobody knows, they are split as pictures without a training are.
    """
    seen = seen_by(home) or {}
    sides: dict[bool, list[LabelledPicture]] = {True: [], False: []}
    for picture in pictures:
        sides[_is_trained(seen, picture)].append(picture)
    if not all(sides.values()):
        return split_by_content(pictures)
    return Dataset(tuple(sides[True]), tuple(sides[False]))


def count_trained(home: Path, pictures: Sequence[LabelledPicture]) -> int | None:
    """How many of the pictures the model was trained on; None for an imported model, of which nobody knows."""
    seen = seen_by(home)
    return None if seen is None else sum(_is_trained(seen, picture) for picture in pictures)


def _is_trained(seen: dict[bytes, tuple[str, bool]], picture: LabelledPicture) -> bool:
    return seen.get(file_digest(picture.path), ("", False))[1]
