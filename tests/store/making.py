"""Small stores to test with: every kind of store, items, embeddings and the answer that a search must give."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookalike.store import Maintained, Near, Record, Space, Store, open_store
from lookalike.store.postgresql.store import PostgresqlStore
from lookalike.store.rows import Tally, checksum
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from lookalike.vectors.metric import Metric, distances
from tests.engines import gallery_name, milvus_galleries, postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lookalike.adaptation.projection import Projection
    from lookalike.store.columns import Coded, Columns

DIM = 8
_AROUND: tuple[tuple[float, Literal["left", "right"]], ...] = ((-1e-5, "left"), (1e-5, "right"))
STORES: dict[str, Callable[[Path, Space | None], Store]] = {
    "memory": lambda folder, create: open_store(f"memory:{folder}", create=create),
    "sqlite": lambda folder, create: open_store(folder, create=create),
    "sqlite in lists": lambda folder, create: SqliteStore(
        folder, create=create, tuning=Tuning(approximate_from=12, columns_from=1, added=6)
    ),
    "postgresql": lambda folder, create: open_store(postgres().url(gallery_name(folder)), create=create),
    "postgresql indexed": lambda folder, create: PostgresqlStore(
        postgres().url(gallery_name(folder)), create=create, approximate_from=12
    ),
    "milvus": lambda folder, create: milvus_galleries().open(folder, create),
}


def space(metric: Metric = "cosine", dim: int = DIM) -> Space:
    return Space("test", "test-1", dim, metric, "test")


def digest(content: int) -> bytes:
    return b"digest %025d" % content


def embedding(content: int, dim: int = DIM) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Of small whole numbers, which every store keeps exactly."""
    return _draw(content, dim).copy()


