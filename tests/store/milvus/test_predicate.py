"""A filter selects in Milvus what it selects everywhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import Record, Store, open_store
from tests.engines import milvus_galleries
from tests.store.making import digest, embedding, nearest, space
from tests.store.postgresql.test_predicate import CONDITIONS, _records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store.filter import Filter

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    folder = tmp_path_factory.mktemp("stores")
    server = milvus_galleries().open(folder, space())
    memory = open_store(f"memory:{folder}", create=space())
    records = list(_records())
    for store in (server, memory):
        with store.writing():
            described = {digest(n): bytes([n]) * DESCRIPTION_SIZE for n in range(0, len(records), 2)}
            store.put(records, {digest(n): embedding(n) for n in range(len(records))}, described)
            store.put([Record(b"/skipped", skipped_because="odd", camera="Skipped")], {})
    yield server, memory
    server.close()
    memory.close()
    milvus_galleries().give_back()


def _depends_on_the_zone(where: Filter) -> bool:
    return "'date'" in repr(where)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
def test_every_filter_selects_the_same_as_in_memory(
    stores: tuple[Store, Store], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        server, memory = stores
        for where in CONDITIONS if zone == "UTC" else filter(_depends_on_the_zone, CONDITIONS):
            assert server.ids(where).tolist() == memory.ids(where).tolist(), where
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_search_with_a_filter_finds_the_same_as_in_memory(stores: tuple[Store, Store]) -> None:
    server, memory = stores
    for where in CONDITIONS[::7]:
        for k in (1, 5, 100):
            found, wanted = (nearest(store, embedding(3), k, where=where, exact=True) for store in (server, memory))
            assert found == wanted


def test_long_paths_are_kept_and_listed_in_order(stores: tuple[Store, Store]) -> None:
    server, memory = stores
    paths = [b"/" + b"x" * 4000 + b"/%d" % n for n in range(5)] + [
        b"/" + b"\xff" * 3000,
        b"/\xff",
        b"/x~",
        b"/x~~",
        b"/x",
    ]
    for store in stores:
        with store.writing():
            store.put([Record(path, skipped_because="odd") for path in paths], {})
    for prefix in (b"", b"/" + b"x" * 2000, b"/\xff\xff", b"/x", b"/x~", b"/p/a/", b"/nothing"):
        assert [one.path for one in server.scan(prefix)] == [one.path for one in memory.scan(prefix)]
    assert set(server.find(paths)) == set(paths)
