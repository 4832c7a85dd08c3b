"""What the first search with a filter costs, in processor seconds of a fresh process.

    python benchmarks/filters.py [--items 200000] [--folders 300] [--keep FOLDER]

For filters of each kind: without the files that filters read, with them, and with them after 1,000 records were added.
Every process opens the gallery and finds the ids that pass; no picture is encoded. The records are made up, all of
different sizes, in folders of equal size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from house_driver import make_record, open_gallery

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIM = 8
_BATCH = 4096
_ROUNDS = 3
_ADDED = 1000
_TERMS = ("folder:0007", "name:*77.jpg", "size:>2MB", "width:>3000", "date:2024-05")
DRIVER = Path(__file__).with_name("house_driver.py")


def put(place: Path, numbers: range, folders: int) -> None:
    """Put made-up records with these numbers into the gallery at `place`."""
    rng = np.random.default_rng(numbers.start)
    store = open_gallery(str(place), _DIM)
    with store.writing():
        for first in range(numbers.start, numbers.stop, _BATCH):
            records = [_make_record(n, folders, rng) for n in range(first, min(first + _BATCH, numbers.stop))]
            rows = rng.standard_normal((len(records), _DIM), np.float32)
            store.put(records, {record.digest: row for record, row in zip(records, rows, strict=True)})
    store.close()


def _make_record(n: int, folders: int, rng: np.random.Generator) -> Any:
    width, height = rng.integers(500, 6000, 2).tolist()
    moment = int(rng.integers(1_262_304_000, 1_767_225_600)) * 10**9 + n
    path = b"/home/me/Pictures/%04d/IMG_%07d.jpg" % (n % folders, n)
    stamp, kind = (width * height // 5 + n, moment), "JPEG" if n % 9 else "PNG"
    return make_record(path, stamp, n.to_bytes(32, "big"), (width, height), kind)


def first_filter(place: Path, term: str) -> tuple[float, int]:
    """Processor seconds of a filter in a fresh process, and how many records pass."""
    command = [sys.executable, str(DRIVER), "passing", str(place), term]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return said["seconds"], said["found"]


def report(name: str, place: Path, term: str, before: object = None) -> None:
    """The least of some rounds. before: what is done ahead of each."""
    found = []
    for _ in range(_ROUNDS):
        if callable(before):
            before()
        found.append(first_filter(place, term))
    print(f"{term:14} {name:24} {min(seconds for seconds, _ in found):8.3f} s   {found[0][1]:9,} pass", flush=True)


@contextmanager
def chosen_place(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "gallery"


def forget(place: Path) -> None:
    for file in place.glob("facts.*"):
        file.unlink()


def main(place: Path, count: int, folders: int) -> None:
    if not place.exists():
        put(place, range(count), folders)
    for term in _TERMS:
        report("without the files", place, term, lambda: forget(place))
        report("with them", place, term)
    print({file.name: file.stat().st_size for file in sorted(place.iterdir())}, flush=True)
    grown = place.with_name(f"{place.name}.grown")
    shutil.copytree(place, grown)
    put(grown, range(count, count + _ADDED), folders)
    kept = {file.name: file.read_bytes() for file in place.glob("facts.*")}

    def go_back() -> None:
        forget(grown)
        for name, content in kept.items():
            (grown / name).write_bytes(content)

    for term in _TERMS:
        report(f"{_ADDED:,} records later", grown, term, go_back)
        report("and then", grown, term)
    shutil.rmtree(grown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--folders", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="make the gallery here, or take the one that is")
    chosen = parser.parse_args()
    with chosen_place(chosen.keep) as place:
        main(place, chosen.items, chosen.folders)
