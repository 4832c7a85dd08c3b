"""Labelled collections: a folder of class folders, a split of it, and two that can be had for a demonstration."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.errors import DatasetError
from lookalike.images.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "Dataset",
    "LabelledPicture",
    "content_digest",
    "file_digest",
    "fixed_split",
    "load_labelled",
    "read_split",
    "split_by_content",
]

_COLUMNS = ["file", "class", "split"]
_TRAIN, _TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A file and its class."""

    path: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures to search in, and pictures to search with; no file is in both."""

    gallery: tuple[LabelledPicture, ...]
    queries: tuple[LabelledPicture, ...]


def load_labelled(folder: Path) -> list[LabelledPicture]:
    """Every picture file below `folder`, ordered by path; its class is the first folder on the way to it.

    Raises DatasetError when there are no two classes.
    """
    root = os.path.abspath(os.fsencode(folder))
    found = (entry.path for entry in walk(root) if not entry.problem)
    pictures = [LabelledPicture(path, label) for path in sorted(found) if (label := _class_of(path, root))]
    if len({picture.label for picture in pictures}) < 2:
        raise DatasetError(
            f"{folder} is no labelled folder: it has pictures of {len({p.label for p in pictures})} classes",
            hint="one folder for each class, pictures inside: animals/cat/1.jpg, animals/dog/2.jpg",
        )
    return pictures


def read_split(file: Path, folder: Path) -> Dataset:
    """A split that is kept in a CSV file with the columns file, class and split (train or test).

    Train pictures are the gallery, test pictures the queries; `file` is a path below `folder`.
    Raises DatasetError for a missing column, class, file or part, a file named twice or outside the folder,
    a word that is neither train nor test.
    """
    root = os.path.abspath(os.fsencode(folder))
    parts: dict[str, list[LabelledPicture]] = {_TRAIN: [], _TEST: []}
    seen: set[bytes] = set()
    for line, row in _rows(file):
        picture = LabelledPicture(os.path.abspath(os.path.join(root, os.fsencode(row["file"]))), row["class"])
        problem = _problem(row, picture, root) or (f"{row['file']} is named twice" if picture.path in seen else "")
        if problem:
            raise DatasetError(f"{file} line {line}: {problem}")
        seen.add(picture.path)
        parts[row["split"]].append(picture)
    for part, pictures in parts.items():
        if not pictures:
            raise DatasetError(f"{file} has no {part} picture")
    return Dataset(tuple(parts[_TRAIN]), tuple(parts[_TEST]))


def split_by_content(pictures: Sequence[LabelledPicture], fraction: float = 0.75) -> Dataset:
    """`fixed_split` of labelled pictures, by the SHA-256 of their files."""
    is_train = fixed_split([file_digest(picture.path) for picture in pictures], fraction)
    pairs = list(zip(pictures, is_train, strict=True))
    return Dataset(tuple(p for p, train in pairs if train), tuple(p for p, train in pairs if not train))


def fixed_split(digests: Sequence[bytes], fraction: float = 0.75) -> list[bool]:
    """Which pictures are for training: a split that is the same everywhere and for ever.

    digests: SHA-256 of each picture's file; fraction: the share for training, in [0, 1]. The different digests
    are put in order and the first of them taken, so that copies of a picture are always on the same side, and
    neither a name, an order nor a random number matters.
    """
    ordered = sorted(set(digests))
    train = set(ordered[: round(fraction * len(ordered))])
    return [digest in train for digest in digests]


def file_digest(path: bytes) -> bytes:
    """SHA-256 of a file's bytes. Raises DatasetError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"{os.fsdecode(path)} cannot be read: {error.strerror}") from None


def content_digest(folder: Path, names: Iterable[str]) -> str:
    """One SHA-256, in hex, over the lines `sha256(file)  name` of these files below `folder`, sorted by name.

    What a collection is known by, whatever archive it came in.
    """
    lines = [f"{file_digest(os.fsencode(folder / name)).hex()}  {name}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _class_of(path: bytes, root: bytes) -> str:
    """The first folder below `root`; empty for a picture that lies in `root` itself."""
    first, _, rest = os.fsdecode(os.path.relpath(path, root)).partition(os.sep)
    return first if rest else ""


def _problem(row: dict[str, str], picture: LabelledPicture, root: bytes) -> str:
    """What is wrong with a line of a split; empty when all is well."""
    if row["split"] not in {_TRAIN, _TEST}:
        return f"split is {row['split']!r}, expected train or test"
    if not picture.label:
        return f"{row['file']} has no class"
    if not picture.path.startswith(root.rstrip(b"/") + b"/"):
        return f"{row['file']} is outside {os.fsdecode(root)}"
    if not os.path.isfile(picture.path):
        return f"{row['file']} is not in {os.fsdecode(root)}"
    return ""


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Every row with the number of its line; a cell that is missing is empty."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:  # spreadsheets put a mark in front
            reader = csv.DictReader(opened, restval="")
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(f"{file} has no column {', '.join(missing)}")
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} is no CSV file: {error}") from None
