"""Results that are computed for the whole collection in the background: its map, its groups, its duplicates.

Each is computed once for every state of the gallery, when it is first asked for, and kept. While the gallery changes,
the last one is shown and a new one is computed now and then: a run of `index` changes the gallery with every batch.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from lookalike.errors import ClosedGallery, UsageError
from lookalike.web.survey_cache import mark_state
from lookalike.web.surveyor import compute

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.explore.clusters import Clusters
    from lookalike.explore.duplicates.groups import Duplicates
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.gallery import Gallery
    from lookalike.images.pool import OnProgress
    from lookalike.store import Record
    from lookalike.web.survey_cache import Places, SurveyCache

__all__ = ["Found", "Planned", "Progress", "Survey", "Surveys"]

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

_PAUSE = 3.0  # times as long as it took, before one is computed again while the gallery changes
_PATIENCE = 30.0  # seconds before it is tried again after a failure
_LOOK = 0.02  # seconds between two looks at what is waited for
_WORTH_KEEPING = 0.5  # seconds that computing it took
_ENDING = 3.0  # seconds that closing waits for what is under way; the threads end with the process


class Progress(NamedTuple):
    """How much is done, and of how much; 0 of 0 where that is not known."""

    done: int = 0
    total: int = 0


class Found(NamedTuple, Generic[_Value]):
    """What was computed, of which state of the gallery, and whether that is the state it has now."""

    value: _Value
    generation: int
    is_current: bool


class Planned(NamedTuple):
    """The duplicates, what would be moved of them, and the state of the gallery that they were found in."""

    duplicates: Duplicates
    plan: Plan
    generation: int


class _Ended(Exception):
    """The server ends."""


class Survey(Generic[_Value]):
    """One thing that is computed of the whole collection.

    state: says for which state of the gallery it would be computed now. compute: is given what takes the progress.
    """

    def __init__(self, name: str, state: Callable[[], int], compute: Callable[[OnProgress], _Value]) -> None:
        self.name = name
        self.progress = Progress()
        self._state, self._compute = state, compute
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._value: tuple[int, _Value] | None = None
        self._failure: Exception | None = None
        self._next = 0.0  # when it may be computed again
        self._ends = False

    @property
    def is_computing(self) -> bool:
        """Whether it is being computed."""
        return self._thread is not None

    def find(self) -> Found[_Value] | None:
        """What was computed last, or None if there is nothing yet; it is then computed in the background.

        Raises what it failed with.
        """
        now = self._state()
        with self._lock:
            value = self._value
            is_current = value is not None and value[0] == now
            if not is_current and self._failure is not None and value is None and time.monotonic() < self._next:
                raise self._failure
            if not is_current and self._thread is None and time.monotonic() >= self._next:
                self._start(now)
        return Found(value[1], value[0], is_current) if value is not None else None

    def find_within(self, seconds: float) -> Found[_Value] | None:
        """What `find` gives, after waiting so long for it at most."""
        end = time.monotonic() + seconds
        while (found := self.find()) is None and time.monotonic() < end:
            time.sleep(_LOOK)
        return found

    def peek(self) -> _Value | None:
        """What was computed last, if that is still so; nothing is computed for it."""
        value = self._value
        return value[1] if value is not None and value[0] == self._state() else None

    def carry(self, before: int, after: int, change: Callable[[_Value], _Value] | None = None) -> _Value | None:
        """Take what was computed of a state, changed as given, for what it would be of the next; None without it."""
        with self._lock:
            if self._value is None or self._value[0] != before:
                return None
            value = change(self._value[1]) if change else self._value[1]
            self._value = after, value
            return value

    def forget(self) -> None:
        """Compute it again as soon as it is asked for, and no longer show what was computed before."""
        with self._lock:
            self._value, self._next = None, 0.0

    def end(self) -> None:
        """End the current computation when it next reports its progress, and compute nothing more."""
        with self._lock:
            self._ends = True

    def wait(self, seconds: float) -> None:
        """Wait until the current computation has ended."""
        if (thread := self._thread) is not None:
            thread.join(max(0.0, seconds))

    def _start(self, generation: int) -> None:
        if self._ends:
            raise _Ended
        self.progress = Progress()
        self._thread = threading.Thread(
            target=self._run, args=(generation,), name=f"lookalike-{self.name}", daemon=True
        )
        self._thread.start()

    def _run(self, generation: int) -> None:
        began = time.monotonic()
        value, failure = None, None
        try:
            value = generation, self._compute(self._take_progress)
        except (_Ended, ClosedGallery):
            pass
        except Exception as error:  # noqa: BLE001  (the next request reports it)
            failure = error
            _log.warning("the %s cannot be computed: %s", self.name, error)
        took = time.monotonic() - began
        with self._lock:
            self._value, self._failure, self._thread = value or self._value, failure, None
            self._next = time.monotonic() + (_PATIENCE if failure else _PAUSE * took)

    def _take_progress(self, done: int, total: int) -> None:
        self.progress = Progress(done, total)
        if self._ends:
            raise _Ended


class Surveys:
    """All that is computed of a gallery as a whole."""

    def __init__(self, gallery: Gallery, kept: SurveyCache) -> None:
        self._gallery, self._kept = gallery, kept
        self._one_by_one = threading.Lock()  # each takes all cores
        self._lock = threading.Lock()
        self.map: Survey[Places] = Survey("map", self._state, self._find_or_compute("map"))
        self.clusters: Survey[Clusters] = Survey("clusters", self._state, self._find_or_compute("clusters"))
        self.duplicates: Survey[Duplicates] = Survey("duplicates", self._state, self._find_or_compute("duplicates"))
        self._plans: dict[str, Survey[Planned]] = {}

    def plan(self, keep: str) -> Survey[Planned]:
        """What would be moved by a rule, one of `lookalike.explore.duplicates.keep.KEEP`."""
        with self._lock:
            if keep not in self._plans:
                self._plans[keep] = Survey("plan", self._find_state, self._alone(lambda _: self._make_plan(keep)))
            return self._plans[keep]

    @property
    def every(self) -> list[Survey[Any]]:
        """All of them."""
        with self._lock:
            return [self.map, self.clusters, self.duplicates, *self._plans.values()]

    def mark_distinct(self, one: Record, other: Record, *, wait: float = 0.0) -> None:
        """Remember that two pictures are not copies, and take them apart in what was found; nothing is searched again.

        Raises StoreBusy, UsageError.
        """
        store = self._gallery.store
        before = store.generation
        self._gallery.mark_distinct(one.path, other.path, wait=wait)
        after, mark = store.generation, mark_state(store)
        with self._lock:
            plans = list(self._plans.values())
        for plan in plans:
            plan.forget()
        if not before + 1 == after == store.generation:  # another process has written as well
            return
        pair = frozenset({one.digest or b"", other.digest or b""})
        changes: dict[str, Callable[[Any], Any] | None] = {"duplicates": lambda found: found.without(pair)}
        for survey in (self.map, self.clusters, self.duplicates):
            value = survey.carry(before, after, changes.get(survey.name))
            if value is not None:
                self._kept.keep(survey.name, store, value, mark)

    def close(self) -> None:
        """End what is under way."""
        every, last = self.every, time.monotonic() + _ENDING
        for survey in every:
            survey.end()
        for survey in every:
            survey.wait(last - time.monotonic())

    def _alone(self, compute: Callable[[OnProgress], _Value]) -> Callable[[OnProgress], _Value]:
        def run(on_progress: OnProgress) -> _Value:
            with self._one_by_one:
                on_progress(0, 0)
                return compute(on_progress)

        return run

    def _find_or_compute(self, name: str) -> Callable[[OnProgress], Any]:
        """What finds the result of this name on disk, or computes it and keeps it there."""

        def run(on_progress: OnProgress) -> Any:  # noqa: ANN401  (a result of any kind)
            if (found := self._kept.find(name, self._gallery.store)) is not None:
                return found
            with self._one_by_one:
                on_progress(0, 0)
                began = time.monotonic()
                value, mark = compute(self._gallery, name, on_progress)
            if mark and time.monotonic() - began > _WORTH_KEEPING:
                self._kept.keep(name, self._gallery.store, value, mark)
            return value

        return run

    def _make_plan(self, keep: str) -> Planned:
        found = self._find()
        return Planned(found.value, self._gallery.plan_moves(found.value, keep), found.generation)

    def _state(self) -> int:
        return self._gallery.store.generation

    def _find_state(self) -> int:
        return self._find().generation

    def _find(self) -> Found[Duplicates]:
        found = self.duplicates.find()
        if found is None:
            raise UsageError("the duplicates are not known yet")
        return found
