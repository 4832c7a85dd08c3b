"""A gallery and labels for its pictures: read them, and adapt the gallery to them if that is any better."""

from __future__ import annotations

import csv
import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from lookalike.adaption import fit, plan_for
from lookalike.datasets import load_labelled
from lookalike.discriminant import LEAST, Choice, choose, fit_classes
from lookalike.errors import DatasetError, UsageError
from lookalike.store.projection import fit_projection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.gallery import Gallery

__all__ = ["adapt_to_labels", "read_labels"]

_MOST = 32768  # labelled embeddings that are fitted to, at most, spread evenly over the gallery
_LOOK = 64  # numbers of a picture beside its classes
_TEST = "test"  # a part of a split that nothing may be fitted on


def read_labels(source: Path) -> dict[bytes, str]:
    """Classes of pictures by their absolute paths: of a folder of class folders, or of a CSV file.

    The file has the columns file, a path from where the file lies, and class; rows whose split is test are left out.
    Raises DatasetError.
    """
    if source.is_dir():
        return {picture.path: picture.label for picture in load_labelled(source)}
    home = os.path.abspath(os.fsencode(source.parent))
    try:
        with source.open(newline="", encoding="utf-8-sig") as opened:
            rows = [row for row in csv.DictReader(opened, restval="") if row.get("split") != _TEST]
            return {os.path.normpath(os.path.join(home, os.fsencode(row["file"]))): row["class"] for row in rows}
    except KeyError as error:
        raise DatasetError(f"{source} has no column {error.args[0]}") from None
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{source} is no CSV file: {error}") from None


def adapt_to_labels(
    gallery: Gallery, labels: Mapping[bytes, str], *, numbers: int | None = None, wait: float = 0.0
) -> Choice:
    """Adapt a gallery to the classes of some or all of its pictures, by path; unless it is better as it is.

    Pictures without a label, and classes of fewer than five, stay in the gallery and are not fitted to. Better is
    what finds pictures of a class better, cross-validated inside the gallery. numbers: of a picture beside its classes,
    64 by default. Raises UsageError for fewer than two such classes.
    """
    look = numbers or _LOOK
    with gallery.store.writing(wait=wait):
        rows, known = _labelled(gallery, labels)
        classes = {label for label, count in Counter(known.tolist()).items() if count >= LEAST}
        if len(classes) < 2:
            raise UsageError(f"{len(classes)} classes have {LEAST} pictures or more in the gallery; it takes two")
        enough = np.isin(known, sorted(classes))
        rows, known = rows[enough], known[enough]
        try:
            plan = plan_for(gallery.store, gallery.encoder, numbers)
            choice = choose(rows, known, numbers=look, without=lambda some: fit(plan, lambda: [some]))
            plain = fit_projection((some for _, some in gallery.store.embeddings()), rows.shape[1], look)
        except ValueError as error:
            raise UsageError(f"the gallery cannot be adapted: {error}") from None
        if choice.is_better:
            gallery.store.project(fit_classes(rows, known, plain, choice))
        return choice


def _labelled(gallery: Gallery, labels: Mapping[bytes, str]) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Embeddings with a label, each content once: copies on both sides of a fold would flatter it."""
    by_content = {item.digest: item for item in gallery.pictures() if labels.get(item.key)}
    chosen = list(by_content.values())[:: -(-len(by_content) // _MOST) or 1]
    known = {item.id: labels[item.key] for item in chosen}
    parts = list(gallery.store.embeddings(sorted(known)))
    rows = np.concatenate([some for _, some in parts]) if parts else np.empty((0, gallery.store.space.dim), np.float32)
    return rows, np.array([known[id_] for ids, _ in parts for id_ in ids.tolist()], np.str_)
