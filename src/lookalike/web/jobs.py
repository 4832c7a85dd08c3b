"""A run of `index` that a client has started: one at a time, in a thread, with its progress."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from lookalike.web.problems import Problem, to_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.gallery import Gallery
    from lookalike.indexing.update import IndexOptions

__all__ = ["IndexJob"]

_log = logging.getLogger(__name__)

_ENDING = 20.0  # seconds that closing waits for a batch to be on disk


class _CancelledError(Exception):
    """The client wants no more of it."""


class IndexJob:
    """Indexes a gallery in the background. Every batch is on disk before the next begins, so it may end at any time."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._state, self._done, self._total = "none", 0, 0
        self._report: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None

    def start(self, paths: Sequence[bytes], *, retry: bool = False, refresh: bool = False) -> None:
        """Begin a run. paths: what to index; nothing for all that was indexed before. Raises Problem if one runs."""
        from lookalike.indexing.update import IndexOptions  # noqa: PLC0415  (13 ms of the start of `serve`)

        with self._lock:
            if self._thread is not None:
                raise Problem(409, "running", "the collection is already being indexed")
            self._cancelled.clear()
            self._state, self._done, self._total, self._report, self._error = "running", 0, 0, None, None
            options = IndexOptions(retry=retry, refresh=refresh, workers=max(1, (os.cpu_count() or 1) - 1))
            self._thread = threading.Thread(
                target=self._run, args=(paths, options), name="lookalike-index", daemon=True
            )
            self._thread.start()

    def cancel(self) -> None:
        """End the run after its batch, if there is one."""
        self._cancelled.set()

    def close(self) -> None:
        """End the run and wait for it."""
        self.cancel()
        thread = self._thread
        if thread is not None:
            thread.join(_ENDING)

    def to_dict(self) -> dict[str, Any]:
        """How far it is, as JSON-compatible values."""
        with self._lock:
            progress = {"state": self._state, "done": self._done, "total": self._total}
            return progress | {"report": self._report, "error": self._error}

    def _run(self, paths: Sequence[bytes], options: IndexOptions) -> None:
        state, report, error = "done", None, None
        try:
            report = self._gallery.index(*paths, options=options, on_progress=self._take_progress).to_dict()
        except _CancelledError:
            state = "cancelled"
        except Exception as failure:  # noqa: BLE001  (the client sees it in the answer)
            state, error = "failed", to_problem(failure, is_local=False).to_dict()["error"]
            _log.warning("indexing ended early: %s", failure)
        with self._lock:
            self._state, self._report, self._error, self._thread = state, report, error, None

    def _take_progress(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if self._cancelled.is_set():
            raise _CancelledError
