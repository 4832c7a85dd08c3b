"""Connections to one database: one for each thread that uses it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from lookalike.errors import ClosedGallery
from lookalike.store.sqlite.errors import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Connections"]


class Connections:
    """Gives each thread its own connection on first use, and reuses the connections of threads that have ended.

    A connection is closed only by the thread that owns it, because closing one on which another thread is running a
    statement crashes the process.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path) -> None:
        """connect: opens the database at `path`."""
        self._connect = connect
        self._path = path
        self._own = threading.local()
        self._pool = _Pool()
        self.own()

    def own(self) -> sqlite3.Connection:
        """The connection of this thread. Raises ClosedGallery after `close` and in a forked process."""
        lease: _Lease | None = getattr(self._own, "lease", None)
        if lease is None or self._pool.is_closed or os.getpid() != self._pool.process:
            lease = self._new_lease()
        return lease.connection

    def fetch(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement returns. Raises StoreError or a subclass of it, such as ClosedGallery."""
        try:
            return self.own().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def close(self) -> None:
        """Close the connections of this thread and of ended threads; the others close theirs when they notice."""
        self._pool.is_closed = True
        if os.getpid() == self._pool.process:
            self._own.lease = None
            self._pool.close_free()

    def _new_lease(self) -> _Lease:
        if os.getpid() != self._pool.process:
            # https://sqlite.org/howtocorrupt.html 2.6: a connection carried over a fork corrupts the database
            raise ClosedGallery(
                f"{self._path.parent} was opened before this process was forked", hint="open it again here"
            )
        if self._pool.is_closed:
            self._own.lease = None
            raise ClosedGallery(f"{self._path.parent} is closed", hint="open it again: Gallery.open")
        self._own.lease = lease = _Lease(self._take(), self._pool)
        return lease

    def _take(self) -> sqlite3.Connection:
        try:
            connection = self._pool.free.pop()
        except IndexError:
            return self._connect()
        if connection.in_transaction:  # its thread ended during a transaction
            connection.execute("ROLLBACK")
        return connection


class _Pool:
    """The connections whose threads have ended."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.free: list[sqlite3.Connection] = []
        self.is_closed = False

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Keep a connection for the next thread, or close it."""
        self.free.append(connection)
        if self.is_closed and os.getpid() == self.process:
            self.close_free()

    def close_free(self) -> None:
        """Close the connections that no thread uses."""
        with contextlib.suppress(IndexError):
            while True:
                self.free.pop().close()


class _Lease:
    """A connection in use by a thread; it returns to the pool when the thread ends or drops the lease."""

    def __init__(self, connection: sqlite3.Connection, pool: _Pool) -> None:
        self.connection = connection
        self._pool = pool

    def __del__(self) -> None:
        self._pool.give_back(self.connection)
