"""How the time and memory of searching grow with the size of a gallery, for real or made-up embeddings.

Every size gets a gallery of its own in a temporary folder. A cold search and the memory it takes are measured in a
process of their own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import UsageError
from lookalike.files import expands_home
from lookalike.store import Record, Space
from lookalike.store.filter import Condition
from lookalike.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

__all__ = ["bench_scaling", "load_embeddings", "make_clustered"]

_QUERIES = 200
_ADDED = 1_000  # pictures
_BATCH = 1_000  # pictures committed at once
_TURN = 20  # of them one after another
_WARMED = 2000  # pictures that are searched with before anything is timed
_ROUNDS = 5
_K = 10
_WIDTHS = 1000  # different widths of pictures, so that a filter lets one in so many pass

# Everything is imported before the clock starts; what is resident and not mapped from a file is the process's own.
_COLD = """
import json, sys, time
import faiss, numpy
import lookalike.vectors.ivf, lookalike.store.sqlite.store
from lookalike.store import open_store

def memory():
    lines = open("/proc/self/status").read().splitlines() if sys.platform == "linux" else []
    return {line.split()[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("RssAnon", "VmHWM"))}

queries = numpy.load(sys.argv[2])
start = time.perf_counter()
store = open_store(sys.argv[1])
store.search(queries[:1], 10)
seconds = time.perf_counter() - start
for query in queries:
    store.search(query[None], 10)
