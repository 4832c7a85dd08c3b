"""Pictures in an object store: indexed, found, shown and looked after like those of a folder."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions, Rules
from lookalike.errors import Unreachable, UnreadableImage, UsageError
from lookalike.images import object_store
from lookalike.images.origins import exists, local_file
from tests.buckets import BUCKET, SECRET, needs_s3, serve
from tests.conftest import make_picture
from tests.indexing.test_encode import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Report
    from tests.buckets import Bucket

pytestmark = needs_s3
ROOT = f"s3://{BUCKET}/all"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(object_store, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(object_store, "_RETRIED_FOR", 2.0)
    object_store._open.cache_clear()
    with serve(monkeypatch) as bucket:
        yield bucket


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        yield gallery


def fill(bucket: Bucket, count: int = 12) -> None:
    for seed in range(count):
        bucket.put(f"all/{'ab'[seed % 2]}/{seed:03}.png", encoded(seed))


def encoded(seed: int) -> bytes:
    memory = io.BytesIO()
    make_picture(seed).save(memory, "PNG")
    return memory.getvalue()


def index(gallery: Gallery, *paths: str, **options: object) -> Report:
    return gallery.index(*paths, options=IndexOptions(workers=1, batch_size=4, **options))  # type: ignore[arg-type]


def counts(report: Report) -> tuple[int, ...]:
    return report.added, report.changed, report.unchanged, report.renamed, report.removed, len(report.skipped)


def kept(gallery: Gallery, old: str, new: str) -> dict[bytes, tuple[object, ...]]:
    """What a gallery keeps, without times, with the beginning of every path replaced."""
    found = content(gallery.store)
    return {
        path.replace(old.encode(), new.encode()): (record._replace(path=b"", mtime_ns=0), row)  # type: ignore[attr-defined]
        for path, (record, row) in found.items()
    }


def test_a_bucket_gives_the_same_gallery_as_a_folder_of_the_same_files(
    bucket: Bucket, empty: Gallery, tmp_path: Path
) -> None:
    fill(bucket)
    bucket.put("all/bad.png", b"no picture")
    bucket.put("all/notes.txt", b"text")
    bucket.put("all/.hidden/1.png", encoded(50))
    bucket.put("all/node_modules/1.png", encoded(51))
    bucket.put("all/content-0af3", encoded(52))
    bucket.put("all/no-picture", b"sixteen bytes of text and more")
    folder = tmp_path / "all"
    for key in (each["Key"] for each in bucket.client.list_objects_v2(Bucket=BUCKET)["Contents"]):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    with Gallery.open(tmp_path / "other", encoder="histogram", create=True) as local:
        expected, report = index(local, os.fspath(folder)), index(empty, ROOT)
        assert counts(report) == counts(expected) == (13, 0, 0, 0, 0, 1)
        assert (report.passed_over, report.folders_passed_over) == (
            expected.passed_over,
            expected.folders_passed_over,
        )
        assert kept(empty, ROOT, "") == kept(local, os.fspath(folder), "")
    assert report.to_dict()["skipped"] == [
        {"path": f"{ROOT}/bad.png", "display": f"{ROOT}/bad.png", "reason": "not an image"}
    ]


def test_what_is_unchanged_is_not_fetched_again(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket)
    index(empty, ROOT)
    bucket.gate.requests.clear()
    assert counts(index(empty)) == (0, 0, 12, 0, 0, 0)
    assert not [request for request in bucket.gate.requests if ".png" in request]


def test_a_change_within_the_same_second_and_of_the_same_size_is_seen_by_its_etag(
    bucket: Bucket, empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: Any = importlib.import_module("moto.s3.models")
    size = max(len(encoded(seed)) for seed in (1, 2))
    when = models.utcnow()
    monkeypatch.setattr(models, "utcnow", lambda: when)
    bucket.put("all/1.png", encoded(1).ljust(size, b"\0"))
    index(empty, ROOT)
    before = next(iter(empty.pictures()))
    bucket.put("all/1.png", encoded(2).ljust(size, b"\0"))
    assert counts(index(empty)) == (0, 1, 0, 0, 0, 0)
    after = next(iter(empty.pictures()))
    assert before.size == after.size
    assert before.mtime_ns is not None
    assert after.mtime_ns is not None
    assert before.mtime_ns // 10**9 == after.mtime_ns // 10**9
    assert before.digest != after.digest


def test_renamed_and_deleted_objects_are_found(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket)
    index(empty, ROOT)
    bucket.put("all/c/new name.png", encoded(3))
    bucket.delete("all/b/003.png")
    bucket.delete("all/a/004.png")
    assert counts(index(empty)) == (0, 0, 10, 1, 1, 0)


def test_keys_that_cannot_be_paths_are_skipped_and_lose_no_other(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket)
    odd = ("all/a/00\x01.png", "all/a//0.png", "all/./1.png", "all/b/\x7f.png")
    for key in odd:
        bucket.put(key, encoded(90))
    bucket.put("all/z/ä ü%20+&é.png", encoded(91))
    report = index(empty, ROOT)
    assert counts(report) == (13, 0, 0, 0, 0, 4)
    assert {reason for _, reason in report.skipped} == {object_store.UNTAKEN}
    assert any("\\x01" in each["display"] for each in report.to_dict()["skipped"])
    assert counts(index(empty)) == (0, 0, 13, 0, 0, 4)


ODD_KEYS = (
    *("/lead.png", "//two.png", "a/../up.png", "a/./here.png", "e//f.png", "trail.png/", "plain.png/", "tab\t.png"),
    *("/plain.png", "x/\x7f.png"),
)
GOOD_KEYS = (
    *("plain.png", "a.png", "sp ace.png", "n\\b.png", "p%2Fq.png", "e\u0301.png", "~t#?&+.png", "\x85.png"),
    *("x/" + "y" * 1000 + ".png", "plain.png-2.png", "deep/" * 60 + "1.png", "photos.png/inside.png"),
)


def test_every_key_of_a_bucket_is_either_indexed_and_served_or_skipped_with_its_reason(
    bucket: Bucket, empty: Gallery, tmp_path: Path
) -> None:
    for seed, key in enumerate((*GOOD_KEYS, *ODD_KEYS)):
        bucket.put(key, encoded(seed))
    for marker in ("photos.png/", "empty/"):
        bucket.put(marker, b"")
    for address in (f"s3://{BUCKET}", f"s3://{BUCKET}/"):
        report = index(empty, address)
        found = {picture.path.removeprefix(b"s3://%s/" % BUCKET.encode()).decode() for picture in empty.pictures()}
        assert found == set(GOOD_KEYS)
        skipped = {os.fsencode(path).partition(b"pictures")[2].decode() for path, _ in empty.skipped()}
        assert {reason for _, reason in report.skipped} == {object_store.UNTAKEN}
        assert {key.strip("/").replace("//", "/") for key in skipped} >= {"lead.png", "two.png", "trail.png"}
        assert len(report.skipped) == len(ODD_KEYS)
    assert counts(index(empty)) == (0, 0, len(GOOD_KEYS), 0, 0, len(ODD_KEYS))
    for seed, key in enumerate(GOOD_KEYS):
        with local_file(f"s3://{BUCKET}/{key}".encode()) as file:
            assert Path(os.fsdecode(file)).read_bytes() == encoded(seed), key
    copied = empty.search(make_picture(0), len(GOOD_KEYS)).copy_to(tmp_path / "copies")
    assert len(copied.failed) + len(copied.added) == len(GOOD_KEYS)


def test_a_slash_at_the_end_of_a_key_is_seen_where_no_request_can_be_signed_here(
    bucket: Bucket, empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.images.s3_listing.has_leading_slashes", lambda _: False)
    for seed, key in enumerate(("lead.png", "trail.png/", "plain.png", "plain.png/", "photos.png/")):
        bucket.put(key, encoded(seed) if key != "photos.png/" else b"")
    report = index(empty, f"s3://{BUCKET}")
    assert counts(report) == (2, 0, 0, 0, 0, 2)
    assert {reason for _, reason in report.skipped} == {object_store.UNTAKEN}
    assert counts(index(empty)) == (0, 0, 2, 0, 0, 2)


def test_an_address_that_cannot_be_a_path_is_never_taken_for_another(bucket: Bucket, empty: Gallery) -> None:
    bucket.put("lead.png", encoded(1))
    bucket.put("/lead.png", encoded(2))
    for address in (f"s3://{BUCKET}//lead.png", f"s3://{BUCKET}/./lead.png", f"s3://{BUCKET}/a/../lead.png"):
        with pytest.raises(UnreadableImage, match="its key cannot be a path"):
            empty.search(address)
        assert [reason for _, reason in index(empty, address).skipped] == [object_store.UNTAKEN]
    assert len(empty) == 0


def test_ignore_files_of_a_bucket_leave_out_what_those_of_a_folder_do(
    bucket: Bucket, empty: Gallery, tmp_path: Path
) -> None:
    ignored = {
        "all/.lookalikeignore": "# comment\n*_thumb.png\nprivate/\n!keep_thumb.png\n",
        "all/b/.lookalikeignore": "00*\n!003.png\n-*.png\n",
        "all/private/.lookalikeignore": "!*\n",
        "all/c/.lookalikeignore": "/only.png\n",
    }
    names = ("a/1_thumb.png", "a/keep_thumb.png", "private/1.png", "b/003.png", "b/005.png", "b/-1.png", "b/-x/1.png")
    for seed, name in enumerate((*names, "c/only.png", "c/d/only.png", "c/+d/1_thumb.png", "c/+d/2.png")):
        bucket.put(f"all/{name}", encoded(seed))
    for key, text in ignored.items():
        bucket.put(key, text.encode())
    folder = tmp_path / "all"
    for key in (each["Key"] for each in bucket.client.list_objects_v2(Bucket=BUCKET)["Contents"]):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    with Gallery.open(tmp_path / "other", encoder="histogram", create=True) as local:
        for below in ("", "/b", "/private", "/c/+d"):
            expected, report = index(local, os.fspath(folder) + below), index(empty, ROOT + below)
            assert (counts(report), report.excluded) == (counts(expected), expected.excluded), below
            assert kept(empty, ROOT, "") == kept(local, os.fspath(folder), "")
    bucket.put("all/.lookalikeignore", b"a/\n")
    assert counts(index(empty, ROOT))[4] == 1


def test_an_ignore_file_of_a_bucket_that_cannot_be_read_lets_nothing_in_and_removes_nothing(
    bucket: Bucket, empty: Gallery
) -> None:
    fill(bucket)
    index(empty, ROOT)
    bucket.put("all/b/.lookalikeignore", b"#" * ((1 << 16) + 1))
    bucket.put("all/b/new.png", encoded(40))
    report = index(empty)
    assert [(os.fspath(path), reason) for path, reason in report.skipped] == [
        (f"s3:/{BUCKET}/all/b", "cannot be read: its .lookalikeignore is larger than 64 KiB")
    ]
    assert counts(report) == (0, 0, 6, 0, 0, 1)
    assert len(empty) == 12


def test_skipped_objects_are_read_again(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket, 3)
    bucket.put("all/a//0.png", encoded(9))
    bucket.put("all/bad.png", b"not yet a picture")
    index(empty, ROOT)
    bucket.put("all/bad.png", encoded(8))
    report = empty.retry(options=IndexOptions(workers=1))
    assert counts(report)[:2] in {(1, 0), (0, 1)}
    assert [reason for _, reason in report.skipped] == [object_store.UNTAKEN]
    assert len(empty) == 4


def test_patterns_and_roots_within_roots_hold_in_a_bucket(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket)
    report = index(empty, ROOT, rules=Rules(exclude=("b/", "*2.png", "!nothing")))
    assert report.excluded == 7
    assert report.without_effect == ["!nothing"]
    assert len(empty) == 5
    assert counts(index(empty, f"{ROOT}/b")) == (6, 0, 0, 0, 0, 0)
    assert counts(index(empty)) == (0, 0, 11, 0, 0, 0)


def test_one_object_can_be_indexed_and_is_forgotten_when_it_is_gone(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket, 2)
    assert counts(index(empty, f"{ROOT}/a/000.png")) == (1, 0, 0, 0, 0, 0)
    assert [picture.path for picture in empty.pictures()] == [f"{ROOT}/a/000.png".encode()]
    bucket.put("all/a/other.png", encoded(7))
    bucket.delete("all/a/000.png")
    assert counts(index(empty)) == (0, 0, 0, 0, 1, 0)


def test_an_emptied_prefix_is_missing_and_keeps_its_pictures(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket, 2)
    index(empty, ROOT)
    bucket.delete("all/a/000.png")
    bucket.delete("all/b/001.png")
    report = index(empty)
    assert [path.as_posix() for path in report.missing] == ["s3:/pictures/all"]
    assert report.to_dict()["missing"][0]["path"] == ROOT
    assert len(empty) == 2


def test_what_was_found_is_shown_compared_and_copied(bucket: Bucket, empty: Gallery, tmp_path: Path) -> None:
    fill(bucket)
    bucket.put("all/copy.png", encoded(3))
    bucket.put("all/other.jpg", _jpeg(3))
    index(empty, ROOT)
    query = f"{ROOT}/b/003.png"
    hits = empty.search(query, 3)
    for spelled in (query, query.encode(), Path(query)):
        hits = empty.search(spelled, 3)
        assert hits[0].to_dict()["path"] in {f"{ROOT}/copy.png", f"{ROOT}/other.jpg"}
        assert not hits[0].is_missing
    sheet = np.asarray(hits.montage())
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000
    assert hits._repr_html_().count("data:image/jpeg") == 4
    assert f'href="{ROOT}/' in hits.to_html()
    done = hits.copy_to(tmp_path / "copies")
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == sorted(hit.path.name for hit in hits)
    assert not done.failed
    assert hits.copy_to(tmp_path / "copies").present == 3
    linked = hits.copy_to(tmp_path / "links", link=True)
    assert [reason for _, reason in linked.failed] == ["an object cannot be linked to, only copied"] * 3
    outside = empty.search(make_picture(3), 1)
    assert outside[0].distance < 0.05


def _jpeg(seed: int) -> bytes:
    memory = io.BytesIO()
    make_picture(seed).save(memory, "JPEG", quality=95)
    return memory.getvalue()


def test_copies_in_a_bucket_are_proven_and_never_moved(bucket: Bucket, empty: Gallery, tmp_path: Path) -> None:
    fill(bucket, 4)
    bucket.put("all/copy.png", encoded(3))
    index(empty, ROOT)
    found = empty.duplicates()
    group = next(group for group in found.groups if group.kind == "identical")
    assert sorted(picture.display for picture in group.pictures) == [f"{ROOT}/b/003.png", f"{ROOT}/copy.png"]
    plan = empty.plan_moves(found)
    assert not plan.moves
    assert [left.reason for left in plan.left] == [
        "it, or the picture to keep, is in an object store, where nothing is moved"
    ]


def test_a_gallery_moves_from_a_folder_into_a_bucket_without_encoding(
    bucket: Bucket, empty: Gallery, tmp_path: Path
) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(encoded(seed))
    index(empty, os.fspath(folder))
    before = {record.digest: row for record, row in content(empty.store).values()}  # type: ignore[attr-defined]
    bucket.put_folder(folder, "all/")
    assert empty.relocate(folder, ROOT) == 6
    assert counts(index(empty)) == (0, 0, 6, 0, 0, 0)
    assert [root.path for root in empty.roots] == [ROOT.encode()]
    assert {record.digest: row for record, row in content(empty.store).values()} == before  # type: ignore[attr-defined]
    assert empty.verify() == []
    assert empty.remove(ROOT) == 6


def test_a_server_that_fails_now_and_then_costs_nothing_but_time(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket, 24)
    for status, failing in ((503, 3), (500, 4)):
        bucket.gate.failing, bucket.gate.status = failing, status
        report = index(empty, ROOT, refresh=True)
        assert counts(report)[5] == 0
        assert len(empty) == 24


def test_a_slow_server_is_read_side_by_side(bucket: Bucket, empty: Gallery) -> None:
    fill(bucket, 24)
    bucket.gate.delay = 0.5
    report = index(empty, ROOT)
    assert report.added == 24
    assert report.seconds < 24 * 0.5


def test_a_server_that_takes_too_long_is_given_up_with_a_reason(
    bucket: Bucket, empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 12)
    index(empty, f"{ROOT}/a")
    monkeypatch.setenv("AWS_TIMEOUT", "100ms")
    monkeypatch.setattr(object_store, "_RETRIES", 1)
    bucket.gate.delay = 0.5
    report = index(empty)
    assert [(str(path), reason) for path, reason in report.skipped] == [
        (f"s3:/{BUCKET}/all/a", "cannot be read: the server takes too long")
    ]
    assert len(empty) == 6


@pytest.mark.parametrize("after", [0, 9, 20])
def test_a_run_that_the_server_cuts_short_is_resumed_to_the_same_gallery(
    bucket: Bucket, empty: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fill(bucket, 30)
    with Gallery.open(tmp_path / "undisturbed", encoder="histogram", create=True) as undisturbed:
        index(undisturbed, ROOT)
        expected = content(undisturbed.store)
        assert len(undisturbed) == 30
    monkeypatch.setattr(object_store, "_RETRIES", 1)
    object_store._open.cache_clear()
    bucket.gate.requests.clear()
    bucket.gate.close_after = after
    with contextlib.suppress(Unreachable):  # not raised if fewer fail in a row than are needed to give up
        assert len(index(empty, ROOT).skipped) == 30 - len(empty)
    saved = len(empty)
    assert saved <= after
    bucket.gate.close_after, bucket.gate.closed = None, False
    bucket.gate.requests.clear()
    report = index(empty, ROOT)
    assert (report.unchanged, report.added) == (saved, 30 - saved)
    assert len([each for each in bucket.gate.requests if ".png" in each]) == 30 - saved
    assert content(empty.store) == expected


def test_a_server_that_has_stopped_is_given_up_soon(
    bucket: Bucket, empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 30)
    monkeypatch.setattr(object_store, "_RETRIES", 1)
    object_store._open.cache_clear()
    bucket.gate.close_after = 0
    with pytest.raises(Unreachable, match="s3://pictures cannot be reached: the server does not answer") as failed:
        index(empty, ROOT)
    assert failed.value.hint == "try again later"


def test_a_root_that_cannot_be_listed_keeps_its_pictures_and_the_others_are_indexed(
    bucket: Bucket, empty: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 3)
    index(empty, ROOT)
    monkeypatch.setattr(object_store, "_RETRIES", 1)
    object_store._open.cache_clear()
    bucket.gate.closed = True
    report = index(empty, os.fspath(photos))
    assert report.added == 12
    report = index(empty)
    assert counts(report) == (0, 0, 12, 0, 0, 1)
    assert report.skipped[0][1].startswith("cannot be read: the server does not answer")
    assert len(empty) == 15


def test_a_bucket_or_prefix_that_does_not_exist_is_the_users_mistake(bucket: Bucket, empty: Gallery) -> None:
    for wrong in ("s3://no-such-bucket", f"{ROOT}/nothing"):
        with pytest.raises(UsageError, match=f"no such file or folder: {wrong}"):
            index(empty, wrong)
    with pytest.raises(UsageError, match="names no bucket"):
        exists(b"s3://")
    with pytest.raises(UnreadableImage, match="no such file"):
        empty.search(f"{ROOT}/nothing.png")


def test_wrong_credentials_say_so_and_no_secret_is_logged(
    bucket: Bucket, empty: Gallery, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(bucket, 2)
    caplog.set_level(logging.DEBUG)
    index(empty, ROOT)
    bucket.gate.failing, bucket.gate.status = 1, 403
    with pytest.raises(Unreachable) as failed:
        exists(ROOT.encode())
    assert "AWS_ACCESS_KEY_ID" in failed.value.hint
    assert failed.value.__cause__ is None
    said = "".join((str(failed.value), failed.value.hint, caplog.text, *capfd.readouterr()))
    assert SECRET not in said
    assert "Signature" not in said


def test_an_object_that_is_too_large_is_not_fetched(
    bucket: Bucket, empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 2)
    monkeypatch.setattr(object_store, "_MOST_BYTES", 10)
    report = index(empty, ROOT)
    assert [reason for _, reason in report.skipped] == [object_store.TOO_LARGE] * 2


def test_the_commands_take_addresses(bucket: Bucket, tmp_path: Path) -> None:
    fill(bucket, 4)
    home = tmp_path / "team.gallery"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lookalike", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    nowhere = run("index", ROOT, "-e", "histogram")
    assert nowhere.returncode == 2
    assert "-i FOLDER" in nowhere.stderr
    done = run("index", ROOT + "/", "-e", "histogram", "-i", str(home))
    assert (done.returncode, "4 pictures" in done.stderr) == (0, True), done.stderr
    found = run("search", f"{ROOT}/a/000.png", "-i", str(home), "-k", "2")
    assert found.stdout.count(f"{ROOT}/") == 2, found.stderr
    other = run("index", ROOT, "--watch", "-e", "histogram", "-i", str(tmp_path / "other.gallery"))
    assert (other.returncode, "4 pictures" in other.stderr) == (2, False)
    watched = run("index", "--watch", "-i", str(home))
    assert watched.returncode == 2
    assert "nothing can be watched" in " ".join(watched.stderr.split())


def test_the_commands_of_the_page_work(bucket: Bucket, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "cluster.md"
    commands = re.findall(
        r"^lookalike (.* )-i (.*)$", page.read_text(encoding="utf-8").partition("## Encoding")[0], re.MULTILINE
    )
    assert len(commands) == 2
    for name in ("beach", "dunes", "town"):
        bucket.put(f"2024/{name}.jpg", _jpeg(len(name)))
    for first, rest in commands:
        words = [sys.executable, "-m", "lookalike", *shlex.split(f"{first} -i {rest}")]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "hits.png").stat().st_size > 10_000


def test_whoever_uses_folders_imports_nothing_of_object_stores(tmp_path: Path, photos: Path) -> None:
    code = (
        "import sys; from lookalike import Gallery\n"
        f"with Gallery.open({str(tmp_path / 'g')!r}, encoder='histogram', create=True) as g:\n"
        f"    g.index({str(photos)!r}); g.search({str(photos / '001.jpg')!r}).montage()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('obstore', 'ray', 'boto3')"
        " or name.endswith(('object_store', 's3_listing', 'indexing.ray'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
