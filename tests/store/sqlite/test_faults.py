"""Killed, raced, starved of room, damaged: rows 23 to 34 of the list of faults in docs/gallery.md.

LOOKALIKE_KILLS and LOOKALIKE_MUTATIONS make the two longest tests longer: 200 and 300 are asked for a release.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike.adaptation.projection import fit_projection
from lookalike.errors import Corrupt, DiskFull, NewerFormat, NoGallery, StoreBusy, StoreError
from lookalike.store import SearchSpace, Store, open_store
from lookalike.store.filter import Condition
from lookalike.store.rows import checksum
from lookalike.store.sqlite import column_cache
from lookalike.store.sqlite import schema as layout
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.repair import repair
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from tests.store.child import answer, do, model_after
from tests.store.making import DIM, columns_of, digest, embedding, nearest, problems, put, record, space, write_format_3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLS = int(os.environ.get("LOOKALIKE_KILLS", "20"))
MUTATIONS = int(os.environ.get("LOOKALIKE_MUTATIONS", "100"))
PROJECT = Path(__file__).parents[3]
NOW = len(layout.MIGRATIONS)  # the format of today


def make_caches(store: SqliteStore) -> None:
    store.prepare()
    assert store.is_approximate
    columns_of(store)
    nearest(store, embedding(1), 9, space=SearchSpace(raw=True))


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program of tests/store/child.py; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.child", *map(str, arguments)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def kill(process: subprocess.Popen[str]) -> list[str]:
    """SIGKILL, and every line that was printed before."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    return process.stdout.read().split()


def contents(store: Store) -> dict[bytes, bytes | None]:
    return {known.path: known.digest for known in store.scan()}


