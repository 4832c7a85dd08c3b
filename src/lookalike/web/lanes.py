"""Bounded work: so many threads, so many requests that wait for one, and a refusal for all others."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive

__all__ = ["Lane", "Receives"]

_Result = TypeVar("_Result")

_SOON = 0.02  # seconds in which it is not looked whether the client has gone: a task less for most requests, 0.1 ms
_LONGEST = 30.0  # seconds that a request waits for its answer


class Receives(Protocol):
    """What says when a client has gone, such as a request."""

    @property
    def receive(self) -> Receive:
        """What gives the next message of the client."""


class Lane:
    """Threads for one kind of work. waiting: the most requests that wait for a thread."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self._most = threads + waiting
        self._threads = ThreadPoolExecutor(threads, f"lookalike-{name}")
        self.under_way = 0
        self.refused = 0

    async def run(self, request: Receives, function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:  # noqa: ANN401
        """What a function returns in a thread. It is not called any more once the client has gone.

        Raises Problem when too many others wait, or when it takes too long; and whatever the function raises.
        """
        if self.under_way >= self._most:
            self.refused += 1
            raise Problem(503, "busy", "too many requests at once; try again", headers={"retry-after": "1"})
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        future = self._threads.submit(partial(function, *arguments, **named))
        self.under_way += 1
        future.add_done_callback(partial(_call_soon, loop, partial(self._end, waiter)))
        try:
            if not await _wait(waiter, _SOON):
                await self._wait_long(request, waiter)
            return future.result()
        finally:
            future.cancel()

    async def _wait_long(self, request: Receives, waiter: asyncio.Future[None]) -> None:
        """Wait for the end of the work, and for the client to leave. Raises Problem."""
        leaving = asyncio.create_task(_wait_for_leaving(request))
        leaving.add_done_callback(_take_error)
        try:
            either: set[asyncio.Future[Any]] = {waiter, leaving}
            await asyncio.wait(either, timeout=_LONGEST, return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                return
            if leaving.done():
                leaving.result()  # what was wrong with the rest of the request, or nothing: nobody reads the answer
            raise Problem(503, "too_slow", f"there was no answer within {_LONGEST:g} s", headers={"retry-after": "5"})
        finally:
            leaving.cancel()

    def close(self) -> None:
        """Drop what waits, and wait for what is under way."""
        self._threads.shutdown(cancel_futures=True)

    def _end(self, waiter: asyncio.Future[None]) -> None:
        self.under_way -= 1
        if not waiter.done():
            waiter.set_result(None)


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None], _future: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(function)


async def _wait(waiter: asyncio.Future[None], seconds: float) -> bool:
    """Whether something ends within so many seconds."""
    if not waiter.done():
        await asyncio.wait((waiter,), timeout=seconds)
    return waiter.done()


async def _wait_for_leaving(request: Receives) -> None:
    """Return when the client has gone; its whole request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _take_error(task: asyncio.Task[None]) -> None:
    """Take what a task has raised, which asyncio would otherwise report if nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
