"""Digests of picture files, and the split into training and test pictures that they decide."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from lookalike.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["content_digest", "file_digest", "fixed_split"]


def file_digest(path: bytes) -> bytes:
    """SHA-256 of a file's bytes. Raises DatasetError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"{os.fsdecode(path)} cannot be read: {error.strerror}") from None


def content_digest(folder: Path, names: Iterable[str]) -> str:
    """One SHA-256, in hex, over the lines `sha256(file)  name` of these files below `folder`, sorted by name.

    It identifies a collection, whatever archive it came in.
    """
    lines = [f"{file_digest(os.fsencode(folder / name)).hex()}  {name}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fixed_split(digests: Sequence[bytes], fraction: float = 0.75) -> list[bool]:
    """Which pictures are for training: a split that never changes and is the same everywhere.

    digests: SHA-256 of each picture's file. fraction: the share for training, in [0, 1].

    The different digests are sorted and the first of them taken for training, so that copies of a picture are always on
    the same side, and neither names, nor the order of files, nor a random number matters.
    """
    ordered = sorted(set(digests))
    train = set(ordered[: round(fraction * len(ordered))])
    return [digest in train for digest in digests]
