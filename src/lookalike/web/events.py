"""The state of the collection for those who wait for changes, as server-sent events.

One task looks at the gallery once a second, however many clients listen, and only while one does. A change that another
process has made, such as a run of `index` in a terminal, is seen like one that was made here.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from lookalike.web.served_gallery import ServedGallery

__all__ = ["MOST_LISTENERS", "Events", "read_state"]

MOST_LISTENERS = 64

_EVERY = 1.0  # seconds between two looks
_SILENCE = 15.0  # seconds without a change after which a comment shows that the connection lives
_END = ""
_RECENT = 5.0  # seconds after a change during which an index run counts as under way


def read_state(served: ServedGallery, changed: float = 0.0) -> dict[str, Any]:
    """The state of the collection as JSON-compatible values. changed: when it last did, by `time.monotonic`."""
    pictures, skipped = served.gallery.store.count()
    index = served.index.to_dict()
    computing = {
        survey.name: {"status": "working", "what": survey.name, "done": survey.progress[0], "total": survey.progress[1]}
        for survey in served.surveys.every
        if survey.is_computing
    }
    return {
        "pictures": pictures,
        "skipped": skipped,
        "generation": served.gallery.store.generation,
        "is_changing": index["state"] == "running" or (changed > 0 and time.monotonic() - changed < _RECENT),
        "index": index,
        "surveys": computing,
    }


class Events:
    """The state of one collection, as it changes."""

    def __init__(self, served: ServedGallery) -> None:
        self._served = served
        self._listeners: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last = ""
        self._generation, self._changed = -1, 0.0
        served.when_stopping.append(self.close)

    def close(self) -> None:
        """End all streams, as the server is about to."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(_END)

    async def stream(self, request: Request) -> AsyncIterator[str]:
        """Lines for a client until it leaves: the state at once, and whenever it has changed. Raises Problem."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise Problem(503, "busy", "too many clients are listening", headers={"retry-after": "5"})
        first = await self._served.searches.run(request, self._look)
        return self._send(first)

    async def _send(self, first: str) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(1)
        self._listeners.add(queue)
        try:
            if self._task is None:
                self._task = asyncio.create_task(self._watch())
            yield "retry: 2000\n\n" + first
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), _SILENCE)
                except TimeoutError:
                    event = ": nothing has changed\n\n"
                if event == _END:
                    return
                yield event
        finally:
            self._listeners.discard(queue)

    async def _watch(self) -> None:
        """Tell all listeners of changes, until there are none."""
        try:
            while self._listeners:
                await asyncio.sleep(_EVERY)
                before = self._last
                if (now := await asyncio.to_thread(self._look)) != before:
                    for queue in list(self._listeners):
                        if queue.full():
                            queue.get_nowait()  # a slow client gets the latest state alone
                        queue.put_nowait(now)
        finally:
            self._task = None

    def _look(self) -> str:
        """The event of the state now."""
        generation = self._served.gallery.store.generation
        if generation != self._generation:
            self._changed = time.monotonic() if self._generation >= 0 else 0.0
            self._generation = generation
        self._last = f"event: state\ndata: {json.dumps(read_state(self._served, self._changed))}\n\n"
        return self._last
