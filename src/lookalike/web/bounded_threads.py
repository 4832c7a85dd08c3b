"""Bounded work: so many threads, a limited number of requests that wait for one, and a refusal for all others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from starlette.types import Receive

__all__ = ["BoundedThreads", "Receives", "Together"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_SOON = 0.02  # seconds in which it is not looked whether the client has gone: a task less for most requests, 0.1 ms
_LONGEST = 30.0  # seconds that a request waits for its answer
_MOST = 8  # requests that are answered together: 16 take little less for each, and the first waits for the last


class Receives(Protocol):
    """What says when a client has gone, such as a request."""

    @property
    def receive(self) -> Receive:
        """What gives the next message of the client."""


class BoundedThreads:
    """Threads for one kind of work. waiting: the most requests that wait for a thread."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self._most = threads + waiting
        self._threads = ThreadPoolExecutor(threads, f"lookalike-{name}")
        self.under_way = 0
        self.refused = 0

    async def run(self, request: Receives, function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:  # noqa: ANN401
        """Call a function in a thread and return its result. It is no longer called once the client has gone.

        Raises Problem when too many others wait, or when it takes too long; and whatever the function raises.
        """
        self.enter()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        future = self.submit(partial(function, *arguments, **named))
        future.add_done_callback(partial(_call_soon, loop, partial(self._end, waiter)))
        try:
            await _wait(request, waiter)
            return future.result()
        finally:
            future.cancel()

    def enter(self) -> None:
        """Count a request that begins to wait. Raises Problem when too many others do."""
        if self.under_way >= self._most:
            self.refused += 1
            raise Problem(503, "busy", "too many requests at once; try again", headers={"retry-after": "1"})
        self.under_way += 1

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Do some work in a thread."""
        return self._threads.submit(work)

    def close(self) -> None:
        """Drop the work that waits, and wait for the work that has begun."""
        self._threads.shutdown(cancel_futures=True)

    def _end(self, waiter: asyncio.Future[None]) -> None:
        self.under_way -= 1
        if not waiter.done():
            waiter.set_result(None)


class Together(Generic[_Item, _Result]):
    """Requests in bounded threads, of which those that wait are answered together, first come, first served.

    answer: gives an answer for each of some requests, in their order. threads: how many of its calls run at once.
    """

    def __init__(
        self, workers: BoundedThreads, answer: Callable[[list[_Item]], list[_Result]], *, threads: int
    ) -> None:
        self._workers, self._answer, self._free = workers, answer, threads
        self._waiting: deque[tuple[_Item, asyncio.Future[_Result]]] = deque()

    async def run(self, request: Receives, item: _Item) -> _Result:
        """The answer to one request; otherwise as `BoundedThreads.run`."""
        self._workers.enter()
        waiter: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, waiter))
        self._start()
        try:
            await _wait(request, waiter)
            return waiter.result()
        finally:
            waiter.cancel()  # a request that no longer waits is left out

    def _start(self) -> None:
        """Answer those who wait, if there is a thread for it."""
        some: list[tuple[_Item, asyncio.Future[_Result]]] = []
        while self._free and self._waiting and len(some) < _MOST:
            item, waiter = self._waiting.popleft()
            if waiter.done():
                self._workers.under_way -= 1
            else:
                some.append((item, waiter))
        if some:
            self._free -= 1
            future = self._workers.submit(partial(self._answer, [item for item, _ in some]))
            waiters = [waiter for _, waiter in some]
            future.add_done_callback(partial(self._report, waiters))

    def _report(self, waiters: list[asyncio.Future[_Result]], future: Future[list[_Result]]) -> None:
        """Say in the event loop that some are answered."""
        try:
            waiters[0].get_loop().call_soon_threadsafe(self._end, waiters, future)
        except RuntimeError:  # it has ended, as in a test; the next one finds the thread free
            self._free += 1
            self._workers.under_way -= len(waiters)

    def _end(self, waiters: list[asyncio.Future[_Result]], future: Future[list[_Result]]) -> None:
        self._free += 1
        self._workers.under_way -= len(waiters)
        self._start()  # first, so that the next are answered while the answers are written
        error = None if future.cancelled() else future.exception()
        for number, waiter in enumerate(waiters):
            if waiter.done():
                continue
            if future.cancelled():
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(future.result()[number])


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None], _future: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(function)


async def _wait(request: Receives, waiter: asyncio.Future[Any]) -> None:
    """Wait for the end of some work, or for the client to leave. Raises Problem."""
    if not waiter.done():
        await asyncio.wait((waiter,), timeout=_SOON)
    if not waiter.done():
        await _wait_long(request, waiter)


async def _wait_long(request: Receives, waiter: asyncio.Future[Any]) -> None:
    leaving = asyncio.create_task(_wait_for_leaving(request))
    leaving.add_done_callback(_take_error)
    try:
        either: set[asyncio.Future[Any]] = {waiter, leaving}
        await asyncio.wait(either, timeout=_LONGEST, return_when=asyncio.FIRST_COMPLETED)
        if waiter.done():
            return
        if leaving.done():
            leaving.result()  # what was wrong with the rest of the request, or nothing: the client has stopped reading
        raise Problem(503, "too_slow", f"there was no answer within {_LONGEST:g} s", headers={"retry-after": "5"})
    finally:
        leaving.cancel()


async def _wait_for_leaving(request: Receives) -> None:
    """Return when the client has gone; its whole request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _take_error(task: asyncio.Task[None]) -> None:
    """Retrieve what a task raised; asyncio would otherwise report that it never was."""
    if not task.cancelled():
        task.exception()
