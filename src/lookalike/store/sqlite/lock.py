"""One writer at a time: a lock of the operating system, gone with its process, and a note of who holds it."""

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

_POLL = 0.02  # seconds; waiting inside SQLite would not hear Ctrl-C


class WriterLock:
    """`writer.lock` in a gallery's folder, and beside it `writer.pid`: the process that writes and what it wrote.

    The lock is an exclusive transaction on an empty SQLite database: it works wherever the gallery itself does,
    also between two stores of one process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "writer.lock"
        self._note = folder / "writer.pid"
        self._descriptor: int | None = None  # of the note, while it is ours

    @contextlib.contextmanager
    def held(self, *, wait: float) -> Iterator[None]:
        """Hold the lock while the context lasts, after at most `wait` seconds. Raises StoreBusy."""
        with named_errors(self._file):
            lock = self._acquire(time.monotonic() + wait)
        try:
            yield
        finally:
            self._put_down()
            lock.close()

    def note(self, generation: int) -> None:
        """Say who is writing, and that this generation is on disk. Only while the lock is held."""
        # Not worth a failure: the note only makes messages better and finds a log that lost its end.
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            # Over what it says, not as a new file: ext4 flushes one that replaces another, 1.7 ms a batch.
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b"%d %20d\n" % (os.getpid(), generation))

    def forget(self) -> None:
        """Take the note away: everything it says is safe in the database itself."""
        self._put_down()
        with contextlib.suppress(OSError):
            self._note.unlink()

    def noted_generation(self) -> int:
        """The generation a writer said was on disk before it stopped; 0 if none stopped in mid-run."""
        return self._read()[1]

    def _put_down(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

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
        return StoreBusy(
            f"{self._folder} is being written by {holder}", hint="try again when it is done, or use --wait SECONDS"
        )
