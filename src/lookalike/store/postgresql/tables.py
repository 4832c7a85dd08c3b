"""The tables of a gallery in PostgreSQL: every row that is read is checked, and batches are written by COPY."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import to_entries
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store.float16 import from_blobs
from lookalike.store.postgresql.binary import (
    decode_text,
    join_moment,
    pack_contents,
    pack_descriptions,
    pack_rows,
    pack_vectors,
    sized,
    split_moment,
    to_blobs,
    to_doubles,
    to_ints,
    to_texts,
    unpack_vectors,
)
from lookalike.store.postgresql.errors import corrupt
from lookalike.store.postgresql.predicate import encode_name
from lookalike.store.rows import ID, KEY, Row, checksum, find_unsound, is_sound, to_records
from lookalike.store.server.reader import CHUNK, ServerReader, batched
from lookalike.store.server.vectors import adapt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record, Space
    from lookalike.store.postgresql.writer import Change
    from lookalike.store.rows import Stored

    Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
    Vectors = NDArray[np.float32]

__all__ = [
    "Reader",
    "adapt",
    "write_contents",
    "write_descriptions",
    "write_items",
    "write_meta",
    "write_projection",
    "write_vectors",
]

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


class Reader(ServerReader):
    """The tables as `fetch` sees them. Methods raise StoreError or a subclass, such as Corrupt for damaged rows."""

    def __init__(self, fetch: Fetch, location: str, space: Space) -> None:
        super().__init__(location, space)
        self._fetch = fetch

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
        return {digest: blob for digest, (blob, _) in self.stored(digests).items()}

    def stored(self, digests: Iterable[bytes]) -> Stored:
        """The checked bytes of the embedding of each of these digests that has one, with the checksum."""
        select = "SELECT digest, exponent, halfvec_send(embedding), crc FROM content WHERE digest = ANY(%b::bytea[])"
        found: Stored = {}
        for some in batched(dict.fromkeys(digests), CHUNK):
            if sent := self._fetch(select, [list(some)]):
                found.update(self._check_contents(*zip(*sent, strict=True)))
        return found

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        select = (
            "SELECT digest, c.crc, d.crc FROM content c LEFT JOIN description d USING (digest) "
            "WHERE digest = ANY(%b::bytea[])"
        )
        return {row[0]: row[1:] for some in self._split(digests) for row in self._fetch(select, [some])}

    def _stored(self, digests: Iterable[bytes]) -> tuple[Stored, Stored]:
        contents = self.stored(digests)
        return contents, self.described(contents)

    def chunks(self, *, embedded: bool) -> Iterator[list[Row]]:
        """Checked rows of all items with an embedding, or of all without, in chunks ordered by id."""
        condition, last = f"i.digest IS {'NOT ' if embedded else ''}NULL", 0
        while rows := self.rows(f"WHERE {condition} AND i.id > %s ORDER BY i.id LIMIT {CHUNK}", [last]):
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
        return {digest: some for digest, (some, _) in self.described(digests).items()}

    def described(self, digests: Iterable[bytes]) -> Stored:
        """The checked description of each of these digests that has one, with the checksum."""
        select = "SELECT digest, described, crc FROM description WHERE digest = ANY(%b::bytea[])"
        found: Stored = {}
        for some in self._split(digests):
            for digest, described, crc in self._fetch(select, [some]):
                if not is_sound(crc, digest, described) or len(described) != DESCRIPTION_SIZE:
                    raise self.corrupt(f"the description of content {digest.hex()[:12]} does not match its checksum")
                found[digest] = described, crc
        return found

    def corrupt(self, what: str) -> Exception:
        """The error for a damaged row."""
        return corrupt(self._location, what)

    def _check_contents(
        self, digests: Sequence[bytes], exponents: Sequence[int], halves: Sequence[bytes], crcs: Sequence[int]
    ) -> Stored:
        try:
            blobs = to_blobs(exponents, halves, self._space.dim)
        except ValueError as error:
            raise self.corrupt(str(error)) from None
        for digest, blob, crc in zip(digests, blobs, crcs, strict=True):
            if checksum(digest, blob) != crc:
                raise self.corrupt(f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        return dict(zip(digests, zip(blobs, crcs, strict=True), strict=True))

    def _split(self, values: Iterable[T]) -> Iterator[list[T]]:
        """Values in lists for one statement each: at least one, so that a closed gallery raises."""
        some = list(values)
        return (some[start : start + _MANY] for start in range(0, len(some) or 1, _MANY))


def write_items(change: Change, rows: Sequence[Row]) -> None:
    """Write rows of items whose ids are not there."""
    if rows:
        change.connection.copy_in(_ITEM_COLUMNS, pack_rows(_encode_items(rows)))


def write_contents(change: Change, contents: Stored, replaced: Collection[bytes], dim: int) -> None:
    """Write the embeddings of these digests, in place of those that are there, which are the `replaced`."""
    if replaced:
        change.fetch("DELETE FROM content WHERE digest = ANY(%b::bytea[])", [list(replaced)])
    for some in _by_length(contents):
        change.connection.copy_in("content (digest, exponent, embedding, crc)", pack_contents(some, dim))


def write_descriptions(change: Change, descriptions: Stored, known: Collection[bytes]) -> None:
    """Write descriptions by digest, in place of any that are there, which are of contents that are `known`."""
    if known:
        replaced = [digest for digest in descriptions if digest in known]
        change.fetch("DELETE FROM description WHERE digest = ANY(%b::bytea[])", [replaced])
    for some in _by_length(descriptions):
        change.connection.copy_in("description (digest, described, crc)", pack_descriptions(some))


def write_vectors(
    change: Change, ids: Sequence[int], blobs: Sequence[bytes], projection: Projection | None, space: Space
) -> None:
    """Write the vectors of these items, which have none; blobs: the bytes of their embeddings."""
    vectors = adapt(from_blobs(blobs, space.dim), projection, space)
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


def _encode_items(rows: Sequence[Row]) -> list[list[bytes]]:
    """The columns of the table `item`, as `pack_rows` takes them."""
    ids, paths, digests, *sizes, formats, taken_at, cameras, reasons, limits, crcs = zip(*rows, strict=True)
    moments, offsets = zip(*map(split_moment, taken_at), strict=True)
    folders, _, names = zip(*(path.rpartition(b"/") for path in paths), strict=True)
    return [
        *(to_ints(ids), sized(paths), sized(digests), *map(to_ints, sizes), to_texts(formats)),
        *(to_ints(moments), to_ints(offsets), to_texts(cameras), to_texts(reasons), to_doubles(limits), to_ints(crcs)),
        *(sized(folders), sized(encode_name(name).encode() for name in names)),
    ]


def _by_length(kept: Stored) -> Iterator[Stored]:
    """What is kept by digest, in parts whose digests are equally long: all of them are, where they are SHA-256."""
    for _, some in groupby(sorted(kept.items(), key=lambda one: len(one[0])), key=lambda one: len(one[0])):
        yield dict(some)


def _successor(prefix: bytes) -> bytes:
    """The first bytes behind everything that begins with `prefix`; empty if nothing is."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
