"""What `benchmarks/house.py` runs in the interpreter of a checkout; it speaks to the store of either side of the move.

    python -I house_driver.py ACTION ARGUMENT...

Each action prints a line of JSON. `serve` opens a gallery's store and answers a line for each line that it reads.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

K = 10
BATCH = 1_000  # records that are committed at once
FILTER = "folder:0007"  # of a folder that holds one picture in 300
LARGE = 30_000 * 512  # bytes of a gallery that is searched through inverted lists, or nearly
_FOLDERS = 300


def open_gallery(folder: str, dim: int | None = None) -> Any:
    """The store in a folder, made there if `dim` is given."""
    seam = import_module("lookalike.store")
    create = None if dim is None else seam.Space("house", "house", dim, "cosine", "house")
    return seam.open_store(folder, create=create)


def make_record(path: bytes, stamp: tuple[int, int], digest: bytes, shape: tuple[int, int], kind: str = "JPEG") -> Any:
    """What a store keeps of a file: stamp is its size and its time of change in ns, shape is width and height."""
    seam = import_module("lookalike.store")
    if hasattr(seam, "Record"):
        return seam.Record(path, *stamp, digest, *shape, kind)
    info = {"width": shape[0], "height": shape[1], "format": kind}
    return seam.Item(path, f"{stamp[0]}:{stamp[1]}", digest, info)


def make_numbered(folder: str, n: int) -> Any:
    """The record of picture `n`, whose file would lie beside the gallery."""
    path = f"{Path(folder).parent}/{n % _FOLDERS:04}/IMG_{n:07}.jpg".encode()
    width, height = 500 + n * 7 % 5_500, 500 + n * 11 % 5_500
    stamp = width * height // 5, 1_262_304_000_000_000_000 + n * 500_000_000_007
    return make_record(path, stamp, make_digest(n), (width, height))


def make_digest(n: int) -> bytes:
    """32 bytes for each number, in no order, as digests are."""
    return (n * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big") * 4


def put(store: Any, folder: str, rows: np.ndarray, numbers: range) -> None:
    with store.writing():
        for start in range(numbers.start, numbers.stop, BATCH):
            some = range(start, min(start + BATCH, numbers.stop))
            records = [make_numbered(folder, n) for n in some]
            store.put(records, {make_digest(n): np.array(rows[n]) for n in some})


def search(store: Any, query: np.ndarray) -> Any:
    """The nearest to one query."""
    if hasattr(store, "search_many"):
        return store.search(query, K)
    return store.search(query[None], K)[0]


def search_filtered(store: Any, query: np.ndarray) -> Any:
    """The nearest of those that a filter lets pass, as a gallery finds them."""
    if not hasattr(store, "facts"):
        where = import_module("lookalike.search.filters").parse_filters([FILTER])
        return store.search(query[None], K, where=where)[0]
    return store.search(query, K, among=find_passing(store, FILTER))


def find_passing(store: Any, term: str) -> Any:
    """The ids that a filter lets pass, int64 (n,)."""
    name = "lookalike.filters" if find_spec("lookalike.filters") else "lookalike.search.filters"
    filters = import_module(name)
    if not hasattr(store, "facts"):
        return store.ids(filters.parse_filters([term]))
    return filters.matching(store.facts(), [filters.parse_filter(term)])


def measure_memory() -> dict[str, float]:
    """MiB of this process's own, not mapped from a file, now, and the most that was resident; where Linux tells."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith("kB")}
        return {"own_mib": found["RssAnon"], "peak_mib": found["VmHWM"]}
    return {}


def measure(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def import_all(dim: int) -> None:
    """Load every module that opening and searching need, by doing both in a small gallery."""
    with TemporaryDirectory() as name:
        folder = f"{name}/gallery"
        store = open_gallery(folder, dim)
        put(store, folder, np.eye(2, dim, dtype=np.float32), range(2))
        search(store, np.ones(dim, np.float32))
        store.close()


def build(folder: str, rows: str, count: str) -> dict[str, Any]:
    """A gallery of the first `count` rows, ready to be searched."""
    embeddings = np.load(rows, mmap_mode="r")
    store = open_gallery(folder, embeddings.shape[1])
    writing = measure(lambda: put(store, folder, embeddings, range(int(count))))
    preparing = measure(store.prepare)
    store.close()
    return {"seconds": writing, "prepare_seconds": preparing, **measure_memory()}


def write(folder: str, rows: str, count: str) -> dict[str, Any]:
    """Putting `count` records into a new gallery."""
    embeddings = np.load(rows)
    store = open_gallery(folder, embeddings.shape[1])
    seconds = measure(lambda: put(store, folder, embeddings, range(int(count))))
    store.close()
    return {"seconds": seconds, **measure_memory()}


def begin(folder: str, queries: str) -> dict[str, Any]:
    """Opening a gallery and its first search; what they import was imported before, and is timed with the process."""
    query = np.load(queries)[0]
    import_all(len(query))
    if sum(file.stat().st_size for file in Path(folder).iterdir()) > LARGE:
        import_module("faiss")
    found: list[Any] = []
    opening = measure(lambda: found.append(open_gallery(folder)))
    searching = measure(lambda: search(found[0], query))
    return {"open_seconds": opening, "seconds": opening + searching, **measure_memory()}


def first_filter(folder: str, queries: str) -> dict[str, Any]:
    """The first search with a filter after a search without one."""
    query, store = np.load(queries)[0], open_gallery(folder)
    search(store, query)
    found: list[Any] = []
    seconds = measure(lambda: found.extend(search_filtered(store, query)))
    if len(found) > K:
        raise AssertionError("more was found than was asked for")
    return {"seconds": seconds, "found": len(found), **measure_memory()}


def serve(folder: str, queries: str) -> Iterator[dict[str, Any]]:
    """The median time of some searches, one after another, for each line that is read with their number."""
    asked, store = np.load(queries), open_gallery(folder)
    for query in asked:  # blocks are checked when they are first used
        search(store, query)
    yield {}
    for line in sys.stdin:
        times = [measure(lambda n=n: search(store, asked[n % len(asked)])) for n in range(int(line))]  # type: ignore[misc]
        yield {"seconds": float(np.median(times)), **measure_memory()}


def passing(folder: str, term: str) -> dict[str, Any]:
    """Processor seconds of finding the ids that a filter lets pass, after opening the gallery."""
    store = open_gallery(folder)
    import_module("lookalike.gallery")  # not counted
    start = time.process_time()
    found = find_passing(store, term)
    return {"seconds": time.process_time() - start, "found": len(found)}


ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "build": build,
    "write": write,
    "start": begin,
    "first_filter": first_filter,
    "passing": passing,
}

if __name__ == "__main__":
    action, *arguments = sys.argv[1:]
    for said in serve(*arguments) if action == "serve" else [ACTIONS[action](*arguments)]:
        print(json.dumps(said), flush=True)
