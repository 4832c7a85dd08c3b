"""What happens when Milvus, the network or another writer gets in the way."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import NoGallery, StoreBusy, StoreError, UsageError
from lookalike.store import open_store
from lookalike.store.milvus.address import read_address
from lookalike.store.milvus.client import Client
from lookalike.store.milvus.store import MilvusStore
from tests.engines import free_port, milvus, milvus_galleries
from tests.store.making import digest, embedding, nearest, problems, put, space
from tests.store.postgresql.test_faults import Proxy
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store import Store
    from tests.store.milvus.conftest import Open

pytestmark = pytest.mark.milvus


def _content(store: Store) -> tuple[object, ...]:
    paths = {one.id: one.path for one in store.scan()}
    near = [[(paths[id_], distance) for id_, distance in nearest(store, embedding(n), 5)] for n in range(9)]
    return sorted(paths.values()), near, store.count(), store.generation


def _through(proxy: Proxy, folder: Path, options: str = "") -> str:
    return milvus_galleries().url(folder, options=options).replace(f":{milvus().port}", f":{proxy.port}")


def _locks(store: MilvusStore) -> list[str]:
    return [one for one in store._client.list_collections() if one.startswith(store._names.lock)]


def _rows_after(store: MilvusStore, generation: int) -> int:
    """The number of rows of a later generation, which a change that did not get to its end has left."""
    names = (store._names.items(1), store._names.contents)
    strong = {"consistency_level": "Strong"}
    return sum(len(store._client.query(one, f"born > {generation}", ["row"], **strong)) for one in names)


@contextlib.contextmanager
def _child(program: str, url: str, *, says: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has said something; it is killed at the end."""
    command = [sys.executable, "-c", program, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == says
            yield child
        finally:
            child.kill()


class _Broken(Exception):
    pass


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_change_that_broke_off_anywhere_is_not_seen_and_is_taken_back(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """As when the writer dies: after its n-th request nothing more of it arrives."""
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


_DYING = """
import os, signal, sys
from lookalike.store import open_store
from lookalike.store.milvus.writer import Writer
from tests.store.making import put
store = open_store(sys.argv[1])
with store.writing():
    put(store, {b"/acknowledged": 1, b"/replaced": 2})
    Writer._commit = lambda *_: (print("dying", flush=True), signal.pause())
    put(store, {b"/replaced": 3, b"/unfinished": 4})
"""


def test_a_writer_killed_in_mid_change_is_named_followed_and_cleared_away(
    store: MilvusStore, open_again: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has written its rows and not yet said that they count; another is killed while it waits for its turn."""
    url = milvus_galleries().url(tmp_path)
    with _child(_DYING, url, says=b"dying") as other:
        with pytest.raises(StoreBusy, match=f"process {other.pid} on "), store.writing(wait=0.1):
            pass
        waiting = "import sys; from lookalike.store import open_store; print('waits', flush=True)\n"
        with _child(waiting + "open_store(sys.argv[1]).writing(wait=60).__enter__()", url, says=b"waits") as third:
            wait_for(lambda: len(_locks(store)) > 1, not_yet=StoreError)
            third.kill()
        other.kill()
    assert store.count() == (2, 0)
    monkeypatch.setattr("lookalike.store.milvus.lease.TTL", 3.0)  # it takes 12 s otherwise
    with store.writing(wait=60):
        assert _rows_after(store, store.generation) == 0
        put(store, {b"/a": 5})
    assert sorted(one.path for one in store.scan()) == [b"/a", b"/acknowledged", b"/replaced"]
    assert store.find([b"/replaced"])[b"/replaced"].digest == digest(2)
    assert problems(store) == []
    monkeypatch.setattr("lookalike.store.milvus.lease.FORGOTTEN", 0.0)
    with store.writing():
        store.compact()
        assert len(_locks(store)) == 1


def test_two_writers_take_turns_and_nothing_is_lost(open_again: Open) -> None:
    stores = [open_again() for _ in range(2)]

    def write(n: int) -> None:
        for turn in range(8):
            with stores[n].writing(wait=60):
                put(stores[n], {b"/%d/%d" % (n, turn): turn})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert stores[0].count() == (16, 0)
    assert problems(stores[0]) == []


def test_a_server_killed_while_it_writes_and_answers_loses_nothing_and_everybody_finishes(open_again: Open) -> None:
    """kill -9 of the server in the middle of both; what is there at the end is what an undisturbed run leaves."""
    patient = "?timeout=240&patience=240"
    store, reader = open_again(patient), open_again(patient)
    done, answers = threading.Event(), list[int]()

    def read() -> None:
        while not done.is_set():
            answers.append(len(nearest(reader, embedding(7), 5)))

    def interrupt() -> None:
        milvus().kill()
        milvus().start()

    with store.writing():
        put(store, {b"/first": 1000})
        with ThreadPoolExecutor(2) as pool:
            reading, killing = pool.submit(read), None
            for n in range(12):
                put(store, {b"/%d/%d" % (n, m): 10 * n + m for m in range(10)})
                killing = pool.submit(interrupt) if n == 3 else killing
            done.set()
            assert killing is not None
            killing.result()
            reading.result()
    assert min(answers) == 1 <= max(answers) == 5
    quiet = open_store("memory:", create=space())
    with quiet.writing():
        put(quiet, {b"/first": 1000})
        put(quiet, {b"/%d/%d" % (n, m): 10 * n + m for n in range(12) for m in range(10)})
    assert _content(store)[:3] == _content(quiet)[:3]
    assert problems(store) == []


def test_a_server_that_does_not_answer_is_an_error_after_the_time_allowed_and_heals(open_again: Open) -> None:
    patient = open_again()
    with patient.writing():
        put(patient, {b"/a": 1})
    store = open_again("?timeout=2&patience=1")
    milvus().signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(StoreError, match="did not answer in time"):
            nearest(store, embedding(1), 1)
    finally:
        milvus().signal(signal.SIGCONT)
    assert time.monotonic() - began < 25
    wait_for(lambda: len(nearest(open_again(), embedding(1), 1)) == 1, not_yet=StoreError)


def test_a_cut_network_is_an_error_within_the_time_allowed_and_heals(open_again: Open, tmp_path: Path) -> None:
    open_again()
    with Proxy(milvus().port) as proxy:
        store = MilvusStore(_through(proxy, tmp_path, "?timeout=3&patience=1"))
        with store.writing():
            put(store, {b"/a": 1})
        proxy.is_open = False
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
            store.count()
        assert time.monotonic() - began < 30
        proxy.is_open = True
        wait_for(lambda: store.count() == (1, 0), not_yet=StoreError)
        store.close()


def test_a_change_whose_acknowledgement_was_lost_is_made_once(open_again: Open, tmp_path: Path) -> None:
    """The proxy cuts the line when it sees rows, or the state that lets them count, and lets the server have them."""
    plain = open_again()
    with plain.writing():
        put(plain, {b"/a": 1, b"/b": 2, b"/c": 3})
        ids = plain.ids().tolist()
    with Proxy(milvus().port) as proxy:
        store = MilvusStore(_through(proxy, tmp_path))
        with store.writing():
            for n, sent in enumerate((b"max_megapixels", b"lookalike.state")):
                proxy.cut_at = sent
                put(store, {b"/%d" % n: 10 + n})
                assert proxy.cut_at == b""
            assert store.remove(ids[:2]) == 2
        store.close()
    assert [one.path for one in plain.scan()] == [b"/0", b"/1", b"/c"]
    assert problems(plain) == []


def test_a_server_that_is_not_there_is_an_error_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
        open_store(f"milvus://127.0.0.1:{free_port()}/x?timeout=2&patience=1")
    assert time.monotonic() - began < 30


def test_a_gallery_that_is_not_there_is_named() -> None:
    with pytest.raises(NoGallery, match="no gallery at milvus://"):
        open_store(milvus().url("nothing"))


def test_a_gallery_is_in_the_database_that_its_url_names() -> None:
    with contextlib.closing(milvus().client()) as client:
        client.create_database("other")
        store = MilvusStore(milvus().url("there", options="?database=other"), create=space())
        with store.writing():
            put(store, {b"/a": 1})
            store.remove([1])
            put(store, {b"/b": 2})
        assert [id_ for id_, _ in nearest(store, embedding(2), 3)] == [2]
        assert not any("there" in name for name in client.list_collections())
        with pytest.raises(NoGallery):
            open_store(milvus().url("there"))
        for name in store._client.list_collections():
            store._client.drop(name)
        store.close()


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
