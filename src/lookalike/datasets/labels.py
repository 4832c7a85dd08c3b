"""Labels for pictures: the classes that a folder of class folders, or a CSV file, gives them."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

from lookalike.datasets.labelled import load_labelled
from lookalike.errors import DatasetError
from lookalike.files import expands_home

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_labels"]

_TEST = "test"  # a part of a split that nothing may be fitted on


@expands_home
def read_labels(source: Path, *, with_test: bool = False) -> dict[bytes, str]:
    """The class of each picture by its absolute path, from a folder of class folders or from a CSV file.

    The CSV file has the columns file, a path relative to the CSV file's folder, and class. Rows whose split is test are
    left out, because nothing may be fitted on them, unless `with_test` is set. Raises DatasetError for a file that
    cannot be read or lacks a column.
    """
    if source.is_dir():
        return {picture.path: picture.label for picture in load_labelled(source)}
    folder = os.path.abspath(os.fsencode(source.parent))
    try:
        with source.open(newline="", encoding="utf-8-sig") as opened:
            rows = [row for row in csv.DictReader(opened, restval="") if with_test or row.get("split") != _TEST]
            return {os.path.normpath(os.path.join(folder, os.fsencode(row["file"]))): row["class"] for row in rows}
    except KeyError as error:
        raise DatasetError(f"{source} has no column {error.args[0]}") from None
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{source} is not a CSV file: {error}") from None
