"""What happens when the server, the network or another writer gets in the way."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

from lookalike.errors import NoGallery, StoreBusy, StoreError
from lookalike.store import open_store
from lookalike.store.postgresql.store import PostgresqlStore
from tests.engines import Postgres, free_port, gallery_name, postgres
from tests.store.making import digest, embedding, nearest, problems, put, record, space
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.postgresql

BATCHES = 12
_FAREWELL = b"X\0\0\0\4"  # PostgreSQL's message of a client that leaves


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own, which may be killed; it syncs, as servers do."""
    postgres()  # skips where there is none
    one = Postgres(options=())
    yield one
    one.remove()


def _fill(store: PostgresqlStore, first: int = 0, pause: float = 0.0) -> None:
    for n in range(first, BATCHES):
        put(store, {b"/%d/%d" % (n, m): 10 * n + m for m in range(10)})
        time.sleep(pause)


def _interrupt(server: Postgres) -> None:
    server.kill()
    time.sleep(0.3)
    server.start()


def _answers(store: PostgresqlStore) -> object:
    paths = {one.id: one.path for one in store.scan()}
    found = [nearest(store, embedding(n), 10) for n in range(0, 120, 7)]
    return sorted(paths.values()), [[(paths[id_], distance) for id_, distance in near] for near in found]


def test_a_server_killed_in_mid_write_loses_nothing_that_was_acknowledged_and_the_run_finishes(
    server: Postgres, tmp_path: Path
) -> None:
    quiet = PostgresqlStore(server.url(gallery_name(tmp_path / "quiet")), create=space())
    with quiet.writing():
        _fill(quiet)
    store = PostgresqlStore(server.url(gallery_name(tmp_path)), create=space())
    killer = threading.Timer(0.15, _interrupt, [server])
    with store.writing():
        killer.start()
        _fill(store, pause=0.03)
    killer.join()
    assert store.count() == (10 * BATCHES, 0)
    assert _answers(store) == _answers(quiet)
    assert problems(store) == []
    quiet.close()
    store.close()


def test_a_change_whose_acknowledgement_was_lost_is_made_once(server: Postgres, tmp_path: Path) -> None:
    """The proxy cuts the line when it sees the COMMIT, and lets the server have it."""
    plain = PostgresqlStore(server.url(gallery_name(tmp_path)), create=space())
    with plain.writing():
        put(plain, {b"/a": 1, b"/b": 2, b"/c": 3})
        ids = plain.ids().tolist()
    with Proxy(server.port) as proxy:
        store = PostgresqlStore(server.url(gallery_name(tmp_path), port=proxy.port))
        with store.writing():
            proxy.cut_at = b"COMMIT"
            assert store.remove(ids[:2]) == 2
            put(store, {b"/d": 4})
        assert proxy.cuts == 1
        store.close()
    assert [one.path for one in plain.scan()] == [b"/c", b"/d"]
    assert problems(plain) == []
    plain.close()


def test_a_reader_outlives_a_killed_server_as_long_as_nothing_has_changed(server: Postgres, tmp_path: Path) -> None:
    store = PostgresqlStore(server.url(gallery_name(tmp_path)), create=space())
    with store.writing():
        _fill(store)
    before = _answers(store)
    with store.reading():
        first = nearest(store, embedding(3), 5)
        server.kill()
        restarting = threading.Timer(0.3, server.start)
        restarting.start()
        assert nearest(store, embedding(3), 5) == first
        restarting.join()
    assert _answers(store) == before
    store.close()


def test_a_reader_that_lost_its_moment_says_so(server: Postgres, tmp_path: Path) -> None:
    store, other = (PostgresqlStore(server.url(gallery_name(tmp_path)), create=space()) for _ in range(2))
    with store.writing():
        _fill(store)
    with store.reading():
        nearest(store, embedding(3), 5)
        server.kill()
        server.start()
        with other.writing():
            put(other, {b"/new": 500})
        with pytest.raises(StoreError, match="has changed since"):
            nearest(store, embedding(3), 5)
    assert len(nearest(store, embedding(500), 1)) == 1
    other.close()
    store.close()


def test_the_writer_is_named_to_those_who_wait_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    url = postgres().url(gallery_name(tmp_path))
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
    with store.writing(wait=10):
        put(store, {b"/a": 1})
    assert store.count() == (1, 0)
    store.close()


def test_a_writer_that_has_ended_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    """The server notices some time later that a client has left, and only then frees what its session had locked."""
    with Proxy(postgres().port) as proxy:
        store = PostgresqlStore(postgres().url(gallery_name(tmp_path), port=proxy.port), create=space())
        proxy.farewell = 0.5
        for _ in range(3):
            with store.writing():
                pass
        store.close()


