"""Index jobs over HTTP, and the events of a collection that changes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from lookalike import Gallery, IndexOptions
from lookalike.web.events import MOST_LISTENERS, read_state
from lookalike.web.served_gallery import ServedGallery
from tests.conftest import make_picture
from tests.waiting import wait_for
from tests.web.test_collection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def few(tmp_path: Path) -> Iterator[ServedGallery]:
    """The served of a gallery with two pictures in a folder to which more may be added."""
    folder = tmp_path / "photos"
    folder.mkdir()
    add(folder, 0, 1)
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        served = ServedGallery(gallery, cache=tmp_path / "thumbnails")
        yield served
        served.close()


def add(folder: Path, *seeds: int) -> None:
    for seed in seeds:
        make_picture(seed).save(folder / f"{seed:03}.jpg")


def wait(api: Any) -> dict[str, Any]:
    """The job once it has ended."""

    def find() -> dict[str, Any]:
        job: dict[str, Any] = api.get("/api/v1/index").json()
        return {} if job["state"] == "running" else job

    return wait_for(find)


def test_the_collection_is_brought_up_to_date_in_the_background(few: ServedGallery, tmp_path: Path) -> None:
    api = connect(few)
    assert api.get("/api/v1/index").json()["state"] == "none"
    add(tmp_path / "photos", 2, 3)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"not a picture")
    started = api.post("/api/v1/index", json={})
    assert (started.status_code, started.json()["state"]) == (202, "running")
    job = wait(api)
    assert (job["state"], job["report"]["added"], job["error"]) == ("done", 2, None)
    assert api.get("/api/v1/images").json()["total"] == 4
    assert api.get("/api/v1/skipped").json()["total"] == 1
    assert len(api.get("/api/v1/images/1/similar").json()["hits"]) == 3


def test_a_folder_is_added_on_this_machine_only(few: ServedGallery, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    add(tmp_path / "other", 7)
    wish = {"paths": [str(tmp_path / "other")]}
    far = connect(few, client="192.0.2.7").post("/api/v1/index", json=wish)
    assert (far.status_code, far.json()["error"]["code"]) == (403, "outside")
    (tmp_path / "photos" / "way").symlink_to(tmp_path / "other")
    through = {"paths": [str(tmp_path / "photos" / "way")]}
    assert connect(few, client="192.0.2.7").post("/api/v1/index", json=through).status_code == 403
    api = connect(few)
    assert api.post("/api/v1/index", json=wish).status_code == 202
    assert wait(api)["report"]["added"] == 1


@pytest.mark.parametrize(
    "wish", [{"paths": "x"}, {"paths": ["relative"]}, {"paths": [7]}, {"paths": ["/a\0b"]}, {"retry": 1}, {"else": 1}]
)
def test_a_job_that_makes_no_sense_is_refused(few: ServedGallery, wish: dict[str, Any]) -> None:
    assert connect(few).post("/api/v1/index", json=wish).status_code == 422
    assert connect(few).get("/api/v1/index").json()["state"] == "none"


def test_a_job_that_fails_says_why(few: ServedGallery) -> None:
    api = connect(few)
    api.post("/api/v1/index", json={"paths": ["/there/is/no/such/folder"]})
    job = wait(api)
    assert job["state"] == "failed"
    assert job["error"]["code"] == "invalid_request"
    with few.gallery.store.writing():
        api.post("/api/v1/index", json={})
        assert wait(api)["error"]["code"] == "busy"


def test_one_job_runs_at_a_time_and_can_be_cancelled(few: ServedGallery, tmp_path: Path) -> None:
    api = connect(few)
    add(tmp_path / "photos", *range(10, 300))
    api.post("/api/v1/index", json={})
    second = api.post("/api/v1/index", json={})
    assert (second.status_code, second.json()["error"]["code"]) == (409, "running")
    api.delete("/api/v1/index")
    assert wait(api)["state"] == "cancelled"
    assert few.gallery.verify() == []
    api.post("/api/v1/index", json={})
    assert wait(api)["state"] == "done"
    assert len(few.gallery) == 292


def test_what_another_process_indexes_is_found_without_a_restart(few: ServedGallery, tmp_path: Path) -> None:
    api = connect(few)
    before = read_state(few)
    assert len(api.get("/api/v1/images/1/similar").json()["hits"]) == 1
    add(tmp_path / "photos", 2, 3)
    program = [sys.executable, "-m", "lookalike", "index", "-i", str(tmp_path / "gallery"), "--no-progress"]
    subprocess.run(program, check=True, capture_output=True)
    assert len(api.get("/api/v1/images/1/similar").json()["hits"]) == 3
    assert read_state(few)["pictures"] == before["pictures"] + 2
    assert read_state(few)["generation"] > before["generation"]


def listen(port: int, count: int, on_first: Any = None) -> list[dict[str, Any]]:
    """The first events of a server."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/api/v1/events")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    found: list[dict[str, Any]] = []
    while len(found) < count:
        line = answer.readline()
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
            if len(found) == 1 and on_first is not None:
                on_first()
    connection.close()
    return found


def test_changes_are_sent_as_they_happen(port: int, served: ServedGallery, gallery: Gallery) -> None:
    def change() -> None:
        with gallery.store.writing():
            gallery.store.set_distinct([])

    first, second = listen(port, 2, change)
    assert first["pictures"] == len(gallery)
    assert second["generation"] > first["generation"]
    assert second["is_changing"] is True


def test_listeners_are_bounded_and_leave_nothing_behind(port: int) -> None:
    def open_one() -> tuple[HTTPConnection, int]:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/v1/events")
        return connection, connection.getresponse().status

    some = [open_one() for _ in range(MOST_LISTENERS)]
    assert {status for _, status in some} == {200}
    extra, status = open_one()
    extra.close()
    assert status == 503
    for connection, _ in some:
        connection.close()

    def is_let_in() -> bool:
        connection, status = open_one()
        connection.close()
        return status == 200

    wait_for(is_let_in)
    assert len([one for one in threading.enumerate() if "events" in one.name]) == 0


def test_a_server_ends_at_once_and_quietly_while_a_page_is_open(gallery: Gallery) -> None:
    command = [sys.executable, "-m", "lookalike", "serve", "-i", gallery.location, "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = urlsplit(server.stdout.readline().strip()).port
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/v1/events")
        answer = connection.getresponse()
        while not answer.readline().startswith(b"data: "):
            pass
        server.send_signal(signal.SIGINT)
        assert answer.read() is not None  # the stream ends
        _, errors = server.communicate(timeout=20)
        connection.close()
    assert "Traceback" not in errors
    assert "graceful" not in errors
