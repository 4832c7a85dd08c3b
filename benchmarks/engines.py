"""Search time at equal recall: a gallery's store beside plain vector engines, each in an environment of its own.

    python benchmarks/engines.py [--rows FILE.npy] [--size N] [--dim D] [ENGINE...]

Every engine gets the same rows, float32 of length 1, real ones from a file (benchmarks/local_features.py makes them)
or made-up clusters, and is asked with 200 others, one after the other through its Python interface. Where it has a
knob for work, the first setting is taken that finds 99% of the exact ten nearest. An environment is made with uv in a
temporary folder; an engine that cannot be installed is skipped with a line.

Only `lookalike` checks what it reads, measures its hits again in float64, and can be killed at any time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

K = 10
QUERIES = 200
WANTED = 0.99
INSTALLED = {
    "faiss-flat": ["faiss-cpu"],
    "faiss-ivf": ["faiss-cpu"],
    "faiss-hnsw": ["faiss-cpu"],
    "usearch": ["usearch"],
    "hnswlib": ["hnswlib"],
    "lancedb": ["lancedb", "pyarrow"],
    "sqlite-vec": ["sqlite-vec", "pysqlite3-binary"],
    "described": [],
}
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)


def faiss_flat(rows, _):
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    yield "exact", lambda query: index.search(query[None], K)[1][0]


def faiss_ivf(rows, _):
    import faiss

    lists = round(4 * len(rows) ** 0.5)
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.spherical = 5, True
    index.cp.max_points_per_centroid = 80
    index.train(rows)
    index.add(rows)
    for effort in EFFORTS:
        index.nprobe = effort
        yield f"nprobe {effort}", lambda query: index.search(query[None], K)[1][0]


def faiss_hnsw(rows, _):
    import faiss

    index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.add(rows)
    for effort in EFFORTS:
        index.hnsw.efSearch = effort
        yield f"efSearch {effort}", lambda query: index.search(query[None], K)[1][0]


def usearch(rows, _):
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=100)
    index.add(np.arange(len(rows)), rows)
    for effort in EFFORTS:
        index.expansion_search = effort
        yield f"expansion {effort}", lambda query: index.search(query, K).keys


def hnswlib(rows, _):
    import hnswlib as engine

    index = engine.Index(space="ip", dim=rows.shape[1])
    index.init_index(max_elements=len(rows), M=16, ef_construction=100)
    index.add_items(rows)
    for effort in EFFORTS:
        index.set_ef(effort)
        yield f"ef {effort}", lambda query: index.knn_query(query, K)[0][0]


def lancedb(rows, folder):
    import lancedb as engine
    import pyarrow as pa

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    table = engine.connect(folder).create_table("rows", pa.table({"id": np.arange(len(rows)), "vector": vectors}))

    def exact(query):
        return table.search(query).distance_type("dot").limit(K).to_arrow()["id"].to_numpy()

    yield "flat", exact


def sqlite_vec(rows, folder):
    import sqlite_vec as engine
    from pysqlite3 import dbapi2 as sqlite3  # many a Python's own cannot load extensions

    db = sqlite3.connect(f"{folder}/rows.db")
    db.enable_load_extension(True)  # noqa: FBT003
    engine.load(db)
    db.execute(f"CREATE VIRTUAL TABLE rows USING vec0(v float[{rows.shape[1]}])")
    with db:
        db.executemany("INSERT INTO rows (rowid, v) VALUES (?, ?)", ((n, row.tobytes()) for n, row in enumerate(rows)))
    select = "SELECT rowid FROM rows WHERE v MATCH ? AND k = ? ORDER BY distance"
    yield "flat", lambda query: np.array([id_ for (id_,) in db.execute(select, (query.tobytes(), K))])


def described(rows, _):
    """The described system's own search: a loop over all rows, then a sort of all distances."""

    def loop(query):
        results = [(float(np.linalg.norm(query - rows[n])), n) for n in range(len(rows))]
        return np.array([n for _, n in sorted(results)[:K]])

    yield "loop", loop


def lookalike(rows, folder):
    from house_driver import open_gallery, put, search

    store = open_gallery(f"{folder}/gallery", rows.shape[1])
    put(store, f"{folder}/gallery", rows, range(len(rows)))
    store.prepare()
    yield "as it is", lambda query: np.array([id_ - 1 for id_, _ in search(store, query)])


ENGINES = {
    "lookalike": lookalike,
    "faiss-flat": faiss_flat,
    "faiss-ivf": faiss_ivf,
    "faiss-hnsw": faiss_hnsw,
    "usearch": usearch,
    "hnswlib": hnswlib,
    "lancedb": lancedb,
    "sqlite-vec": sqlite_vec,
    "described": described,
}


def measure(name, folder):
    """One engine, in this process: the first setting that finds enough, its recall and its time a query."""
    rows, queries, truth = (np.load(f"{folder}/{part}.npy") for part in ("rows", "queries", "truth"))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as own:
        for tried, search in ENGINES[name](rows, own):
            built = time.perf_counter() - start
            few = queries if len(rows) < 20_000 or name in {"lookalike", "usearch", "hnswlib"} else queries[:100]
            few = few[:3] if name == "described" else few
            found = [set(np.asarray(search(query)).tolist()) for query in few]
            recall = (
                sum(len(one & set(other)) for one, other in zip(found, truth.tolist(), strict=False)) / K / len(few)
            )
            setting = tried
            if recall >= WANTED:
                break
        times = []
        for _ in range(3):
            for query in few:
                start = time.perf_counter()
                search(query)
                times.append(time.perf_counter() - start)
    return {"setting": setting, "recall": recall, "us": 1e6 * statistics.median(times), "build_seconds": built}


def python_for(name, home):
    """A Python that has the engine: our own, or one made with uv."""
    if name == "lookalike":
        return sys.executable
    place = home / "-".join(INSTALLED[name] or ["numpy"])
    python = place / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else ["uv"]
        subprocess.run([*uv, "venv", "-q", "-p", sys.executable, place], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "-p", python, "numpy", *INSTALLED[name]], check=True)
    return str(python)


def prepare(folder, options):
    """Rows, queries and the exact answers, as files."""
    from lookalike.evaluation.scaling import load_embeddings, make_clustered
    from lookalike.vectors.metric import unit

    count = options.size + QUERIES
    rows = unit(load_embeddings(options.rows, count) if options.rows else make_clustered(count, options.dim))
    queries, rows = rows[options.size :], rows[: options.size]
    truth = [np.argsort(-(rows @ query), kind="stable")[:K] for query in queries]
    for name, part in (("rows", rows), ("queries", queries), ("truth", np.array(truth))):
        np.save(folder / f"{name}.npy", part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as home:
        prepare(Path(home), options)
        print(f"{options.size:,} rows; {WANTED:.0%} of the exact {K} nearest", flush=True)
        print(f"{'engine':<12} {'setting':<16} {'recall':>7} {'us a query':>11} {'build s':>8}")
        for name in options.engines or ENGINES:
            try:
                python = python_for(name, Path(home))
                command = [python, __file__, "--measure", name, home]
                said = subprocess.run(command, check=True, capture_output=True, text=True)
            except (subprocess.CalledProcessError, OSError) as error:
                reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
                print(f"{name:<12} skipped: {' '.join(reason)}")
                continue
            row = json.loads(said.stdout)
            figures = f"{row['recall']:>7.3f} {row['us']:>11,.0f} {row['build_seconds']:>8.1f}"
            print(f"{name:<12} {row['setting']:<16} {figures}", flush=True)


if __name__ == "__main__":
    main()
