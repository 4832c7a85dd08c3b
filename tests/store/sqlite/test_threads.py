"""One store, many threads: a connection each, one moment for each answer, one named error at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import pytest

from lookalike.errors import ClosedGallery
from lookalike.store.filter import Condition
from lookalike.store.sqlite.search import Search
from lookalike.store.sqlite.store import SqliteStore
from tests.store.making import digest, embedding, nearest, put, space

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike.store.columns import Columns

COUNT = 30
T = TypeVar("T")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "gallery", create=space())
    with store.writing():
        put(store, {b"/%d" % n: n for n in range(COUNT)})
    yield store
    store.close()


def in_a_thread(use: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(use).result()


def write(store: SqliteStore, shift: int) -> None:
    with store.writing(wait=10):
        put(store, {b"/%d" % n: n + shift for n in range(COUNT)})


def write_and_search(store: SqliteStore, shift: int) -> None:
    write(store, shift)
    nearest(store, embedding(3), 1)


def test_many_threads_each_for_one_request_share_few_connections(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = nearest(store, embedding(3), 5)
    made = []
    connect = store._connections._connect

    def counted() -> sqlite3.Connection:
        made.append(1)
        return connect()

    monkeypatch.setattr(store._connections, "_connect", counted)
    for _ in range(60):
        assert in_a_thread(lambda: nearest(store, embedding(3), 5)) == wanted
    assert len(made) <= 2


def test_a_connection_left_in_mid_transaction_is_clean_for_the_next_thread(store: SqliteStore) -> None:
    def leave() -> None:
        store._connections.own().execute("BEGIN")
        assert store.count() == (COUNT, 0)

    in_a_thread(leave)
    write(store, 100)
    assert in_a_thread(lambda: store.find([b"/1"])[b"/1"].digest) == digest(101)
    with store.reading():
        assert in_a_thread(lambda: store._connections.own().in_transaction) is False


def test_what_a_thread_writes_the_next_one_on_its_connection_finds(store: SqliteStore) -> None:
    for turn in range(1, 6):
        in_a_thread(lambda turn=turn: write(store, 100 * turn))  # type: ignore[misc]
        found = in_a_thread(lambda turn=turn: nearest(store, embedding(3 + 100 * turn), 1))  # type: ignore[misc]
        assert found == nearest(store, embedding(3 + 100 * turn), 1)
        assert found[0][1] == pytest.approx(0, abs=1e-6)


def test_the_generation_that_was_read_is_the_one_that_is_searched(store: SqliteStore) -> None:
    """Also when another thread has loaded a newer one since."""
    before = nearest(store, embedding(3), COUNT)
    with store.reading():
        generation = store.generation
        in_a_thread(lambda: write_and_search(store, 100))
        assert nearest(store, embedding(3), COUNT) == before
        assert store.generation == generation
    with store.reading():
        assert store.projection is None
        assert store.roots == {}
        in_a_thread(lambda: write_and_search(store, 200))
        assert store.generation == generation + 1


def test_a_filter_and_what_it_lets_pass_are_of_one_moment(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread writes and loads between the two."""
    where = Condition("camera", "=", "Camera 1")
    wanted = nearest(store, embedding(3), COUNT, where=where)
    store._search._forget()
    all_columns = Search._all_columns
    met: list[int] = []

    def late(self: Search, generation: int) -> list[Columns]:
        found = all_columns(self, generation)
        if not met:
            met.append(generation)
            in_a_thread(lambda: write_and_search(store, 101))
        return found

    monkeypatch.setattr(Search, "_all_columns", late)
    assert nearest(store, embedding(3), COUNT, where=where) == wanted
    assert nearest(store, embedding(3), COUNT, where=where) != wanted


def test_after_a_reader_was_in_the_way_of_tidying_up_commits_are_waited_for_as_long(store: SqliteStore) -> None:
    def write_and_look() -> object:
        write(store, 100)
        return store._connections.own().execute("PRAGMA busy_timeout").fetchone()

    with store.reading():
        store.count()
        assert in_a_thread(write_and_look) == (10_000,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork_everything_raises_closed_gallery(store: SqliteStore) -> None:
    uses: list[Callable[[], object]] = [
        *(store.count, lambda: list(store.scan()), lambda: nearest(store, embedding(1), 1), lambda: store.generation),
        *(store.writing().__enter__, store.reading().__enter__, store.verify),
    ]
    process = os.fork()
    if process == 0:
        refused = 0
        for use in uses:
            try:
                use()
            except ClosedGallery:
                refused += 1
        store.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == len(uses)
    assert store.count() == (COUNT, 0)
    assert store.verify() == []


CLOSED_MEANWHILE = """
import sys, threading, time
from lookalike.errors import LookalikeError
from lookalike.store.sqlite.store import SqliteStore
from tests.store.making import embedding, nearest, put, space

for turn in range(20):
    store = SqliteStore(sys.argv[1], create=space())
    with store.writing():
        put(store, {b"/%d" % n: n + turn for n in range(300)})
    met = []

    def read():
        try:
            while True:
                nearest(store, embedding(1), 3)
                list(store.scan())
                list(store.embeddings())
        except BaseException as error:
            met.append(type(error).__name__)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    store.close()
    for thread in threads:
        thread.join()
    print(*sorted(set(met)))
"""


def test_closing_while_others_read_ends_them_with_one_named_error(tmp_path: Path) -> None:
    """In a process of its own: what goes wrong here may end it."""
    arguments = [sys.executable, "-c", CLOSED_MEANWHILE, str(tmp_path / "gallery")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"ClosedGallery"}


def test_a_read_during_which_the_store_is_closed_ends_quietly(store: SqliteStore) -> None:
    with store.reading():
        assert store.count() == (COUNT, 0)
        in_a_thread(store.close)
    with pytest.raises(ClosedGallery):
        store.count()


def test_a_read_that_one_thread_began_another_may_end(store: SqliteStore) -> None:
    """As the garbage collector does, in whichever thread it runs."""
    reading = store.reading()
    in_a_thread(reading.__enter__)
    reading.__exit__(None, None, None)
    assert store.count() == (COUNT, 0)


def test_closing_from_another_thread_closes_for_all(store: SqliteStore) -> None:
    in_a_thread(store.close)
    with pytest.raises(ClosedGallery):
        store.count()
