"""Computes the results for a whole collection: its map, its groups, its duplicates.

A large collection has a process of its own for it, with a lower priority: the searches of the server go first, and none
of them waits for the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike import sandbox
from lookalike.gallery import Gallery
from lookalike.store import is_folder
from lookalike.web.survey_cache import Places, mark_state, read_result, write_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.images.pool import OnProgress

__all__ = ["compute", "run"]

_APART = 1000  # pictures from which a process of its own is worth its start of 0.5 s
_NICE = 10
_LOOK = 0.1  # seconds between two looks at its progress


def compute(gallery: Gallery, name: str, on_progress: OnProgress) -> tuple[Any, str]:
    """A result by the name of its survey, and the mark of its state; "" if the gallery has changed meanwhile.

    Raises what `on_progress` raises, and what computing it raises.
    """
    if is_folder(gallery.location) and gallery.store.count()[0] >= _APART:
        with contextlib.suppress(OSError, ChildProcessError):  # whatever is wrong is found again, and said, below
            return _compute_apart(gallery.location, name, on_progress)
    return _compute(gallery, name, on_progress)


def run(location: str, name: str, file: str) -> None:
    """Compute a result, in this process, and write it into a file; the progress goes to standard output."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):  # Windows has no such call
        os.nice(_NICE)
    with Gallery.open(location) as gallery:
        value, mark = _compute(gallery, name, _tell)
    write_result(Path(file), name, value, mark)


def _tell(done: int, total: int) -> None:
    sys.stdout.write(f"{done} {total}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """End when the server has ended, however it did."""
    sys.stdin.buffer.read()
    os._exit(1)


def _compute_apart(location: str, name: str, on_progress: OnProgress) -> tuple[Any, str]:
    """The same in a process of its own. Raises ChildProcessError, OSError."""
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        file = Path(folder) / name
        process = sandbox.start("lookalike.web.surveyor:run", location, name, str(file), stderr=subprocess.DEVNULL)
        with process:
            try:
                _follow(process, on_progress)
            finally:
                process.kill()
        found = read_result(file, name)
    if found is None:
        raise ChildProcessError(f"exit status {process.returncode}")
    return found


def _follow(process: subprocess.Popen[bytes], on_progress: OnProgress) -> None:
    """Report the progress of a process until it ends."""
    last = (0, 0)

    def read() -> None:
        nonlocal last
        for line in process.stdout or ():
            done, _, total = line.partition(b" ")
            last = int(done), int(total)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
        on_progress(*last)
    reader.join()


def _compute(gallery: Gallery, name: str, on_progress: OnProgress) -> tuple[Any, str]:
    before = mark_state(gallery.store)
    value = _COMPUTE[name](gallery, on_progress)
    return value, before if mark_state(gallery.store) == before else ""


def _lay_out(gallery: Gallery, on_progress: OnProgress) -> Places:
    points = gallery.map(on_progress=on_progress)
    names = list(dict.fromkeys(point.cluster for point in points))
    counts = np.bincount(group := _number(names, [point.cluster for point in points]), minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    group = np.argsort(order)[group] if names else group
    places = np.array([(point.x, point.y) for point in points], np.float32).reshape(-1, 2)
    ids = np.array([point.id for point in points], np.int64)
    middles = np.array([_find_middle(places[group == number]) for number in range(len(names))], np.float32)
    columns = np.ascontiguousarray(places.T)
    return Places(ids, columns[0], columns[1], group, [names[one] for one in order], middles.reshape(-1, 2))


def _number(names: list[str], each: list[str]) -> NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in each], np.int64)


def _find_middle(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """The place of the picture that is nearest to the median of a group's places."""
    row: NDArray[np.float32] = places[((places - np.median(places, axis=0)) ** 2).sum(axis=1).argmin()]
    return row


_COMPUTE: dict[str, Callable[[Gallery, OnProgress], Any]] = {
    "map": _lay_out,
    "clusters": lambda gallery, _on_progress: gallery.clusters(),
    "duplicates": lambda gallery, on_progress: gallery.duplicates(on_progress=on_progress),
}
