"""A frozen writer of galleries as version 0.1.0 wrote them: database formats 1, 2 and 3.

Migrations to later formats are tested on what it writes, so it needs only numpy and the standard library, imports
nothing from the package and never changes: every table, checksum and encoding is a copy of what the package did then.
`write_gallery` fills a folder with `gallery.db` and the empty `writer.lock`; caches are left out, as any of them may be
missing.

A database is SQLite with pages of 16,384 bytes and a write-ahead log. Its format is its `user_version`:

1. `meta` (entries by name), `content` (an embedding for each digest) and `item` (a file that was met, by its path).
2. The entry `roots`: the folders that are indexed, with their rules.
3. The table `change`: which items were replaced or removed, and in which generation.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Item3", "Projection3", "Space3", "write_gallery"]

_APPLICATION_ID = 0x4C4B414C  # "LKAL"
_FORMATS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE content (
        id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, embedding BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE item (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, digest BLOB, info TEXT NOT NULL,
        crc INTEGER NOT NULL);
    CREATE INDEX item_digest ON item (digest);
    """,
    "",  # an entry, no table
    """
    CREATE TABLE change (generation INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (generation, id)) WITHOUT ROWID;
    """,
)


class Space3(NamedTuple):
    """Whose embeddings a gallery holds; `metric` is cosine or euclidean, `source` what the encoder is loaded from."""

    encoder: str = "test"
    fingerprint: str = "test-1"
    dim: int = 8
    metric: str = "cosine"
    source: str = "test"


class Item3(NamedTuple):
    """A file that was met. A plain tuple in this order will do.

    key: its absolute path. stamp: "size:mtime in nanoseconds". digest: 32 bytes, or None for a file that was skipped,
    whose `info` then has the "reason"; a picture's has "width", "height" and "format". embedding: float32 (dim,); items
    of the same digest share the first one, and the others may leave theirs out.
    """

    key: bytes
    stamp: str
    digest: bytes | None
    info: Mapping[str, Any]
    embedding: NDArray[np.float32] | None