def wanted_after(steps: int) -> dict[bytes, bytes | None]:
    model = model_after(steps)
    return {key: None if number is None else digest(number) for key, number in model.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with nothing in it."""
    open_store(tmp_path / "gallery", create=space()).close()
    return tmp_path / "gallery"


@pytest.fixture
def hot(tmp_path: Path) -> Path:
    """What a writer leaves that was killed: much of the gallery is in the log only."""
    place = tmp_path / "hot"
    with started("steps", place, 80) as process:
        while line(process) != "80":
            pass
        kill(process)
    return place


def step_through(place: Path, steps: int) -> Store:
    """A store after so many steps that nobody disturbed."""
    store = open_store(place, create=space())
    model: dict[bytes, int | None] = {}
    with store.writing():
        for step in range(steps):
            do(step, store, model)
    return store


class TestKilled:
    def test_every_acknowledged_change_is_there_and_no_part_of_another(self, tmp_path: Path) -> None:
        """Test list 3: killed at random moments, resumed each time, and in the end as if never killed."""
        rng = random.Random(23)
        place, done, kills = tmp_path / "gallery", 0, 0
        while kills < KILLS or done <= KILLS:  # on a busy machine most are killed before their second step
            kills += 1
            with started("steps", place) as process:
                acknowledged = int(line(process))
                assert acknowledged == done
                time.sleep(rng.uniform(0, 0.12))
                said = kill(process)
            acknowledged = int(said[-1]) if said else acknowledged
            store = open_store(place)
            done = store.generation
            assert acknowledged <= done <= acknowledged + 1
            assert contents(store) == wanted_after(done)
            assert problems(store) == []
            store.close()
        with step_through(tmp_path / "undisturbed", done).reading():
            pass
        assert answer(str(place)) == answer(str(tmp_path / "undisturbed"))

    def test_in_the_midst_of_care_nothing_is_lost(self, tmp_path: Path) -> None:
        """Moved, compacted, exported, imported and repaired: its items are all at one of two places."""
        rng, place = random.Random(5), tmp_path / "gallery"
        step_through(place, 40).close()
        before, rounds, wanted = shutil.copytree(place, tmp_path / "before"), 0, wanted_after(40)
        moved = {key.replace(b"/photos", b"/moved"): content for key, content in wanted.items()}
        for _ in range(KILLS):
            with started("care", place, tmp_path / "copy") as process:
                line(process)
                time.sleep(rng.uniform(0, 0.5))
                rounds += len(kill(process))
            for left in tmp_path.glob("**/.lookalike-*"):
                shutil.rmtree(left)
            repair(place)
            store = open_store(place)
            assert problems(store) == []
            assert contents(store) in (wanted, moved)
            with store.writing():
                store.rename(b"/moved", b"/photos")
            store.close()
        assert rounds > 0
        assert answer(str(place)) == answer(str(before))

    def test_a_store_that_was_being_made_is_there_or_not(self, tmp_path: Path) -> None:
        rng = random.Random(1)
        for n in range(8):
            place = tmp_path / f"gallery{n}"
            with started("create", place) as process:
                line(process)
                go(process)
                time.sleep(rng.uniform(0, 0.012))
                kill(process)
            store = open_store(place, create=space())
            assert problems(store) == []
            assert sorted(path.name for path in place.iterdir() if "new" in path.name) == []
            store.close()

    def test_the_lock_of_a_killed_writer_is_free(self, folder: Path) -> None:
        with started("hold", folder) as process:
            assert line(process) == "held"
            kill(process)
        store = open_store(folder)
        with store.writing():
            put(store, {b"a": 1})
        store.close()

    @pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
    def test_a_log_that_lost_its_end_is_found_out_and_indexing_mends_it(self, hot: Path, left: float) -> None:
        """SQLite alone would go back to an older state without a word."""
        wal = hot / "gallery.db-wal"
        if left:
            os.truncate(wal, int(wal.stat().st_size * left))
        else:
            wal.unlink()
        store = open_store(hot)
        for _ in range(2):
            with pytest.raises(Corrupt, match="missing"):
                nearest(store, embedding(1), 3)
        assert any("missing" in problem for problem in problems(store))
        before = store.generation
        with store.writing():
            put(store, {b"/photos/1": 1})
        assert store.generation > 80 > before
        assert nearest(store, embedding(1), 1)[0][1] == pytest.approx(0, abs=1e-6)
        assert problems(store) == []
        store.close()


class TestManyProcesses:
    def test_the_second_writer_is_told_who_is_first(self, folder: Path) -> None:
        store = open_store(folder)
        with started("hold", folder) as process:
            assert line(process) == "held"
            with pytest.raises(StoreBusy, match=f"process {process.pid}") as busy, store.writing():
                pass
            assert busy.value.exit_code == 75
            assert "--wait" in busy.value.hint
            with pytest.raises(StoreBusy), store.writing(wait=0.1):
                pass
            go(process)
            with store.writing(wait=30):
                put(store, {b"a": 1})
        assert not (folder / "writer.pid").exists()
        store.close()

    def test_two_writers_lose_nothing(self, folder: Path) -> None:
        """Test list 5: 600 transactions each, taking turns."""
        with started("single", folder, "a", 600) as one, started("single", folder, "b", 600) as other:
            for process in (one, other):
                line(process)
            for process in (one, other):
                go(process)
            said = [process.communicate(timeout=120)[0].split() for process in (one, other)]
        assert [len(lines) for lines in said] == [600, 600]
        store = open_store(folder)
        assert Counter(known.path[:1] for known in store.scan()) == {b"a": 600, b"b": 600}
        assert store.generation == 1200
        assert problems(store) == []
        store.close()

    def test_two_that_make_the_same_store_get_the_same(self, tmp_path: Path) -> None:
        for n in range(3):
            place = tmp_path / f"gallery{n}"
            with started("create", place) as one, started("create", place) as other:
                for process in (one, other):
                    line(process)
                for process in (one, other):
                    go(process)
                assert [line(process) for process in (one, other)] == ["created"] * 2

    def test_a_reader_sees_whole_batches_only(self, folder: Path) -> None:
        store, sizes = open_store(folder), []
        with started("batches", folder, 60) as process:
            while process.poll() is None:
                sizes.append(len(list(store.scan())))
                with store.reading():
                    assert store.count()[0] == len(nearest(store, embedding(1), 10**6)) == len(list(store.scan()))
        assert process.returncode == 0
        assert not any(size % 50 for size in sizes)
        assert len(set(sizes)) > 2
        assert len(list(store.scan())) == 3000
        store.close()

    def test_a_batch_that_comes_at_the_end_of_a_listing_is_no_damage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, reader = open_store(folder), open_store(folder)
        read = reader._tables.tally  # type: ignore[attr-defined]

        def late() -> object:
            with store.writing():
                put(store, {b"late": 1})
            return read()

        monkeypatch.setattr(reader._tables, "tally", late)  # type: ignore[attr-defined]
        assert list(reader.scan()) == []
        assert len(list(store.scan())) == 1
        reader.close()
        store.close()

    def test_a_slow_reader_stops_no_writer(self, folder: Path) -> None:
        store, reader = open_store(folder), open_store(folder)
        with store.writing():
            put(store, {b"%03d" % n: n for n in range(200)})
        listing = reader.scan()
        next(listing)
        start = time.monotonic()
        with store.writing():
            put(store, {b"a": 1})
        assert time.monotonic() - start < 5
        assert len(list(listing)) == 199
        reader.close()
        store.close()
        assert not (folder / "gallery.db-wal").exists()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_fork_is_refused_and_does_no_harm(self, folder: Path) -> None:
        with started("fork", folder) as process:
            assert line(process) == "refused"
            assert line(process) == "(0, 0)"

    def test_a_spawned_process_opens_its_own(self, folder: Path) -> None:
        store = open_store(folder)
        with store.writing():
            put(store, {b"%d" % n: n for n in range(10)})
        spawned = multiprocessing.get_context("spawn").Process(target=answer, args=(str(folder),))
        spawned.start()
        spawned.join(60)
        assert spawned.exitcode == 0
        assert store.count() == (10, 0)
        store.close()


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def steps_until_full(store: Store, model: dict[bytes, int | None], first: int) -> int:
    """Go on until the disk is full; how many steps are done then."""
    done = first
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(pytest.raises(DiskFull, match="safe"))
        stack.enter_context(store.writing())
        for step in itertools.count(first):
            do(step, store, model)
            done += 1
    assert full.value.exit_code == 1
    return done


class TestNoRoom:
    @pytest.mark.parametrize("kibibytes", [70, 100, 150, 300, 500])
    def test_what_was_put_before_is_safe_and_the_next_run_goes_on(self, tmp_path: Path, kibibytes: int) -> None:
        place = tmp_path / "gallery"
        store, model = open_store(place, create=space()), dict[bytes, int | None]()
        with largest_file(kibibytes << 10):
            done = steps_until_full(store, model, 0)
            assert contents(store) == wanted_after(done)
        store.close()
        store = open_store(place)
        assert contents(store) == wanted_after(done)
        assert problems(store) == []
        with store.writing():
            for step in range(done, done + 20):
                do(step, store, model)
        assert contents(store) == wanted_after(done + 20)
        store.close()

    def test_no_room_to_make_a_store_leaves_nothing_behind(self, tmp_path: Path) -> None:
        place = tmp_path / "gallery"
        with largest_file(20_000), pytest.raises(DiskFull):
            open_store(place, create=space())
        assert [path.name for path in place.iterdir() if path.name.startswith("gallery")] == []
        open_store(place, create=space()).close()

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
    def test_a_disk_that_is_really_full(self, tmp_path: Path) -> None:
        place = tmp_path / "disk"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("this machine does not let us mount a small disk")
        try:
            store, model = open_store(place, create=space()), dict[bytes, int | None]()
            done = steps_until_full(store, model, 0)
            assert contents(store) == wanted_after(done)
            assert nearest(store, embedding(1), 3)
            store.close()
            store = open_store(place)
            assert problems(store) == []
            store.close()
            shutil.copytree(place, tmp_path / "larger")
        finally:
            subprocess.run(["umount", place], check=True)
        store = open_store(tmp_path / "larger")
        with store.writing():
            do(done, store, model)
        assert contents(store) == wanted_after(done + 1)
        store.close()


class FailingConnection:
    """A connection of SQLite whose n-th statement fails: once, or from then on."""

    def __init__(self, db: sqlite3.Connection, at: int, *, for_ever: bool) -> None:
        self._db, self._left, self._for_ever = db, at, for_ever

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._db.execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return self._db.executemany(*arguments)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0 or (self._for_ever and self._left < 0):
            raise sqlite3.OperationalError("a statement that fails")


class TestFailingStatements:
    @pytest.mark.parametrize("for_ever", [False, True])
    @pytest.mark.parametrize("last", [15, 14, 18], ids=["remove", "put", "put again"])
    def test_the_nth_statement_that_fails_leaves_the_store_before_or_after(
        self, tmp_path: Path, last: int, *, for_ever: bool
    ) -> None:
        """Test list 4."""
        place, failures = tmp_path / "gallery", 0
        step_through(place, last).close()
        shutil.copytree(place, tmp_path / "before")
        for at in range(1, 200):
            shutil.rmtree(place)
            shutil.copytree(tmp_path / "before", place)
            store = SqliteStore(place)
            failing = FailingConnection(store._connections.own(), at, for_ever=for_ever)
            store._connections._own.lease.connection = failing
            try:
                with store.writing():
                    do(last, store, model_after(last))
            except StoreError:
                failures += 1
            with contextlib.suppress(StoreError):
                assert contents(store) in (wanted_after(last), wanted_after(last + 1))
            store.close()
            again = open_store(place)
            assert contents(again) == wanted_after(again.generation)
            assert again.generation in {last, last + 1}
            assert problems(again) == []
            again.close()
            if failing._left > 0:
                break
        assert failures > 8
        assert at < 199


def damaged_outcomes(source: Path, count: int, approximate_from: int = 30_000) -> list[list[str]]:
    """Seed, damage, outcome of asking, outcome of caring, for each of so many damaged copies of `source`."""
    shutil.copytree(source, f"{source}.sound")
    with started("mutate", source, 0, count, approximate_from) as process:
        said, _ = process.communicate(timeout=300)
    rows = [row.split("\t") for row in said.splitlines()]
    assert process.returncode == 0, f"died of {process.returncode} behind {rows[-1:]}"
    assert len(rows) == count
    return rows


class TestDamaged:
    def test_a_damaged_file_gives_the_same_answer_or_an_error(self, tmp_path: Path) -> None:
        """Test list 7: never another answer, never another error, never a signal."""
        store = step_through(tmp_path / "clean", 60)
        with store.writing():
            store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, 5))
        store.close()
        rows = damaged_outcomes(tmp_path / "clean", MUTATIONS)
        assert [row for row in rows if row[2] not in {"ok", "StoreError"}] == []
        assert [row for row in rows if row[3] not in {"ok", "StoreError"}] == []
        assert {row[2] for row in rows} == {"ok", "StoreError"}

    def test_a_damaged_cache_gives_the_same_answer(self, tmp_path: Path) -> None:
        """Of lists, of what filters look at, and of what was added since: most of the damage is done to them here."""
        tuning = Tuning(approximate_from=50, columns_from=50)
        store = step_through(tmp_path / "clean", 60)
        store.close()
        store = SqliteStore(tmp_path / "clean", tuning=tuning)
        make_caches(store)
        with store.writing():
            put(store, {b"/photos/new%d" % n: n for n in range(40)})
            store.remove([known.id for known in itertools.islice(store.scan(), 5)])
        make_caches(store)
        store.close()
        (tmp_path / "clean" / "writer.lock").unlink()
        assert all((tmp_path / "clean" / name).exists() for name in (cache.MORE, cache.RAW[1], column_cache.FILES[1]))
        rows = damaged_outcomes(tmp_path / "clean", MUTATIONS, tuning.approximate_from)
        assert [row for row in rows if row[2] not in {"ok", "StoreError"}] == []
        caches = [row for row in rows if any(name in row[1] for name in ("search.", "facts.", "put."))]
        assert len(caches) > MUTATIONS // 5
        assert {row[2] for row in caches} == {"ok"}

    def test_damage_to_what_a_killed_writer_left_gives_the_same_answer_or_an_error(self, hot: Path) -> None:
        rows = damaged_outcomes(hot, MUTATIONS)
        assert [row for row in rows if row[2] not in {"ok", "StoreError"}] == []
        assert [row for row in rows if row[3] not in {"ok", "StoreError"}] == []
        assert {row[2] for row in rows} == {"ok", "StoreError"}

    @pytest.mark.parametrize(
        "change", ["DELETE FROM item", "UPDATE item SET camera = 'other'", "UPDATE item SET key = 'x'"]
    )
    def test_no_filter_is_answered_from_rows_that_were_changed(self, tmp_path: Path, change: str) -> None:
        step_through(tmp_path / "gallery", 10).close()
        db = sqlite3.connect(tmp_path / "gallery" / "gallery.db")
        db.execute(f"{change} WHERE id = 3")
        db.commit()
        db.close()
        store = open_store(tmp_path / "gallery")
        with pytest.raises(Corrupt):
            store.ids(Condition("name", "=", "*"))
        store.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM item WHERE id = 3",
            "DELETE FROM content WHERE id = 3",
            "UPDATE item SET digest = (SELECT digest FROM content WHERE id = 9) WHERE id = 3",
            "UPDATE item SET size = x'ff' WHERE id = 3",
            "UPDATE item SET format = CAST(x'ff' AS TEXT) WHERE id = 3",
            "UPDATE item SET key = 'text' WHERE id = 3",
            "UPDATE item SET crc = 'text' WHERE id = 3",
            "UPDATE content SET embedding = 3 WHERE id = 3",
            "UPDATE content SET embedding = 'text' WHERE id = 3",
            "UPDATE content SET embedding = x'0000' WHERE id = 3",
            "UPDATE content SET embedding = (SELECT embedding FROM content WHERE id = 4) WHERE id = 3",
            "UPDATE meta SET value = 3 WHERE key = 'tally'",
            "UPDATE meta SET value = 3, crc = 'text'",
            "DELETE FROM meta WHERE key = 'projection'",
            "DELETE FROM meta WHERE key = 'space'",
            "DROP TABLE content",
        ],
    )
    def test_a_row_that_is_not_what_was_written_is_found(self, tmp_path: Path, statement: str) -> None:
        step_through(tmp_path / "gallery", 10).close()
        db = sqlite3.connect(tmp_path / "gallery" / "gallery.db")
        db.execute(statement)
        db.commit()
        db.close()
        with pytest.raises(StoreError):
            answer(str(tmp_path / "gallery"))
        with contextlib.suppress(StoreError):
            store = open_store(tmp_path / "gallery")
            assert problems(store) != []
            store.close()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("space", b"[]"),
            ("space", b'{"encoder": "e"}'),
            ("space", b"\xff"),
            ("space", b"{"),
            ("space", b'{"encoder":"e","fingerprint":"f","dim":"8","metric":"cosine","source":"s"}'),
            ("space", b'{"encoder":"e","fingerprint":"f","dim":1e99,"metric":"cosine","source":"s"}'),
            ("space", b'{"encoder":"e","fingerprint":"f","dim":8,"metric":[],"source":"s"}'),
            ("space", b'{"encoder":"e","fingerprint":"f","dim":8,"metric":"cosine","source":1}'),
            ("generation", b"[]"),
            ("generation", b"1e999"),
            ("tally", b"[1, 2]"),
            ("tally", b"null"),
            ("roots", b"3"),
            ("roots", b'[["a"]]'),
            ("roots", b"[[1, {}]]"),
            ("projection", b"{}"),
            ("projection", b"[1]"),
            ("projection", b"[10, [0.5, 0.25, 0.25, 0, 0, 0, 0, 0, 0, 0, 0], []]"),
            ("projection", b"[10, [0.5, 0.5], [0, 0, 0, 0, 0, 0, 0, 0, 0]]"),
            ("projection", b"[10, [], [], [[3, 2, 2]]]"),
            ("projection", b"[10, [], [], [[-1, 2, 2]]]"),
            ("projection", b"[10, [], [], [[1, 2]]]"),
            ("projection", b"[10, [], [], [3]]"),
            ("projection", b"[10, [], [], [], [3]]"),
            ("projection", b"[10, [], [], [], [], 0]"),
            ("projection.mean", b"123"),
        ],
    )
    def test_a_sound_checksum_over_nonsense_is_no_way_in(self, tmp_path: Path, key: str, value: bytes) -> None:
        """CRC-32 is against accidents; whoever forges one still gets no further than an error."""
        store = step_through(tmp_path / "gallery", 10)
        with store.writing():
            store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, 5))
        store.close()
        db = sqlite3.connect(tmp_path / "gallery" / "gallery.db")
        db.execute("UPDATE meta SET value = ?, crc = ? WHERE key = ?", (value, checksum(key.encode(), value), key))
        db.commit()
        db.close()
        with pytest.raises(StoreError):
            answer(str(tmp_path / "gallery"))


def _jpeg(path: Path) -> None:
    Image.new("RGB", (20, 20)).save(path, "jpeg")


def _foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE item (id)")
    db.commit()
    db.close()


class TestNotAGallery:
    @pytest.mark.parametrize(
        "make",
        [
            _jpeg,
            _foreign,
            lambda path: path.write_bytes(b""),
            Path.mkdir,
            lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)),
            os.mkfifo,
            lambda path: path.symlink_to("nowhere"),
        ],
        ids=["JPEG", "another program's", "empty", "folder", "header only", "FIFO", "dangling link"],
    )
    @pytest.mark.parametrize("create", [False, True])
    def test_what_is_no_gallery_is_refused_and_left_alone(
        self, tmp_path: Path, make: Callable[[Path], object], *, create: bool
    ) -> None:
        path = tmp_path / "gallery.db"
        make(path)
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreError, match=r"gallery\.db"):
            open_store(tmp_path, create=space() if create else None)
        assert (path.read_bytes() if path.is_file() else None) == before

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(NoGallery, match="is a file, not the folder of a gallery"):
            open_store(tmp_path / "file", create=space())

    def test_a_log_that_a_deleted_gallery_left_does_not_get_into_the_new_one(self, hot: Path) -> None:
        (hot / "gallery.db").unlink()
        store = open_store(hot, create=space())
        assert list(store.scan()) == []
        assert nearest(store, embedding(1), 3) == []
        assert problems(store) == []
        store.close()


class TestFormats:
    def test_nothing_is_read_of_a_newer_format(self, folder: Path) -> None:
        db = sqlite3.connect(folder / "gallery.db")
        for table in ("meta", "content", "item"):
            db.execute(f"DROP TABLE {table}")  # so that reading anything would be another error
        db.execute("PRAGMA user_version = 99")
        db.commit()
        db.close()
        with pytest.raises(NewerFormat, match="format 99") as newer:
            open_store(folder)
        assert "upgrade" in newer.value.hint

    def test_an_older_format_is_brought_up_to_date_after_a_copy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "gallery"
        step_through(place, 30).close()
        before = answer(str(place))
        monkeypatch.setattr(layout, "MIGRATIONS", (*layout.MIGRATIONS, "CREATE TABLE note (id); CREATE TABLE b (id)"))
        assert answer(str(place)) == before
        assert _format(place / "gallery.db") == (NOW + 1, True)
        assert _format(place / f"gallery.db.format-{NOW}") == (NOW, False)
        monkeypatch.undo()
        (tmp_path / "copy").mkdir()
        shutil.copy(place / f"gallery.db.format-{NOW}", tmp_path / "copy" / "gallery.db")
        assert answer(str(tmp_path / "copy")) == before
        with pytest.raises(NewerFormat):
            open_store(place)

    def test_a_gallery_of_format_1_knows_no_roots_until_it_is_told(self, tmp_path: Path) -> None:
        place = tmp_path / "gallery"
        step_through(place, 30).close()
        write_format_3(place)
        before = answer(str(shutil.copytree(place, tmp_path / "of format 3")))
        db = sqlite3.connect(place / "gallery.db")
        db.execute("DELETE FROM meta WHERE key = 'roots'")
        db.execute("DROP TABLE IF EXISTS change")
        db.execute("PRAGMA user_version = 1")
        db.commit()
        db.close()
        assert answer(str(place)) == before
        assert _format(place / "gallery.db") == (NOW, False)
        assert _format(place / "gallery.db.format-1") == (1, False)
        store = open_store(place)
        assert store.roots == {}
        with store.writing():
            store.set_roots({b"/photos": {"hidden": True}})
        assert store.roots == {b"/photos": {"hidden": True}}
        assert problems(store) == []
        store.close()

    def test_what_format_3_knew_is_kept_in_typed_columns_under_relative_keys(self, tmp_path: Path) -> None:
        place = tmp_path / "gallery"
        store = open_store(place, create=space())
        below, roots = os.fsencode(tmp_path) + b"/%d.jpg", {os.fsencode(tmp_path): {}, b"/photos": {"exclude": ["x"]}}
        with store.writing():
            put(store, {below % n: n for n in range(9)}, "7:-8")
            put(store, {below % 9: None, b"/photos/1": 1, b"/skipped": None}, "7:-8")
            store.set_roots(roots)
        wanted = [one._replace(taken_at=None, camera=None) for one in store.scan()]  # of which it knew nothing
        found = nearest(store, embedding(3), 99)
        store.close()
        write_format_3(place)
        store = open_store(place)
        assert (list(store.scan()), store.roots) == (wanted, roots)
        assert nearest(store, embedding(3), 99) == found
        assert problems(store) == []
        store.close()
        (tmp_path / "moved").mkdir()
        shutil.move(place, tmp_path / "moved")
        for n in range(9):
            (tmp_path / "moved" / f"{n}.jpg").touch()
        store = open_store(tmp_path / "moved" / "gallery")
        assert set(store.roots) == {os.fsencode(tmp_path) + b"/moved", b"/photos"}
        assert len(list(store.scan(os.fsencode(tmp_path) + b"/moved/"))) == 10
        store.close()

    @pytest.mark.parametrize("statement", ["UPDATE item SET info = '{}'", "UPDATE item SET stamp = 'x'"])
    def test_a_damaged_gallery_of_format_3_stays_what_it_is_and_can_be_repaired(
        self, tmp_path: Path, statement: str
    ) -> None:
        place = tmp_path / "gallery"
        step_through(place, 30).close()
        write_format_3(place)
        db = sqlite3.connect(place / "gallery.db")
        (count,) = db.execute("SELECT count(*) FROM item").fetchone()
        db.execute(f"{statement} WHERE id = 20")
        db.commit()
        db.close()
        with pytest.raises(Corrupt, match="item 20"):
            open_store(place)
        assert _format(place / "gallery.db") == (3, False)
        assert repair(place).kept == count - 1
        store = open_store(place)
        assert problems(store) == []
        store.close()

    def test_a_migration_that_fails_leaves_the_older_format_and_can_be_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place, first = tmp_path / "gallery", layout.MIGRATIONS
        step_through(place, 30).close()
        before = answer(str(place))
        monkeypatch.setattr(layout, "MIGRATIONS", (*first, "CREATE TABLE note (id); CREATE TABLE item (id)"))
        with pytest.raises(StoreError, match="already exists"):
            open_store(place)
        assert _format(place / "gallery.db") == (NOW, False)
        monkeypatch.setattr(layout, "MIGRATIONS", (*first, "CREATE TABLE note (id)"))
        assert answer(str(place)) == before
        assert _format(place / "gallery.db") == (NOW + 1, True)

    def test_nothing_is_migrated_under_a_writer(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = open_store(folder)
        with store.writing():
            monkeypatch.setattr(layout, "PATIENCE", 0.1)
            monkeypatch.setattr(layout, "MIGRATIONS", (*layout.MIGRATIONS, "CREATE TABLE note (id)"))
            with pytest.raises(StoreBusy, match=str(os.getpid())):
                open_store(folder)
        store.close()
        assert _format(folder / "gallery.db") == (NOW, False)


def _format(path: Path) -> tuple[int, bool]:
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (notes,) = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'note'").fetchone()
    db.close()
    return version, bool(notes)


class TestReadOnly:
    @pytest.fixture
    def frozen(self, folder: Path) -> Iterator[Path]:
        """A gallery that can be read by everybody and written by nobody; all folders above let one pass."""
        store = open_store(folder)
        with store.writing():
            put(store, {b"%d" % n: n for n in range(20)})
        store.close()
        for above in folder.parents:
            if above.owner() == folder.owner() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)

    def test_it_can_be_searched_and_writing_is_an_error(self, frozen: Path, tmp_path: Path) -> None:
        shutil.copytree(frozen, tmp_path / "other")
        (tmp_path / "other").chmod(0o755)
        with started("unprivileged", frozen, tmp_path / "other") as process:
            assert line(process) == "ok"
            assert line(process) == "StoreError"


def test_embeddings_that_are_put_can_be_written_fast(tmp_path: Path) -> None:
    """A floor far below what was measured (docs/performance.md), to find a lost index or a commit for each row."""
    store, n = open_store(tmp_path, create=space(dim=128)), 5000
    rows = np.random.default_rng(0).standard_normal((n, 128)).astype(np.float32)
    start = time.monotonic()
    with store.writing():
        for first in range(0, n, 500):
            some = range(first, first + 500)
            store.put([record(b"%d" % k, k) for k in some], {digest(k): rows[k] for k in some})
    assert n / (time.monotonic() - start) > 2000
    store.close()
