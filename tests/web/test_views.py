"""The views of copies and of the map, as the server writes them; a browser looks at them in `test_browser.py`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike.explore.duplicates.keep import KEEP
from lookalike.web import texts
from lookalike.web.settings import Settings
from tests.conftest import make_picture
from tests.waiting import wait_for
from tests.web.conftest import make_folder
from tests.web.test_pages import Page, read

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

    from lookalike import Gallery
    from tests.web.conftest import Serve


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures, of which two are the same: few enough to be compared quickly."""
    folder = make_folder(tmp_path_factory.mktemp("home"), 3)
    shutil.copy(folder / "000.jpg", folder / "again.jpg")
    return folder


def find_actions(page: Page) -> set[str]:
    return {form.get("action", "") for form in page.all("form")}


def read_computed(browser: TestClient, address: str) -> Page:
    """A page that is computed in the background, once it is there."""

    def find() -> Page | None:
        page = read(browser, address)
        return None if page.all("progress")[1:] else page

    return wait_for(find)


def test_the_map_has_a_list_that_leads_to_every_picture(browser: TestClient, gallery: Gallery) -> None:
    page = read_computed(browser, "/map")
    links = [link["href"] for link in page.all("a") if link["href"].startswith("/map?group=")]
    found = [id_ for link in links for id_ in read(browser, link).ids]
    assert sorted(found) == gallery.select().tolist()
    points = browser.get("/map/points").json()
    assert sorted(points["ids"]) == sorted(found)
    assert {*map(len, (points["x"], points["y"], points["group"]))} == {len(found)}
    assert read(browser, "/map?lasso=1.2.1").ids == [1, 3, 4]  # each the difference to the one before
    for wrong in ("lasso=-1", "lasso=%21", "lasso=zzzzzzzzzzzz.zzzzzzzzzzzz.zzzzzzzzzzzz", "k=0&lasso=1"):
        assert browser.get(f"/map?{wrong}").status_code == 422
    assert browser.get("/map?group=nothing").status_code == 404


def test_copies_are_shown_to_everybody_and_plans_only_on_this_machine(serve: Serve, browser: TestClient) -> None:
    page = read_computed(browser, "/copies")
    assert len(page.all("li", "goes")) == 1
    assert texts.TEXTS["plan"].format(count="1 picture", size="1.6 kB")[:12] in "".join(page.words)
    (pick,) = [link["href"] for link in page.all("a") if "pick=" in link["href"]]
    parameters = pick.partition("?")[2].partition("#")[0]
    first, chosen = (browser.get(f"/copies/plan.csv?{one}").text for one in ("", parameters))
    assert first.startswith("group,")
    assert [line.split(",")[3] for line in first.splitlines()[1:3]] == ["keep", "move"]
    assert [line.split(",")[3] for line in chosen.splitlines()[1:3]] == ["move", "keep"]
    assert browser.get("/copies/plan.zip").status_code == 404
    for wrong in ("keep=nothing", "pick=x", "from=-1", "&".join(["pick=1"] * 401)):
        assert browser.get(f"/copies?{wrong}").status_code == 422
    other = serve(Settings(host="0.0.0.0", token="a-token-that-is-long"), "192.0.2.1", "http://192.0.2.9:8765")
    other.headers.update({"accept": "text/html", "authorization": "Bearer a-token-that-is-long"})
    assert other.get("/copies").status_code == 200
    assert other.get("/copies/plan.csv").status_code == 403


def test_a_map_that_is_out_of_date_shows_no_picture_that_was_removed(
    browser: TestClient, gallery: Gallery, photos: Path
) -> None:
    make_picture(50).save(photos / "brief.png")
    gallery.index()
    (id_,) = gallery.select(["name:brief.png"]).tolist()
    read_computed(browser, "/map")
    wait_for(lambda: id_ in browser.get("/map/points").json()["ids"])
    (photos / "brief.png").unlink()
    gallery.index()
    points = browser.get("/map/points").json()
    assert sorted(points["ids"]) == gallery.select().tolist()
    listed = [image["src"] for image in read(browser, "/map").all("img")]
    assert listed
    assert all(browser.get(address).status_code == 200 for address in listed)


def test_a_thumbnail_that_may_be_missing_is_no_error(browser: TestClient, gallery: Gallery, photos: Path) -> None:
    make_picture(51).save(photos / "brief.png")
    gallery.index()
    (id_,) = gallery.select(["name:brief.png"]).tolist()
    (photos / "brief.png").unlink()
    for size in ("small?optional", "small?v=1&optional", "large?optional"):
        assert browser.get(f"/thumbnails/{id_}/{size}").status_code == 204
        assert browser.get(f"/thumbnails/999999/{size}").status_code == 204
        assert browser.get(f"/thumbnails/1/{size}").status_code == 200
    assert browser.get(f"/thumbnails/{id_}/small?v=1").status_code == 410
    assert browser.get("/thumbnails/999999/small").status_code == 404
    gallery.index()


def test_a_file_that_has_vanished_is_shown_as_it_was_last_seen(
    browser: TestClient, gallery: Gallery, photos: Path
) -> None:
    make_picture(52).save(photos / "brief.png")
    gallery.index()
    (id_,) = gallery.select(["name:brief.png"]).tolist()
    browser.get(f"/thumbnails/{id_}/small")
    assert not read(browser, f"/pictures/{id_}").all("section", "lost-file")
    (photos / "brief.png").unlink()
    page = read(browser, f"/pictures/{id_}")
    (seen,) = page.all("img", "seen")
    assert browser.get(seen["src"]).status_code == 200
    assert texts.TEXTS["gone_head"] in page.words
    assert page.ids  # its lookalikes are found all the same
    assert not [one for one in page.all("button") if one.get("id") == "mark"]
    gallery.index()


def test_what_was_moved_is_brought_back(serve: Serve, photos: Path, gallery: Gallery) -> None:
    client = serve(Settings(token="a-token-for-the-tests", allow_write=True))
    client.headers |= {"accept": "text/html", "authorization": "Bearer a-token-for-the-tests"}
    assert "/copies/undo" not in find_actions(read_computed(client, "/copies"))
    moved = client.post("/copies/move", data={"choice": "", "moves": "1"})
    assert moved.status_code == 200
    assert texts.TEXTS["undo"] in moved.text
    assert len(list(photos.iterdir())) == 3
    assert "/copies/undo" in find_actions(read_computed(client, "/copies"))
    far = serve(Settings("0.0.0.0", token="a-token-for-the-tests", allow_write=True), client="192.0.2.7")
    far.headers |= client.headers
    assert far.post("/copies/undo").status_code == 403
    assert texts.TEXTS["back_done"].format(count="1 picture") in client.post("/copies/undo").text
    assert len(list(photos.iterdir())) == 4
    assert len(gallery) == 4


def test_the_page_has_words_for_every_rule_in_its_order() -> None:
    assert tuple(texts.KEEP) == KEEP