class Projection3(NamedTuple):
    """What embeddings went through before they were compared.

    mean: float32 (dim,). components: float32 (dim, columns). fitted_on: pictures. shares: the weight of each part of a
    hybrid. classes: numbers added to the first columns. blends: for each part its anchors, float32 (a, c), and its
    deviations, float32 (w,), or None. groups: the columns of each part. Format 2 has no blends and no groups, format 1
    has nothing but the first three.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    fitted_on: int
    shares: Sequence[float] = ()
    classes: Sequence[float] = ()
    blends: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]] | None] = ()
    groups: Sequence[int] = ()

    @property
    def since(self) -> int:
        """The first format that has room for it."""
        if self.blends or self.groups:
            return 3
        return 2 if self.shares or self.classes else 1


def write_gallery(
    folder: Path,
    items: Iterable[Item3 | tuple[bytes, str, bytes | None, Mapping[str, Any], NDArray[np.float32] | None]],
    *,
    space: Space3 = Space3(),  # noqa: B008  (a tuple)
    roots: Mapping[bytes, Mapping[str, Any]] | None = None,
    projection: Projection3 | None = None,
    changes: Sequence[tuple[int, int]] = (),
    version: int = 3,
) -> Path:
    """Write a gallery of format `version` into a folder, made if it is not there; returns the database's path.

    Items get the ids 1, 2 and so on in their order. The generation is that of a gallery whose roots were set, whose
    items were put in one batch and whose projection was kept, as far as there are any. roots: paths with their rules
    ("exclude", "hidden", "follow_links"). changes: pairs of a generation and an id. Raises ValueError for what that
    format cannot hold and for a digest without an embedding, FileExistsError when there is a gallery already.
    """
    _check_version(version, roots, projection, changes)
    some = [Item3(*item) for item in items]
    folder.mkdir(parents=True, exist_ok=True)
    db = _create(folder / "gallery.db", version)
    try:
        db.execute("BEGIN")
        rows = [_item_row(id_, item) for id_, item in enumerate(some, 1)]
        db.executemany("INSERT INTO content (digest, embedding, crc) VALUES (?, ?, ?)", _contents(some, space.dim))
        db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.executemany("INSERT INTO meta VALUES (?, ?, ?)", _entries(space, rows, roots, projection, version))
        if changes:
            db.executemany("INSERT INTO change VALUES (?, ?)", changes)
        db.execute("COMMIT")
    finally:
        db.close()
    (folder / "writer.lock").touch()
    return folder / "gallery.db"


def _check_version(
    version: int,
    roots: Mapping[bytes, Mapping[str, Any]] | None,
    projection: Projection3 | None,
    changes: Sequence[tuple[int, int]],
) -> None:
    if not 1 <= version <= len(_FORMATS):
        raise ValueError(f"format {version}; there are formats 1 to {len(_FORMATS)}")
    if roots and version < 2:
        raise ValueError("format 1 knows no roots")
    if changes and version < 3:
        raise ValueError(f"format {version} knows no changes")
    if projection and version < projection.since:
        raise ValueError(f"format {version} has no room for that projection")


def _create(path: Path, version: int) -> sqlite3.Connection:
    """An empty database with the tables of that format. Raises FileExistsError."""
    path.touch(exist_ok=False)
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 16384", "journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}")
    for tables in _FORMATS[:version]:
        for statement in tables.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")
    return db


def _entries(
    space: Space3,
    rows: Sequence[tuple[Any, ...]],
    roots: Mapping[bytes, Mapping[str, Any]] | None,
    projection: Projection3 | None,
    version: int,
) -> Iterator[tuple[str, bytes, int]]:
    """The rows of the table meta."""
    crcs = [row[5] for row in rows if row[3] is not None]
    values: dict[str, object] = {
        "space": space._asdict(),
        "generation": bool(roots) + bool(rows) + (projection is not None),
        "next_id": len(rows) + 1,
        "tally": [len(rows), len(crcs), sum(crcs)],
        "projection": projection and _summary(projection, version),
    }
    if version >= 2:
        values["roots"] = [[path.decode("latin-1"), dict(rules)] for path, rules in (roots or {}).items()]
    entries = {name: json.dumps(value).encode() for name, value in values.items()}
    for name, value in {**entries, **_numbers(projection, version)}.items():
        yield name, value, _checksum(name.encode(), value)


def _summary(projection: Projection3, version: int) -> object:
    """What JSON has of a projection: later formats know more of it."""
    if version == 1:
        return projection.fitted_on
    first = [projection.fitted_on, list(projection.shares), list(projection.classes)]
    if version == 2:
        return first
    shapes = [blend and [*blend[0].shape, len(blend[1])] for blend in projection.blends]
    return [*first, shapes, list(projection.groups)]


def _numbers(projection: Projection3 | None, version: int) -> dict[str, bytes]:
    """The entries with a projection's numbers: little-endian float32, each blend's anchors before its deviations."""
    if projection is None:
        return {}
    parts = {"mean": [projection.mean], "components": [projection.components]}
    if version >= 3:
        parts["blends"] = [part for blend in projection.blends if blend for part in blend]
    return {f"projection.{name}": b"".join(map(_floats, some)) for name, some in parts.items()}


def _floats(numbers: NDArray[np.float32]) -> bytes:
    return numbers.astype("<f4").tobytes()


def _contents(items: Sequence[Item3], dim: int) -> Iterator[tuple[bytes, bytes, int]]:
    """The rows of the table content, without their ids: the first embedding of each digest."""
    embeddings: dict[bytes, NDArray[np.float32]] = {}
    for item in items:
        if item.digest is not None and item.embedding is not None:
            embeddings.setdefault(item.digest, item.embedding)
    if missing := {item.digest for item in items if item.digest is not None} - set(embeddings):
        raise ValueError(f"no embedding for {len(missing)} of the digests")
    for digest, embedding in embeddings.items():
        blob = _blob(embedding, dim)
        yield digest, blob, _checksum(digest, blob)


def _blob(embedding: NDArray[np.float32], dim: int) -> bytes:
    """An exponent, then float16: the largest number lies between 2**14 and 2**15 before it is rounded."""
    if embedding.shape != (dim,) or not np.isfinite(embedding).all():
        raise ValueError(f"an embedding of shape {embedding.shape} that is not finite or not ({dim},)")
    exponent = max(math.frexp(float(np.abs(embedding).max()))[1] - 15, -120)
    scaled = embedding.astype(np.float32) / np.float32(math.ldexp(1.0, exponent))
    return np.array(exponent, "<i2").tobytes() + scaled.astype("<f2").tobytes()


def _item_row(id_: int, item: Item3) -> tuple[int, bytes, str, bytes | None, str, int]:
    info = json.dumps(dict(item.info), separators=(",", ":"))
    crc = _checksum(b"%d" % id_, item.key, item.stamp.encode(), item.digest or b"", info.encode())
    return id_, item.key, item.stamp, item.digest, info, crc


def _checksum(*parts: bytes) -> int:
    """CRC-32 of the parts after the list of their lengths."""
    crc = zlib.crc32(repr([len(part) for part in parts]).encode())
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
