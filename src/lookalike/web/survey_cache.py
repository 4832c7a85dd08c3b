"""Results computed for whole collections, kept on disk, so that a restarted server has them at once.

Each file holds one result for one state of one gallery. Its parts have checksums (`vectors/mapped.py`); a file that is
damaged, of another state, or of another version is not used. The folder lies beside the thumbnails, not in the gallery,
which may belong to another user. It may be deleted at any time, and need not be writable.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from lookalike.store import is_folder
from lookalike.vectors.mapped import Damaged, open_segment, write_segment

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.store import Store
    from lookalike.vectors.mapped import Writer

__all__ = ["Places", "SurveyCache", "mark_state", "read_result", "write_result"]

_VERSION = 1  # of what is computed, and of how it is written
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Places:
    """The map as columns, ordered by id. ids: int64 (n,). x, y: float32 (n,) in [-1, 1], y upwards. group: int64 (n,).

    names: of each group, the largest first; middles: float32 (g, 2), the place of a picture in its midst.
    """

    ids: NDArray[np.int64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    group: NDArray[np.int64]
    names: list[str]
    middles: NDArray[np.float32]


class SurveyCache:
    """The folder. Results are found by their name, by the gallery that they are of, and by its state."""

    def __init__(self, folder: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def find(self, name: str, store: Store) -> Any | None:  # noqa: ANN401  (what the form of this name reads)
        """The result for the present state of a gallery; None if there is none."""
        found = read_result(self._path(name, store), name, mark_state(store))
        return found and found[0]

    def keep(self, name: str, store: Store, value: object, mark: str) -> None:
        """Keep a result, if the folder can be written. mark: of the state that it was computed of."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_result(self._path(name, store), name, value, mark)
            self._clean_up()

    def _path(self, name: str, store: Store) -> Path:
        place = hashlib.sha256(os.fsencode(_place(store))).hexdigest()[:32]
        return self._folder / f"{place}-{name}.kept"

    def _clean_up(self) -> None:
        """Remove the oldest files until the folder is small enough."""
        files = [(file.stat(), file) for file in self._folder.glob("*.kept")]
        total = sum(status.st_size for status, _ in files)
        for status, file in sorted(files, key=lambda pair: pair[0].st_mtime):
            if total <= self._most_bytes:
                return
            file.unlink(missing_ok=True)
            total -= status.st_size


def mark_state(store: Store) -> str:
    """A mark of everything that a result depends on: the version, the gallery and its state."""
    parts = [str(_VERSION), _place(store), *map(str, astuple(store.space)), store.state]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _place(store: Store) -> str:
    """Where a gallery is, whatever the working directory."""
    return os.path.abspath(store.location) if is_folder(store.location) else store.location


def write_result(path: Path, name: str, value: object, mark: str) -> None:
    """Write a result of the form with this name."""
    from lookalike.web.survey_files import FORMATS  # noqa: PLC0415  (with what they are made of, 0.1 s of the start)

    def write(writer: Writer) -> None:
        writer.finish({"mark": mark, "name": name, "fields": FORMATS[name].write(value, writer)})

    write_segment(path, write)


def read_result(path: Path, name: str, mark: str | None = None) -> tuple[Any, str] | None:
    """The result in a file, and the mark of its state; None for one of another name or mark, or a damaged one.

    mark: the one that is wanted; None for any.
    """
    try:
        segment = open_segment(path)
        if segment is None or segment.header.get("name") != name or mark not in {None, segment.header.get("mark")}:
            return None
        from lookalike.web.survey_files import FORMATS  # noqa: PLC0415  (as above)

        return FORMATS[name].read(segment), str(segment.header["mark"])
    except (Damaged, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
