"""A gallery in one SQLite database: what is committed is safe, what is read is checked.

Every row carries a CRC-32 of its own content, and the number of rows is kept beside them, so that a damaged
file gives an error and never another answer. Embeddings are kept as float16: the ranking is the same as with
float32 (docs/decisions.md) at half the size.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import Corrupt, DiskFull, NewerFormat, NoGallery, StoreBusy, StoreError
from lookalike.store import Item, Known, Space
from lookalike.store.projection import Projection
from lookalike.store.ranking import Matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["DATABASE", "SqliteStore"]

DATABASE = "gallery.db"
_APPLICATION_ID = 0x4C4B414C  # "LKAL", so that `file` and we ourselves know the database for what it is
_PAGE = 16384  # six embeddings of 1,280 float16; in pages of 4,096 each would take one for itself
_CHUNK = 4096  # rows read at once: 20 MiB of 1,280 float32
_VARIABLES = 500  # in one statement; SQLite's own limit is 999 in old builds
_READ_WAIT = 10.0  # seconds a statement waits for another process's commit

# Numbered migrations: a database of version n has had the first n applied.
_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE content (
        id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, embedding BLOB NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE item (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, digest BLOB, info TEXT NOT NULL,
        crc INTEGER NOT NULL);
    CREATE INDEX item_digest ON item (digest);
    """,
)


