"""Measures on several labelled collections: one document for each, and their mean, in which all count alike."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.datasets.labelled import load_labelled, read_split, split_by_content
from lookalike.encoders import DEFAULT, learned_parts, load_encoder
from lookalike.errors import LookalikeError, UsageError
from lookalike.evaluation.figures import Figures, average
from lookalike.evaluation.retrieval import measure_dataset
from lookalike.images.paths import path_fields, show_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from lookalike.datasets.labelled import Dataset
    from lookalike.evaluation.retrieval import Method
    from lookalike.images.pool import OnProgress

    OpenProgress = Callable[[str], AbstractContextManager[OnProgress | None]]
    """Called with what is at work, such as `flowers (2 of 8)`; gives its progress."""

    Failed = list[tuple["Collection", LookalikeError]]

__all__ = ["Collection", "Evaluation", "describe_failed", "evaluate_collections", "label_work", "name_collections"]


@dataclass(frozen=True, slots=True)
class Collection:
    """A labelled folder under a name of its own, with the file of its split if it has one."""

    folder: Path
    name: str
    split: Path | None = None

    def load(self) -> Dataset:
        """The gallery and the queries. Raises DatasetError."""
        if self.split is not None:
            return read_split(self.split, self.folder)
        return split_by_content(load_labelled(self.folder))

    def to_dict(self) -> dict[str, Any]:
        """The name and the folder, as documents have them."""
        return {"collection": self.name, **path_fields(self.folder)}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of each collection that could be measured, and the errors of the others."""

    measured: list[tuple[Collection, Figures]]
    failed: Failed

    def to_dict(self) -> dict[str, Any]:
        """The document of all collections, as `lookalike evaluate A B --json` prints it."""
        documents = [{**collection.to_dict(), **figures.to_dict()} for collection, figures in self.measured]
        mean = average([figures for _, figures in self.measured])
        return {"collections": documents, "failed": describe_failed(self.failed), "mean": mean}


def name_collections(folders: Sequence[Path], splits: Iterable[str] = ()) -> list[Collection]:
    """Folders as collections, each named after its folder, or by its path if another has the same name.

    splits: the split files as `FOLDER=CSV`, with a folder as it is given here or its name; with one folder, also
    `CSV`. Raises UsageError for a folder that is given twice and a split that is not for exactly one folder.
    """
    names = [Path(os.path.abspath(folder)).name or os.fspath(folder) for folder in folders]
    _check_different(folders)
    files: dict[int, Path] = {}
    for split in splits:
        number, file = _read_split_option(split, folders, names)
        if files.setdefault(number, file) is not file:
            raise UsageError(f"{show_path(folders[number])} has two splits: {files[number]} and {file}")
    shown = [show_path(name if names.count(name) == 1 else folders[n]) for n, name in enumerate(names)]
    return [Collection(folder, shown[n], files.get(n)) for n, folder in enumerate(folders)]


def evaluate_collections(
    collections: Sequence[Collection],
    encoder: str | Path | None = None,
    method: Method | None = None,
    *,
    open_progress: OpenProgress,
) -> Evaluation:
    """Measure an encoder on each collection by the protocol; one that fails leaves the others as they are.

    Raises what `load_encoder` raises before anything is measured.
    """
    if not learned_parts(encoder or ""):
        load_encoder(encoder or DEFAULT)
    measured: list[tuple[Collection, Figures]] = []
    failed: Failed = []
    for number, collection in enumerate(collections, 1):
        with open_progress(label_work(collection, number, len(collections))) as on_progress:
            try:
                figures = measure_dataset(collection.load(), encoder, method, on_progress=on_progress)
                measured.append((collection, figures))
            except LookalikeError as error:
                failed.append((collection, error))
    return Evaluation(measured, failed)


def describe_failed(failed: Failed) -> list[dict[str, Any]]:
    """The collections that could not be measured, each with the reason."""
    return [{**collection.to_dict(), "reason": str(error)} for collection, error in failed]


def label_work(collection: Collection, number: int, count: int) -> str:
    """What is at work: a collection, and which of how many it is."""
    return f"{collection.name} ({number} of {count})"


def _check_different(folders: Sequence[Path]) -> None:
    seen: set[str] = set()
    for folder in folders:
        real = os.path.realpath(folder)
        if real in seen:
            raise UsageError(f"{show_path(folder)} is given twice, and would count twice in the mean")
        seen.add(real)


def _read_split_option(text: str, folders: Sequence[Path], names: Sequence[str]) -> tuple[int, Path]:
    """The number of the folder that a split is for, and the file."""
    for place in (place for place, char in enumerate(text) if char == "="):
        left = text[:place]
        matching = [n for n, folder in enumerate(folders) if left and (Path(left) == folder or left == names[n])]
        if len(matching) == 1:
            return matching[0], Path(text[place + 1 :])
    if len(folders) == 1:
        return 0, Path(text)
    raise UsageError(
        f"--split {text} does not say which of the {len(folders)} folders it is for",
        hint=f"name the folder and the file: --split {show_path(names[0])}=split.csv",
    )
