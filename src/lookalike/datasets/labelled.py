"""Labelled collections: a folder with one folder for each class, and its split into gallery and queries."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.datasets.digests import file_digest, fixed_split
from lookalike.errors import DatasetError
from lookalike.files import expands_home
from lookalike.images.walk import walk
from lookalike.paths import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "Dataset",
    "LabelledPicture",
    "load_labelled",
    "read_split",
    "split_again",
    "split_by_content",
]

_COLUMNS = ["file", "class", "split"]
_TRAIN, _TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture file and the class it belongs to."""

    path: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures to search in, and pictures to search with; no file is in both."""

    gallery: tuple[LabelledPicture, ...]
    queries: tuple[LabelledPicture, ...]


@expands_home
def load_labelled(folder: Path) -> list[LabelledPicture]:
    """Every picture file below `folder`, ordered by path, with its class: the first folder on the way to it.

    Raises DatasetError for a folder with pictures of fewer than two classes.
    """
    root = os.path.abspath(os.fsencode(folder))
    found = (entry.path for entry in walk(root) if not entry.problem)
    pictures = [LabelledPicture(path, label) for path in sorted(found) if (label := _class_of(path, root))]
    if len({picture.label for picture in pictures}) < 2:
        raise DatasetError(
            f"{folder} is not a labelled folder: it has pictures of {len({p.label for p in pictures})} classes",
            hint="one folder for each class, pictures inside: animals/cat/1.jpg, animals/dog/2.jpg",
        )
    return pictures


@expands_home
def read_split(file: Path, folder: Path) -> Dataset:
    """The gallery and queries that a CSV file lists, with the columns file, class and split (train or test).

    Train pictures are the gallery, test pictures the queries; `file` is a path below `folder`. Raises DatasetError,
    naming the line, for a missing column, class, file or part, a file that is named twice or lies outside the folder,
    and a split that is neither train nor test.
    """
    root = os.path.abspath(os.fsencode(folder))
    parts: dict[str, list[LabelledPicture]] = {_TRAIN: [], _TEST: []}
    seen: set[bytes] = set()
    for line, row in _read_rows(file):
        picture = LabelledPicture(os.path.abspath(os.path.join(root, os.fsencode(row["file"]))), row["class"])
        problem = _find_problem(row, picture, root) or (f"{row['file']} is named twice" if picture.path in seen else "")
        if problem:
            raise DatasetError(f"{file} line {line}: {problem}")
        seen.add(picture.path)
        parts[row["split"]].append(picture)
    for part, pictures in parts.items():
        if not pictures:
            raise DatasetError(f"{file} has no {part} picture")
    return Dataset(tuple(parts[_TRAIN]), tuple(parts[_TEST]))


def split_by_content(pictures: Sequence[LabelledPicture], fraction: float = 0.75) -> Dataset:
    """Labelled pictures divided by `fixed_split`: a share of `fraction` is the gallery, the others are the queries."""
    is_train = fixed_split([file_digest(picture.path) for picture in pictures], fraction)
    return _divide(pictures, is_train)


def split_again(dataset: Dataset, seeds: Iterable[int]) -> list[Dataset]:
    """Other splits of the same pictures, one for each seed, with the same share of every class in the gallery.

    A split depends on its seed and on the content of the files only. Copies of a picture are on the same side, and a
    class of two different pictures or more is on both.
    """
    pictures = sorted((*dataset.gallery, *dataset.queries), key=lambda picture: picture.path)
    digests = [file_digest(picture.path) for picture in pictures]
    share = len(dataset.gallery) / len(pictures)
    classes = _group_by_class(pictures, digests)
    drawn = [{digest for group in classes for digest in _draw(group, share, seed)} for seed in seeds]
    return [_divide(pictures, [digest in train for digest in digests]) for train in drawn]


def _divide(pictures: Sequence[LabelledPicture], is_train: Sequence[bool]) -> Dataset:
    pairs = list(zip(pictures, is_train, strict=True))
    return Dataset(tuple(p for p, train in pairs if train), tuple(p for p, train in pairs if not train))


def _group_by_class(pictures: Sequence[LabelledPicture], digests: Sequence[bytes]) -> list[list[bytes]]:
    """The different digests of each class; of copies in two classes, the first picture decides."""
    labels: dict[bytes, str] = {}
    for picture, digest in zip(pictures, digests, strict=True):
        labels.setdefault(digest, picture.label)
    groups: dict[str, list[bytes]] = {}
    for digest, label in labels.items():
        groups.setdefault(label, []).append(digest)
    return list(groups.values())


def _draw(digests: Sequence[bytes], share: float, seed: int) -> list[bytes]:
    """A share of some digests, the same everywhere for a seed: all but one at most, and one at least."""
    ordered = sorted(digests, key=lambda digest: hashlib.sha256(b"%d " % seed + digest).digest())
    return ordered[: max(1, min(round(share * len(ordered)), len(ordered) - 1))]


def _class_of(path: bytes, root: bytes) -> str:
    """The first folder below `root`; empty for a picture directly in `root`."""
    first, _, rest = os.fsdecode(os.path.relpath(path, root)).partition(os.sep)
    return first if rest else ""


def _find_problem(row: dict[str, str], picture: LabelledPicture, root: bytes) -> str:
    """What is wrong with a line of a split; empty if nothing is."""
    if row["split"] not in {_TRAIN, _TEST}:
        return f"split is {row['split']!r}, expected train or test"
    if not picture.label:
        return f"{row['file']} has no class"
    if NATIVE.relative(picture.path, root) is None:
        return f"{row['file']} is outside {os.fsdecode(root)}"
    if not os.path.isfile(picture.path):
        return f"{row['file']} is not in {os.fsdecode(root)}"
    return ""


def _read_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Every row with its line number; missing cells are empty."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:  # spreadsheets put a mark in front
            reader = csv.DictReader(opened, restval="")
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(f"{file} has no column {', '.join(missing)}")
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeEncodeError:
        raise DatasetError(f"{str(file)!a} is not the name of a file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} is not a CSV file: {error}") from None
