"""A filter selects in every store what it selects in memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import Record, Store
from lookalike.store.evaluate import list_conditions
from lookalike.store.filter import All, Condition, Filter, Not
from lookalike.store.filter import Any as AnyOf
from tests.engines import marks_of, milvus_galleries
from tests.store.making import STORES, digest, embedding, nearest, space

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = [
    *("/p/a/1.jpg", "/p/a/100%.jpg", "/p/b/a_b.JPG", "/p/b/a\\b.jpg", "/p/b/[x].png", "/p/c/caf\u00e9.jpg"),
    *("/p/c/cafe\u0301.jpg", "/p/caf\u00e9/x", "/p/cafe\u0301/y\n.jpg", "/p/c/\udcff.jpg", "/p/c/\U0010ff80.jpg"),
    *("/p/a/b/deep", "/p/A/b/deep", "/top", "/p/a/\ufffe0.jpg"),
]
CAMERAS = ["Canon EOS", "CANON eos", "stra\u00dfe", "STRASSE", "a%b", "", "x\0y", "\ufffe0", None]
PATTERNS = ["*", "?", "*.jpg", "a_b*", "a%b", "100%*", "[[]x]*", "[a-c]*", "[!a]*", "caf\u00e9*", "cafe\u0301*", "*\\*"]
PATTERNS += ["?.jpg", "[z-a]*", "\udcff*", "x\0y", "[", "deep", "canon*", "strasse", "\ufffe0*", ""]
MIDNIGHT = int(datetime(2024, 3, 31).timestamp())  # noqa: DTZ001  (local, as filters are; clocks change in Europe)
SECONDS = [0, 1, -1, 59, 3599, 3600, 7200, -3600, 86_399, 86_400, 90_000, -86_401, 31 * 86_400, -(10**9), 7 * 10**9]


def _records() -> Iterator[Record]:
    for n, name in enumerate(NAMES * 3):
        camera = CAMERAS[n % len(CAMERAS)]
        moment = None
        if n % 3 == 0:
            zone = timezone(timedelta(hours=n % 5)) if n % 2 else None
            moment = datetime(2024, 1 + n % 12, 28, 23, 59, n, tzinfo=zone)
        path = name.encode("utf-8", "surrogateescape") + b"~" * (n // len(NAMES))
        mtime = None if n % 11 == 10 else (MIDNIGHT + SECONDS[n % len(SECONDS)]) * 10**9 + n * 10**8 * 7
        yield Record(path, n or None, mtime, digest(n), 100 * n, 2**40 + n, "PNG" if n % 2 else "jpeg", moment, camera)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=marks_of(name)) for name in STORES if name != "memory"]
)
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """A store, and one in memory with the same records."""
    folder = tmp_path_factory.mktemp("stores")
    store, memory = (STORES[name](folder, space()) for name in (request.param, "memory"))
    records = list(_records())
    for one in (store, memory):
        with one.writing():
            described = {digest(n): bytes([n]) * DESCRIPTION_SIZE for n in range(0, len(records), 2)}
            one.put(records, {digest(n): embedding(n) for n in range(len(records))}, described)
            one.put([Record(b"/skipped", skipped_because="odd", camera="Skipped")], {})
    yield store, memory
    store.close()
    memory.close()
    if request.param == "milvus":
        milvus_galleries().give_back()


CONDITIONS: list[Filter] = [
    *(Condition(field, "=", text) for field in ("name", "format", "camera") for text in PATTERNS),
    *(
        Condition(field, "=", text)
        for field in ("folder", "label")
        for text in ("a", "b", "a/b", "/p/a", "caf\u00e9", "", "/")
    ),
    *(
        Condition("date", operator, text)
        for operator in ("=", "<", "<=", ">", ">=")
        for text in (
            "2024",
            "2024-03",
            "2024-03-31",
            "2024-03-30",
            "2024-04-01",
            "1970",
            "0001-01-01",
            "9999",
            "2024-99",
        )
    ),
    *(
        Condition(field, operator, value)
        for field in ("size", "width", "height")
        for operator in ("=", "<", "<=", ">", ">=")
        for value in (0.0, 7.0, 700.5, 1e300, float("inf"))
    ),
    Condition("color", "=", "#7f7f7f"),
    Not(AnyOf((Condition("camera", "=", "*"), Condition("date", "=", "2024-03")))),
    All((Condition("name", "=", "*.jpg*"), Not(Condition("size", ">", 9.0)))),
    *(All(()), AnyOf(()), Not(All(()))),
]


def _depends_on_the_zone(where: Filter) -> bool:
    return "'date'" in repr(where)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
def test_every_filter_selects_the_same_as_in_memory(
    stores: tuple[Store, Store], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        store, memory = stores
        for where in CONDITIONS if zone == "UTC" else filter(_depends_on_the_zone, CONDITIONS):
            assert store.ids(where).tolist() == memory.ids(where).tolist(), where
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_search_with_a_filter_finds_the_same_as_in_memory(stores: tuple[Store, Store]) -> None:
    store, memory = stores
    for where in CONDITIONS[::7]:
        for k in (1, 5, 100):
            found, wanted = (nearest(one, embedding(3), k, where=where, exact=True) for one in stores)
            assert found == wanted
            assert {id_ for id_, _ in nearest(store, embedding(3), k, where=where)} <= set(memory.ids(where).tolist())


def test_long_paths_are_kept_and_listed_in_order(stores: tuple[Store, Store]) -> None:
    store, memory = stores
    paths = [b"/" + b"x" * 4000 + b"/%d" % n for n in range(5)]
    paths += [b"/" + b"\xff" * 3000, b"/\xff", b"/x~", b"/x~~", b"/x"]
    for one in stores:
        with one.writing():
            one.put([Record(path, skipped_because="odd") for path in paths], {})
    for prefix in (b"", b"/" + b"x" * 2000, b"/\xff\xff", b"/x", b"/x~", b"/p/a/", b"/nothing"):
        assert [one.path for one in store.scan(prefix)] == [one.path for one in memory.scan(prefix)]
    everything = [record.path for record in _records()] + [b"/skipped", *paths]
    assert [one.path for one in store.scan()] == sorted(everything)
    assert [one.path for one in store.scan(b"/" + b"x" * 2000)] == sorted(paths[:5])
    assert [one.path for one in store.scan(b"/\xff\xff")] == [paths[5]]
    assert set(store.find(paths)) == set(paths)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in ("postgresql", "milvus")])
def test_the_colours_of_a_filter_are_of_the_same_moment_as_the_records(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread writes between the two."""
    store, where = STORES[name](tmp_path, space()), Condition("color", "=", "#7f7f7f")

    def describe(level: int) -> None:
        with store.writing(wait=60):
            store.put(
                [Record(b"/1", 1, 1, digest(1))],
                {digest(1): embedding(1)},
                {digest(1): bytes([level]) * DESCRIPTION_SIZE},
            )

    def list_late(where: Filter) -> Iterator[Condition]:
        late.undo()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(describe, 0).result()
        return list_conditions(where)

    describe(40)
    (grey,) = store.ids(where).tolist()
    with monkeypatch.context() as late:
        late.setattr("lookalike.store.server.store.list_conditions", list_late)
        assert store.ids(where).tolist() == [grey]
    assert store.ids(where).tolist() == []
    store.close()
