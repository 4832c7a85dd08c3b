"""How fast a second `index` finds that nothing has changed, and how fast embeddings are written.

    python benchmarks/living.py [--files 100000] [--embeddings 100000] [--batch 128]

The files are tiny pictures in folders of a thousand; what the gallery knows of them is put there directly, so that the
run measured is the second one. Both rates stand beside those of the bare parts in the same run: walking over the files
and looking at each, and SQLite taking the same bytes with the same sync for each batch.
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from house_driver import make_record
from PIL import Image

from lookalike import Gallery, IndexOptions, load_encoder
from lookalike.images.walk import walk
from lookalike.store import Space, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store import Store

_FOLDER = 1000  # files
_ROUNDS = 3


def make_files(root: Path, count: int) -> None:
    """`count` GIFs of one pixel."""
    tiny = io.BytesIO()
    Image.new("L", (1, 1)).save(tiny, "GIF")
    for n in range(count):
        if n % _FOLDER == 0:
            (root / f"{n // _FOLDER:04}").mkdir(parents=True)
        (root / f"{n // _FOLDER:04}" / f"IMG_{n:07}.gif").write_bytes(tiny.getvalue())


def know(store: Store, root: Path, dim: int) -> None:
    """Put a record of each file below `root`, as if it had been indexed."""
    rng, batch = np.random.default_rng(0), list[Any]()
    with store.writing():
        for n, entry in enumerate(walk(os.fsencode(root))):
            found = os.lstat(entry.path)
            stamp = found.st_size, found.st_mtime_ns
            batch.append(make_record(entry.path, stamp, n.to_bytes(32, "big"), (1, 1), "GIF"))
            if len(batch) == 1024:
                store.put(batch, _embeddings(rng, batch, dim))
                batch = []
        store.put(batch, _embeddings(rng, batch, dim))


def _embeddings(rng: np.random.Generator, records: list[Any], dim: int) -> dict[bytes, np.ndarray]:
    rows = rng.standard_normal((len(records), dim), np.float32)
    return {record.digest: row for record, row in zip(records, rows, strict=True)}


@contextmanager
def rate(name: str, count: int) -> Iterator[None]:
    start, busy = time.perf_counter(), time.process_time()
    yield
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{name:46} {count / seconds:10,.0f} a second ({count / busy:,.0f} a second of this process's own)")


def second_index(count: int) -> None:
    encoder = load_encoder("histogram")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "photos"
        make_files(root, count)
        space = Space(encoder.name, encoder.fingerprint, encoder.dim, encoder.metric, encoder.name)
        with Gallery(open_store(Path(name) / "gallery", create=space), encoder) as gallery:
            know(gallery.store, root, encoder.dim)
            gallery.index(root, options=IndexOptions(workers=1))  # adapts, once
            for _ in range(_ROUNDS):
                with rate("walk and lstat of every file, bare", count):
                    for folder, _, files in os.walk(root):
                        for file in files:
                            os.lstat(f"{folder}/{file}")
                with rate("our walk", count):
                    assert sum(1 for _ in walk(os.fsencode(root))) == count
                with rate("a second index", count):
                    report = gallery.index(root, options=IndexOptions(workers=1))
                assert (report.unchanged, report.added) == (count, 0), report


def bare_writes(path: Path, rows: np.ndarray, batch: int) -> None:
    """The bytes of the embeddings and as many bytes of items into two tables, a sync for each batch."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 16384", "journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE content (id INTEGER PRIMARY KEY, digest BLOB UNIQUE, embedding BLOB, crc INTEGER)")
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, key BLOB UNIQUE, digest BLOB, info TEXT, crc INTEGER)")
    db.execute("CREATE INDEX item_digest ON item (digest)")
    for first in range(0, len(rows), batch):
        some = range(first, min(first + batch, len(rows)))
        blobs = [(n, _digest(n), rows[n].astype(np.float16).tobytes(), n) for n in some]
        items = [(n, _key(n), _digest(n), "{}" * 20, n) for n in some]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO content VALUES (?, ?, ?, ?)", blobs)
        db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?)", items)
        db.execute("COMMIT")
    db.close()


def _digest(n: int) -> bytes:
    return (n * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big") * 4  # in no order, as digests are


def _key(n: int) -> bytes:
    return b"/home/me/Pictures/%04d/IMG_%07d.jpg" % (n // _FOLDER, n)


def writes(count: int, batch: int, dim: int) -> None:
    rows = np.random.default_rng(0).standard_normal((count, dim), np.float32)
    for _ in range(_ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            with rate(f"bare SQLite, {dim} dimensions, batches of {batch}", count):
                bare_writes(Path(name) / "bare.db", rows, batch)
            store = open_store(Path(name) / "gallery", create=Space("e", "f", dim, "cosine", "e"))
            with rate(f"store.put, {dim} dimensions, batches of {batch}", count), store.writing():
                for first in range(0, count, batch):
                    some = range(first, min(first + batch, count))
                    stamp, shape = (12_345_678, 1_234_567_890_123_456_789), (4000, 3000)
                    records = [make_record(_key(n), stamp, _digest(n), shape) for n in some]
                    store.put(records, {_digest(n): rows[n] for n in some})
            store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--embeddings", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dim", type=int, default=128)
    chosen = parser.parse_args()
    if chosen.files:
        second_index(chosen.files)
    if chosen.embeddings:
        writes(chosen.embeddings, chosen.batch, chosen.dim)
