"""One moment of a database: everything read in it belongs together, whatever others write."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from lookalike.errors import StoreError
from lookalike.store.postgresql.errors import is_lost, translate
from lookalike.store.postgresql.schema import GALLERY, State, read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.store.postgresql.connections import Connection, Connections

__all__ = ["Moment"]

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Moment:
    """A snapshot on a connection of its own. It outlives the connection as long as nothing was written since."""

    def __init__(self, connections: Connections, epoch: int) -> None:
        """epoch: of the table of vectors, as far as is known: it is locked before the snapshot is taken."""
        self._connections, self._location = connections, connections.address.location
        with connections.named_errors():
            self._connection, self.state = connections.retry(lambda: self._begin(epoch))

    def fetch(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement returns at this moment. Raises StoreError or a subclass."""
        try:
            return self._connection.fetch(statement, values)
        except psycopg.Error as error:
            if not is_lost(error):
                raise translate(error, self._location) from error
            self._resume()
            return self.fetch(statement, values)

    def end(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(psycopg.Error):
            if not self._connection.closed:
                self._connection.run("ROLLBACK")
        self._connections.give_back(self._connection)

    def _begin(self, epoch: int) -> tuple[Connection, State]:
        connection = self._connections.take()
        try:
            return connection, self._take_snapshot(connection, epoch)
        except BaseException:
            connection.close()
            raise

    def _take_snapshot(self, connection: Connection, epoch: int) -> State:
        """Lock the table of vectors first, so that it outlives the snapshot that refers to it."""
        while True:
            try:
                rows = connection.run(f"{_BEGIN}; LOCK TABLE vector_{epoch} IN ACCESS SHARE MODE; {GALLERY}")
                state = read_state(rows, self._location)
            except psycopg.errors.UndefinedTable:  # another adaptation has replaced it
                connection.run("ROLLBACK")
                state = read_state(connection.fetch(GALLERY), self._location)
            else:
                if state.epoch == epoch:
                    return state
                connection.run("ROLLBACK")
            epoch = state.epoch

    def _resume(self) -> None:
        before = self.state
        self._connection.close()
        with self._connections.named_errors():
            self._connection, self.state = self._connections.retry(lambda: self._begin(before.epoch))
        if self.state.generation != before.generation:
            raise StoreError(
                f"{self._location}: the connection was lost, and the gallery has changed since", hint="run it again"
            )