print(json.dumps({"seconds": seconds, **memory()}))
"""


def bench_scaling(
    sizes: Sequence[int], rows: Callable[[int], Rows], *, report: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """The figures of a gallery of each size, by name. rows: returns that many embeddings, float32 (n, dim)."""
    figures = []
    for size in sizes:
        report(f"{size:,} pictures")
        with tempfile.TemporaryDirectory() as folder:
            figures.append(_Size(Path(folder), size, rows(size + _QUERIES + _ADDED)).measure())
    return figures


def make_clustered(count: int, dim: int) -> Rows:
    """Made-up embeddings, float32 (count, dim), in clusters of very unequal sizes, each next dimension less wide."""
    rng = np.random.default_rng(0)
    clusters = max(1, count // 50)
    width = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    centres = rng.standard_normal((clusters, dim), np.float32) * width
    share = np.arange(1, clusters + 1) ** -0.7
    chosen = rng.choice(clusters, count, p=share / share.sum())
    rows = rng.standard_normal((count, dim), np.float32)
    rows *= 0.5 * width
    rows += centres[chosen]
    return rows


@expands_home
def load_embeddings(file: Path, count: int) -> Rows:
    """The first `count` of float32 (n, dim) in an .npy file. Raises UsageError if there are fewer, or none."""
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
        if rows.ndim != 2 or rows.dtype != np.float32 or not np.isfinite(rows[:1]).all():
            raise UsageError(f"{file} holds {rows.dtype} {rows.shape}, not float32 (n, dim)")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    if len(rows) < count:
        raise UsageError(f"{file} holds {len(rows):,} embeddings; {count:,} are needed, some of them as queries")
    return np.array(rows[:count])


class _Size:
    """A gallery of `size` of the rows; the others are its queries and what is added later."""

    def __init__(self, folder: Path, size: int, rows: Rows) -> None:
        self._folder, self._size = folder, size
        self._rows = rows
        self._queries = rows[size : size + _QUERIES]

    def measure(self) -> dict[str, Any]:
        dim = self._rows.shape[1]
        store = SqliteStore(self._folder, create=Space("bench", "bench", dim, "cosine", "bench"))
        written = _seconds(lambda: self._put(store, range(self._size)))
        built = _seconds(store.prepare)
        figures = {"pictures": self._size, "dim": dim, "approximate": store.is_approximate}
        figures |= {
            "write_rate": self._size / written,
            "write_seconds": written,
            "build_seconds": built,
            **self._warm(store),
        }
        figures |= self._filtered(store)
        store.close()
        return figures | self._cold() | self._added() | self._bytes()

    def _put(self, store: SqliteStore, numbers: range) -> None:
        with store.writing():
            for start in range(numbers.start, numbers.stop, _BATCH):
                some = range(start, min(start + _BATCH, numbers.stop))
                records = [_record(n) for n in some]
                store.put(records, {b"%032d" % n: self._rows[n] for n in some})

    def _warm(self, store: SqliteStore) -> dict[str, Any]:
        """One query after another, some in turn with as many bare products of the same numbers; batches; recall."""
        matrix = self._rows[: self._size] / np.linalg.norm(self._rows[: self._size], axis=1, keepdims=True)
        store.search(self._rows[: min(self._size, _WARMED)], _K)  # blocks are checked when they are first used
        ours, bare = [], []
        # Not query by query: a product with a large matrix leaves nothing else in the processor's cache.
        for start in range(0, _QUERIES, _TURN):
            some = self._queries[start : start + _TURN]
            ours += [_seconds(lambda query=query: store.search(query[None], _K)) for query in some]  # type: ignore[misc]
            bare += [_seconds(lambda query=query: matrix @ query) for query in some]  # type: ignore[misc]
        search, product = statistics.median(ours), statistics.median(bare)
        batch = min(_seconds(lambda: store.search(self._queries, _K)) for _ in range(_ROUNDS))
        exact = min(_seconds(lambda: store.search(self._queries[:1], _K, exact=True)) for _ in range(_ROUNDS))
        return {
            "search_us": 1e6 * search,
            "bare_us": 1e6 * product,
            "ratio": search / product,
            "batch_us": 1e6 * batch / _QUERIES,
            "exact_us": 1e6 * exact,
            "recall": _recall(store, self._queries, None),
        }

    def _filtered(self, store: SqliteStore) -> dict[str, Any]:
        """With one picture in two, in ten and in a thousand allowed, spread evenly."""
        figures: dict[str, Any] = {}
        for share in (2, 10, 1000):
            where = Condition("width", "<", _WIDTHS / share)
            store.search(self._queries[:1], _K, where=where)
            times = _seconds(lambda where=where: [store.search(q[None], _K, where=where) for q in self._queries])  # type: ignore[misc]
            figures[f"one_in_{share}_us"] = 1e6 * times / _QUERIES
            figures[f"one_in_{share}_recall"] = _recall(store, self._queries[:50], where)
        return figures

    def _cold(self) -> dict[str, Any]:
        """Opening and a first answer in a new process, and what it holds in memory."""
        np.save(self._folder / "queries.npy", self._queries)
        command = [sys.executable, "-c", _COLD, str(self._folder), str(self._folder / "queries.npy")]
        said = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]  # noqa: S603
        return {
            "cold_ms": 1e3 * min(one["seconds"] for one in said),
            "memory_mib": max(one.get("RssAnon:", 0.0) for one in said),
        }

    def _added(self) -> dict[str, Any]:
        """More pictures, from their writing to the first answer that may hold them."""
        store = SqliteStore(self._folder)
        store.prepare()
        first = self._size + _QUERIES

        def add() -> None:
            self._put(store, range(first, first + _ADDED))
            store.search(self._rows[first][None], _K)

        seconds = _seconds(add)
        store.close()
        return {"add_1000_seconds": seconds}

    def _bytes(self) -> dict[str, Any]:
        sizes = {path.name: path.stat().st_size for path in self._folder.iterdir()}
        cache = sum(size for name, size in sizes.items() if name.startswith("search."))
        return {"database_mib": sizes["gallery.db"] / 2**20, "cache_mib": cache / 2**20}


def _recall(store: SqliteStore, queries: Rows, where: Condition | None) -> float:
    """How many of the nearest by an exact search are found."""
    found = store.search(queries, _K, where=where)
    exact = store.search(queries, _K, where=where, exact=True)
    return float(np.mean(list(_shares(found, exact))))


def _shares(
    found: Sequence[Sequence[tuple[int, float]]], exact: Sequence[Sequence[tuple[int, float]]]
) -> Iterator[float]:
    for one, other in zip(found, exact, strict=True):
        yield len(dict(one).keys() & dict(other).keys()) / max(1, len(other))


def _record(number: int) -> Record:
    width = number * 619 % _WIDTHS  # spread evenly, and 0 among the smallest galleries too
    return Record(b"/photos/%08d.jpg" % number, 1, 1, b"%032d" % number, width, 256, "JPEG")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
