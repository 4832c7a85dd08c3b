"""How many modules of the package a search and an `index` cross, and how often they move from one file to another.

    python benchmarks/moves.py [--encoder NAME] [--pictures 60] [--list] [--json]

A move is a call of a function in one file of the package while the nearest function of the package on the stack is in
another file; whatever stands between the two, of Python's own library or of another package, does not matter. Resuming
a generator or leaving a `with` counts as a call too, since whoever follows the code has to go back there. Module bodies
and what they call while they are imported do not count. "distinct" counts equal moves once; "imported" is how many
modules of the package are imported in the end, crossed or not.

Each figure comes from a process of its own, by `sys.setprofile`. A warm search is the third of its process, a cold one
includes opening the gallery, and `index` fills a new gallery; the worker processes that decode pictures are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import lookalike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_PACKAGE = os.path.dirname(lookalike.__file__) + os.sep
_QUERY = "000.jpg"


class Walk:
    """What a profiler has met: the files whose functions were called, and the moves between files, in their order."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.moves: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not _is_ours(frame):
            return
        stack = list(_ours(frame))
        if any(one.f_code.co_name == "<module>" for one in stack):
            return
        self.files.add(_file(frame))
        if len(stack) > 1 and _file(stack[1]) != _file(frame):
            self.moves.append((_name(stack[1]), _name(frame)))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what this thread does inside, and every thread that is started there."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _ours(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of the package on the stack, the innermost first."""
    while frame is not None:
        if _is_ours(frame):
            yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename.removeprefix(_PACKAGE)


def _name(frame: FrameType) -> str:
    return f"{_file(frame)}:{frame.f_code.co_qualname}"


def warm(walk: Walk, home: Path, _encoder: str) -> None:
    with lookalike.Gallery.open(home / "gallery") as gallery:
        for _ in range(2):
            gallery.search(home / "photos" / _QUERY)
        with walk.recorded():
            gallery.search(home / "photos" / _QUERY)


def cold(walk: Walk, home: Path, _encoder: str) -> None:
    opened = lookalike.Gallery.open  # imports what it needs to be looked up
    with walk.recorded(), opened(home / "gallery") as gallery:
        gallery.search(home / "photos" / _QUERY)


def index(walk: Walk, home: Path, encoder: str) -> None:
    with lookalike.Gallery.open(home / "another", encoder=encoder, create=True) as gallery, walk.recorded():
        gallery.index(home / "photos")


MEASURES: dict[str, Callable[[Walk, Path, str], None]] = {"warm search": warm, "cold search": cold, "index": index}


def measure(what: str, home: Path, encoder: str) -> dict[str, Any]:
    """In this process: the files, the moves, and how many modules of the package are imported in the end."""
    walk = Walk()
    MEASURES[what](walk, home, encoder)
    imported = [name for name in sys.modules if name.partition(".")[0] == lookalike.__name__]
    return {"what": what, "files": sorted(walk.files), "moves": walk.moves, "imported": len(imported)}


def measure_apart(what: str, home: Path, encoder: str) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(home), "--encoder", encoder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_gallery(home: Path, encoder: str, pictures: int) -> None:
    """A folder of smooth pictures of a few colours, and a gallery of them."""
    (home / "photos").mkdir()
    for seed in range(pictures):
        colours = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
        picture = Image.fromarray(colours).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(home / "photos" / f"{seed:03}.jpg", quality=90)
    with lookalike.Gallery.open(home / "gallery", encoder=encoder, create=True) as gallery:
        gallery.index(home / "photos")


def show(found: list[dict[str, Any]], *, listed: bool) -> None:
    print(f"{'what':<12} {'modules':>8} {'moves':>7} {'distinct':>9} {'imported':>9}")
    for one in map(counted, found):
        figures = f"{one['modules']:>8} {one['moves']:>7,} {one['distinct']:>9} {one['imported']:>9}"
        print(f"{one['what']:<12} {figures}")
    for one in found if listed else []:
        print(f"\n{one['what']}")
        for number, (before, after) in enumerate(one["moves"], 1):
            print(f"{number:>5}  {before} -> {after}")


def counted(one: dict[str, Any]) -> dict[str, Any]:
    """The figures of a measure: modules crossed, moves, and how many of those are different."""
    moves = one["moves"]
    counts = {"modules": len(one["files"]), "moves": len(moves), "distinct": len(set(map(tuple, moves)))}
    return {"what": one["what"], **counts, "imported": one["imported"]}


def as_json(options: argparse.Namespace, found: list[dict[str, Any]]) -> str:
    measures = [{**counted(one), **({"list": one["moves"]} if options.list else {})} for one in found]
    return json.dumps({"encoder": options.encoder, "pictures": options.pictures, "measures": measures})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="histogram", metavar="NAME")
    parser.add_argument("--pictures", type=int, default=60, help="from 50 on a gallery adapts")
    parser.add_argument("--list", action="store_true", help="print the moves themselves, in order")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]), options.encoder)))
        return
    with tempfile.TemporaryDirectory() as name:
        make_gallery(Path(name), options.encoder, options.pictures)
        found = [measure_apart(what, Path(name), options.encoder) for what in MEASURES]
    if options.json:
        print(as_json(options, found))
    else:
        show(found, listed=options.list)


if __name__ == "__main__":
    main()
