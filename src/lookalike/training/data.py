"""The pictures of a training: decoded once into one file, read from there batch by batch.

Memory does not grow with the collection: the file is mapped, and the system keeps of it what it has room for.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.datasets import fixed_split
from lookalike.errors import TrainingError
from lookalike.images.decode import Picture, View, show_path
from lookalike.images.reader import Reader
from lookalike.images.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.presets import Preset

    Progress = Callable[[int, int], None]
    """Called with how many are done and how many there are."""

__all__ = ["Pictures", "batches", "gather"]

_FILE, _NAMES, _SPLIT, _SKIPPED = "pictures.u8", "pictures.json", "split.csv", "skipped.csv"


@dataclass(frozen=True, slots=True)
class Pictures:
    """All of a training's pictures, uint8 (n, size, size, 3), and which of them it is fitted on, bool (n,)."""

    pixels: NDArray[np.uint8]
    is_train: NDArray[np.bool_]
    names: tuple[str, ...]

    @property
    def train(self) -> NDArray[np.intp]:
        """The numbers of those it is fitted on."""
        return np.flatnonzero(self.is_train)

    @property
    def held_out(self) -> NDArray[np.intp]:
        """The numbers of those it never sees."""
        return np.flatnonzero(~self.is_train)


def gather(folder: Path, home: Path, preset: Preset, *, progress: Progress | None = None) -> Pictures:
    """The pictures below `folder`, cut to the preset's size; kept in the folder `home` with their split.

    Files that cannot be read are left out and listed in `skipped.csv`. Raises TrainingError when fewer than two
    are left.
    """
    wanted = {"folder": os.path.abspath(folder), "size": preset.size, "fraction": preset.fraction}
    if not _is_there(home, wanted):
        _decode_all(folder, home, preset, progress)
        (home / _NAMES).write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    rows = list(csv.DictReader((home / _SPLIT).read_text(encoding="utf-8").splitlines()))
    shape = (len(rows), preset.size, preset.size, 3)
    pixels = np.memmap(home / _FILE, np.uint8, "r", shape=shape)
    is_train = np.array([row["split"] == "train" for row in rows])
    return Pictures(pixels, is_train, tuple(row["file"] for row in rows))


def batches(pictures: Pictures, chosen: NDArray[np.intp], size: int) -> Iterator[NDArray[np.float32]]:
    """Pictures by their numbers, in that order: float32 (size, s, s, 3) in [0, 1], the last batch shorter."""
    for start in range(0, len(chosen), size):
        yield pictures.pixels[chosen[start : start + size]].astype(np.float32) / np.float32(255)


def _is_there(home: Path, wanted: dict[str, object]) -> bool:
    try:
        return bool(json.loads((home / _NAMES).read_text(encoding="utf-8")) == wanted)
    except (OSError, ValueError):
        return False


def _decode_all(folder: Path, home: Path, preset: Preset, progress: Progress | None) -> None:
    paths = sorted(entry.path for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem)
    digests: dict[bytes, bytes] = {}
    skipped: list[tuple[str, str]] = []
    with Reader(View(preset.size)) as reader, (home / _FILE).open("wb") as file:
        for done, (path, result) in enumerate(reader.read(paths), 1):
            if isinstance(result, Picture):
                file.write(result.pixels)
                digests[path] = result.digest
            else:
                skipped.append((show_path(path), result))
            if progress is not None:
                progress(done, len(paths))
    if len(digests) < 2:
        raise TrainingError(f"{folder} has {len(digests)} pictures that can be read; a training needs two at least")
    _write_csv(home / _SKIPPED, ["file", "reason"], skipped)
    split = fixed_split(list(digests.values()), preset.fraction)
    names = [show_path(os.path.relpath(path, os.path.abspath(os.fsencode(folder)))) for path in digests]
    rows = [(name, _class_of(name), "train" if train else "test") for name, train in zip(names, split, strict=True)]
    _write_csv(home / _SPLIT, ["file", "class", "split"], rows)


def _class_of(name: str) -> str:
    first, _, rest = name.partition("/")
    return first if rest else ""


def _write_csv(path: Path, heading: list[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heading)
        writer.writerows(rows)
