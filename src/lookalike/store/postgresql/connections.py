"""Connections to one server, each with limits on how long anything may take, kept for the next use."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from lookalike.errors import StoreError
from lookalike.store.postgresql.errors import is_lost, is_starting, translate
from lookalike.store.server.client import ServerClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from psycopg.abc import PQGen

    from lookalike.store.postgresql.address import Address

    T = TypeVar("T")

__all__ = ["Connection", "Connections", "TimedOut", "waits"]

_KEPT = 8  # idle connections
_GRACE = 5.0  # seconds that the client waits longer than the server: then the server, or the network, is stuck
_LONG = 3600.0  # seconds for what grows with the gallery: an index, or all vectors again


class TimedOut(psycopg.DatabaseError):
    """The server did not answer at all within the limit."""

    sqlstate = "57014"


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no wait for the server lasts longer than `limit` seconds."""

    limit = 15.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does, but not for ever: a connection that timed out is closed."""
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  (what `timeout` is documented to raise)
            self.pgconn.finish()
            raise TimedOut(f"no answer within {self.limit:g} seconds") from None

    def fetch(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement returns; in binary form, which keeps every number as it is."""
        cursor = self.execute(statement.encode(), values or None, binary=True)
        return cursor.fetchall() if cursor.description else []

    def run(self, statements: str) -> list[tuple[Any, ...]]:
        """Run several statements in one round trip; return the rows of the last."""
        cursor = self.execute(statements.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []

    def copy_in(self, target: str, rows: bytes) -> None:
        """Write rows in PostgreSQL's binary form into a table; target: its name with the columns."""
        with self.cursor().copy(f"COPY {target} FROM STDIN (FORMAT BINARY)".encode()) as copy:
            for start in range(0, len(rows), 1 << 20):
                copy.write(rows[start : start + (1 << 20)])

    @contextlib.contextmanager
    def unhurried(self) -> Iterator[None]:
        """Allow an hour for each statement inside the context, which is inside a transaction."""
        before, self.limit = self.limit, _LONG
        try:
            self.run(f"SET LOCAL statement_timeout = '{_LONG:g}s'")
            yield
        finally:
            self.limit = before


class Connections(ServerClient):
    """Hands out connections to the server at one address. Any number of threads may take them."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.location)
        self.address = address
        self._idle: list[Connection] = []

    def open(self) -> Connection:
        """A new connection, which belongs to the caller. Raises psycopg.Error."""
        self.check()
        address = self.address
        connection = Connection.connect(**address.parameters, autocommit=True, prepare_threshold=None)
        try:
            connection.limit = address.timeout + _GRACE
            connection.run(_settings(connection, address))
        except BaseException:
            connection.close()
            raise
        return connection

    def take(self) -> Connection:
        """A connection for some time. Raises psycopg.Error, ClosedGallery."""
        self.check()
        while self._idle:
            with contextlib.suppress(IndexError):
                connection = self._idle.pop()
                if not connection.closed:
                    return connection
        return self.open()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next use, or close it."""
        if self._is_closed or os.getpid() != self._process or len(self._idle) >= _KEPT:
            connection.close()
        elif not connection.closed:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections; the others are closed when they are given back."""
        self._is_closed = True
        if os.getpid() == self._process:
            while self._idle:
                self._idle.pop().close()

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Turn the errors of PostgreSQL inside the context into StoreError or a subclass."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self.address.location) from error

    def retry(self, attempt: Callable[[], T], *, at_first: bool = False) -> T:
        """The result of an attempt, which is repeated with growing pauses while the server is away.

        at_first: give up at once unless the server says that it is starting. Raises psycopg.Error, StoreError.
        """
        for pause in waits(self.address.patience):
            try:
                return attempt()
            except psycopg.Error as error:
                if pause is None or not (is_starting(error) if at_first else is_lost(error)):
                    raise
            time.sleep(pause)
        raise StoreError(f"{self.address.location} cannot be reached")  # pragma: no cover  (the last pause is None)


def waits(patience: float) -> Iterator[float | None]:
    """The pauses between attempts, in seconds: 0.05, then twice as long each, at most 2; None behind the last."""
    ends, pause = time.monotonic() + patience, 0.05
    while time.monotonic() + pause < ends:
        yield pause
        pause = min(2 * pause, 2.0)
    yield None


def _settings(connection: Connection, address: Address) -> str:
    """The statements that set a session up: where tables are, limits, and how approximate searches go on."""
    where = connection.fetch(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    )
    names = [sql.Identifier(name).as_string(connection) for name in (address.schema, *(row[0] for row in where))]
    return (
        f"SET search_path = {', '.join([*names, 'public'])};"
        f"SET statement_timeout = '{address.timeout:g}s';"
        f"SET lock_timeout = '{address.timeout:g}s';"
        "SET synchronous_commit = on; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1;"
        "SET hnsw.iterative_scan = strict_order; SET hnsw.max_scan_tuples = 40000"
    )
