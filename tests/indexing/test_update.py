"""Living with folders that change, drives that go away and runs that are interrupted."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions, Limits
from lookalike.errors import UsageError
from lookalike.images.walk import Rules
from lookalike.store import Record, Space, open_store
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.indexing.update import Report

PROJECT = Path(__file__).parents[2]


class Run:
    """A folder of pictures, a gallery and its encoder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.photos = place / "photos"
        self.photos.mkdir()
        self.encoder = TilesEncoder()
        space = Space("tiles", self.encoder.fingerprint, self.encoder.dim, self.encoder.metric, "tiles")
        self.gallery = Gallery(open_store(place / "gallery", create=space), self.encoder)

    def add(self, name: str, seed: int) -> Path:
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (20, 16)).save(path)
        return path

    def index(self, *roots: Path, batch_size: int = 4, follow_links: bool = False) -> Report:
        options = IndexOptions(workers=1, batch_size=batch_size, rules=Rules(follow_links=follow_links))
        return self.gallery.index(*(roots or [self.photos]), options=options)

    @property
    def names(self) -> list[str]:
        """Of the pictures, below the folder of the test."""
        return [os.path.relpath(os.fsdecode(item.path), self.place) for item in self.gallery.pictures()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Ten different pictures, indexed."""
    run = Run(tmp_path)
    for seed in range(10):
        run.add(f"{seed}.png", seed)
    report = run.index()
    assert counts(report) == (10, 0, 0, 0)
    assert run.encoder.encoded == 10
    run.encoder.encoded = 0
    yield run
    assert run.gallery.verify() == []
    run.gallery.close()


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.unchanged, report.renamed, report.removed


def edit_unnoticeably(run: Run) -> Path:
    """Index a picture and give it other pixels, which change neither the size nor the time of its file."""
    path = run.photos / "3.bmp"
    make_picture(70, (20, 16)).save(path)
    run.index()
    before = path.stat()
    make_picture(71, (20, 16)).save(path)
    os.utime(path, ns=(before.st_mtime_ns,) * 2)
    assert path.stat().st_size == before.st_size
    return path


class TestChanges:
    def test_a_second_run_changes_nothing(self, run: Run) -> None:
        generation = run.gallery.store.generation
        assert counts(run.index()) == (0, 10, 0, 0)
        assert run.gallery.store.generation == generation
        assert run.encoder.encoded == 0

    def test_a_touched_file_is_unchanged(self, run: Run) -> None:
        os.utime(run.photos / "3.png", ns=(1, 1))
        assert counts(run.index()) == (0, 10, 0, 0)
        assert run.encoder.encoded == 0

    def test_a_clock_that_went_backwards_hides_no_change(self, run: Run) -> None:
        before = (run.photos / "3.png").stat()
        run.add("3.png", 33)
        os.utime(run.photos / "3.png", ns=(before.st_mtime_ns - 10**12,) * 2)
        report = run.index()
        assert (report.changed, *counts(report)) == (1, 0, 9, 0, 0)

    def test_a_renamed_file_keeps_its_embedding(self, run: Run) -> None:
        (run.photos / "3.png").rename(run.photos / "renamed.png")
        assert counts(run.index()) == (0, 9, 1, 0)
        assert run.encoder.encoded == 0
        assert "photos/renamed.png" in run.names
        assert "photos/3.png" not in run.names

    def test_a_moved_folder_keeps_all_embeddings(self, run: Run) -> None:
        run.photos.rename(run.place / "moved")
        run.photos.mkdir()
        report = run.index(run.photos, run.place / "moved")
        assert counts(report) == (0, 0, 10, 0)
        assert run.encoder.encoded == 0
        assert len(run.names) == 10

    def test_pictures_that_exchange_their_names_are_told_apart(self, run: Run) -> None:
        one, other = run.photos / "1.png", run.photos / "2.png"
        one.rename(run.place / "between")
        other.rename(one)
        (run.place / "between").rename(other)
        os.utime(one, ns=(1, 1))
        os.utime(other, ns=(2, 2))
        run.index()
        assert len(run.names) == 10
        for path in (one, other):
            first, *_ = run.gallery.search(path, k=1, include_self=True)
            assert first.path == path

    def test_a_vanished_file_leaves(self, run: Run) -> None:
        (run.photos / "3.png").unlink()
        assert counts(run.index()) == (0, 9, 0, 1)
        assert "photos/3.png" not in run.names

    def test_a_file_with_other_content_is_indexed_anew(self, run: Run) -> None:
        run.add("3.png", 333)
        report = run.index()
        assert (report.changed, *counts(report)) == (1, 0, 9, 0, 0)
        assert run.encoder.encoded == 1
        first, *_ = run.gallery.search(make_picture(333, (20, 16)), k=1)
        assert first.path == run.photos / "3.png"
        assert len(run.names) == 10

    def test_duplicates_are_all_kept_and_encoded_once(self, run: Run) -> None:
        for name in ("a.png", "b.png", "deep/er/c.png"):
            run.add(name, 77)
        for name in ("d.png", "e.png"):
            run.add(name, 3)
        assert counts(run.index(batch_size=2)) == (5, 10, 0, 0)
        assert run.encoder.encoded == 1
        assert len(run.names) == 15
        assert {hit.path.name for hit in run.gallery.search(run.photos / "3.png", k=2)} == {"d.png", "e.png"}

    def test_one_copy_of_two_that_vanished_is_one_renamed_file(self, run: Run) -> None:
        run.add("a.png", 3)
        run.index()
        (run.photos / "a.png").unlink()
        (run.photos / "3.png").rename(run.photos / "z.png")
        assert counts(run.index()) == (0, 9, 1, 1)

    def test_a_removed_picture_comes_back(self, run: Run) -> None:
        run.gallery.remove(run.photos / "3.png")
        assert counts(run.index()) == (1, 9, 0, 0)

    def test_roots_given_twice_or_within_each_other_count_once(self, run: Run) -> None:
        run.add("below/x.png", 50)
        report = run.index(run.photos, run.photos / "below", run.photos, run.photos / "." / "below" / "..")
        assert counts(report) == (1, 10, 0, 0)
        assert len(run.names) == len(set(run.names)) == 11

    def test_a_single_file_can_be_indexed_and_touches_nothing_else(self, run: Run) -> None:
        run.add("new.png", 50)
        run.add("also-new.png", 51)
        assert counts(run.index(run.photos / "new.png")) == (1, 0, 0, 0)
        assert len(run.names) == 11

    def test_a_folder_with_a_longer_name_is_another_folder(self, run: Run) -> None:
        shutil.copytree(run.photos, run.place / "photos2")
        assert counts(run.index(run.place / "photos2")) == (10, 0, 0, 0)
        shutil.rmtree(run.photos)
        run.photos.mkdir()
        assert counts(run.index()) == (0, 0, 0, 10)
        assert len(run.names) == 10


class TestSkipping:
    def test_a_bad_file_is_skipped_and_only_tried_again_when_it_changes(self, run: Run) -> None:
        bad = run.photos / "bad.png"
        bad.write_bytes(b"no picture")
        first = run.index()
        assert [path for path, _ in first.skipped] == [bad]
        generation = run.gallery.store.generation
        second = run.index()
        assert second.skipped == first.skipped == run.gallery.skipped()
        assert run.gallery.store.generation == generation
        run.add("bad.png", 40)
        assert counts(run.index()) == (1, 10, 0, 0)
        assert run.gallery.skipped() == []

    def test_a_picture_that_became_bad_leaves(self, run: Run) -> None:
        (run.photos / "3.png").write_bytes(b"no picture")
        report = run.index()
        assert len(report.skipped) == 1
        assert len(run.names) == 9

    def test_a_skipped_file_that_vanishes_is_forgotten(self, run: Run) -> None:
        (run.photos / "bad.png").write_bytes(b"no picture")
        run.index()
        (run.photos / "bad.png").unlink()
        assert counts(run.index()) == (0, 10, 0, 0)
        assert run.gallery.skipped() == []


class TestDrives:
    def test_a_root_that_is_not_there_is_reported_and_keeps_its_pictures(self, run: Run) -> None:
        run.photos.rename(run.place / "unplugged")
        report = run.index()
        assert report.missing == [run.photos]
        assert counts(report) == (0, 0, 0, 0)
        assert len(run.names) == 10
        (run.place / "unplugged").rename(run.photos)
        assert counts(run.index()) == (0, 10, 0, 0)

    def test_a_root_that_goes_away_in_mid_run_keeps_its_pictures(self, run: Run) -> None:
        """Unplugged while a callback is told of the progress; whatever was decoded by then is fine."""
        for seed in range(20, 60):
            run.add(f"{seed}.png", seed)

        def unplug(done: int, _total: int) -> None:
            if done >= 12 and run.photos.exists():
                run.photos.rename(run.place / "unplugged")

        options = IndexOptions(workers=1, batch_size=2)
        report = run.gallery.index(run.photos, options=options, on_progress=unplug)
        assert report.missing == [run.photos]
        assert report.removed == 0
        assert {f"photos/{seed}.png" for seed in range(10)} <= set(run.names)

    def test_a_root_that_never_was_is_a_mistake(self, run: Run) -> None:
        with pytest.raises(UsageError, match="nowhere"):
            run.index(run.place / "nowhere")


@contextlib.contextmanager
def bound_by_permissions(run: Run) -> Iterator[None]:
    """Root, whom permissions do not bind, is somebody else inside."""
    if os.getuid() != 0:
        yield
        return
    for path in (run.place, *run.place.rglob("*")):
        os.chown(path, 65534, 65534)
    for above in run.place.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestPermissions:
    def test_a_folder_that_cannot_be_opened_keeps_its_pictures(self, run: Run) -> None:
        run.add("private/x.png", 50)
        run.index()
        (run.photos / "private").chmod(0)
        with bound_by_permissions(run):
            report = run.index()
        (run.photos / "private").chmod(0o755)
        assert [reason for _, reason in report.skipped] == ["permission denied"]
        assert counts(report) == (0, 10, 0, 0)
        assert len(run.names) == 11
        assert counts(run.index()) == (0, 11, 0, 0)


PROGRAM = """
import sys
from pathlib import Path
from lookalike import Gallery, IndexOptions, Limits

if __name__ == "__main__":
    with Gallery.open(sys.argv[1], encoder="histogram", create=True) as gallery:
        print("open", flush=True)
        gallery.index(sys.argv[2], options=IndexOptions(workers=1, batch_size=8),
                      on_progress=lambda done, total: print(done, flush=True))
"""


def started(gallery: Path, photos: Path) -> subprocess.Popen[str]:
    program = gallery.with_name("program.py")
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, program, gallery, photos],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def content(place: Path) -> dict[bytes, tuple[bytes | None, bytes]]:
    """Digest and embedding of every picture by its key."""
    with Gallery.open(place) as gallery:
        assert gallery.verify() == []
        rows = {
            int(id_): row.tobytes()
            for ids, some in gallery.store.embeddings()
            for id_, row in zip(ids, some, strict=True)
        }
        return {item.path: (item.digest, rows[item.id]) for item in gallery.pictures()}


class TestInterrupted:
    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        for seed in range(240):
            make_picture(seed % 220, (20, 16)).save(folder / f"{seed:03}.png")
        return folder

    def test_killed_a_dozen_times_it_ends_as_if_never_killed(self, photos: Path, tmp_path: Path) -> None:
        rng, place, kept = random.Random(7), tmp_path / "gallery", 0
        for attempt in range(12):
            with started(place, photos) as process:
                assert process.stdout is not None
                process.stdout.readline()
                if attempt == 11 and not kept:  # on a busy machine it was killed too early each time
                    kept = int(process.stdout.readline())
                workers = psutil.Process(process.pid).children(recursive=True)
                time.sleep(rng.uniform(0.1, 0.5))
                workers += psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGKILL)
                said = [int(line) for line in process.stdout.read().split()]
            with Gallery.open(place) as gallery:
                assert len(gallery) >= max([kept, *said])
                kept = len(gallery)
            assert psutil.wait_procs(workers, timeout=10)[1] == []
        assert kept > 0
        with Gallery.open(place) as gallery:
            gallery.index(photos, options=IndexOptions(workers=1))
        with Gallery.open(tmp_path / "undisturbed", encoder="histogram", create=True) as gallery:
            gallery.index(photos, options=IndexOptions(workers=1))
        assert content(place) == content(tmp_path / "undisturbed")
        assert len(content(place)) == 240

    def test_ctrl_c_keeps_what_was_finished_and_leaves_a_clean_gallery(self, photos: Path, tmp_path: Path) -> None:
        place = tmp_path / "gallery"
        with started(place, photos) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            while int(process.stdout.readline()) < 50:
                pass
            workers = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            said, complaint = process.communicate(timeout=30)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in complaint
        assert psutil.wait_procs(workers, timeout=10)[1] == []
        assert not (place / "writer.pid").exists()
        assert not (place / "gallery.db-wal").exists()
        with Gallery.open(place) as gallery:
            assert gallery.verify() == []
            assert max([50, *map(int, said.split())]) <= len(gallery) < 240
            report = gallery.index(photos, options=IndexOptions(workers=1))
            assert report.added + report.unchanged == len(gallery) == 240
            assert report.unchanged >= 50


class TestRoots:
    def test_folders_are_remembered_and_brought_up_to_date_together(self, run: Run) -> None:
        make_picture(50, (20, 16)).save(run.add("x.png", 50).parent.parent / "other.png")
        (run.place / "second").mkdir()
        (run.place / "second" / "y.png").write_bytes((run.photos / "x.png").read_bytes())
        run.index(run.place / "second")
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.place / n) for n in ("photos", "second")]
        (run.photos / "3.png").rename(run.place / "second" / "3.png")
        report = run.gallery.index(options=IndexOptions(workers=1))
        assert counts(report) == (1, 10, 1, 0)  # x.png is new, 3.png has moved from one to the other
        assert run.encoder.encoded == 1

    def test_each_is_walked_by_its_own_rules(self, run: Run) -> None:
        options = IndexOptions(workers=1, rules=Rules(exclude=("[0-4].png",)))
        assert run.gallery.index(run.photos, options=options).removed == 5
        generation = run.gallery.store.generation
        assert counts(run.gallery.index(options=IndexOptions(workers=1))) == (0, 5, 0, 0)
        assert run.gallery.store.generation == generation
        assert run.gallery.roots[0].rules.exclude == ("[0-4].png",)
        assert counts(run.index()) == (5, 5, 0, 0)  # named again: by the rules of now
        assert run.gallery.roots[0].rules == Rules()

    def test_a_folder_within_a_known_one_is_no_root_and_one_around_it_replaces_it(self, run: Run) -> None:
        run.add("below/x.png", 50)
        run.index(run.photos / "below")
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.photos)]
        run.index(run.place)
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.place)]

    def test_one_that_is_not_there_is_reported_and_keeps_its_pictures(self, run: Run) -> None:
        (run.place / "second").mkdir()
        run.index(run.place / "second")
        run.photos.rename(run.place / "unplugged")
        report = run.gallery.index()
        assert report.missing == [run.photos]
        assert len(run.names) == 10
        assert len(run.gallery.roots) == 2

    def test_one_that_is_removed_is_no_longer_looked_after(self, run: Run) -> None:
        assert run.gallery.remove(run.photos) == 10
        with pytest.raises(UsageError, match="has no folder") as nothing:
            run.gallery.index()
        assert "lookalike index FOLDER" in nothing.value.hint

    def test_one_whose_pictures_are_gone_can_still_be_removed(self, run: Run) -> None:
        for path in run.photos.iterdir():
            path.unlink()
        run.index()
        assert run.gallery.remove(run.photos) == 0
        assert run.gallery.roots == []

    def test_a_folder_that_never_was_is_not_remembered(self, run: Run) -> None:
        run.index(run.photos, run.place / "nowhere")
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.photos)]


class TestDryRuns:
    def test_it_says_what_a_run_does_and_does_none_of_it(self, run: Run) -> None:
        (run.photos / "1.png").rename(run.photos / "one.png")
        (run.photos / "2.png").unlink()
        run.add("3.png", 33)
        os.utime(run.photos / "4.png", ns=(1, 1))
        run.add("new.png", 50)
        run.add("copy.png", 50)
        (run.photos / "bad.png").write_bytes(b"no picture")
        before = run.gallery.store.generation, run.names, run.gallery.roots
        told = run.gallery.index(run.photos, options=IndexOptions(workers=1, batch_size=2, dry_run=True))
        assert (run.gallery.store.generation, run.names, run.gallery.roots) == before
        assert run.encoder.encoded == 0
        done = run.index(batch_size=2)
        assert counts(told) == counts(done) == (2, 7, 1, 1)
        assert told.changed == done.changed == 1
        assert told.skipped == done.skipped != []

    def test_it_waits_for_no_writer(self, run: Run) -> None:
        with run.gallery.store.writing():
            report = run.gallery.index(run.photos, options=IndexOptions(workers=1, dry_run=True))
        assert counts(report) == (0, 10, 0, 0)


class TestRetrying:
    def test_skipped_files_are_read_again_and_nothing_else_is(self, run: Run) -> None:
        """As after an upgrade that reads more: here the file has become good without looking changed."""
        good = run.add("bad.png", 70).read_bytes()
        (run.photos / "below").mkdir()
        for name in ("bad.png", "below/bad.png", "below/worse.png"):
            (run.photos / name).write_bytes(bytes(len(good)))
        run.index()
        times = {name: (run.photos / name).stat().st_mtime_ns for name in ("bad.png", "below/bad.png")}
        for name, time_ns in times.items():
            (run.photos / name).write_bytes(good)
            os.utime(run.photos / name, ns=(time_ns, time_ns))
        (run.photos / "3.png").unlink()
        assert counts(run.index(run.photos / "below")) == (0, 0, 0, 0)
        report = run.gallery.retry(run.photos / "below", options=IndexOptions(workers=1))
        assert counts(report) == (1, 0, 0, 0)
        assert [os.path.basename(path) for path, _ in report.skipped] == ["worse.png"]
        assert counts(run.gallery.retry(options=IndexOptions(workers=1))) == (1, 0, 0, 0)
        assert [os.path.basename(path) for path, _ in run.gallery.skipped()] == ["worse.png"]
        assert "photos/3.png" in run.names
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.photos)]

    def test_another_limit_counts_for_them(self, run: Run) -> None:
        run.add("large.png", 60)
        make_picture(60, (1500, 1000)).save(run.photos / "large.png")
        tight = IndexOptions(workers=1, limits=Limits(megapixels=1))
        assert len(run.gallery.index(run.photos, options=tight).skipped) == 1
        assert counts(run.gallery.retry(options=IndexOptions(workers=1))) == (1, 0, 0, 0)
        assert counts(run.gallery.index(run.photos, options=tight)) == (0, 11, 0, 0)

    def test_there_must_be_one(self, run: Run) -> None:
        with pytest.raises(UsageError, match="skipped"):
            run.gallery.retry(run.photos)


class TestRefreshing:
    def test_every_file_is_read_again_and_none_is_encoded(self, run: Run) -> None:
        (run.photos / "bad.png").write_bytes(b"no picture")
        run.index()
        with run.gallery.store.writing():  # as an older version left them, which did not keep a picture's size
            run.gallery.store.put([record._replace(width=None, format=None) for record in run.gallery.pictures()], {})
        assert counts(run.index()) == (0, 10, 0, 0)
        assert {record.width for record in run.gallery.pictures()} == {None}
        report = run.gallery.index(options=IndexOptions(workers=1, refresh=True))
        assert (counts(report), len(report.skipped)) == ((0, 10, 0, 0), 1)
        assert {(record.width, record.format) for record in run.gallery.pictures()} == {(20, "PNG")}
        assert run.encoder.encoded == 0

    def test_when_and_with_what_a_picture_was_taken_is_kept(self, run: Run) -> None:
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Maker", "Model 1"
        exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
        make_picture(70, (20, 16)).save(run.photos / "taken.jpg", exif=exif)
        run.index()
        key = os.fsencode(run.photos / "taken.jpg")
        taken = run.gallery.store.find([key])[key]
        assert (taken.taken_at, taken.camera) == (datetime(2024, 5, 6, 7, 8, 9), "Maker Model 1")  # noqa: DTZ001
        with run.gallery.store.writing():  # as an older version left it
            run.gallery.store.put([taken._replace(taken_at=None, camera=None)], {})
        run.gallery.index(options=IndexOptions(workers=1, refresh=True))
        assert run.gallery.store.find([key])[key] == taken
        assert run.encoder.encoded == 1

    def test_a_file_that_changed_without_looking_so_is_noticed(self, run: Run) -> None:
        path = edit_unnoticeably(run)
        assert counts(run.index()) == (0, 11, 0, 0)
        report = run.gallery.index(options=IndexOptions(workers=1, refresh=True, dry_run=True))
        assert (report.changed, *counts(report)) == (1, 0, 10, 0, 0)
        run.encoder.encoded = 0
        report = run.gallery.index(options=IndexOptions(workers=1, refresh=True))
        assert (report.changed, *counts(report)) == (1, 0, 10, 0, 0)
        assert run.encoder.encoded == 1
        first, *_ = run.gallery.search(make_picture(71, (20, 16)), k=1)
        assert first.path == path


class TestReadingAgain:
    """What looks unchanged is read again when that is asked for, or when its cause may have gone."""

    def test_force_reads_again_what_is_named_and_nothing_else(self, run: Run) -> None:
        path = edit_unnoticeably(run)
        report = run.gallery.index(path, options=IndexOptions(workers=1, force=True))
        assert (report.changed, *counts(report)) == (1, 0, 0, 0, 0)
        first, *_ = run.gallery.search(make_picture(71, (20, 16)), k=1)
        assert first.path == path
        report = run.gallery.index(run.photos, options=IndexOptions(workers=1, force=True))
        assert (report.changed, *counts(report)) == (0, 0, 11, 0, 0)

    def test_force_encodes_again_what_is_decoded_differently_now(self, run: Run) -> None:
        run.index()
        store = run.gallery.store
        record = next(run.gallery.pictures())
        ((_, before),) = store.embeddings([record.id])
        with store.writing():  # as a version that decoded this picture differently left it
            store.put([record], {record.digest or b"": before[0, ::-1].copy()})
        wrong = run.gallery.search(Path(os.fsdecode(record.path)), include_self=True)
        run.encoder.encoded = 0
        assert counts(run.gallery.index(options=IndexOptions(workers=1, refresh=True))) == (0, 10, 0, 0)
        assert run.encoder.encoded == 0
        dry = run.gallery.index(options=IndexOptions(workers=1, force=True, dry_run=True))
        assert (counts(dry), run.encoder.encoded) == ((0, 10, 0, 0), 0)
        assert counts(run.gallery.index(options=IndexOptions(workers=1, force=True))) == (0, 10, 0, 0)
        assert run.encoder.encoded == 10
        ((_, after),) = store.embeddings([record.id])
        assert (after == before).all()
        mended = run.gallery.search(Path(os.fsdecode(record.path)), include_self=True)
        assert [hit.distance for hit in mended] != [hit.distance for hit in wrong]

    def test_a_picture_that_is_retried_by_name_is_read_again(self, run: Run) -> None:
        path = edit_unnoticeably(run)
        assert run.gallery.retry(path, options=IndexOptions(workers=1)).changed == 1
        with pytest.raises(UsageError, match="has not changed"):
            run.gallery.retry(path, options=IndexOptions(workers=1))
        with pytest.raises(UsageError, match="no skipped file") as nothing:
            run.gallery.retry(run.photos)
        assert f"lookalike index --force {run.photos}" in nothing.value.hint

    def skip(self, run: Run, reason: str) -> Path:
        """A sound picture that was skipped before, for this reason."""
        path = run.add("late.png", 80)
        status = path.stat()
        record = Record(os.fsencode(path), status.st_size, status.st_mtime_ns, skipped_because=reason)
        with run.gallery.store.writing():
            run.gallery.store.put([record._replace(max_megapixels=100.0)], {})
        return path

    @pytest.mark.parametrize(
        "reason",
        ["took longer than 10 s", "unsupported format (PNG: install the extra `png`)", "unsupported format (TIFF)"],
    )
    def test_a_file_is_tried_again_once_its_decoder_is_there_or_its_time_was_up(self, run: Run, reason: str) -> None:
        self.skip(run, reason)
        report = run.index()
        assert (counts(report), report.skipped) == ((1, 10, 0, 0), [])

    @pytest.mark.parametrize("reason", ["unsupported format (PDF)", "not an image", "unsupported mode LAB"])
    def test_a_file_that_would_be_skipped_again_is_not_opened(self, run: Run, reason: str) -> None:
        path = self.skip(run, reason)
        assert run.index().skipped == [(path, reason)]

    def test_one_whose_time_was_up_is_tried_in_the_next_run(self, run: Run) -> None:
        path = run.photos / "slow.png"
        Image.new("RGB", (9000, 9000), "teal").save(path, compress_level=1)
        hasty = IndexOptions(workers=1, limits=Limits(seconds=0.001))
        report = run.gallery.index(path, options=hasty)
        assert report.skipped == [(path, "took longer than 0.001 s")]
        assert run.gallery.index(path, options=IndexOptions(workers=1)).added == 1

    @pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
    def test_a_limit_that_no_clock_can_keep_is_an_error(self, run: Run, seconds: float) -> None:
        with pytest.raises(UsageError, match="seconds"):
            run.gallery.index(run.photos, options=IndexOptions(workers=1, force=True, limits=Limits(seconds=seconds)))


class TestSingleFiles:
    """Files that were named one by one."""

    @pytest.fixture
    def alone(self, run: Run) -> Run:
        """A gallery that knows three files of a folder."""
        run.gallery.remove(run.photos)
        run.index(*(run.photos / f"{seed}.png" for seed in range(3)))
        assert len(run.gallery.roots) == 3
        return run

    def test_one_that_vanishes_is_forgotten(self, alone: Run) -> None:
        (alone.photos / "1.png").unlink()
        dry = alone.gallery.index(options=IndexOptions(workers=1, dry_run=True))
        report = alone.gallery.index(options=IndexOptions(workers=1))
        assert counts(dry) == counts(report) == (0, 2, 0, 1)
        assert report.missing == []
        assert alone.names == ["photos/0.png", "photos/2.png"]
        assert len(alone.gallery.roots) == 2

    def test_one_that_is_renamed_is_forgotten_unless_it_is_named(self, alone: Run) -> None:
        (alone.photos / "1.png").rename(alone.photos / "one.png")
        report = alone.index(alone.photos / "1.png", alone.photos / "one.png")
        assert (report.renamed, report.missing) == (1, [])
        assert alone.names == ["photos/0.png", "photos/2.png", "photos/one.png"]

    def test_one_that_is_named_again_after_it_vanished_is_forgotten(self, alone: Run) -> None:
        (alone.photos / "1.png").unlink()
        assert alone.index(alone.photos / "1.png").removed == 1
        assert len(alone.gallery.roots) == 2

    def test_those_of_a_folder_that_is_gone_are_kept(self, alone: Run) -> None:
        alone.photos.rename(alone.place / "unplugged")
        report = alone.gallery.index(options=IndexOptions(workers=1))
        assert (len(report.missing), report.removed, len(alone.names)) == (3, 0, 3)

    def test_the_last_one_can_go_too(self, alone: Run) -> None:
        shutil.rmtree(alone.photos)
        alone.photos.mkdir()
        assert alone.gallery.index(options=IndexOptions(workers=1)).removed == 3
        assert (alone.names, alone.gallery.roots) == ([], [])


class TestPassedOver:
    def test_files_of_other_kinds_and_excluded_pictures_are_counted(self, run: Run) -> None:
        for name in (
            "a.PSD",
            "b.PSD",
            "c.MOV",
            "d.mov",
            "e.MOV",
            "notes",
            "#recycle/x.jpg",
            "cache/0.jpg",
            "cache/1.txt",
        ):
            (run.photos / name).parent.mkdir(exist_ok=True)
            (run.photos / name).write_bytes(b"x")
        options = IndexOptions(workers=1, rules=Rules(exclude=("cache", "[01].png", "nope", "./cache/")))
        dry = run.gallery.index(run.photos, options=replace(options, dry_run=True))
        done = run.gallery.index(run.photos, options=options)
        for report in (dry, done):
            assert report.passed_over == {".MOV": 3, ".PSD": 2, "": 1}
            assert report.folders_passed_over == {"#recycle": 1}
            assert (report.excluded, report.without_effect) == (3, ["nope"])
        document = done.to_dict()
        assert document["passed_over"] == {".MOV": 3, ".PSD": 2, "": 1}
        assert (document["excluded"], document["without_effect"], document["changed"]) == (3, ["nope"], 0)
        later = run.gallery.index(options=IndexOptions(workers=1))
        assert (later.excluded, later.without_effect) == (3, [])

    def test_a_folder_with_rules_of_its_own_is_counted_once(self, run: Run) -> None:
        for name in ("in/a.PSD", "b.PSD"):
            (run.photos / name).parent.mkdir(exist_ok=True)
            (run.photos / name).write_bytes(b"x")
        run.gallery.index(run.photos / "in", options=IndexOptions(workers=1, rules=Rules(exclude=("*.gif",))))
        assert run.gallery.index(options=IndexOptions(workers=1)).passed_over == {".PSD": 2}

    def test_a_pattern_that_has_an_effect_in_one_of_two_folders_has_one(self, run: Run) -> None:
        (run.place / "second").mkdir()
        options = IndexOptions(workers=1, rules=Rules(exclude=("3.png",)))
        assert run.gallery.index(run.photos, run.place / "second", options=options).without_effect == []


class TestRelocating:
    def test_pictures_of_a_folder_that_was_moved_keep_everything(self, run: Run) -> None:
        (run.photos / "bad.png").write_bytes(b"no picture")
        run.add("below/x.png", 50)
        run.index()
        before = {os.path.basename(item.path): (item.id, item.digest) for item in run.gallery.pictures()}
        run.encoder.encoded = 0
        run.photos.rename(run.place / "moved")
        assert run.gallery.relocate(run.photos, run.place / "moved", dry_run=True) == 12
        assert "photos/3.png" in run.names
        assert run.gallery.relocate(run.photos, run.place / "moved") == 12
        assert "moved/below/x.png" in run.names
        assert {os.path.basename(item.path): (item.id, item.digest) for item in run.gallery.pictures()} == before
        assert [root.path for root in run.gallery.roots] == [os.fsencode(run.place / "moved")]
        assert counts(run.gallery.index(options=IndexOptions(workers=1))) == (0, 11, 0, 0)
        first, *_ = run.gallery.search(run.place / "moved" / "3.png", k=1, include_self=True)
        assert (first.path, first.distance) == (run.place / "moved" / "3.png", 0)
        assert run.encoder.encoded <= 1  # the query

    def test_it_goes_deeper_into_itself_and_back(self, run: Run) -> None:
        inside = run.photos / "photos"
        assert run.gallery.relocate(run.photos, inside) == 10
        assert run.names[0] == "photos/photos/0.png"
        assert run.gallery.relocate(inside, run.photos) == 10
        assert run.names[0] == "photos/0.png"

    def test_a_folder_with_a_longer_name_stays(self, run: Run) -> None:
        shutil.copytree(run.photos, run.place / "photos2")
        run.index(run.place / "photos2")
        run.gallery.relocate(run.photos, run.place / "moved")
        assert {Path(name).parent.name for name in run.names} == {"moved", "photos2"}

    def test_it_is_refused_where_a_picture_is_known_already(self, run: Run) -> None:
        (run.place / "moved").mkdir()
        shutil.copy(run.photos / "3.png", run.place / "moved" / "3.png")
        run.index(run.place / "moved")
        for dry_run in (True, False):
            with pytest.raises(UsageError, match=r"moved/3\.png") as taken:
                run.gallery.relocate(run.photos, run.place / "moved", dry_run=dry_run)
            assert "lookalike remove" in taken.value.hint
        assert len(run.names) == 11

    def test_there_must_be_pictures(self, run: Run) -> None:
        with pytest.raises(UsageError, match="nowhere"):
            run.gallery.relocate(run.place / "nowhere", run.photos)