@functools.cache
def _draw(content: int, dim: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(content).integers(-50, 50, dim).astype(np.float32)


def record(path: bytes, content: int | None = None, stamp: str = "1:1") -> Record:
    """stamp: size and mtime_ns of its file."""
    size, mtime_ns = map(int, stamp.split(":"))
    if content is None:
        return Record(path, size, mtime_ns, skipped_because="not an image", max_megapixels=100.0)
    camera = f"Camera {content % 3}" if content % 2 else None
    taken_at = datetime(2024, 5, 1 + content % 28, 10) if content % 4 == 1 else None  # noqa: DTZ001  (its own clock)
    return Record(path, size, mtime_ns, digest(content), 3, 2, "PNG", taken_at, camera)


def put(store: Store, contents: dict[bytes, int | None], stamp: str = "1:1") -> None:
    """One batch: every key with its content."""
    numbers = {content for content in contents.values() if content is not None}
    known = store.known(map(digest, numbers))
    new = {digest(number): embedding(number) for number in numbers if digest(number) not in known}
    store.put([record(key, content, stamp) for key, content in contents.items()], new)


def nearest(store: Store, query: np.ndarray[Any, np.dtype[np.float32]], k: int, **options: Any) -> Near:
    """What a search with one query finds."""
    return store.search(query[None], k, **options)[0]


def problems(store: Store) -> list[str]:
    """What a store finds wrong with itself; nothing where it cannot look."""
    return store.verify() if isinstance(store, Maintained) else []


def expected(
    rows: dict[int, int],
    query: np.ndarray[tuple[int], np.dtype[np.float32]],
    k: int,
    *,
    metric: Metric = "cosine",
    projection: Projection | None = None,
) -> list[tuple[int, float]]:
    """By brute force: ids and distances of the k nearest of {id: content}."""
    if not rows:
        return []
    ids = sorted(rows)
    matrix = np.stack([embedding(rows[id_]) for id_ in ids])
    if projection is not None:
        matrix, query = projection.apply(matrix), projection.apply(query[None])[0]
    found = zip(ids, distances(query, matrix, metric).tolist(), strict=True)
    return sorted(found, key=lambda pair: (pair[1], pair[0]))[:k]


def assert_same_answer(got: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> None:
    """The same distances at every rank, and the same ids wherever the distances leave no choice."""
    assert len(got) == len(wanted)
    distances = np.array([d for _, d in wanted])
    np.testing.assert_allclose([d for _, d in got], distances, atol=1e-5)
    alike = [np.searchsorted(np.sort(distances), distances + far, side) for far, side in _AROUND]
    alone = np.flatnonzero(alike[1] - alike[0] == 1)
    alone = alone[alone < len(wanted) - 1]  # behind the last there may be others
    assert [got[rank][0] for rank in alone] == [wanted[rank][0] for rank in alone]


def listed(parts: Iterable[Columns]) -> dict[int, tuple[Any, ...]]:
    """What columns say of each record that counts, by its id: folder, name, size, second, fields."""
    found: dict[int, tuple[Any, ...]] = {}
    for part in parts:
        folders, names = decoded(part.folders), part.split_names()
        fields = {name: decoded(column) for name, column in part.fields.items()}
        for n, id_ in enumerate(part.ids.tolist()):
            if part.alive is None or part.alive[n]:
                assert id_ not in found
                numbers = (None if np.isnan(one[n]) else float(one[n]) for one in (part.sizes, part.seconds))
                found[id_] = folders[n], names[n], *numbers, *(values[n] for values in fields.values())
    return found


def decoded(column: Coded) -> list[Any]:
    return [column.values[code - 1] if code else None for code in column.codes.tolist()]


def wanted_columns(store: Store) -> dict[int, tuple[Any, ...]]:
    """What `listed` must give, from the records themselves."""
    found = {}
    for one in store.scan():
        if one.digest is not None:
            second = None if one.mtime_ns is None else float(round(one.mtime_ns / 1e9))
            folder, _, name = os.fsdecode(one.path).rpartition("/")
            taken_at = one.taken_at.isoformat() if one.taken_at else None
            fields = (one.width, one.height, one.format, taken_at, one.camera)
            found[one.id] = folder, name, None if one.size is None else float(one.size), second, *fields
    return found


def columns_of(store: Store) -> list[Columns]:
    """The columns of a store in SQLite."""
    assert isinstance(store, SqliteStore)
    with store.reading():
        return store._search._all_columns(store.generation)


def write_format_3(folder: Path) -> None:
    """Let a gallery be one of format 3, as version 0.1 wrote it: absolute paths, stamps, information as JSON."""
    store = SqliteStore(folder)
    records, roots = list(store.scan()), store.roots
    store.close()
    with contextlib.closing(sqlite3.connect(folder / "gallery.db")) as db:
        db.executescript(
            """
            DROP TABLE item;
            CREATE TABLE item (
                id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, digest BLOB, info TEXT NOT NULL,
                crc INTEGER NOT NULL);
            CREATE INDEX item_digest ON item (digest);
            DELETE FROM meta WHERE key IN ('base', 'calibration', 'distinct');
            DROP TABLE description;
            PRAGMA user_version = 3;
            """
        )
        rows = [_row_of_format_3(one) for one in records]
        db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", rows)
        checksums = [row[-1] for row in rows if row[3] is not None]
        old: dict[str, Any] = {
            "tally": Tally(len(rows), len(checksums), sum(checksums)),
            "roots": [[path.decode("latin-1"), how] for path, how in roots.items()],
        }
        for key, value in old.items():
            content = json.dumps(value).encode()
            db.execute("REPLACE INTO meta VALUES (?, ?, ?)", (key, content, checksum(key.encode(), content)))
        db.commit()


def _row_of_format_3(one: Record) -> tuple[Any, ...]:
    stamp = f"{one.size}:{one.mtime_ns}" + (f":{one.max_megapixels!r}" if one.max_megapixels is not None else "")
    known = {"width": one.width, "height": one.height, "format": one.format, "reason": one.skipped_because}
    info = json.dumps({name: value for name, value in known.items() if value is not None})
    parts = b"%d" % one.id, one.path, stamp.encode(), one.digest or b"", info.encode()
    crc = zlib.crc32(repr([len(part) for part in parts]).encode() + b"".join(parts))
    return one.id, one.path, stamp, one.digest, info, crc
