"""The tables of a gallery in PostgreSQL: every row that is read is checked, and batches are written by COPY."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import from_entries, read_summary, to_entries
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store.float16 import from_blobs
from lookalike.store.postgresql.binary import (
    decode_text,
    encode_text,
    join_moment,
    pack_rows,
    pack_vectors,
    split_moment,
    to_blob,
    to_halves,
    unpack_vectors,
)
from lookalike.store.postgresql.errors import corrupt
from lookalike.store.postgresql.predicate import encode_name
from lookalike.store.rows import DIGEST, ID, KEY, Row, checksum, find_unsound, is_sound, to_records
from lookalike.vectors.exact import prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record, Space
    from lookalike.store.postgresql.binary import Encoded
    from lookalike.store.postgresql.writer import Change

    Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
    Vectors = NDArray[np.float32]

__all__ = [
    "CHUNK",
    "Reader",
    "adapt",
    "write_contents",
    "write_descriptions",
    "write_items",
    "write_meta",
    "write_projection",
    "write_vectors",
]

CHUNK = 4096  # rows read at once
_MANY = 20_000  # values in one statement
_ITEM = (
    "SELECT i.id, i.path, i.digest, i.size, i.mtime_ns, i.width, i.height, i.format, i.taken_at, i.utc_offset_us, "
    "i.camera, i.skipped_because, i.max_megapixels, i.crc FROM item i"
)
_ITEM_COLUMNS = (
    "item (id, path, digest, size, mtime_ns, width, height, format, taken_at, utc_offset_us, camera, skipped_because, "
    "max_megapixels, crc, folder, name)"
)
_HEAD = "substring(i.path FROM 1 FOR 1000)"  # what the index of the order holds: an index cannot hold a whole path
_WIDTH_OF_HEAD = 1000

T = TypeVar("T")


class Reader:
    """The tables as `fetch` sees them. Methods raise StoreError or a subclass, such as Corrupt for damaged rows."""

    def __init__(self, fetch: Fetch, location: str, space: Space) -> None:
        self._fetch, self._location, self._space = fetch, location, space

    # Entries

    def meta(self, key: str) -> bytes | None:
        """The content of the entry with this name; None if there is none."""
        for value, crc in self._fetch("SELECT value, crc FROM meta WHERE key = %s", [key]):
            if not is_sound(crc, key.encode(), value):
                raise self.corrupt(f"the entry {key!r} does not match its checksum")
            return bytes(value)
        return None

    def names(self, prefix: str) -> list[str]:
        """The rest of the name of each entry that begins with `prefix`, in order."""
        rows = self._fetch("SELECT key FROM meta WHERE starts_with(key, %s)", [prefix])
        return sorted(str(key).removeprefix(prefix) for (key,) in rows)

    def entry(self, key: str, default: Any, of: Callable[[Any], T]) -> T:  # noqa: ANN401  (parsed JSON)
        """The entry with this name, which `of` makes from its parsed JSON, or from the default."""
        content = self.meta(key)
        try:
            return of(default if content is None else json.loads(content))
        except (TypeError, ValueError, OverflowError):
            raise self.corrupt(f"the entry {key!r} has an invalid value") from None

    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        summary = self.entry("projection", None, read_summary)
        if summary is None:
            return None
        try:
            return from_entries(summary, {name: self.meta(name) or b"" for name in summary.entries}, self._space.dim)
        except ValueError as error:
            raise self.corrupt(str(error)) from None

    # Items

    def rows(self, where: str, values: Sequence[Any]) -> list[Row]:
        """Checked rows of the items that a condition selects, in the form of `lookalike.store.rows`."""
        found = [_to_row(sent) for sent in self._fetch(f"{_ITEM} {where}", values)]
        if (row := find_unsound(found)) is not None:
            raise self.corrupt(f"item {row[ID]} does not match its checksum")
        return found

    def by_ids(self, ids: Iterable[int]) -> list[Row]:
        """Checked rows of the items with these ids."""
        return [row for some in self._split(ids) for row in self.rows("WHERE i.id = ANY(%b::bigint[])", [some])]

    def by_paths(self, paths: Iterable[bytes]) -> list[Row]:
        """Checked rows of the items at these paths."""
        hashes = (hashlib.sha256(path).digest() for path in paths)
        return [
            row for some in self._split(hashes) for row in self.rows("WHERE sha256(i.path) = ANY(%b::bytea[])", [some])
        ]

    def scan(self, prefix: bytes) -> Iterator[Record]:
        """The records whose path begins with `prefix`, ordered by path."""
        head, last = prefix[:_WIDTH_OF_HEAD], b""
        ends = _successor(head)
        while True:
            limits = f"{_HEAD} >= %s AND ({_HEAD}, i.path) > (%s, %s)" + (f" AND {_HEAD} < %s" if ends else "")
            values = [max(head, last[:_WIDTH_OF_HEAD]), last[:_WIDTH_OF_HEAD], last, *([ends] if ends else [])]
            rows = self.rows(f"WHERE {limits} ORDER BY {_HEAD}, i.path LIMIT {CHUNK}", values)
            yield from to_records([row for row in rows if row[KEY].startswith(prefix)])
            if len(rows) < CHUNK:
                return
            last = rows[-1][KEY]

    # Embeddings

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        select = "SELECT digest FROM content WHERE digest = ANY(%b::bytea[])"
        return {row[0] for some in self._split(digests) for row in self._fetch(select, [some])}

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked bytes of the embedding of each of these digests that has one."""
        select = "SELECT digest, exponent, halfvec_send(embedding), crc FROM content WHERE digest = ANY(%b::bytea[])"
        found: dict[bytes, bytes] = {}
        for some in _batched(dict.fromkeys(digests)):
            for digest, exponent, halves, crc in self._fetch(select, [list(some)]):
                found[digest] = self._check_content(digest, to_blob(exponent, halves, self._space.dim), crc)
        return found

    def embedded(self, ids: Sequence[int] | None = None) -> Iterator[tuple[list[Row], list[bytes]]]:
        """Checked items with the bytes of their embeddings, in chunks: of all items ordered by id, or of these."""
        for rows in self.with_digest(ids):
            blobs = self.contents(row[DIGEST] for row in rows)
            if missing := next((row for row in rows if row[DIGEST] not in blobs), None):
                raise self.corrupt(f"the embedding of {os.fsdecode(missing[KEY])!r} is missing")
            yield rows, [blobs[row[DIGEST]] for row in rows]

    def with_digest(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Checked rows of items with an embedding, in chunks: of all items ordered by id, or of these."""
        if ids is not None:
            for some in _batched(ids):
                if rows := [row for row in self.by_ids(some) if row[DIGEST] is not None]:
                    yield rows
            return
        last = 0
        while rows := self.rows(f"WHERE i.digest IS NOT NULL AND i.id > %s ORDER BY i.id LIMIT {CHUNK}", [last]):
            yield rows
            last = rows[-1][ID]

    def vectors(self, epoch: int, width: int, ids: Sequence[int] | None = None) -> tuple[NDArray[np.int64], Vectors]:
        """Ids (n,) and vectors (n, width) of all items ordered by id, or of those of these that have one."""
        select = f"SELECT id, vector_send(vector) FROM vector_{epoch} WHERE "
        sent: list[tuple[Any, ...]] = []
        if ids is None:
            while rows := self._fetch(f"{select} id > %s ORDER BY id LIMIT {CHUNK}", [sent[-1][0] if sent else 0]):
                sent += rows
        else:
            for some in self._split(ids):
                sent += self._fetch(f"{select} id = ANY(%b::bigint[])", [some])
        return np.array([id_ for id_, _ in sent], np.int64), self.unpack([row for _, row in sent], width)

    def unpack(self, sent: Sequence[bytes], width: int) -> Vectors:
        """Vectors as `vector_send` sent them, float32 (n, width)."""
        try:
            return unpack_vectors(sent, width)
        except ValueError as error:
            raise self.corrupt(str(error)) from None

    def descriptions(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked description of each of these digests that has one."""
        select = "SELECT digest, described, crc FROM description WHERE digest = ANY(%b::bytea[])"
        found: dict[bytes, bytes] = {}
        for some in self._split(digests):
            for digest, described, crc in self._fetch(select, [some]):
                if not is_sound(crc, digest, described) or len(described) != DESCRIPTION_SIZE:
                    raise self.corrupt(f"the description of content {digest.hex()[:12]} does not match its checksum")
                found[digest] = described
        return found

    def corrupt(self, what: str) -> Exception:
        """The error for a damaged row."""
        return corrupt(self._location, what)

    def _check_content(self, digest: bytes, blob: bytes, crc: int) -> bytes:
        if not blob or not is_sound(crc, digest, blob):
            raise self.corrupt(f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        return blob

    def _split(self, values: Iterable[T]) -> Iterator[list[T]]:
        """Values in lists for one statement each: at least one, so that a closed gallery raises."""
        some = list(values)
        return (some[start : start + _MANY] for start in range(0, len(some) or 1, _MANY))


def adapt(embeddings: Vectors, projection: Projection | None, space: Space) -> Vectors:
    """The vectors that are compared for embeddings, float32 (n, w)."""
    return prepare_vectors(projection.apply(embeddings) if projection else embeddings, space.metric)


def write_items(change: Change, rows: Sequence[Row]) -> None:
    """Write rows of items whose ids are not there."""
    change.connection.copy_in(_ITEM_COLUMNS, pack_rows(map(_encode_item, rows)))


def write_contents(change: Change, blobs: Mapping[bytes, bytes], dim: int) -> None:
    """Write the embeddings of these digests, in place of any that are there."""
    change.fetch("DELETE FROM content WHERE digest = ANY(%b::bytea[])", [list(blobs)])
    checksums = (_int(checksum(digest, blob)) for digest, blob in blobs.items())
    rows = zip(blobs, *to_halves(list(blobs.values()), dim), checksums, strict=True)
    change.connection.copy_in("content (digest, exponent, embedding, crc)", pack_rows(rows))


def write_descriptions(change: Change, descriptions: Mapping[bytes, bytes]) -> None:
    """Write descriptions by digest, in place of any that are there."""
    change.fetch("DELETE FROM description WHERE digest = ANY(%b::bytea[])", [list(descriptions)])
    rows = [(digest, bytes(some), _int(checksum(digest, some))) for digest, some in descriptions.items()]
    change.connection.copy_in("description (digest, described, crc)", pack_rows(rows))


def write_vectors(
    change: Change, ids: Sequence[int], blobs: Sequence[bytes], projection: Projection | None, space: Space
) -> None:
    """Write the vectors of these items, in place of any that are there; blobs: the bytes of their embeddings."""
    vectors = adapt(from_blobs(blobs, space.dim), projection, space)
    change.fetch(f"DELETE FROM vector_{change.state.epoch} WHERE id = ANY(%b::bigint[])", [list(ids)])
    packed = pack_vectors(np.array(ids, np.int64), vectors)
    change.connection.copy_in(f"vector_{change.state.epoch} (id, vector)", packed)


def write_meta(change: Change, key: str, value: bytes) -> None:
    """Write an entry."""
    change.fetch(
        "INSERT INTO meta VALUES (%s, %s, %s) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, crc = excluded.crc",
        [key, value, checksum(key.encode(), value)],
    )


def write_projection(change: Change, projection: Projection | None) -> None:
    """Write the entries of a projection."""
    summary, arrays = (None, {}) if projection is None else to_entries(projection)
    for name, content in arrays.items():
        write_meta(change, name, content)
    write_meta(change, "projection", json.dumps(summary).encode())


def _to_row(sent: tuple[Any, ...]) -> Row:
    """A row of `item` in the form of `lookalike.store.rows`, by which its checksum was computed."""
    moment = join_moment(sent[8], sent[9])
    texts = (decode_text(sent[10]), decode_text(sent[11]))
    return (*sent[:7], decode_text(sent[7]), moment, *texts, *sent[12:])


def _encode_item(row: Row) -> list[Encoded]:
    id_, path, digest, size, mtime_ns, width, height, format_, taken_at, camera, reason, limit, crc = row
    folder, _, name = path.rpartition(b"/")
    return [
        *(_int(id_), path, digest, *map(_int, (size, mtime_ns, width, height)), _text(format_)),
        *(*split_moment(taken_at), _text(camera), _text(reason), _float(limit), _int(crc)),
        *(folder, encode_name(name).encode()),
    ]


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    each = iter(values)
    while some := list(islice(each, CHUNK)):
        yield some


def _int(value: int | None) -> Encoded:
    return None if value is None else struct.pack(">q", value)


def _float(value: float | None) -> Encoded:
    return None if value is None else struct.pack(">d", value)


def _text(value: str | None) -> Encoded:
    encoded = encode_text(value)
    return None if encoded is None else encoded.encode()


def _successor(prefix: bytes) -> bytes:
    """The first bytes behind everything that begins with `prefix`; empty if nothing is."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
