"""What several benchmarks share: galleries of labelled collections, and figures as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lookalike
from lookalike import Gallery
from lookalike.datasets.labelled import load_labelled, read_split, split_by_content
from lookalike.evaluation.record import describe_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLIT = "mit_split.csv"


def gallery_of(source: Path, location: Path) -> Gallery:
    """A gallery of the gallery's side of a labelled collection, by its own split if it has one; kept if it is there."""
    gallery = Gallery.open(location, create=True)
    if not len(gallery):
        split = source / SPLIT
        dataset = read_split(split, source) if split.is_file() else split_by_content(load_labelled(source))
        gallery.index(*[picture.path for picture in dataset.gallery])
    return gallery


def relevant_share(paths: Sequence[Path], classes: set[str]) -> float:
    """The share of pictures in a folder named like one of the classes."""
    return float(np.mean([path.parent.name in classes for path in paths])) if paths else 0.0


def write_figures(file: Path | None, script: str, figures: dict[str, Any]) -> None:
    """Print figures as JSON with where they come from, and write them into a file if one is named."""
    head = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/{Path(script).name} {' '.join(Path(word).name for word in sys.argv[1:])}",
        "versions": {"lookalike": lookalike.__version__, "commit": _commit(), "numpy": np.__version__},
        "machine": describe_machine(),
    }
    text = json.dumps({**head, **figures}, indent=2) + "\n"
    if file is not None:
        file.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