class SqliteStore:
    """See `lookalike.store.Store` for what its methods do. Not to be shared between threads."""

    def __init__(self, folder: str | Path, *, create: Space | None = None) -> None:
        self.path = Path(folder) / DATABASE
        self._is_writing = False
        self._loaded: tuple[int, Projection | None, Matrix] | None = None
        if create is None and not self.path.exists():
            raise NoGallery(f"there is no gallery at {folder}", hint=f"lookalike index PHOTOS -i {folder}")
        with self._named_errors():
            if create is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
            self._db = _connect(self.path)
        try:
            with self._named_errors():
                self._prepare(create)
            self.space = Space(**json.loads(self._meta("space")))
        except BaseException:
            self._db.close()
            raise

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._number("generation")

    @property
    def projection(self) -> Projection | None:
        """What embeddings go through before they are compared."""
        parts = json.loads(self._meta("projection"))
        if parts is None:
            return None
        mean = np.frombuffer(self._meta("projection.mean"), "<f4")
        components = np.frombuffer(self._meta("projection.components"), "<f4").reshape(len(mean), -1)
        return Projection(mean, components, parts["fitted_on"])

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Be the only writer while the context lasts: a lock of the operating system, gone with the process."""
        note = self.path.with_name("writer.pid")
        lock = sqlite3.connect(self.path.with_name("writer.lock"), isolation_level=None, timeout=wait)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise _busy(self.path, note) from error
            with self._named_errors():
                note.write_text(str(os.getpid()), encoding="ascii")
            self._is_writing = True
            yield
        finally:
            if self._is_writing:
                self._is_writing = False
                note.unlink(missing_ok=True)
            lock.close()

    def put(self, items: Sequence[Item], embeddings: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Add or replace items by key, all or none, on disk when it returns."""
        rows = {digest: self._to_blob(embedding) for digest, embedding in embeddings.items()}
        with self._transaction():
            before = self.find(item.key for item in items)
            contents = [(digest, blob, _crc(digest, blob)) for digest, blob in rows.items()]
            self._db.executemany(
                "INSERT OR IGNORE INTO content (digest, embedding, crc) VALUES (?, ?, ?)", contents
            )
            wanted = {item.digest for item in items if item.digest is not None}
            if missing := wanted - self.known(wanted):
                raise ValueError(f"no embedding for {len(missing)} of the digests")
            after = {item.key: item for item in items}
            next_id = self._number("next_id")
            new_ids = {key: next_id + n for n, key in enumerate(key for key in after if key not in before)}
            self._db.executemany(
                "INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?, ?)",
                [_item_row(new_ids.get(key) or before[key].id, item) for key, item in after.items()],
            )
            self._set_meta("next_id", next_id + len(new_ids))
            self._add_to_counts(len(new_ids), _embedded(after.values()) - _embedded(before.values()))
            self._drop_orphans({item.digest for item in before.values() if item.digest} - wanted)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove items, all or none; how many there were."""
        with self._transaction():
            found = self.get(ids)
            self._db.executemany("DELETE FROM item WHERE id = ?", [(id_,) for id_ in found])
            self._add_to_counts(-len(found), -_embedded(found.values()))
            self._drop_orphans({item.digest for item in found.values() if item.digest})
        return len(found)

    def project(self, projection: Projection | None) -> None:
        """Keep a projection with the embeddings; None compares them as they are."""
        with self._transaction():
            if projection is not None:
                self._set_meta("projection.mean", projection.mean.astype("<f4").tobytes())
                self._set_meta("projection.components", projection.components.astype("<f4").tobytes())
            self._set_meta("projection", projection and {"fitted_on": projection.fitted_on})

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """Which of the digests have an embedding."""
        found: set[bytes] = set()
        with self._named_errors():
            for some in _split(digests):
                marks = ",".join("?" * len(some))
                rows = self._db.execute(f"SELECT digest FROM content WHERE digest IN ({marks})", some)  # noqa: S608
                found.update(digest for (digest,) in rows)
        return found

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Known]:
        """The items with these keys."""
        return {item.key: item for some in _split(keys) for item in self._select("WHERE key IN", some)}

    def get(self, ids: Iterable[int]) -> dict[int, Known]:
        """The items with these ids."""
        return {item.id: item for some in _split(ids) for item in self._select("WHERE id IN", some)}

    def items(self, prefix: bytes = b"") -> Iterator[Known]:
        """Every item whose key starts with `prefix`, ordered by key."""
        with self._named_errors():
            rows = self._db.execute(
                "SELECT id, key, stamp, digest, info, crc FROM item WHERE key >= ? ORDER BY key", (prefix,)
            )
            for row in rows:
                if not row[1].startswith(prefix):
                    return
                yield _known(row, self.path)

    def embeddings(
        self, ids: Sequence[int] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids and embeddings as they were put, in chunks: of all items ordered by id, or of these."""
        query = (
            "SELECT item.id, item.key, item.stamp, item.digest, item.info, item.crc, embedding, content.crc"
            " FROM item JOIN content USING (digest)"
        )
        with self._named_errors():
            if ids is None:
                rows = iter(self._db.execute(query + " ORDER BY item.id"))
            else:
                parts = (
                    (f"{query} WHERE item.id IN ({','.join('?' * len(some))})", some) for some in _split(ids)
                )
                rows = (row for statement, some in parts for row in self._db.execute(statement, some))
            while chunk := list(islice(rows, _CHUNK)):
                yield self._checked(chunk)

    def count(self) -> tuple[int, int]:
        """How many items have an embedding, and how many have none."""
        with self._named_errors():
            with_embedding, without = self._db.execute(
                "SELECT count(digest), sum(digest IS NULL) FROM item"
            ).fetchone()
        return with_embedding, without or 0

    def matrix(self) -> Matrix:
        """All embeddings projected and ready to be searched; as new as the store."""
        return self._current()[1]

    def search(self, query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """Ids and distances of the k nearest items to float32 (dim,), nearest first, ties by id."""
        projection, matrix = self._current()
        rounded = query.astype(np.float16).astype(
            np.float32
        )  # as what is stored: a picture finds itself at 0
        return matrix.search(projection.apply(rounded) if projection else rounded, k)

    def check(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when all is well."""
        problems: list[str] = []
        try:
            with self._named_errors():
                found = self._db.execute("PRAGMA integrity_check(20)").fetchall()
            problems += [line for (line,) in found if line != "ok"]
            with self._snapshot():
                problems += self._bad_rows()
        except StoreError as error:
            problems.append(str(error))
        return problems

    def close(self) -> None:
        """Give back files and locks; the store cannot be used any more."""
        self._db.close()

    # Opening

    def _prepare(self, create: Space | None) -> None:
        version = self._format_version()
        if version == 0:
            if create is None:
                raise StoreError(f"{self.path} is not a gallery")
            self._db.execute(f"PRAGMA page_size = {_PAGE}")
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version == len(_MIGRATIONS):
            return
        if version:
            self._db.execute("VACUUM INTO ?", (f"{self.path}.version-{version}",))
        self._migrate(create)

    def _format_version(self) -> int:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION_ID and (application or version or tables):
            raise StoreError(f"{self.path} is a database of another program, not a gallery")
        if version > len(_MIGRATIONS):
            raise NewerFormat(
                f"{self.path} has format {version}; this version of Lookalike knows formats up to {len(_MIGRATIONS)}",
                hint="upgrade Lookalike: pip install --upgrade lookalike",
            )
        return int(version)

    def _migrate(self, create: Space | None) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            version = self._format_version()  # again: another process may have been first
            for migration in _MIGRATIONS[version:]:
                for statement in migration.split(";"):
                    self._db.execute(statement)
            if version == 0 and create is not None:
                for key, value in (
                    ("space", asdict(create)),
                    ("generation", 0),
                    ("next_id", 1),
                    ("projection", None),
                ):
                    self._set_meta(key, value)
                self._set_meta("counts", [0, 0])
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    # Reading

    def _select(self, condition: str, values: list[Any]) -> list[Known]:
        marks = ",".join("?" * len(values))
        with self._named_errors():
            rows = self._db.execute(
                f"SELECT id, key, stamp, digest, info, crc FROM item {condition} ({marks})",  # noqa: S608
                values,
            ).fetchall()
        return [_known(row, self.path) for row in rows]

    def _current(self) -> tuple[Projection | None, Matrix]:
        generation = self.generation
        if self._loaded is None or self._loaded[0] != generation:
            with self._snapshot():
                projection = self.projection
                self._loaded = (self.generation, projection, self._load_matrix(projection))
        return self._loaded[1:]

    def _load_matrix(self, projection: Projection | None) -> Matrix:
        ids, rows = [np.empty(0, np.int64)], [np.empty((0, self._width(projection)), np.float32)]
        for some_ids, chunk in self.embeddings():
            ids.append(some_ids)
            rows.append(projection.apply(chunk) if projection else chunk)
        if sum(map(len, ids)) != json.loads(self._meta("counts"))[1]:
            raise _corrupt(
                self.path, "the number of embeddings"
            )  # a damaged tree can give fewer rows, no error
        return Matrix(np.concatenate(ids), np.concatenate(rows), self.space.metric)

    def _width(self, projection: Projection | None) -> int:
        return projection.components.shape[1] if projection else self.space.dim

    def _checked(self, rows: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        for row in rows:
            _known(row[:6], self.path)
            if _crc(row[3], row[6]) != row[7]:
                raise _corrupt(self.path, f"the embedding of {os.fsdecode(row[1])!r}")
        raw = np.frombuffer(b"".join(row[6] for row in rows), "<f2").reshape(len(rows), self.space.dim)
        return np.array([row[0] for row in rows], np.int64), raw.astype(np.float32)

    def _bad_rows(self) -> list[str]:
        problems = []
        (items,) = self._db.execute("SELECT count(*) FROM item NOT INDEXED").fetchone()
        (joined,) = self._db.execute("SELECT count(*) FROM item JOIN content USING (digest)").fetchone()
        if json.loads(self._meta("counts")) != [items, joined]:
            problems.append("rows are missing: there are not as many as were written")
        for (key,) in self._db.execute("SELECT key FROM meta"):
            self._meta(key)
        for row in self._db.execute("SELECT id, key, stamp, digest, info, crc FROM item"):
            try:
                _known(row, self.path)
            except Corrupt as error:
                problems.append(str(error))
        for digest, blob, crc in self._db.execute("SELECT digest, embedding, crc FROM content"):
            if _crc(digest, blob) != crc or len(blob) != 2 * self.space.dim:
                problems.append(f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        return problems

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read everything inside as of one moment."""
        if self._db.in_transaction:
            yield
            return
        with self._named_errors():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def _meta(self, key: str) -> bytes:
        with self._named_errors():
            row = self._db.execute("SELECT value, crc FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None or _crc(key.encode(), row[0]) != row[1]:
            raise _corrupt(self.path, f"the entry {key!r}")
        return bytes(row[0])

    def _number(self, key: str) -> int:
        return int(json.loads(self._meta(key)))

    # Writing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._is_writing:
            raise RuntimeError("a store is written to inside `with store.writing():`")
        with self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._set_meta("generation", self._number("generation") + 1)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                    self._db.execute("ROLLBACK")
                raise

    def _set_meta(self, key: str, value: object) -> None:
        blob = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._db.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, blob, _crc(key.encode(), blob))
        )

    def _add_to_counts(self, items: int, embedded: int) -> None:
        before = json.loads(self._meta("counts"))
        self._set_meta("counts", [before[0] + items, before[1] + embedded])

    def _drop_orphans(self, digests: Iterable[bytes]) -> None:
        """Forget embeddings that no item has any more."""
        self._db.executemany(
            "DELETE FROM content WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM item WHERE digest = ?1)",
            [(digest,) for digest in digests],
        )

    def _to_blob(self, embedding: NDArray[np.float32]) -> bytes:
        if embedding.shape != (self.space.dim,):
            raise ValueError(f"an embedding of shape {embedding.shape}, expected ({self.space.dim},)")
        with np.errstate(over="ignore"):
            half = embedding.astype("<f2")
        if not np.isfinite(half).all():
            raise ValueError("an embedding that is not finite (or beyond 65,504, the largest float16)")
        return bytes(half.tobytes())

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error
        except OSError as error:
            raise StoreError(f"{error.filename or self.path}: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a gallery")
    return sqlite3.connect(path, isolation_level=None, timeout=_READ_WAIT)


def _split(values: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(values)
    while some := list(islice(remaining, _VARIABLES)):
        yield some


def _crc(*parts: bytes) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, zlib.crc32(len(part).to_bytes(8, "little"), crc))
    return crc


def _embedded(items: Iterable[Item]) -> int:
    return sum(item.digest is not None for item in items)


def _item_row(id_: int, item: Item) -> tuple[int, bytes, str, bytes | None, str, int]:
    info = json.dumps(dict(item.info), separators=(",", ":"))
    return (
        id_,
        item.key,
        item.stamp,
        item.digest,
        info,
        _item_crc(id_, item.key, item.stamp, item.digest, info),
    )


def _item_crc(id_: int, key: bytes, stamp: str, digest: bytes | None, info: str) -> int:
    return _crc(str(id_).encode(), key, stamp.encode(), digest or b"", info.encode())


def _known(row: tuple[Any, ...], path: Path) -> Known:
    id_, key, stamp, digest, info, crc = row
    try:
        if _item_crc(id_, key, stamp, digest, info) == crc:
            return Known(key, stamp, digest, json.loads(info), id_)
    except (TypeError, AttributeError, ValueError):  # a damaged row may hold another type altogether
        pass
    raise _corrupt(path, f"item {id_}")


def _corrupt(path: Path, what: str) -> Corrupt:
    return Corrupt(f"{path}: {what} does not match its checksum", hint="lookalike verify --repair")


def _busy(path: Path, note: Path) -> StoreBusy:
    try:
        holder = f"process {int(note.read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        holder = "another process"
    return StoreBusy(
        f"{path.parent} is being indexed by {holder}", hint="try again when it is done, or use --wait"
    )


def _translated(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    if "disk is full" in text or "disk I/O error" in text:
        return DiskFull(
            f"{path}: {text}; everything indexed before is safe", hint="make room and run it again"
        )
    if "locked" in text or "busy" in text:
        return StoreBusy(f"{path}: {text}", hint="another program holds the database; try again")
    if "malformed" in text or "not a database" in text:
        return Corrupt(f"{path}: {text}", hint="lookalike verify")
    return StoreError(f"{path}: {text}")
