"""The one writer of a gallery: a lock of the server that ends with its session, and changes that happen once.

A change is one transaction. If the connection breaks in the middle, the server is waited for and the change is made
again, unless the token in the gallery's row says that it was committed although no answer came.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import psycopg

from lookalike.errors import StoreBusy, StoreError
from lookalike.store.postgresql.errors import is_lost, translate
from lookalike.store.postgresql.schema import GALLERY, State, read_state, to_statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lookalike.store.postgresql.connections import Connection, Connections

    T = TypeVar("T")

__all__ = ["Change", "Writer"]

_POLL = 0.05  # seconds between two attempts to become the writer
_SPACE = 0x4C4B414C  # "LKAL", so that other programs' locks on the same server are others
_LOCK = f"SELECT pg_try_advisory_lock({_SPACE}, (SELECT 'gallery'::regclass::oid::int))"
_UNLOCK = "SELECT pg_advisory_unlock_all()"
_HOLDER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    f"AND pg_locks.classid = {_SPACE} AND objid = 'gallery'::regclass::oid "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_VECTORS = (
    "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ '^vector_[0-9]+$' "
    "AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'gallery'::regclass)"
)


class Change:
    """A transaction that is being made: its connection, and the state that it leads to."""

    def __init__(self, connection: Connection, state: State) -> None:
        self.connection = connection
        self.fetch = connection.fetch
        self.state = state


class Writer:
    """A session that holds the writer's lock."""

    def __init__(self, connections: Connections, wait: float) -> None:
        """Raises StoreBusy if another writer has the lock for longer than `wait` seconds."""
        self._connections, self._location = connections, connections.address.location
        with connections.named_errors():
            self._connection = connections.retry(connections.open)
            try:
                self._acquire(wait)
                self.state = read_state(self._connection.fetch(GALLERY), self._location)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Free the lock and end the session."""
        # The server ends a session some time after its client has left. Until then the next writer would be refused.
        with contextlib.suppress(psycopg.Error):
            self._connection.fetch(_UNLOCK)
        self._connection.close()

    def change(self, make: Callable[[Change], T]) -> T:
        """Make one change as a whole, exactly once, on the server's disk when this returns; return what `make` does."""
        token = os.urandom(8).hex()
        before = self.state.generation
        done: list[T] = []
        while True:
            try:
                return self._try(make, token, done)
            except psycopg.Error as error:
                if not is_lost(error):
                    raise translate(error, self._location) from error
            self._reconnect()
            if self.state.token == token:
                return done[-1]
            if self.state.generation != before:
                raise StoreError(
                    f"{self._location}: the connection was lost, and another process has written since",
                    hint="run it again",
                )

    def compact(self) -> None:
        """Drop the vectors of earlier adaptations, unless a reader of an earlier moment still holds them."""
        with contextlib.suppress(StoreError), self._connections.named_errors():
            for (name,) in self._connection.fetch(_VECTORS):
                if int(name.removeprefix("vector_")) < self.state.epoch:
                    with self._connection.transaction():
                        self._connection.run(f"SET LOCAL lock_timeout = '100ms'; DROP TABLE {name}")

    def _try(self, make: Callable[[Change], T], token: str, done: list[T]) -> T:
        connection = self._connection
        connection.run("BEGIN")
        try:
            change = Change(connection, self.state)
            done.append(make(change))
            state = change.state._replace(generation=change.state.generation + 1, token=token)
            connection.fetch(*to_statement(state))
            connection.run("COMMIT")
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                connection.run("ROLLBACK")
            raise
        self.state = state
        return done[-1]

    def _reconnect(self) -> None:
        self._connection.close()
        with self._connections.named_errors():
            self._connection = self._connections.retry(self._connections.open)
            self._acquire(self._connections.address.patience)  # the server may not have noticed yet that it is free
            self.state = read_state(self._connection.fetch(GALLERY), self._location)

    def _acquire(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not self._connection.fetch(_LOCK)[0][0]:
            if time.monotonic() >= deadline:
                raise self._busy()
            time.sleep(_POLL)

    def _busy(self) -> StoreBusy:
        name = next((str(name) for (name,) in self._connection.fetch(_HOLDER)), "")
        holder = f"process {name.removeprefix('lookalike ')}" if name.startswith("lookalike ") else "another process"
        hint = "try again when it is done; index, retry, remove, relocate, adapt and compact take --wait SECONDS"
        return StoreBusy(f"{self._location} is being written by {holder}", hint=hint)