def test_a_server_that_does_not_answer_is_an_error_after_the_time_allowed(server: Postgres, tmp_path: Path) -> None:
    patient = PostgresqlStore(server.url(gallery_name(tmp_path)), create=space())
    with patient.writing():
        put(patient, {b"/a": 1})
    store = PostgresqlStore(server.url(gallery_name(tmp_path), options="&timeout=2&patience=1"))
    wait_for(lambda: len(nearest(store, embedding(1), 1)) == 1, not_yet=StoreError)  # it has connections now
    server.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(StoreError, match="did not answer in time"):
            nearest(store, embedding(1), 1)
    finally:
        server.signal(signal.SIGCONT)
    assert time.monotonic() - began < 25
    wait_for(lambda: len(nearest(store, embedding(1), 1)) == 1, not_yet=StoreError)
    patient.close()
    store.close()


def test_a_statement_that_takes_too_long_is_stopped_by_the_server(tmp_path: Path) -> None:
    PostgresqlStore(postgres().url(gallery_name(tmp_path)), create=space()).close()
    store = PostgresqlStore(postgres().url(gallery_name(tmp_path), options="&timeout=2"))
    with store._moment() as moment, pytest.raises(StoreError, match="did not answer in time"):
        moment.fetch("SELECT pg_sleep(30)")
    wait_for(lambda: store.count() == (0, 0), not_yet=StoreError)
    store.close()


def test_a_cut_network_is_an_error_within_the_patience_and_heals(tmp_path: Path) -> None:
    server = postgres()
    with Proxy(server.port) as proxy:
        url = server.url(gallery_name(tmp_path), port=proxy.port, options="&patience=1")
        store = PostgresqlStore(url, create=space())
        with store.writing():
            put(store, {b"/a": 1})
        proxy.is_open = False
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
            store.count()
        assert time.monotonic() - began < 20
        proxy.is_open = True
        assert store.count() == (1, 0)
        store.close()


def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match="refused"):
        open_store(f"postgresql://me@127.0.0.1:{free_port()}/postgres")
    assert time.monotonic() - began < 20


def test_a_database_that_is_not_there_is_named_with_what_makes_it() -> None:
    with pytest.raises(NoGallery, match="does not exist") as error:
        open_store(f"postgresql://me@127.0.0.1:{postgres().port}/nowhere")
    assert "createdb" in error.value.hint


def test_damaged_rows_are_found_and_never_answered_with(tmp_path: Path) -> None:
    name = gallery_name(tmp_path)
    store = PostgresqlStore(postgres().url(name), create=space())
    with store.writing():
        store.put([record(b"/a", 1), record(b"/b", 2)], {digest(n): embedding(n) for n in (1, 2)})
    for damage in ("UPDATE item SET width = width + 1 WHERE id = 1", "UPDATE content SET exponent = exponent + 1"):
        with psycopg.connect(**store._address.parameters) as db:
            db.execute(f"SET search_path = lookalike_{name}".encode())
            db.execute(damage.encode())
    with pytest.raises(StoreError, match="does not match its checksum"):
        store.get([1])
    with pytest.raises(StoreError, match="does not match its checksum"):
        list(store.embeddings())
    assert problems(store)
    store.close()


class Proxy:
    """A line to a server that can be cut, at once or when certain bytes are sent."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_at = b""
        self.cuts = 0
        self.farewell = 0.0  # seconds until the server hears that a client leaves
        self._is_open = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()
        for thread in self._threads:
            thread.join(5)

    @property
    def is_open(self) -> bool:
        return self._is_open

    @is_open.setter
    def is_open(self, is_open: bool) -> None:
        self._is_open = is_open
        if not is_open:
            self._cut()

    def _cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for one in (one for pair in pairs for one in pair):
            _shut(one)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((near, far))
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pump, args=(one, other, one is near), daemon=True))
                self._threads[-1].start()

    def _pump(self, one: socket.socket, other: socket.socket, is_request: bool) -> None:
        try:
            while sent := one.recv(65536):
                if is_request and sent.endswith(_FAREWELL):
                    time.sleep(self.farewell)
                is_last = is_request and self.cut_at and self.cut_at in sent
                if is_last:
                    self.cut_at = b""
                    self.cuts += 1
                    _shut(one)  # the answer has nowhere to go
                other.sendall(sent)
                if is_last:
                    time.sleep(0.2)
                    break
        except OSError:
            pass
        finally:
            one.close()
            _shut(other)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
