"""What the page does with folders: show them in the file manager, and add their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from lookalike import Gallery
from lookalike.web import texts
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import Settings
from tests.conftest import make_picture
from tests.waiting import wait_for
from tests.web.conftest import HOST
from tests.web.test_pages import read
from tests.web.test_views import find_actions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.web.conftest import Serve

    Connect = Callable[..., TestClient]

TOKEN = "a-token-for-the-tests"


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """A browser at an empty collection that may be changed."""
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path / "thumbnails")

        def make(client: str = "127.0.0.1", *, allow_write: bool = True) -> TestClient:
            app: Any = create_app(served, Settings("0.0.0.0", token=TOKEN, allow_write=allow_write))
            made = TestClient(app, HOST, client=(client, 5000), follow_redirects=True)
            made.headers |= {"accept": "text/html", "authorization": f"Bearer {TOKEN}"}
            return made

        yield make
        served.close()


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program that stands for the system's file manager writes what it was asked to open."""
    program, asked = tmp_path / "bin" / "xdg-open", tmp_path / "asked"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > "{asked}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    return asked


def test_the_folder_of_a_picture_is_opened_on_this_machine(browser: TestClient, photos: Path, opener: Path) -> None:
    assert "/pictures/3/folder" in find_actions(read(browser, "/pictures/3"))
    assert browser.post("/pictures/3/folder").status_code == 204
    assert opener.read_text(encoding="utf-8") == str(photos)


def test_no_folder_is_opened_for_others(serve: Serve, opener: Path) -> None:
    for far in (
        serve(client="192.0.2.7"),
        serve(Settings(hosts=("pictures.example",)), base="http://pictures.example"),
    ):
        far.headers["accept"] = "text/html"
        assert "/pictures/3/folder" not in find_actions(read(far, "/pictures/3"))
        assert far.post("/pictures/3/folder").status_code == 403
    near = serve()
    assert near.post("/pictures/3/folder", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert near.get("/pictures/3/folder").status_code == 405
    assert near.post("/pictures/999/folder").status_code == 404
    assert not opener.exists()


def test_no_folder_is_opened_where_nobody_would_see_it(
    browser: TestClient, opener: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "/pictures/3/folder" not in find_actions(read(browser, "/pictures/3"))
    answer = browser.post("/pictures/3/folder")
    assert answer.status_code == 422
    assert texts.PROBLEMS["no_screen"] in answer.text
    assert not opener.exists()


def test_an_empty_collection_is_filled_from_the_page(connect: Connect, tmp_path: Path) -> None:
    browser, folder = connect(), tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        make_picture(seed).save(folder / f"{seed}.png")
    assert "/collection/index" in find_actions(read(browser, "/"))
    assert browser.post("/collection/index", data={"folder": f" {folder}/ "}).status_code == 200
    wait_for(lambda: texts.TEXTS["added"].format(count="3 pictures") in browser.get("/collection").text)
    assert len(read(browser, "/").ids) == 3
    make_picture(3).save(folder / "3.png")
    assert browser.post("/collection/index").status_code == 200  # all folders again
    wait_for(lambda: texts.TEXTS["added"].format(count="1 picture") in browser.get("/collection").text)
    assert len(read(browser, "/").ids) == 4


@pytest.mark.parametrize("folder", ["", "photos", "/nowhere", "/etc/passwd", "\0", "https://example.org", "/a" * 3000])
def test_what_is_no_folder_is_refused_by_its_name(connect: Connect, folder: str) -> None:
    answer = connect().post("/collection/index", data={"folder": folder})
    assert answer.status_code == 422
    assert "There is no folder" in answer.text


def test_only_a_page_on_this_machine_that_may_write_adds_pictures(connect: Connect, tmp_path: Path) -> None:
    for browser in (connect("192.0.2.7"), connect(allow_write=False)):
        assert "/collection/index" not in find_actions(read(browser, "/")) | find_actions(read(browser, "/collection"))
        for address in ("/collection/index", "/collection/stop"):
            assert browser.post(address, data={"folder": str(tmp_path)}).status_code == 403
    assert connect().post("/collection/stop").status_code == 200
