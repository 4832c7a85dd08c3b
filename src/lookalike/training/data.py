"""The pictures of a training: decoded once into one file, read from there batch by batch.

Memory does not grow with the collection: the file is mapped, and the system keeps of it what it has room for.
"""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from lookalike.datasets.digests import fixed_split
from lookalike.errors import TrainingError, UsageError
from lookalike.images.decode import Picture, View
from lookalike.images.paths import show_path
from lookalike.images.pool import Reader
from lookalike.images.walk import walk
from lookalike.training.folder import PICTURES, SKIPPED, SPLIT, made, replace, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.presets import Preset

    Progress = Callable[[int, int], None]
    """Called with how many are done and how many there are."""

__all__ = [
    "Labelled", "Pictures", "batches", "gather", "paths_below", "read_labelled", "read_split", "stacked",
]  # fmt: skip

_TRAIN, _TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class Pictures:
    """All of a training's pictures, uint8 (n, size, size, 3), and which of them it is fitted on, bool (n,).

    labels: str (n,), the folder that a picture lies in below that of the training; empty for none.
    """

    pixels: NDArray[np.uint8]
    is_train: NDArray[np.bool_]
    labels: NDArray[np.str_]

    @property
    def train(self) -> NDArray[np.intp]:
        """The numbers of those it is fitted on."""
        return np.flatnonzero(self.is_train)

    @property
    def held_out(self) -> NDArray[np.intp]:
        """The numbers of those it never sees."""
        return np.flatnonzero(~self.is_train)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A decoded picture, uint8 (size, size, 3), with its path below the folder, its class and its SHA-256."""

    pixels: NDArray[np.uint8]
    name: str
    label: str
    digest: bytes


def gather(folder: Path, home: Path, preset: Preset, *, progress: Progress | None = None) -> Pictures:
    """The pictures below `folder`, cut to the preset's size; kept in the folder `home` with their split.

    Files that cannot be read are left out and listed in `skipped.csv`. Raises TrainingError when fewer than two
    are left, and when they are no longer those that the split was made of.
    """
    if not _is_there(home, preset.size):
        _decode_all(folder, home, preset, progress)
    rows = _rows(home)
    is_train = np.array([row["split"] == _TRAIN for row in rows])
    labels = np.array([row["class"] for row in rows], np.str_)
    pixels = np.memmap(home / PICTURES, np.uint8, "r", shape=(len(is_train), preset.size, preset.size, 3))
    return Pictures(pixels, is_train, labels)


def batches(pictures: Pictures, chosen: NDArray[np.intp], size: int) -> Iterator[NDArray[np.float32]]:
    """Pictures by their numbers, in that order: float32 (size, s, s, 3) in [0, 1], the last batch shorter."""
    for start in range(0, len(chosen), size):
        yield pictures.pixels[chosen[start : start + size]].astype(np.float32) / np.float32(255)


def read_labelled(
    folder: Path, paths: Iterable[bytes], size: int, *, progress: Progress | None = None
) -> Iterator[Labelled | tuple[str, str]]:
    """Decode some files below `folder`: the picture, or its name and the reason why there is none; in order."""
    root = os.path.abspath(os.fsencode(folder))
    paths = list(paths)
    with Reader(View(size)) as reader:
        for done, (path, result) in enumerate(reader.read(paths), 1):
            name = os.fsdecode(os.path.relpath(path, root))
            if isinstance(result, Picture):
                pixels = np.frombuffer(result.pixels, np.uint8).reshape(size, size, 3)
                yield Labelled(pixels, name, _class_of(name), result.digest)
            else:
                yield show_path(os.fsencode(name)), result
            if progress is not None:
                progress(done, len(paths))


def read_split(home: Path) -> dict[bytes, tuple[str, bool]]:
    """For each SHA-256 of a training's pictures a path below its folder, and whether it is trained on."""
    return {bytes.fromhex(row["sha256"]): (row["file"], row["split"] == _TRAIN) for row in _rows(home)}


def paths_below(folder: Path, *, without: Path | None = None) -> list[bytes]:
    """All picture files below a folder, by path, without those drawn of a training. Raises UsageError if it is none."""
    if not folder.is_dir():
        raise UsageError(f"no such folder: {show_path(os.fsencode(folder))}")
    drawn = made(without) if without is not None else set()
    found = (entry.path for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem)
    return sorted(path for path in found if path not in drawn)


def _is_there(home: Path, size: int) -> bool:
    with suppress(FileNotFoundError):
        return (home / PICTURES).stat().st_size == len(_rows(home)) * size * size * 3
    return False


def _decode_all(folder: Path, home: Path, preset: Preset, progress: Progress | None) -> None:
    found: list[tuple[str, str, bytes]] = []
    skipped: list[tuple[str, str]] = []

    def write(part: str) -> None:
        with open(part, "wb") as file:
            paths = paths_below(folder, without=home)
            for result in read_labelled(folder, paths, preset.size, progress=progress):
                if isinstance(result, Labelled):
                    file.write(result.pixels.tobytes())
                    found.append((result.name, result.label, result.digest))
                else:
                    skipped.append(result)

    replace(home / PICTURES, write)
    if len(found) < 2:
        raise TrainingError(f"{folder} has {len(found)} pictures that can be read; a training needs two at least")
    write_csv(home / SKIPPED, ["file", "reason"], skipped)
    _keep_split(home, found, preset.fraction)


def _keep_split(home: Path, found: list[tuple[str, str, bytes]], fraction: float) -> None:
    digests = [digest for _, _, digest in found]
    if (home / SPLIT).exists() and [bytes.fromhex(row["sha256"]) for row in _rows(home)] != digests:
        (home / PICTURES).unlink()
        raise TrainingError(
            f"the pictures are no longer those that {home} was begun with", hint="begin anew with --fresh"
        )
    rows = [
        (name, label, _TRAIN if is_train else _TEST, digest.hex())
        for (name, label, digest), is_train in zip(found, fixed_split(digests, fraction), strict=True)
    ]
    write_csv(home / SPLIT, ["file", "class", "split", "sha256"], rows)


def _rows(home: Path) -> list[dict[str, str]]:
    """Raises FileNotFoundError without a split, TrainingError for one that is damaged."""
    with (home / SPLIT).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    if not all(row.get("sha256") and row.get("split") in {_TRAIN, _TEST} for row in rows):
        raise TrainingError(f"{home / SPLIT} is damaged", hint="begin anew with --fresh")
    return rows


def _class_of(name: str) -> str:
    first, _, rest = name.replace(os.sep, "/").partition("/")
    return first if rest else ""


def stacked(pictures: Iterable[Labelled], size: int) -> Iterator[list[Labelled]]:
    """Lists of `size` pictures, the last shorter."""
    remaining = iter(pictures)
    while some := list(islice(remaining, size)):
        yield some
