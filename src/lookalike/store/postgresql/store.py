"""A gallery in PostgreSQL: the server keeps, filters and searches; see `lookalike.store.Store` for what methods do.

Records, embeddings and their checksums are those of the SQLite store, so hits are the same to the last digit where a
search is exact. Small galleries are compared as a whole; from 30,000 pictures on, pgvector's index finds candidates.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import check_projection
from lookalike.store.entries import read_roots
from lookalike.store.keys import is_within, moved
from lookalike.store.postgresql import schema
from lookalike.store.postgresql.address import read_address
from lookalike.store.postgresql.connections import Connections
from lookalike.store.postgresql.moment import Moment
from lookalike.store.postgresql.predicate import Predicate, translate
from lookalike.store.postgresql.search import INDEXED_DIM, Finder, find_ids, index_statement
from lookalike.store.postgresql.tables import (
    Reader,
    write_contents,
    write_descriptions,
    write_items,
    write_meta,
    write_projection,
    write_vectors,
)
from lookalike.store.postgresql.writer import Change, Writer
from lookalike.store.rows import DIGEST, ID, KEY, Tally, make_row, with_key
from lookalike.store.server.store import ServerStore
from lookalike.store.server.vectors import adapt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Capability, Space
    from lookalike.store.blocks import Block
    from lookalike.store.evaluate import Colored
    from lookalike.store.filter import Filter
    from lookalike.store.rows import Row, Stored

    Vectors = NDArray[np.float32]

__all__ = ["PostgresqlStore"]

T = TypeVar("T")

_APPROXIMATE_FROM = 30_000  # pictures: as in the SQLite store; 14 ms for comparing all of them at 280 dimensions
_FIELDS = ("width", "height", "format", "camera", "taken_at")


class PostgresqlStore(ServerStore[Moment, Reader, Change, Predicate]):
    """A store in one schema of a PostgreSQL database.

    location: `postgresql://USER@HOST:PORT/DATABASE`, with `?gallery=NAME` where a database holds several. It cannot be
    used in a process forked after it was opened. approximate_from: pictures from which searches use an index.
    """

    capabilities: frozenset[Capability] = frozenset(("crash-safe", "snapshots", "one writer", "approximate"))
    _client: Connections

    def __init__(
        self, location: str | Path, *, create: Space | None = None, approximate_from: int = _APPROXIMATE_FROM
    ) -> None:
        self._address = read_address(str(location))
        self._client = Connections(self._address)
        super().__init__(self._address.location, self._client)
        self._approximate_from = approximate_from
        self._epoch = 1
        try:
            self.space = self._open(create)
        except BaseException:
            self._client.close()
            raise
        self._finder = Finder(self.space)

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make this thread the only writer while the context lasts, by a lock of the server."""
        writer = Writer(self._client, wait)
        with self._write_as(writer):
            writer.compact()
            yield
            self._settle(writer)

    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block: all or none of them, on the server's disk when this returns."""
        self._change(lambda change: self._put(change, block))

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""
        wanted = sorted(set(ids))

        def remove(change: Change) -> int:
            rows = self._reader_of(change).by_ids(wanted)
            self._delete(change, rows)
            self._drop_orphans(change, {row[DIGEST] for row in rows})
            return len(rows)

        return self._change(remove)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, all below it and the roots to `new`, all or none; return how many records."""

        def rename(change: Change) -> int:
            reader = self._reader_of(change)
            below = old.rstrip(b"/") + b"/"
            there = {record.id for record in reader.scan(below)} | {row[ID] for row in reader.by_paths([old])}
            rows = reader.by_ids(there)
            arrived = [with_key(row, moved(row[KEY], old, new)) for row in rows]
            if any(row[ID] not in there for row in reader.by_paths(row[KEY] for row in arrived)):
                raise ValueError("a path would be there twice")
            self._replace(change, rows, arrived)
            roots = reader.entry("roots", [], read_roots)
            self._write_roots(change, {moved(path, old, new): how for path, how in roots.items()})
            return sum(is_within(row[KEY], old) for row in rows)

        return self._change(rename)

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings, and all vectors by it."""
        if projection is not None:
            check_projection(projection, self.space.dim)

        def set_projection(change: Change) -> None:
            with change.connection.unhurried():
                write_projection(change, projection)
                self._write_all_vectors(change, projection)

        self._change(set_projection)

    # Maintenance

    def sizes(self) -> dict[str, int]:
        """The size of each table with its indexes in bytes, by its name."""
        with self._moment() as moment:
            rows = moment.fetch(
                "SELECT relname::text, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'gallery'::regclass) "
                "ORDER BY relname",
            )
        return {str(name): int(size) for name, size in rows}

    # Opening and reading

    def _open(self, create: Space | None) -> Space:
        with self._client.named_errors():
            if create is not None:
                with contextlib.closing(self._client.retry(self._client.open, at_first=True)) as connection:
                    schema.create(connection, self._address.schema, create)
            # A new connection, since the old one may not know yet where pgvector is.
            with contextlib.closing(self._client.retry(self._client.open, at_first=True)) as connection:
                space = schema.read_space(connection, self.location)
                self._epoch = schema.read_state(connection.fetch(schema.GALLERY), self.location).epoch
        return space

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Moment]:
        moment = Moment(self._client, self._epoch)
        self._epoch = moment.state.epoch
        try:
            yield moment
        finally:
            moment.end()

    def _reader_at(self, moment: Moment) -> Reader:
        return Reader(moment.fetch, self.location, self.space)

    def _reader_of(self, change: Change) -> Reader:
        return Reader(change.fetch, self.location, self.space)

    def _find_ids(self, moment: Moment, condition: Predicate | None) -> NDArray[np.int64]:
        return find_ids(moment, condition or Predicate("TRUE"))

    def _find_used(self, moment: Moment) -> set[str]:
        each = ", ".join(f"bool_or({name} IS NOT NULL)" for name in _FIELDS)
        rows = moment.fetch(f"SELECT {each} FROM item WHERE digest IS NOT NULL")
        return {name for name, has in zip(_FIELDS, rows[0], strict=True) if has}

    def _to_condition(self, moment: Moment, where: Filter, colored: Colored) -> Predicate:
        return translate(where, moment.fetch, colored)

    def _fetch_vectors(self, moment: Moment, ids: list[int]) -> tuple[NDArray[np.int64], Vectors]:
        return self._reader_at(moment).vectors(moment.state.epoch, moment.state.width, ids)

    def _check_vectors(self, moment: Moment, reader: Reader) -> Iterator[str]:
        yield from super()._check_vectors(moment, reader)
        ((count,),) = moment.fetch(f"SELECT count(*) FROM vector_{moment.state.epoch}")
        if count != moment.state.embedded:
            yield f"{count:,} vectors found for {moment.state.embedded:,} embeddings"

    # Writing

    def _change(self, make: Callable[[Change], T]) -> T:
        done = super()._change(make)
        self._epoch = self._own_writer().state.epoch
        return done

    def _put(self, change: Change, block: Block) -> None:
        reader, after = self._reader_of(change), block.files
        wanted = {digest for digest, *_ in after.values() if digest is not None}
        known = reader.known(wanted)
        if missing := wanted - known - block.contents.keys():
            raise ValueError(f"no embedding for {len(missing)} of the digests")
        contents = {digest: kept for digest, kept in block.contents.items() if digest in wanted}
        before = {row[KEY]: row for row in reader.by_paths(after)}
        next_id = change.state.next_id
        new_ids = {path: next_id + n for n, path in enumerate(path for path in after if path not in before)}
        rows = [make_row(new_ids.get(path) or before[path][ID], path, fields) for path, fields in after.items()]
        change.state = change.state._replace(next_id=next_id + len(new_ids))
        self._replace(change, list(before.values()), rows)
        write_contents(change, contents, known & contents.keys(), self.space.dim)
        described = {digest: kept for digest, kept in block.descriptions.items() if digest in wanted}
        write_descriptions(change, described, known)
        others = self._with_contents(change, known & contents.keys())
        self._delete_vectors(change, [row[ID] for row in (*others, *before.values())])
        self._write_new_vectors(change, (*others, *rows), contents)
        self._drop_orphans(change, {row[DIGEST] for row in before.values()} - wanted)

    def _replace(self, change: Change, before: Sequence[Row], after: Sequence[Row]) -> None:
        """Write rows of items in place of others, and keep the tally."""
        if before:
            change.fetch("DELETE FROM item WHERE id = ANY(%b::bigint[])", [[row[ID] for row in before]])
        write_items(change, after)
        state = change.state
        tally = Tally(state.records, state.embedded, state.checksums).minus(before).plus(after)
        change.state = state._replace(**tally._asdict())

    def _write_entries(self, change: Change, entries: Mapping[str, bytes | None]) -> None:
        """Write entries in place of those of the same names; None only removes them."""
        if removed := [key for key, content in entries.items() if content is None]:
            change.fetch("DELETE FROM meta WHERE key = ANY(%s)", [removed])
        for key, content in entries.items():
            if content is not None:
                write_meta(change, key, content)

    def _delete(self, change: Change, rows: Sequence[Row]) -> None:
        self._replace(change, rows, [])
        self._delete_vectors(change, [row[ID] for row in rows])

    def _delete_vectors(self, change: Change, ids: list[int]) -> None:
        if ids:
            change.fetch(f"DELETE FROM vector_{change.state.epoch} WHERE id = ANY(%b::bigint[])", [ids])

    def _with_contents(self, change: Change, digests: set[bytes]) -> list[Row]:
        """The items whose embeddings these are."""
        return self._reader_of(change).rows("WHERE i.digest = ANY(%b::bytea[])", [list(digests)]) if digests else []

    def _write_new_vectors(self, change: Change, rows: Iterable[Row], contents: Stored) -> None:
        """Write the vectors of these items, which have none. contents: those of their embeddings that are at hand."""
        embedded = {row[ID]: row[DIGEST] for row in rows if row[DIGEST] is not None}
        if embedded:
            others = self._reader_of(change).contents(set(embedded.values()) - contents.keys())
            blobs = [contents[digest][0] if digest in contents else others[digest] for digest in embedded.values()]
            write_vectors(
                change,
                list(embedded),
                blobs,
                self._find_projection(change.state.epoch, self._reader_of(change)),
                self.space,
            )

    def _drop_orphans(self, change: Change, digests: set[Any]) -> None:
        """Delete the contents among these that no record refers to any more, with their descriptions."""
        some = [digest for digest in digests if digest is not None]
        for table in ("content", "description") if some else ():
            change.fetch(
                f"DELETE FROM {table} t WHERE digest = ANY(%b::bytea[]) "
                "AND NOT EXISTS (SELECT 1 FROM item i WHERE i.digest = t.digest)",
                [some],
            )

    def _write_all_vectors(self, change: Change, projection: Projection | None) -> None:
        """Make a new table of vectors, with its index if they are many."""
        width = adapt(np.zeros((1, self.space.dim), np.float32), projection, self.space).shape[1]
        reader = self._reader_of(change)
        epoch = change.state.epoch + 1
        schema.create_vectors(change.connection, epoch, width)
        change.state = change.state._replace(epoch=epoch, width=width, indexed=False)
        for rows, blobs in reader.embedded():
            write_vectors(change, [row[ID] for row in rows], blobs, projection, self.space)
        if self._wants_index(change):
            change.connection.run(f"SET LOCAL maintenance_work_mem = '1GB'; {self._index_statement(change.state)}")
            change.state = change.state._replace(indexed=True)

    def _index_statement(self, state: schema.State) -> str:
        return index_statement(state.epoch, state.width, self.space.metric)

    def _wants_index(self, at: Change | Writer) -> bool:
        state = at.state
        return not state.indexed and state.embedded >= self._approximate_from and state.width <= INDEXED_DIM

    def _settle(self, writer: Writer) -> None:
        """Make the index when the gallery has become large: at the end, since a full table is indexed faster."""
        if not self._wants_index(writer):
            return

        def make_index(change: Change) -> None:
            with change.connection.unhurried():
                change.connection.run(f"SET LOCAL maintenance_work_mem = '1GB'; {self._index_statement(change.state)}")
            change.state = change.state._replace(indexed=True, generation=change.state.generation - 1)

        writer.change(make_index)
