"""Work that takes longer than a request may: it goes on in a thread, and pages say how far it is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lookalike.errors import ClosedGallery

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Progress = Callable[[int, int], None]

__all__ = ["Background", "Job"]

_Result = TypeVar("_Result")


class _StoppedError(Exception):
    """The server ends."""


@dataclass(slots=True)
class Job(Generic[_Result]):
    """One piece of work. done, total: how far it is. result or error: what came of it, once it has ended."""

    key: Hashable
    started: float
    done: int = 0
    total: int = 0
    result: _Result | None = None
    error: Exception | None = None
    has_ended: bool = False

    @property
    def seconds_left(self) -> float | None:
        """How long it will still take, if that can be told."""
        spent = time.monotonic() - self.started
        return spent * (self.total - self.done) / self.done if self.done and spent > 2 else None


class Background(Generic[_Result]):
    """Does one kind of work, one piece at a time, and remembers what the last one gave.

    work: called with a function that it calls with how much is done, and of how much.
    """

    def __init__(self, work: Callable[[Progress], _Result]) -> None:
        self._work = work
        self._job: Job[_Result] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self, key: Hashable, *, patience: float = 0.0) -> Job[_Result]:
        """The work for a key, begun unless it was already; waits up to `patience` seconds for its end.

        Work for another key that is under way is finished first.
        """
        with self._lock:
            job = self._job
            if job is None or (job.key != key and job.has_ended):
                self._job = job = Job(key, time.monotonic())
                self._thread = threading.Thread(target=self._run, args=(job,), name="lookalike-background", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None and patience:
            thread.join(patience)
        return job

    def peek(self, key: Hashable) -> _Result | None:
        """What the work for a key gave, if it has ended."""
        job = self._job
        return job.result if job is not None and job.key == key else None

    def forget(self) -> None:
        """Do the work again when it is next asked for."""
        with self._lock:
            if self._job is not None and self._job.has_ended:
                self._job = None

    def close(self) -> None:
        """Stop what is under way at its next step, and wait for that."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self, job: Job[_Result]) -> None:
        def watch(done: int, total: int) -> None:
            job.done, job.total = done, total
            if self._stopping.is_set():
                raise _StoppedError

        try:
            job.result = self._work(watch)
        except (_StoppedError, ClosedGallery):
            pass
        except Exception as error:  # noqa: BLE001  (whatever it is, the page shows it)
            job.error = error
        finally:
            job.has_ended = True
