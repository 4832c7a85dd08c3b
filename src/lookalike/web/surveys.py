"""What is computed of the whole collection in the background: its map, its groups, its duplicates.

Each is computed once for every state of the gallery, when it is first asked for, and kept. While the gallery changes,
the last one is shown and a new one is computed now and then: a run of `index` changes the gallery with every batch.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from lookalike.errors import ClosedGallery, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.explore.clusters import Clusters
    from lookalike.explore.duplicates.groups import Duplicates
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.gallery import Gallery
    from lookalike.images.pool import OnProgress

__all__ = ["Found", "Places", "Planned", "Progress", "Survey", "Surveys"]

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

_PAUSE = 3.0  # times as long as it took, before one is computed again while the gallery changes
_PATIENCE = 30.0  # seconds before it is tried again after a failure
_LOOK = 0.02  # seconds between two looks at what is waited for
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


@dataclass(frozen=True, slots=True)
class Places:
    """The map as columns, ordered by id. ids: int64 (n,). x, y: float32 (n,) in [-1, 1], y upwards. group: int64 (n,).

    names: of each group, the largest first; middles: float32 (g, 2), the place of a picture in its midst.
    """

    ids: NDArray[np.int64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    group: NDArray[np.int64]
    names: list[str]
    middles: NDArray[np.float32]


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

    def forget(self) -> None:
        """Compute it again as soon as it is asked for, and show what was computed before no longer."""
        with self._lock:
            self._value, self._next = None, 0.0

    def end(self) -> None:
        """End what is under way when it next says how far it is, and compute nothing more."""
        with self._lock:
            self._ends = True

    def wait(self, seconds: float) -> None:
        """Wait for the end of what is under way."""
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

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._one_by_one = threading.Lock()  # each takes all cores
        self._lock = threading.Lock()
        self.map: Survey[Places] = Survey("map", self._state, self._alone(self._lay_out))
        self.clusters: Survey[Clusters] = Survey("clusters", self._state, self._alone(self._find_clusters))
        self.duplicates: Survey[Duplicates] = Survey("duplicates", self._state, self._alone(self._find_duplicates))
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

    def _lay_out(self, on_progress: OnProgress) -> Places:
        points = self._gallery.map(on_progress=on_progress)
        names = list(dict.fromkeys(point.cluster for point in points))
        counts = np.bincount(group := _number(names, [point.cluster for point in points]), minlength=len(names))
        order = np.argsort(-counts, kind="stable")
        group = np.argsort(order)[group] if names else group
        places = np.array([(point.x, point.y) for point in points], np.float32).reshape(-1, 2)
        ids = np.array([point.id for point in points], np.int64)
        middles = np.array([_find_middle(places[group == number]) for number in range(len(names))], np.float32)
        return Places(ids, places[:, 0], places[:, 1], group, [names[one] for one in order], middles.reshape(-1, 2))

    def _find_clusters(self, _on_progress: OnProgress) -> Clusters:
        return self._gallery.clusters()

    def _find_duplicates(self, on_progress: OnProgress) -> Duplicates:
        return self._gallery.duplicates(on_progress=on_progress)

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


def _number(names: list[str], each: list[str]) -> NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in each], np.int64)


def _find_middle(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """The place of the picture that is nearest to the median of a group's places."""
    row: NDArray[np.float32] = places[((places - np.median(places, axis=0)) ** 2).sum(axis=1).argmin()]
    return row
