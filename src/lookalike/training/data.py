"""The pictures of a training: decoded once into one file, and read from there batch by batch.

Memory does not grow with the collection: the file is memory-mapped, and the system caches as much as it has room for.
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
from lookalike.errors import TrainingError, UsageError, counted
from lookalike.files import replace_file
from lookalike.images.decode import DecodedPicture, View
from lookalike.images.paths import show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import walk
from lookalike.training.folder import PICTURES, SKIPPED, SPLIT, list_drawings, start_over, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.images.pool import OnProgress
    from lookalike.training.presets import Preset
__all__ = [
    "Labelled", "Pictures", "check_folder", "gather", "list_pictures", "read_batches", "read_labelled", "read_split",
    "split_batches",
]  # fmt: skip

_TRAIN, _TEST = "train", "test"


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures of a training, uint8 (n, size, size, 3), and which of them it trains on, bool (n,).

    labels: str (n,), the folder of each picture below the training's; empty for pictures that are not in a subfolder.
    """

    pixels: NDArray[np.uint8]
    is_train: NDArray[np.bool_]
    labels: NDArray[np.str_]

    @property
    def train(self) -> NDArray[np.intp]:
        """Indices of the pictures that it trains on."""
        return np.flatnonzero(self.is_train)

    @property
    def held_out(self) -> NDArray[np.intp]:
        """Indices of the held-out pictures, which it never sees."""
        return np.flatnonzero(~self.is_train)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A decoded picture, uint8 (size, size, 3), with its path below the folder, its class and its SHA-256."""

    pixels: NDArray[np.uint8]
    name: str
    label: str
    digest: bytes


def gather(folder: Path, run: Path, preset: Preset, *, on_progress: OnProgress | None = None) -> Pictures:
    """Decode the pictures below `folder` to the preset's size, and keep them with their split in the folder `run`.

    Files that cannot be read are skipped and listed in `skipped.csv`. Raises TrainingError for fewer than two
    pictures, and when they are not the same as when the training began.
    """
    if not _is_complete(run, preset.size):
        _decode_all(folder, run, preset, on_progress)
    rows = _read_rows(run)
    is_train = np.array([row["split"] == _TRAIN for row in rows])
    labels = np.array([row["class"] for row in rows], np.str_)
    pixels = np.memmap(run / PICTURES, np.uint8, "r", shape=(len(is_train), preset.size, preset.size, 3))
    return Pictures(pixels, is_train, labels)


def read_batches(pictures: Pictures, chosen: NDArray[np.intp], size: int) -> Iterator[NDArray[np.float32]]:
    """Read pictures by their indices, in that order: float32 (size, s, s, 3) in [0, 1], the last batch shorter."""
    for start in range(0, len(chosen), size):
        yield pictures.pixels[chosen[start : start + size]].astype(np.float32) / np.float32(255)


def read_labelled(
    folder: Path, paths: Iterable[bytes], size: int, *, on_progress: OnProgress | None = None
) -> Iterator[Labelled | tuple[str, str]]:
    """Decode files below `folder`, in order: a picture, or the name and the reason why it cannot be read."""
    root = os.path.abspath(os.fsencode(folder))
    paths = list(paths)
    with DecoderPool(View(size)) as reader:
        for done, (path, result) in enumerate(reader.read(paths), 1):
            name = os.fsdecode(os.path.relpath(path, root))
            if isinstance(result, DecodedPicture):
                pixels = np.frombuffer(result.pixels, np.uint8).reshape(size, size, 3)
                yield Labelled(pixels, name, _find_class(name), result.digest)
            else:
                yield show_path(os.fsencode(name)), result
            if on_progress is not None:
                on_progress(done, len(paths))


def read_split(run: Path) -> dict[bytes, tuple[str, bool]]:
    """Map the SHA-256 of each picture of a training to its path below the folder and whether it is trained on."""
    return {bytes.fromhex(row["sha256"]): (row["file"], row["split"] == _TRAIN) for row in _read_rows(run)}


def check_folder(folder: Path) -> None:
    """Raise UsageError if the folder of the pictures is missing."""
    if not folder.is_dir():
        raise UsageError(f"no such folder: {show_path(os.fsencode(folder))}")


def list_pictures(folder: Path, *, without: Path | None = None) -> list[bytes]:
    """List all picture files below a folder, sorted, except a training's own plots. Raises UsageError if it is missing.

    without: the folder of that training.
    """
    check_folder(folder)
    drawn = list_drawings(without) if without is not None else set()
    found = (entry.path for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem)
    return sorted(path for path in found if path not in drawn)


def _is_complete(run: Path, size: int) -> bool:
    with suppress(FileNotFoundError):
        return (run / PICTURES).stat().st_size == len(_read_rows(run)) * size * size * 3
    return False


def _decode_all(folder: Path, run: Path, preset: Preset, on_progress: OnProgress | None) -> None:
    found: list[tuple[str, str, bytes]] = []
    skipped: list[tuple[str, str]] = []

    with replace_file(run / PICTURES) as part, part.open("wb") as file:
        paths = list_pictures(folder, without=run)
        for result in read_labelled(folder, paths, preset.size, on_progress=on_progress):
            if isinstance(result, Labelled):
                file.write(result.pixels.tobytes())
                found.append((result.name, result.label, result.digest))
            else:
                skipped.append(result)
    if len(found) < 2:
        raise TrainingError(
            f"{folder} has {counted(len(found), 'picture')} that can be read; training needs at least two"
        )
    write_csv(run / SKIPPED, ["file", "reason"], skipped)
    _write_split(run, found, preset.fraction)


def _write_split(run: Path, found: list[tuple[str, str, bytes]], fraction: float) -> None:
    digests = [digest for _, _, digest in found]
    if (run / SPLIT).exists() and [bytes.fromhex(row["sha256"]) for row in _read_rows(run)] != digests:
        (run / PICTURES).unlink()
        raise TrainingError(f"the pictures have changed since the training in {run} began", hint=start_over(run))
    rows = [
        (name, label, _TRAIN if is_train else _TEST, digest.hex())
        for (name, label, digest), is_train in zip(found, fixed_split(digests, fraction), strict=True)
    ]
    write_csv(run / SPLIT, ["file", "class", "split", "sha256"], rows)


def _read_rows(run: Path) -> list[dict[str, str]]:
    """Raises FileNotFoundError without a split, TrainingError for one that is damaged."""
    with (run / SPLIT).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    if not all(row.get("sha256") and row.get("split") in {_TRAIN, _TEST} for row in rows):
        raise TrainingError(f"{run / SPLIT} is damaged", hint=start_over(run))
    return rows


def _find_class(name: str) -> str:
    first, _, rest = name.replace(os.sep, "/").partition("/")
    return first if rest else ""


def split_batches(pictures: Iterable[Labelled], size: int) -> Iterator[list[Labelled]]:
    """Split pictures into lists of `size`, the last shorter."""
    remaining = iter(pictures)
    while some := list(islice(remaining, size)):
        yield some
