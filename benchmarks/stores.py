"""Measure galleries on servers against the one in a folder: copying, hits, recall, and our own time per query.

    python benchmarks/stores.py postgresql --pictures 100000 > docs/results/postgresql.json

Embeddings are drawn: clusters of points near a surface of 24 dimensions in as many dimensions as the default encoder
has, so that neighbours exist and an index is neither trivial nor hopeless. The server is the one that the tests start.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import engines

from lookalike.adaptation.projection import fit_projection
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import Maintained, Record, Space, Store, open_store
from lookalike.store.copy import copy_store
from lookalike.store.filter import Condition
from lookalike.store.postgresql.store import PostgresqlStore

DIM = 1963  # of the default encoder with layout and digest
WIDTH = 280  # what it is adapted to
K = 10
_PLAIN: dict = {}


def draw(count, rng, base, centres):
    near = centres[rng.integers(0, len(centres), count)] + rng.normal(0, 0.6, (count, centres.shape[1]))
    return np.maximum(near @ base + rng.normal(0, 0.05, (count, base.shape[1])), 0).astype(np.float32)


def fill(store: Store, count: int, dim: int) -> np.ndarray:
    """Fill a store; return 200 queries, which are not in it."""
    rng = np.random.default_rng(7)
    base = rng.normal(0, 1, (24, dim))
    centres = rng.normal(0, 1.5, (count // 50, 24))
    with store.writing():
        for start in range(0, count, 4096):
            names = range(start, min(start + 4096, count))
            digests = [hashlib.sha256(b"%d" % n).digest() for n in names]
            rows = draw(len(names), rng, base, centres)
            described = rng.integers(0, 256, (len(names), DESCRIPTION_SIZE), np.uint8)
            records = [
                Record(b"/photos/%03d/%06d.jpg" % (n // 500, n), 10**6 + n, 10**18 + n, digest, 4000, 3000, "JPEG")
                for n, digest in zip(names, digests, strict=True)
            ]
            each = zip(digests, described, strict=True)
            store.put(records, dict(zip(digests, rows, strict=True)), {one: some.tobytes() for one, some in each})
            if start == 0 and dim > WIDTH:
                store.set_projection(fit_projection([rows], dim, WIDTH))
    return draw(200, rng, base, centres)


def timed(of):
    began = time.perf_counter()
    found = of()
    return found, time.perf_counter() - began


def ask(store: Store, queries, **options):
    """The hits of each query by path, and milliseconds: of all, and of those spent waiting for the server."""
    waiting = watch_waits(store)
    store.search(queries[:1], K, **options)
    found, times, own, cpu = [], [], [], []
    for query in queries:
        waiting.clear()
        began = time.process_time()
        (near,), seconds = timed(lambda query=query: store.search(query[None], K, **options)[0:1])
        found.append(near)
        times.append(1000 * seconds)
        own.append(1000 * (seconds - sum(waiting)))
        cpu.append(1000 * (time.process_time() - began))
    paths = {id_: one.path for id_, one in store.get({id_ for near in found for id_, _ in near}).items()}
    hits = [[(paths[id_], distance) for id_, distance in near] for near in found]
    each = {"median_ms": times, "own_median_ms": own, "own_cpu_median_ms": cpu}
    return hits, {name: round(statistics.median(some), 2) for name, some in each.items()}


def watch_waits(store: Store) -> list[float]:
    """Collects the seconds that are spent waiting for a server."""
    waits: list[float] = []
    owner: Any = None
    name = ""
    if type(store).__name__ == "PostgresqlStore":
        owner, name = importlib.import_module("lookalike.store.postgresql.connections").Connection, "wait"
    elif type(store).__name__ == "MilvusStore":
        owner, name = importlib.import_module("grpc._channel")._UnaryUnaryMultiCallable, "_blocking"
    if owner is not None:
        plain = _PLAIN.setdefault(name, getattr(owner, name))

        def wait(self, *arguments, **options):
            began = time.perf_counter()
            try:
                return plain(self, *arguments, **options)
            finally:
                waits.append(time.perf_counter() - began)

        setattr(owner, name, wait)
    return waits


def compare(store: Store, exact, queries, where, exact_where) -> dict:
    hits, times = ask(store, queries, exact=True)
    near, quick = ask(store, queries)
    chosen, filtered = ask(store, queries, where=where)
    return {
        "identical_top_10": hits == exact,
        "exact": times,
        "recall_at_10": recall(near, exact),
        "default": quick,
        "recall_at_10_with_filter": recall(chosen, exact_where),
        "with_filter": filtered,
    }


def recall(found, exact) -> float:
    shares = [len({p for p, _ in one} & {p for p, _ in best}) / K for one, best in zip(found, exact, strict=True)]
    return round(float(np.mean(shares)), 4)


def count_server_cpu() -> float:
    """CPU seconds of the server and of its sessions, also of those that have ended."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def copy(source: Store, target: Store) -> dict:
    cpu, server = time.process_time(), count_server_cpu()
    _, seconds = timed(lambda: copy_store(source, target))
    cpu, server, count = time.process_time() - cpu, count_server_cpu() - server, target.count()[0]
    of_cpu = {
        "client_cpu_seconds": round(cpu, 2),
        "server_cpu_seconds": round(server, 2),
        "per_second_of_client_cpu": round(count / cpu),
        "per_second_of_both": round(count / (cpu + server)),
    }
    return {"seconds": round(seconds, 2), "per_second": round(count / seconds), **of_cpu}


def build_index(store: Store) -> None:
    with store.writing():
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["postgresql", "milvus"])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=DIM, help="of the embeddings; compared as they are up to 280")
    asked = parser.parse_args()
    server = getattr(engines, {"postgresql": "postgres"}.get(asked.engine, asked.engine))()
    space = Space("drawn", "drawn-1", asked.dim, "cosine", "drawn")
    result = {
        "command": f"python benchmarks/stores.py {asked.engine} --pictures {asked.pictures} --dim {asked.dim}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} from other work",
        "server": server.version,
        "pictures": asked.pictures,
        "dim": asked.dim,
        "compared_dim": min(WIDTH, asked.dim),
    }
    with tempfile.TemporaryDirectory() as folder, closing(open_store(f"{folder}/a", create=space)) as local:
        queries = fill(local, asked.pictures, asked.dim)
        where = Condition("folder", "=", "007")
        exact, times = ask(local, queries, exact=True)
        exact_where, _ = ask(local, queries, where=where, exact=True)
        if asked.engine == "postgresql":  # copied and checked first, then indexed: both are measured
            with closing(PostgresqlStore(server.url("bench"), create=space, approximate_from=1 << 40)) as plain:
                result["copy_up"] = copy(local, plain)
        with closing(open_store(server.url("bench"), create=space)) as remote:
            if asked.engine == "postgresql":
                result["index_seconds"] = round(timed(lambda: build_index(remote))[1], 2)
            else:
                result["copy_up_with_index"] = copy(local, remote)
            result["folder"] = {"exact": times, "default": ask(local, queries)[1]}
            result[asked.engine] = compare(remote, exact, queries, where, exact_where)
            result["recall_at_10_of_the_folder"] = recall(ask(local, queries)[0], exact)
            assert isinstance(remote, Maintained)
            result["bytes"] = remote.sizes()
            with closing(open_store(f"{folder}/b", create=space)) as back:
                result["copy_down"] = copy(remote, back)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
