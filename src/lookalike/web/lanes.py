"""Bounded work: so many threads, so many requests that wait for one, and a refusal for all others."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

__all__ = ["Lane"]

_Result = TypeVar("_Result")

_LONGEST = 30.0  # seconds that a request waits for its answer


class Lane:
    """Threads for one kind of work. waiting: the most requests that wait for a thread."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        self._most = threads + waiting
        self._threads = ThreadPoolExecutor(threads, f"lookalike-{name}")
        self.under_way = 0
        self.refused = 0

    async def run(self, request: Request, function: Callable[..., _Result], *arguments: Any, **named: Any) -> _Result:  # noqa: ANN401
        """What a function returns in a thread. It is not called any more once the client has gone.

        Raises Problem when too many others wait, or when it takes too long; and whatever the function raises.
        """
        if self.under_way >= self._most:
            self.refused += 1
            raise Problem(503, "busy", "too many requests at once; try again", headers={"retry-after": "1"})
        self.under_way += 1
        future = self._threads.submit(partial(function, *arguments, **named))
        future.add_done_callback(partial(_call_soon, asyncio.get_running_loop(), self._leave))
        work = asyncio.wrap_future(future)
        leaving = asyncio.create_task(_wait_for_leaving(request))
        leaving.add_done_callback(_take_error)
        try:
            either: set[asyncio.Future[Any]] = {work, leaving}
            await asyncio.wait(either, timeout=_LONGEST, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                leaving.result()  # what was wrong with the rest of the request, or nothing: nobody reads the answer
            raise Problem(503, "too_slow", f"there was no answer within {_LONGEST:g} s", headers={"retry-after": "5"})
        finally:
            leaving.cancel()
            work.cancel()

    def close(self) -> None:
        """Drop what waits, and wait for what is under way."""
        self._threads.shutdown(cancel_futures=True)

    def _leave(self) -> None:
        self.under_way -= 1


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None], _future: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(function)


async def _wait_for_leaving(request: Request) -> None:
    """Return when the client has gone; its whole request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _take_error(task: asyncio.Task[None]) -> None:
    """Take what a task has raised, which asyncio would otherwise report if nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
