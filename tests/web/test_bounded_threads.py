from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import Request

from lookalike.web.bounded_threads import BoundedThreads, Together
from lookalike.web.problems import Problem


def make_request(gone: asyncio.Event) -> Request:
    """A request whose client goes away when the event is set."""

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "GET", "headers": []}, receive)


def test_more_than_may_wait_are_refused_and_the_others_answered() -> None:
    workers, release = BoundedThreads("test", threads=2, waiting=3), threading.Event()

    async def run() -> list[Any]:
        request = make_request(asyncio.Event())
        tasks = [asyncio.create_task(workers.run(request, release.wait, 20)) for _ in range(9)]
        await asyncio.sleep(0.1)
        release.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    refused = [one for one in results if isinstance(one, Problem)]
    assert results.count(True) == 5
    assert [(one.status, one.headers["retry-after"]) for one in refused] == [(503, "1")] * 4
    assert (workers.refused, workers.under_way) == (4, 0)
    workers.close()


def test_work_is_dropped_when_its_client_has_gone() -> None:
    workers, release, done = BoundedThreads("test", threads=1, waiting=3), threading.Event(), list[int]()

    async def run() -> None:
        gone = asyncio.Event()
        first = asyncio.create_task(workers.run(make_request(asyncio.Event()), release.wait, 20))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(workers.run(make_request(gone), done.append, 2))
        await asyncio.sleep(0.05)
        gone.set()
        with pytest.raises(Problem):
            await second
        release.set()
        assert await first

    asyncio.run(run())
    workers.close()
    assert done == []
    assert workers.under_way == 0


def test_work_that_takes_too_long_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.web.bounded_threads._LONGEST", 0.1)
    workers, release = BoundedThreads("test", threads=1, waiting=0), threading.Event()

    async def run() -> None:
        with pytest.raises(Problem) as problem:
            await workers.run(make_request(asyncio.Event()), release.wait, 20)
        assert (problem.value.status, problem.value.code) == (503, "too_slow")
        release.set()

    asyncio.run(run())
    workers.close()


def test_what_the_work_raises_reaches_the_one_who_asked() -> None:
    workers = BoundedThreads("test", threads=1, waiting=0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(workers.run(make_request(asyncio.Event()), divmod, 1, 0))
    workers.close()


def test_requests_that_wait_are_answered_together_first_come_first_served() -> None:
    workers, release, calls = BoundedThreads("test", threads=2, waiting=30), threading.Event(), list[list[int]]()

    def answer(items: list[int]) -> list[int]:
        calls.append(items)
        release.wait(20)
        return [10 * item for item in items]

    async def run() -> list[int]:
        together = Together(workers, answer, threads=1)
        request = make_request(asyncio.Event())
        tasks = [asyncio.create_task(together.run(request, number)) for number in range(12)]
        await asyncio.sleep(0.1)
        release.set()
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(run()) == list(range(0, 120, 10))
    assert calls == [[0], list(range(1, 9)), [9, 10, 11]]
    assert workers.under_way == 0
    workers.close()


def test_who_leaves_is_left_out_of_what_is_answered_together() -> None:
    workers, release, calls = BoundedThreads("test", threads=1, waiting=2), threading.Event(), list[list[int]]()

    def answer(items: list[int]) -> list[int]:
        calls.append(items)
        release.wait(20)
        return items

    async def run() -> None:
        together, gone = Together(workers, answer, threads=1), asyncio.Event()
        stays = make_request(asyncio.Event())
        first, last = (asyncio.create_task(together.run(stays, number)) for number in (1, 3))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(together.run(make_request(gone), 2))
        await asyncio.sleep(0.05)
        with pytest.raises(Problem):  # no room
            await together.run(stays, 4)
        gone.set()
        with pytest.raises(Problem):
            await second
        release.set()
        assert list(await asyncio.gather(first, last)) == [1, 3]

    asyncio.run(run())
    assert calls == [[1], [3]]
    assert (workers.under_way, workers.refused) == (0, 1)
    workers.close()


def test_an_error_reaches_everybody_who_is_answered_together() -> None:
    workers = BoundedThreads("test", threads=1, waiting=9)

    def fail(_items: list[int]) -> list[int]:
        raise ValueError("no")

    async def run() -> list[Any]:
        together = Together(workers, fail, threads=1)
        tasks = [together.run(make_request(asyncio.Event()), number) for number in range(4)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(one) for one in asyncio.run(run())] == ["no"] * 4
    assert workers.under_way == 0
    workers.close()
