"""Fetching from a real server on this machine, whole and broken off."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike.datasets import content_digest, load_labelled
from lookalike.errors import DatasetError
from lookalike.samples import cut_crops, fetch_zip, unpack_by_prefix
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server(http.server.ThreadingHTTPServer):
    """Serves one body with ranges; breaks off after `most` bytes of an answer; remembers what was asked."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = body
        self.most = len(body)
        self.knows_ranges = True
        self.starts: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/scenes.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.server.knows_ranges else 0
        self.server.starts.append(start)
        if start >= len(self.server.body):
            self.send_error(416)
            return
        rest = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.most])

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A flat archive of two classes, as the authors of 8 Scenes serve theirs."""
    file = tmp_path / "made.zip"
    with zipfile.ZipFile(file, "w") as opened:
        for number in range(6):
            picture = tmp_path / f"{'coast' if number % 2 else 'forest'}_{number}.jpg"
            make_picture(number).save(picture)
            opened.write(picture, picture.name)
            picture.unlink()
    return file


@pytest.fixture
def server(archive: Path) -> Iterator[Server]:
    with Server(archive.read_bytes()) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def digest_of(archive: Path, folder: Path) -> str:
    with zipfile.ZipFile(archive) as opened:
        names = []
        for name in opened.namelist():
            target = folder / name.partition("_")[0] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(opened.read(name))
            names.append(f"{target.parent.name}/{name}")
    return content_digest(folder, names)


def test_an_archive_is_fetched_whole_and_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    target = fetch_zip(
        server.url, tmp_path / "cache" / "a.zip", progress=lambda done, total: told.append((done, total))
    )
    assert target.read_bytes() == server.body
    assert told[-1] == (len(server.body), len(server.body))
    assert [file.name for file in target.parent.iterdir()] == ["a.zip"]


def test_a_transfer_that_broke_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.most = 1000
    with pytest.raises(DatasetError, match="cannot be fetched"):
        fetch_zip(server.url, tmp_path / "a.zip")
    server.most = len(server.body)
    assert fetch_zip(server.url, tmp_path / "a.zip").read_bytes() == server.body
    assert server.starts == [0, 1000]


def test_a_server_that_knows_no_ranges_sends_it_from_the_beginning(server: Server, tmp_path: Path) -> None:
    server.most, server.knows_ranges = 1000, False
    with pytest.raises(DatasetError):
        fetch_zip(server.url, tmp_path / "a.zip")
    server.most = len(server.body)
    assert fetch_zip(server.url, tmp_path / "a.zip").read_bytes() == server.body


def test_a_file_that_was_there_in_full_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(server.body)
    assert fetch_zip(server.url, tmp_path / "a.zip").read_bytes() == server.body


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be fetched") as raised:
        fetch_zip("http://127.0.0.1:9/a.zip", tmp_path / "a.zip")
    assert "\n" not in str(raised.value)


def test_an_archive_unpacks_into_a_folder_for_each_class(archive: Path, tmp_path: Path) -> None:
    digest = digest_of(archive, tmp_path / "expected")
    unpack_by_prefix(archive, tmp_path / "scenes", digest)
    pictures = load_labelled(tmp_path / "scenes")
    assert [picture.label for picture in pictures] == ["coast"] * 3 + ["forest"] * 3


def test_other_content_than_was_published_is_refused_and_nothing_stays(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not what was published"):
        unpack_by_prefix(archive, tmp_path / "scenes", hashlib.sha256().hexdigest())
    assert not (tmp_path / "scenes").exists()
    assert not archive.exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as opened:
        opened.writestr("../../coast_evil.jpg", b"evil")
        opened.writestr("/etc/coast_evil.jpg", b"evil")
    with pytest.raises(DatasetError, match="not what was published"):
        unpack_by_prefix(evil, tmp_path / "scenes", "0")
    assert not list(tmp_path.rglob("coast_evil.jpg"))
    assert not Path("/etc/coast_evil.jpg").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04" + b"\0" * 100])
def test_an_archive_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.zip cannot be unpacked"):
        unpack_by_prefix(tmp_path / "bad.zip", tmp_path / "scenes", "0")


def test_crops_of_a_photograph_overlap_and_are_the_same_each_time(tmp_path: Path) -> None:
    pictures = load_labelled(cut_crops(tmp_path / "one"))
    assert len(pictures) == 250
    assert len({picture.label for picture in pictures}) == 10
    names = [f"{p.label}/{Path(p.path.decode()).name}" for p in pictures]
    first = content_digest(tmp_path / "one", names)
    assert content_digest(cut_crops(tmp_path / "two"), names) == first
