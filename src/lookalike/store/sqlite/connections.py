"""Connections to one database, one for each thread that uses it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["Connections"]


class Connections:
    """Opens a connection for a thread when it first asks for one; that of a thread that has ended serves the next."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str) -> None:
        self._connect = connect
        self._name = name
        self._process = os.getpid()
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._free: list[sqlite3.Connection] = []
        self._is_closed = False
        self.own()

    def own(self) -> sqlite3.Connection:
        """The connection of this thread. Raises ClosedGallery, also in a forked process."""
        lease: _Lease | None = getattr(self._own, "lease", None)
        if lease is None or self._is_closed or os.getpid() != self._process:
            lease = self._new_lease()
        return lease.connection

    def close(self) -> None:
        """Close the connections of all threads."""
        self._is_closed = True
        if os.getpid() == self._process:
            for connection in self._all:
                connection.close()

    def _new_lease(self) -> _Lease:
        if os.getpid() != self._process:
            # https://sqlite.org/howtocorrupt.html 2.6: a connection carried over a fork corrupts the database
            raise ClosedGallery(f"{self._name} was opened before this process was forked", hint="open it again here")
        if self._is_closed:
            raise ClosedGallery(f"{self._name} is closed", hint="open it again: Gallery.open")
        self._own.lease = lease = _Lease(self._take(), self._free)
        return lease

    def _take(self) -> sqlite3.Connection:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._connect()
            self._all.append(connection)
        if connection.in_transaction:  # its thread ended in the middle of something
            connection.execute("ROLLBACK")
        return connection


class _Lease:
    """A connection while a thread has it; given back when the thread ends."""

    def __init__(self, connection: sqlite3.Connection, free: list[sqlite3.Connection]) -> None:
        self.connection = connection
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.connection)
