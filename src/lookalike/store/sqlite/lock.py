"""One writer at a time: a lock of the operating system that ends with its process, and a note of who holds it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from lookalike.errors import StoreBusy
from lookalike.store.sqlite.errors import named_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["WriterLock"]

_POLL = 0.02  # seconds; Ctrl-C would not interrupt a wait inside SQLite


class WriterLock:
    """The file `writer.lock` in a gallery's folder, and `writer.pid`, which notes who is writing and what is on disk.

    The lock is an exclusive transaction on an empty SQLite database, so it works wherever the gallery itself does, and
    also between two stores in one process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "writer.lock"
        self._note = folder / "writer.pid"
        self._descriptor: int | None = None  # of the note, while this process writes it

    @contextlib.contextmanager
    def held(self, *, wait: float) -> Iterator[None]:
        """Hold the lock while the context lasts, after at most `wait` seconds. Raises StoreBusy."""
        with named_errors(self._file):
            lock = self._acquire(time.monotonic() + wait)
        with contextlib.closing(lock):
            try:
                yield
            finally:
                self._close_note()

    def note(self, generation: int) -> None:
        """Note that this process is writing and that this generation is on disk; only while the lock is held."""
        # Errors are ignored: the note only improves messages and reveals a log that lost its end.
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            # Overwritten rather than replaced: ext4 flushes a file that replaces another, 1.7 ms per batch.
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b"%d %20d\n" % (os.getpid(), generation))

    def forget(self) -> None:
        """Remove the note, once everything it says is safe in the database itself."""
        self._close_note()
        with contextlib.suppress(OSError):
            self._note.unlink()

    def noted_generation(self) -> int:
        """The generation that a writer noted as on disk before it was interrupted; 0 if there is no note."""
        return self._read()[1]

    def _close_note(self) -> None:
        # Forgotten before it is closed: Ctrl-C in between must not have it closed twice.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _acquire(self, deadline: float) -> sqlite3.Connection:
        while True:
            lock = sqlite3.connect(self._file, isolation_level=None, timeout=0)
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                lock.close()
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise self._busy() from error
            else:
                return lock
            time.sleep(_POLL)

    def _read(self) -> tuple[int, int]:
        try:
            process, generation = self._note.read_text(encoding="ascii").split()
            return int(process), int(generation)
        except (OSError, ValueError):
            return 0, 0

    def _busy(self) -> StoreBusy:
        process = self._read()[0]
        holder = f"process {process}" if process else "another process"
        hint = "try again when it is done; index, retry, remove, relocate, adapt and compact take --wait SECONDS"
        return StoreBusy(f"{self._folder} is being written by {holder}", hint=hint)
