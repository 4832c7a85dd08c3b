"""The tables of a gallery in PostgreSQL, and the row that says what state they are in.

Everything is typed: one table of records, one of embeddings (half precision with a common exponent, as in the SQLite
store), one of descriptions, one of vectors as they are compared. A new adaptation gets a new table of vectors, so that
readers keep the one of their moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psycopg

from lookalike.errors import NewerFormat, StoreError, how_to_upgrade
from lookalike.store import Space
from lookalike.store.postgresql.errors import corrupt, no_gallery
from lookalike.store.rows import checksum
from lookalike.vectors.exact import prepare_vectors

if TYPE_CHECKING:
    from lookalike.store.postgresql.connections import Connection

__all__ = ["FORMAT", "GALLERY", "State", "create", "create_vectors", "read_space", "read_state", "to_statement"]

FORMAT = 1
_PLAIN = 1_900  # float32 that fit into a page of 8 KB, and so need not be moved out of their row
_MOST = 16_000  # dimensions of a vector or halfvec
_FIELDS = ("generation", "epoch", "width", "indexed", "next_id", "records", "embedded", "checksums", "token", "crc")
GALLERY = f"SELECT {', '.join(_FIELDS)} FROM gallery"


class State(NamedTuple):
    """What the tables hold at one moment.

    generation: grows with every change. epoch: the number of the table of vectors. width: of these. indexed: whether
    they have an index. next_id: of records. records, embedded, checksums: see `lookalike.store.rows.Tally`. token: of
    the transaction that wrote last.
    """

    generation: int
    epoch: int
    width: int
    indexed: bool
    next_id: int
    records: int
    embedded: int
    checksums: int
    token: str


_TABLES = """
CREATE TABLE gallery (
    format int NOT NULL, encoder text NOT NULL, fingerprint text NOT NULL, dim int NOT NULL, metric text NOT NULL,
    source text NOT NULL, generation bigint NOT NULL, epoch int NOT NULL, width int NOT NULL, indexed boolean NOT NULL,
    next_id bigint NOT NULL, records bigint NOT NULL, embedded bigint NOT NULL, checksums bigint NOT NULL,
    token text NOT NULL, crc bigint NOT NULL);
CREATE TABLE meta (key text PRIMARY KEY, value bytea NOT NULL, crc bigint NOT NULL);
CREATE TABLE content (
    digest bytea PRIMARY KEY, exponent smallint NOT NULL, embedding halfvec({dim}) NOT NULL, crc bigint NOT NULL);
ALTER TABLE content ALTER embedding SET STORAGE {storage};
CREATE TABLE description (digest bytea PRIMARY KEY, described bytea NOT NULL, crc bigint NOT NULL);
CREATE TABLE item (
    id bigint PRIMARY KEY, path bytea NOT NULL, digest bytea, size bigint, mtime_ns bigint, width bigint, height bigint,
    format text, taken_at timestamp, utc_offset_us bigint, camera text, skipped_because text,
    max_megapixels double precision, crc bigint NOT NULL, folder bytea NOT NULL, name text NOT NULL);
CREATE UNIQUE INDEX item_path ON item (sha256(path));
CREATE INDEX item_order ON item (substring(path FROM 1 FOR 1000));
CREATE INDEX item_digest ON item (digest);
"""


def create(connection: Connection, schema: str, space: Space) -> None:
    """Make the tables of a new gallery, or none of them; do nothing if they are there.

    Raises psycopg.Error; StoreError where pgvector is missing.
    """
    if space.dim > _MOST:
        raise StoreError(f"embeddings of {space.dim} dimensions are more than PostgreSQL keeps: {_MOST:,}")
    with connection.transaction():
        connection.fetch("SELECT pg_advisory_xact_lock(hashtextextended('lookalike ' || %s, 0))", [schema])
        if connection.fetch("SELECT to_regclass(%s)::text", [f"{schema}.gallery"])[0][0] is not None:
            return
        _add_pgvector(connection)
        connection.run(f"CREATE SCHEMA IF NOT EXISTS {schema}; SET LOCAL search_path = {_path(connection, schema)}")
        connection.run(_TABLES.format(dim=space.dim, storage="PLAIN" if space.dim <= 2 * _PLAIN else "EXTERNAL"))
        width = prepare_vectors(np.zeros((1, space.dim), np.float32), space.metric).shape[1]
        create_vectors(connection, 1, width)
        about = (FORMAT, space.encoder, space.fingerprint, space.dim, space.metric, space.source)
        state = State(0, 1, width, False, 1, 0, 0, 0, "")  # noqa: FBT003  (in the order of the fields)
        connection.fetch(
            f"INSERT INTO gallery VALUES ({', '.join(['%s'] * (len(about) + len(_FIELDS)))})",
            [*about, *state, _crc(state)],
        )


def create_vectors(connection: Connection, epoch: int, width: int) -> None:
    """Make a table of vectors, inside a transaction."""
    connection.run(
        f"CREATE TABLE vector_{epoch} (id bigint PRIMARY KEY, vector vector({width}) NOT NULL);"
        f"ALTER TABLE vector_{epoch} ALTER vector SET STORAGE {'PLAIN' if width <= _PLAIN else 'EXTERNAL'}"
    )


def read_space(connection: Connection, location: str) -> Space:
    """The encoder behind a gallery. Raises NoGallery, NewerFormat, StoreError, psycopg.Error."""
    try:
        rows = connection.fetch("SELECT format, encoder, fingerprint, dim, metric, source FROM gallery")
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise no_gallery(location) from None
    if len(rows) != 1:
        raise corrupt(location, "the row that describes the gallery is missing, or there twice")
    version, encoder, fingerprint, dim, metric, source = rows[0]
    if version > FORMAT:
        raise NewerFormat(
            f"{location} has format {version}; this version of Lookalike knows formats up to {FORMAT}",
            hint=f"upgrade Lookalike: {how_to_upgrade()}",
        )
    return Space(encoder, fingerprint, dim, metric, source)


def read_state(rows: list[tuple[Any, ...]], location: str) -> State:
    """The state from the rows of `GALLERY`. Raises Corrupt."""
    for *values, crc in rows:
        state = State(*values)
        if crc == _crc(state):
            return state
    raise corrupt(location, "the row that describes the gallery does not match its checksum")


def to_statement(state: State) -> tuple[str, list[Any]]:
    """The statement that writes a state, with its values."""
    return f"UPDATE gallery SET {', '.join(f'{name} = %s' for name in _FIELDS)}", [*state, _crc(state)]


def _crc(state: State) -> int:
    return checksum(repr(tuple(state)).encode())


def _path(connection: Connection, schema: str) -> str:
    where = connection.fetch(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    )
    return ", ".join([schema, *(f'"{name}"' for (name,) in where), "public"])


def _add_pgvector(connection: Connection) -> None:
    try:
        connection.run("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise StoreError(
            "the server has no pgvector", hint="install it there: https://github.com/pgvector/pgvector#installation"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            "pgvector is not enabled in the database",
            hint="an administrator can do it: psql DATABASE -c 'CREATE EXTENSION vector'",
        ) from error
    ((version,),) = connection.fetch("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if tuple(map(int, version.split(".")[:2])) < (0, 8):
        raise StoreError(f"the server has pgvector {version}", hint="Lookalike needs pgvector 0.8 or later there")
