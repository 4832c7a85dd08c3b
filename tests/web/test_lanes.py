from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import Request

from lookalike.web.lanes import Lane
from lookalike.web.problems import Problem


def make_request(gone: asyncio.Event) -> Request:
    """A request whose client goes away when the event is set."""

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "GET", "headers": []}, receive)


def test_more_than_may_wait_are_refused_and_the_others_answered() -> None:
    lane, release = Lane("test", threads=2, waiting=3), threading.Event()

    async def run() -> list[Any]:
        request = make_request(asyncio.Event())
        tasks = [asyncio.create_task(lane.run(request, release.wait, 20)) for _ in range(9)]
        await asyncio.sleep(0.1)
        release.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    refused = [one for one in results if isinstance(one, Problem)]
    assert results.count(True) == 5
    assert [(one.status, one.headers["retry-after"]) for one in refused] == [(503, "1")] * 4
    assert (lane.refused, lane.under_way) == (4, 0)
    lane.close()


def test_work_is_dropped_when_its_client_has_gone() -> None:
    lane, release, done = Lane("test", threads=1, waiting=3), threading.Event(), list[int]()

    async def run() -> None:
        gone = asyncio.Event()
        first = asyncio.create_task(lane.run(make_request(asyncio.Event()), release.wait, 20))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(lane.run(make_request(gone), done.append, 2))
        await asyncio.sleep(0.05)
        gone.set()
        with pytest.raises(Problem):
            await second
        release.set()
        assert await first

    asyncio.run(run())
    lane.close()
    assert done == []
    assert lane.under_way == 0


def test_work_that_takes_too_long_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.web.lanes._LONGEST", 0.1)
    lane, release = Lane("test", threads=1, waiting=0), threading.Event()

    async def run() -> None:
        with pytest.raises(Problem) as problem:
            await lane.run(make_request(asyncio.Event()), release.wait, 20)
        assert (problem.value.status, problem.value.code) == (503, "too_slow")
        release.set()

    asyncio.run(run())
    lane.close()


def test_what_the_work_raises_reaches_the_one_who_asked() -> None:
    lane = Lane("test", threads=1, waiting=0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(lane.run(make_request(asyncio.Event()), divmod, 1, 0))
    lane.close()
