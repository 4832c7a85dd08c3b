"""What happens when Milvus, the network or another writer gets in the way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import NoGallery, StoreBusy, StoreError, UsageError
from lookalike.store import open_store
from lookalike.store.milvus.address import read_address
from lookalike.store.milvus.client import Client
from lookalike.store.milvus.store import MilvusStore
from tests.engines import Milvus, free_port, gallery_name, milvus
from tests.store.making import embedding, nearest, problems, put, space

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.milvus


def _content(store: MilvusStore) -> object:
    paths = {one.id: one.path for one in store.scan()}
    near = [[(paths[id_], distance) for id_, distance in nearest(store, embedding(n), 5)] for n in range(9)]
    return sorted(paths.values()), near, store.count(), store.generation


class _Broken(Exception):
    pass


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_change_that_broke_off_anywhere_is_not_seen_and_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """As when the writer dies: after its n-th request nothing more of it arrives."""
    store = MilvusStore(milvus().url(gallery_name(tmp_path)), create=space())
    with store.writing():
        put(store, {b"/%d" % n: n for n in range(6)} | {b"/bad": None})
    before = _content(store)
    left = writes
    whole = {name: getattr(Client, name) for name in ("write", "set_properties")}

    def breaking(name: str) -> object:
        def call(self: Client, *args: object, **options: object) -> object:
            nonlocal left
            if threading.current_thread() is threading.main_thread() and "lock_" not in str(args[0]):
                left -= 1
                if left < 0:
                    raise _Broken
            return whole[name](self, *args, **options)

        return call

    with store.writing():
        for name in whole:
            monkeypatch.setattr(Client, name, breaking(name))
        try:
            put(store, {b"/0": 7, b"/1": None, b"/new": 8, b"/bad": 9}, stamp="2:2")
            is_done = True
        except _Broken:
            is_done = False
        monkeypatch.undo()
    assert (_content(store) != before) == is_done
    assert problems(store) == []
    with store.writing():
        put(store, {b"/0": 7, b"/1": None, b"/new": 8, b"/bad": 9}, stamp="2:2")
    assert store.count() == (7, 1)
    assert problems(store) == []
    store.close()


def test_the_writer_is_named_to_those_who_wait_and_a_killed_one_is_followed(tmp_path: Path) -> None:
    url = milvus().url(gallery_name(tmp_path))
    store = open_store(url, create=space())
    program = (
        "import sys, time; from lookalike.store import open_store\n"
        "with open_store(sys.argv[1]).writing(): print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"writing\n"
        with pytest.raises(StoreBusy, match=f"process {other.pid} on "), store.writing(wait=0.1):
            pass
        other.kill()
    with store.writing(wait=30):
        put(store, {b"/a": 1})
    assert store.count() == (1, 0)
    store.close()


def test_two_writers_take_turns_and_nothing_is_lost(tmp_path: Path) -> None:
    url = milvus().url(gallery_name(tmp_path))
    stores = [MilvusStore(url, create=space()) for _ in range(2)]

    def write(n: int) -> None:
        for turn in range(8):
            with stores[n].writing(wait=60):
                put(stores[n], {b"/%d/%d" % (n, turn): turn})

    threads = [threading.Thread(target=write, args=[n]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].count() == (16, 0)
    assert problems(stores[0]) == []
    for store in stores:
        store.close()


def test_a_server_killed_in_mid_write_loses_nothing_that_was_acknowledged_and_the_run_finishes(tmp_path: Path) -> None:
    milvus()  # skips where there is none
    server = Milvus()
    store = MilvusStore(server.url(gallery_name(tmp_path), options="?timeout=120&patience=120"), create=space())

    def interrupt() -> None:
        server.kill()
        server.start()

    killer = threading.Timer(0.5, interrupt)
    with store.writing():
        killer.start()
        for n in range(12):
            put(store, {b"/%d/%d" % (n, m): 10 * n + m for m in range(10)})
            time.sleep(0.1)
    killer.join()
    assert store.count() == (120, 0)
    assert problems(store) == []
    store.close()
    server.remove()


def test_a_server_that_is_not_there_is_an_error_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
        open_store(f"milvus://127.0.0.1:{free_port()}/x?timeout=2&patience=1")
    assert time.monotonic() - began < 15


def test_a_gallery_that_is_not_there_is_named() -> None:
    with pytest.raises(NoGallery, match="no gallery at milvus://"):
        open_store(milvus().url("nothing"))


def test_a_password_is_taken_out_of_the_address() -> None:
    address = read_address("milvus://me:s3cret@db.example/photos?tls=true&ca=ca.pem&timeout=5")
    assert "s3cret" not in address.location
    assert address.parameters == {
        "uri": "https://db.example:19530",
        "user": "me",
        "password": "s3cret",
        "secure": True,
        "ca_pem_path": "ca.pem",
    }
    assert (address.name, address.timeout) == ("lookalike_photos", 5.0)


@pytest.mark.parametrize("url", ["milvus://h/A-B", "milvus://h:x/a", "milvus://h/a?what=1", "milvus://h/a?timeout=no"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        read_address(url)
