"""A gallery in Milvus: the server keeps, filters and searches; see `lookalike.store.Store` for what methods do.

Records, embeddings and their checksums are those of the SQLite store, and every search is exact, so hits are the same
to the last digit.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import check_projection, to_entries
from lookalike.store.entries import read_roots
from lookalike.store.float16 import blob_size, from_blobs
from lookalike.store.keys import is_within, moved
from lookalike.store.milvus import schema
from lookalike.store.milvus.address import read_address
from lookalike.store.milvus.client import Client
from lookalike.store.milvus.encoding import encode_bytes, encode_item, encode_text, quoted, to_lists
from lookalike.store.milvus.moment import Moment
from lookalike.store.milvus.predicate import translate
from lookalike.store.milvus.search import Finder
from lookalike.store.milvus.tables import ENTRY, Reader, encode_parts, key_of
from lookalike.store.milvus.writer import Change, Writer
from lookalike.store.rows import DIGEST, ID, KEY, Tally, with_key
from lookalike.store.server.store import ServerStore
from lookalike.store.server.vectors import adapt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Capability, Space
    from lookalike.store.blocks import Block
    from lookalike.store.evaluate import Colored
    from lookalike.store.filter import Filter
    from lookalike.store.rows import Row, Stored

    Found = dict[str, Any]
    Items = tuple[Sequence[Row], Sequence[Found]]  # their rows, and the same as the server has them
    Vectors = NDArray[np.float32]

__all__ = ["MilvusStore"]

T = TypeVar("T")

_NUMBERS, _TEXTS = ("width", "height"), ("format", "camera", "taken_at")


class MilvusStore(ServerStore[Moment, Reader, Change, str]):
    """A store in some collections of a Milvus server or cluster.

    location: `milvus://USER@HOST:PORT/NAME`. It cannot be used in a process forked after it was opened.
    """

    capabilities: frozenset[Capability] = frozenset(("crash-safe", "snapshots", "one writer"))
    _client: Client

    def __init__(self, location: str | Path, *, create: Space | None = None) -> None:
        address = read_address(str(location))
        self._names, self._client = schema.Names(address.name), Client(address)
        super().__init__(address.location, self._client)
        try:
            self.space = self._open(create)
        except BaseException:
            self._client.close()
            raise
        self._finder = Finder(self.space)

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make this thread the only writer while the context lasts, by a lease that the server keeps."""
        self._client.check()
        with self._write_as(Writer(self._client, self._names, wait)):
            yield

    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block: all or none of them, on the server's disk when this returns."""
        files: dict[bytes, Row] = {path: (0, path, *fields, 0) for path, fields in block.files.items()}
        self._change(lambda change: self._put(change, files, block.contents, block.descriptions))

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""
        wanted = sorted(set(ids))

        def remove(change: Change) -> int:
            reader = self._reader_of(change)
            found = reader.whole_items("id", wanted)
            rows = [reader.check_item(one) for one in found]
            self._replace(change, found, rows, ([], []))
            self._end_orphans(change, {row[DIGEST] for row in rows}, {row[ID] for row in rows})
            return len(rows)

        return self._change(remove)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, all below it and the roots to `new`, all or none; return how many records."""

        def rename(change: Change) -> int:
            reader = self._reader_of(change)
            below = old.rstrip(b"/") + b"/"
            there = {record.id for record in reader.scan(below)} | {row[ID] for row in reader.by_paths([old])}
            found = reader.whole_items("id", there)
            rows = [reader.check_item(one) for one in found]
            arrived = [with_key(row, moved(row[KEY], old, new)) for row in rows]
            if any(row[ID] not in there for row in reader.by_paths(row[KEY] for row in arrived)):
                raise ValueError("a path would be there twice")
            items = [encode_item(row, one["vector"]) for row, one in zip(arrived, found, strict=True)]
            self._replace(change, found, rows, (arrived, items))
            roots = reader.entry("roots", [], read_roots)
            self._write_roots(change, {moved(path, old, new): how for path, how in roots.items()})
            return sum(is_within(row[KEY], old) for row in rows)

        return self._change(rename)

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings, and all vectors by it."""
        if projection is not None:
            check_projection(projection, self.space.dim)

        def set_projection(change: Change) -> None:
            summary, arrays = (None, {}) if projection is None else to_entries(projection)
            self._write_entries(change, {**arrays, "projection": json.dumps(summary).encode()})
            self._write_all_vectors(change, projection)

        self._change(set_projection)

    # Maintenance

    def sizes(self) -> dict[str, int]:
        """Nothing: Milvus does not say how large its files are."""
        self._client.check()
        return {}

    # Opening and reading

    def _open(self, create: Space | None) -> Space:
        self._client.connect()
        if create is not None:
            schema.create(self._client, self._names, create)
        return schema.read_gallery(self._client, self._names)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Moment]:
        yield Moment(self._client, self._names)

    def _reader_at(self, moment: Moment) -> Reader:
        return Reader(moment, self.location, self.space)

    def _reader_of(self, change: Change) -> Reader:
        return self._reader_at(change.moment)

    def _find_ids(self, moment: Moment, condition: str | None) -> NDArray[np.int64]:
        found = self._reader_at(moment).values(condition or "", ["id"])
        return np.sort(np.array([one["id"] for one in found], np.int64))

    def _find_used(self, moment: Moment) -> set[str]:
        conditions = {name: f"{name} >= {schema.LEAST}" for name in _NUMBERS}
        conditions |= {name: f"{name} != {quoted(encode_text(None))}" for name in _TEXTS}
        reader = self._reader_at(moment)
        return {name for name, condition in conditions.items() if next(iter(reader.values(condition, ["id"])), None)}

    def _to_condition(self, moment: Moment, where: Filter, colored: Colored) -> str:
        return translate(where, self._reader_at(moment).values, colored)

    def _fetch_vectors(self, moment: Moment, ids: list[int]) -> tuple[NDArray[np.int64], Vectors]:
        return self._reader_at(moment).vectors(ids)

    # Writing

    def _put(
        self,
        change: Change,
        files: Mapping[bytes, Row],
        contents: Stored,
        descriptions: Stored,
    ) -> None:
        """Add or replace items. files: their rows, by path, of which ids and checksums do not count yet."""
        reader, is_new = self._reader_of(change), change.state.records == 0
        wanted = {row[DIGEST] for row in files.values() if row[DIGEST] is not None}
        known = {} if is_new else reader.whole_contents(wanted)
        if missing := wanted - known.keys() - contents.keys():
            raise ValueError(f"no embedding for {len(missing)} of the digests")
        before = [] if is_new else reader.whole_items("path", map(encode_bytes, files))
        others = self._find_others(reader, before, known.keys() & contents.keys())
        old = [reader.check_item(one) for one in (*before, *others)]
        ids, next_id = {row[KEY]: row[ID] for row in old}, change.state.next_id
        new_ids = {path: next_id + n for n, path in enumerate(path for path in files if path not in ids)}
        change.state = change.state._replace(next_id=next_id + len(new_ids))
        ids |= new_ids
        rows = [with_key((ids[path], *row[KEY:]), path) for path, row in files.items()]
        rows += old[len(before) :]
        there = {digest: reader.check_content(digest, row) for digest, row in known.items()}
        there |= {digest: blob for digest, (blob, _) in contents.items()}
        self._replace(change, [*before, *others], old, (rows, self._encode_items(rows, there, change.moment)))
        self._write_contents(change, known, {one: contents[one] for one in wanted & contents.keys()}, descriptions)
        self._end_orphans(change, {row[DIGEST] for row in old} - wanted, {row[ID] for row in old})

    def _find_others(self, reader: Reader, before: list[Found], replaced: Iterable[bytes]) -> list[Found]:
        """The items whose embeddings are replaced by a batch that does not name them."""
        named = {one["id"] for one in before}
        digests = [digest.hex() for digest in replaced]
        return [one for one in reader.whole_items("digest", digests) if one["id"] not in named] if digests else []

    def _encode_items(self, rows: Sequence[Row], blobs: Mapping[bytes, bytes], moment: Moment) -> list[Found]:
        """Items with their vectors; those without an embedding get one of zeros, which no search considers."""
        embedded = [row for row in rows if row[DIGEST] is not None]
        numbers = from_blobs([blobs[row[DIGEST]] for row in embedded], self.space.dim)
        vectors = iter(to_lists(adapt(numbers, self._projection(moment), self.space)) if embedded else [])
        zero = [0.0] * max(2, moment.state.width)
        return [encode_item(row, zero if row[DIGEST] is None else next(vectors)) for row in rows]

    def _replace(self, change: Change, found: Sequence[Found], before: Sequence[Row], after: Items) -> None:
        """Write items in place of others, and keep the tally. found: the others as the server has them."""
        rows, items = after
        change.end_items(found)
        change.add_items(items)
        state = change.state
        tally = Tally(state.records, state.embedded, state.checksums).minus(before).plus(rows)
        change.state = state._replace(**tally._asdict())

    def _write_contents(
        self,
        change: Change,
        known: Mapping[bytes, Found],
        contents: Stored,
        descriptions: Stored,
    ) -> None:
        """Write embeddings and descriptions, in place of any that are there. known: what is, as the server has it."""
        described = {digest: kept for digest, kept in descriptions.items() if digest in known or digest in contents}
        rows = {digest: dict(known[digest]) for digest in (contents.keys() | described.keys()) & known.keys()}
        change.end_contents(list(rows.values()))
        for digest, (blob, crc) in contents.items():
            new = {"key": key_of(digest), "part": 0, "value": "", "crc_value": 0}
            rows[digest] = {**new, **rows.get(digest, {}), "crc": crc, "vector": blob}
        for digest, (some, crc) in described.items():
            rows[digest] |= {"value": base64.b64encode(some).decode(), "crc_value": crc}
        change.add_contents(list(rows.values()))

    def _write_entries(self, change: Change, entries: Mapping[str, bytes | None]) -> None:
        """Write entries in place of those of the same names; None only removes them."""
        reader, zero = self._reader_of(change), bytes(blob_size(self.space.dim))
        for key in entries:
            change.end_contents(reader.raw_contents(f"key == {quoted(ENTRY + encode_bytes(key.encode()))}"))
        rows = [row for key, content in entries.items() if content is not None for row in encode_parts(key, content)]
        change.add_contents([{**row, "vector": zero} for row in rows])

    def _end_orphans(self, change: Change, digests: set[Any], gone: set[int]) -> None:
        """Let contents among these count no longer that only records refer to that are gone."""
        some = {digest.hex() for digest in digests if digest is not None}
        if not some:
            return
        reader = self._reader_of(change)
        kept = {one["digest"] for one in reader.whole_items("digest", some, ["id", "digest"]) if one["id"] not in gone}
        found = reader.whole_contents(bytes.fromhex(one) for one in some - kept) if some - kept else {}
        change.end_contents(list(found.values()))

    def _write_all_vectors(self, change: Change, projection: Projection | None) -> None:
        """Write all items again, with their vectors by another adaptation, into a collection of their own."""
        width = adapt(np.zeros((1, self.space.dim), np.float32), projection, self.space).shape[1]
        reader = self._reader_of(change)
        change.begin_epoch(width, self.space)
        zero = [0.0] * max(2, width)
        for rows, blobs in reader.embedded():
            vectors = to_lists(adapt(from_blobs(blobs, self.space.dim), projection, self.space))
            change.add_items([encode_item(row, one) for row, one in zip(rows, vectors, strict=True)])
        for rows in reader.chunks(embedded=False):
            change.add_items([encode_item(row, zero) for row in rows])
