"""Fetching from a real server on this machine, whole and broken off."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike.datasets.digests import content_digest
from lookalike.datasets.labelled import load_labelled
from lookalike.datasets.samples import cut_crops, fetch_scenes8, fetch_zip, unpack_by_prefix
from lookalike.errors import DatasetError
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
        server.url, tmp_path / "cache" / "a.zip", on_progress=lambda done, total: told.append((done, total))
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


def answering(answer: bytes, *, seconds_each: float = 0.0) -> Iterator[str]:
    """The URL of a server that says these bytes to anybody: at once and hangs up, or one by one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as one:
                one.recv(4096)
                pieces = [answer[n : n + 1] for n in range(len(answer))] if seconds_each else [answer]
                for piece in pieces:
                    one.sendall(piece)
                    time.sleep(seconds_each)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a.zip"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc",
        b"HTTP/1.1 503 Busy\r\n\r\n",
    ],
)
def test_a_server_that_talks_nonsense_is_one_line(answer: bytes, tmp_path: Path) -> None:
    for url in answering(answer):
        with pytest.raises(DatasetError, match=r"cannot be fetched: \S") as raised:
            fetch_zip(url, tmp_path / "a.zip")
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "a.zip").exists()


def test_a_server_that_keeps_one_waiting_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.datasets.samples._TIMEOUT", 0.5)
    begun = time.monotonic()
    for url in answering(b"HTTP/1.1 200 OK\r\n" + b"x" * 100, seconds_each=0.1):
        with pytest.raises(DatasetError, match="no answer within"):
            fetch_zip(url, tmp_path / "a.zip")
    assert time.monotonic() - begun < 8  # the whole answer would take 12 s


def test_what_was_fetched_is_there_the_next_time(
    server: Server, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lookalike.datasets.samples.SCENES8_URL", server.url)
    monkeypatch.setattr("lookalike.datasets.samples._SCENES8_DIGEST", digest_of(archive, tmp_path / "expected"))
    first, again = fetch_scenes8(), fetch_scenes8()
    assert first == again == tmp_path / "cache" / "lookalike" / "scenes8"
    assert [file.name for file in first.parent.iterdir()] == ["scenes8"]
    assert server.starts == [0]


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
    """Its names are cut to their last part, and that must begin with a word: the folder holds what is honest."""
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as opened:
        for name in ("../../coast_1.jpg", "/etc/coast_2.jpg", ".._3.jpg", "__MACOSX/._coast_4.jpg", "_5.jpg"):
            opened.writestr(name, b"evil")
    names = ["coast/coast_1.jpg", "coast/coast_2.jpg"]
    for name in names:
        (tmp_path / "expected" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "expected" / name).write_bytes(b"evil")
    (tmp_path / "in").mkdir()
    unpack_by_prefix(evil, tmp_path / "in" / "scenes", content_digest(tmp_path / "expected", names))
    assert not Path("/etc/coast_2.jpg").exists()
    assert sorted(str(file.relative_to(tmp_path / "in")) for file in (tmp_path / "in").rglob("*.jpg")) == [
        f"scenes/{name}" for name in names
    ]


def test_an_archive_with_damaged_content_is_refused_and_fetched_anew(archive: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("coast_1.jpg", b"sand and sea " * 1000)
    data = bytearray(packed.read_bytes())
    start = data.find(b"coast_1.jpg") + len("coast_1.jpg")
    data[start : start + 20] = b"\xff" * 20
    packed.write_bytes(data)
    with pytest.raises(DatasetError, match=r"packed\.zip cannot be unpacked"):
        unpack_by_prefix(packed, tmp_path / "scenes", "0")
    assert not packed.exists()


def test_an_archive_that_holds_more_than_expected_is_not_unpacked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.datasets.samples._MOST_BYTES", 1000)
    with pytest.raises(DatasetError, match="holds more than expected"):
        unpack_by_prefix(archive, tmp_path / "scenes", "0")


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
