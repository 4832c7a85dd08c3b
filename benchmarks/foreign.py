"""How often "nothing good found" is right: pictures of one collection searched for in the gallery of another.

    python benchmarks/foreign.py COLLECTION... [--folder DIR] [--json docs/results/foreign.json]

Each collection is a folder of labelled pictures, divided as `lookalike evaluate` divides it: three quarters become a
gallery, and the rest are queries, its own ones. Two errors are counted for each gallery: its own queries that are
answered "nothing good found", and those of every other collection that are not. Galleries are kept in --folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike import Gallery
from lookalike.datasets.labelled import Dataset, load_labelled, split_by_content
from lookalike.search.judge import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Views = list[NDArray[np.float32]]

K = 10


def make_gallery(folder: Path, dataset: Dataset) -> Gallery:
    """The gallery of a collection, indexed unless it is there."""
    gallery = Gallery.open(folder, create=True)
    gallery.index(*(picture.path for picture in dataset.gallery))
    return gallery


def embed(gallery: Gallery, dataset: Dataset) -> Views:
    """The views of each query, as a search has them."""
    wanted = [picture.path for picture in dataset.queries]
    each = [gallery.embed_files(wanted, view=view) for view in gallery.views]
    found = zip(*each, strict=True)
    return [np.stack([row for _, row in some]) for some in found if not any(isinstance(row, str) for _, row in some)]


def count_strangers(gallery: Gallery, queries: Views) -> float:
    """The share of these queries that are answered "nothing good found"."""
    calibration = gallery.store.calibration
    assert calibration is not None
    strange = []
    with gallery.store.reading():
        for views, near in zip(queries, gallery.nearest(queries, K), strict=True):
            records = gallery.store.get([id_ for id_, _ in near])
            strange.append(bool(judge(gallery.store, calibration, views, records).nothing_good))
    return float(np.mean(strange))


def measure(folders: Sequence[Path], place: Path) -> list[dict[str, Any]]:
    """Both errors of each gallery."""
    datasets = {folder.name: split_by_content(load_labelled(folder)) for folder in folders}
    with ExitStack() as stack:
        galleries = {
            name: stack.enter_context(make_gallery(place / name, dataset)) for name, dataset in datasets.items()
        }
        queries = {name: embed(galleries[name], dataset) for name, dataset in datasets.items()}
        found = []
        for name, gallery in galleries.items():
            strange = {other: count_strangers(gallery, queries[other]) for other in queries}
            own = strange.pop(name)
            least = min(strange, key=lambda other: strange[other])
            mean = float(np.mean(list(strange.values())))
            found.append(
                {"gallery": name, "pictures": len(gallery), "own_refused": own, "foreign_refused": mean, "by": strange}
            )
            print(
                f"{name:14} {len(gallery):6} {own:7.3f} {mean:7.4f}   least {strange[least]:.3f} ({least})", flush=True
            )
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+", metavar="COLLECTION")
    parser.add_argument("--folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    print(f"{'gallery':14} {'of':>6} {'own':>7} {'foreign':>7}   refused")
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options.collections, options.folder or Path(temporary))
    own, foreign = (float(np.mean([one[name] for one in found])) for name in ("own_refused", "foreign_refused"))
    print(f"{'mean':14} {'':6} {own:7.3f} {foreign:7.4f}")
    if options.json:
        summary = {"own_refused": own, "foreign_refused": foreign, "galleries": found}
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
