from __future__ import annotations

import contextlib
import html
import re
import sqlite3
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import pytest
from starlette.testclient import TestClient

from lookalike import Gallery, Query, web
from lookalike.search.feedback import mark_query
from lookalike.search.hits import Hit
from lookalike.web import texts
from lookalike.web.app import create_app
from lookalike.web.pages import _spread
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import Settings
from tests import badfiles
from tests.conftest import make_picture
from tests.waiting import wait_for
from tests.web.conftest import HOST, make_upload

if TYPE_CHECKING:
    from tests.web.conftest import Serve


TEMPLATES = Path(web.__file__).parent / "templates"


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, name: str = "") -> list[dict[str, Any]]:
        return [
            attributes
            for kind, attributes in self.elements
            if kind == tag and (not name or name in (attributes.get("class") or "").split())
        ]

    @property
    def ids(self) -> list[int]:
        return [int(tile["data-id"]) for tile in self.all("li", "tile")]


def read(browser: TestClient, address: str, status: int = 200) -> Page:
    answer = browser.get(address)
    assert answer.status_code == status
    return Page(answer.text)


def test_the_first_page_shows_the_collection(browser: TestClient, gallery: Gallery) -> None:
    page = read(browser, "/")
    assert page.ids == gallery.select().tolist()
    for image in page.all("img"):
        assert browser.get(image["src"]).headers["content-type"] == "image/jpeg"
        assert (image["width"], image["height"]) == ("64", "48")


@pytest.mark.parametrize("count", [61, 100, 144, 2688])
def test_a_sample_is_spread_and_grows_by_what_is_new(count: int) -> None:
    ids = list(range(1, count + 1))
    first, more = _spread(ids, 60), _spread(ids, 120)
    assert more[:60] == first
    assert len(set(more)) == min(120, count)
    ordered = [0, *sorted(first), count]
    assert max(after - before for before, after in pairwise(ordered)) <= 3 * count / 60


def test_a_click_finds_what_a_search_finds(browser: TestClient, gallery: Gallery) -> None:
    (link, *_) = read(browser, "/").all("a", "hit")
    page = read(browser, link["href"])
    expected = gallery.search(Query.stored(int(gallery.select()[0])), 60)
    assert page.ids == [hit.id for hit in expected]
    for part in ("plus", "minus", "open"):
        assert read(browser, page.all("a", part)[0]["href"]).ids


def test_every_state_is_an_address(browser: TestClient, gallery: Gallery) -> None:
    state = urlencode({"like": [1, -2], "color": "#ff8800", "where": "width:>10"}, doseq=True)
    query = Query.stored(1) + Query.color("#ff8800") - 0.5 * Query.stored(2)
    assert read(browser, f"/?{state}").ids == [hit.id for hit in gallery.search(query, 60)]
    page = read(browser, f"/?{state}")
    assert len(page.all("li", "chip")) == 4
    assert "Width: over 10" in page.words
    assert read(browser, "/?where=name:003.*").ids == gallery.select(["name:003.*"]).tolist()


def test_a_picture_is_dropped_without_a_script(browser: TestClient, gallery: Gallery) -> None:
    answer = browser.post("/find", files={"file": ("my picture.png", make_upload(3))})
    assert answer.status_code == 303
    page = read(browser, answer.headers["location"])
    assert len(page.ids) == 12
    assert len(page.all("li", "chip")) == 1
    preview = next(image["src"] for image in page.all("img") if image["src"].startswith("/dropped/"))
    assert browser.get(preview).content.startswith(b"\xff\xd8")
    assert "forgotten" in browser.get("/?dropped=unknown", headers={"accept": "*/*"}).text
    assert "no longer remembered" in browser.get("/?dropped=unknown").text


def test_only_so_many_dropped_pictures_are_remembered(served: ServedGallery) -> None:
    names = [served.drop(served.read_upload(make_upload(1))) for _ in range(3)]
    for _ in range(64):
        served.drop(served.dropped(names[2]))
    assert served.dropped(names[2]).width == 64
    assert len(served._dropped) == 64


def test_marks_weights_parts_and_colours_are_an_address(browser: TestClient, gallery: Gallery) -> None:
    page = read(browser, "/?like=1*2&good=3&bad=4")
    query = mark_query(2 * Query.stored(1), [Query.stored(3)], [Query.stored(4)])
    assert page.ids == [hit.id for hit in gallery.search(query, 60)]
    assert not {1, 3, 4} & {*page.ids}
    only_colours = read(browser, "/?like=1&mix=100")
    assert only_colours.ids == [hit.id for hit in gallery.search(Query.palette(Query.stored(1)), 60)]
    part = read(browser, "/?like=1@10,10,50,50")
    assert 1 not in part.ids
    assert part.all("li", "chip")


def test_several_pictures_are_dropped_and_a_part_of_one_is_searched_for(browser: TestClient) -> None:
    first = browser.post("/find?where=width:>10", files={"file": ("a.png", make_upload(3))}).headers["location"]
    second = browser.post(f"/find?{first.partition('?')[2]}", files={"file": ("b.png", make_upload(4))})
    page = read(browser, second.headers["location"])
    assert len(page.all("li", "chip")) == 3
    name = re.search(r"dropped=([\w-]+)", first)
    assert name
    large = read(browser, f"/dropped/{name[1]}/large")
    parts = [link["href"] for link in large.all("a") if "@" in link["href"]]
    assert len(parts) == len(texts.PARTS)
    assert read(browser, parts[0]).ids


def test_a_picture_shows_the_hits_around_it_and_what_it_matches(browser: TestClient, gallery: Gallery) -> None:
    hits = [hit.id for hit in gallery.search(Query.stored(1), 60)]
    page = read(browser, f"/pictures/{hits[1]}?like=1")
    rels = {link["rel"]: link["href"] for link in page.all("a") if "rel" in link}
    assert rels == {"prev": f"/pictures/{hits[0]}?like=1", "next": f"/pictures/{hits[2]}?like=1"}
    compared = read(browser, f"/pictures/{hits[1]}?like=1&view=compare")
    assert next(image["src"] for image in compared.all("img")) == "/thumbnails/1/large"
    for side in ("query", "hit"):
        assert browser.get(f"/heat/{hits[1]}/{side}?like=1").headers["content-type"] == "image/jpeg"
    assert browser.get(f"/heat/{hits[1]}/hit").status_code == 404


@pytest.mark.parametrize("address", ["/copies/move", "/copies/distinct"])
def test_a_page_that_may_only_look_changes_nothing(browser: TestClient, address: str) -> None:
    answer = browser.post(address, data={"moves": "0", "picture": ["1", "2"]})
    assert answer.status_code == 403
    assert "--allow-write" in answer.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nowhere", 404),
        ("/pictures/1?like=x", 422),
        ("/?like=1*9", 422),
        ("/?like=1*0", 422),
        ("/?like=1@200,0,1,1", 422),
        ("/?like=1@......,", 422),
        ("/?like=1&mix=101", 422),
        ("/?good=x", 422),
        ("/dropped/unknown/large", 404),
        ("/pictures/99", 404),
        ("/pictures/x", 422),
        ("/?like=99", 422),
        ("/?like=x", 422),
        ("/?like=-1", 422),
        ("/?color=nothing", 422),
        ("/?where=nonsense", 422),
        ("/?k=0", 422),
        ("/?k=1001", 422),
        ("/?text=boat", 422),
        ("/?text=" + "a" * 600, 422),
        ("/?" + "like=1&" * 30, 422),
    ],
)
def test_what_cannot_be_shown_is_explained_on_a_page(browser: TestClient, address: str, status: int) -> None:
    page = read(browser, address, status)
    assert texts.TEXTS["start_again"] in page.words
    assert "Traceback" not in "".join(page.words)


def test_a_damaged_collection_names_the_command_that_saves_it_on_this_computer_only(
    photos: Path, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
    with contextlib.closing(sqlite3.connect(tmp_path / "gallery" / "gallery.db")) as db:
        db.execute("DELETE FROM meta WHERE key = 'roots'")
        db.commit()
    with Gallery.open(tmp_path / "gallery") as gallery:
        served = ServedGallery(gallery, cache=tmp_path / "cache")
        app: Any = create_app(served, Settings())
        for client, is_local in (("127.0.0.1", True), ("192.0.2.7", False)):
            browser = TestClient(app, HOST, client=(client, 5000), headers={"accept": "text/html"})
            answer = browser.get("/collection")
            assert answer.status_code == 503
            assert texts.PROBLEMS["collection_damaged"] in answer.text
            text = html.unescape(re.sub("<[^>]*>", "", answer.text))
            assert (f"lookalike verify --repair -i {tmp_path / 'gallery'}" in text) is is_local
            assert (str(tmp_path) in text) is is_local
        served.close()


def test_an_unknown_word_leads_to_others_only_if_they_may_have_been_meant(photos: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "gallery", create=True) as gallery:
        gallery.index(photos)
        gallery.teach("our boat", Query.stored(1))
        served = ServedGallery(gallery, cache=tmp_path / "cache")
        app: Any = create_app(served, Settings())
        for client, where in (("127.0.0.1", f" -i {tmp_path / 'gallery'}"), ("192.0.2.7", "")):
            browser = TestClient(app, HOST, client=(client, 5000), headers={"accept": "text/html"})
            for text, meant in (
                ("zeebra", "zebra"),
                ("two red boats", "boat"),
                ("our baot", "our boat"),
                ("sunset", ""),
            ):
                page = read(browser, f"/?text={text}", 422)
                offered = [link["href"] for link in page.all("a") if link["href"].startswith("/?text=")]
                assert offered[:1] == ([f"/?text={quote_plus(meant)}"] if meant else [])
                (command,) = [button["data-text"] for button in page.all("button") if "data-text" in button] or [""]
                assert command == ("" if meant else f"lookalike teach NAME IMAGES{where}")
        served.close()


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 400), (b"no picture", 422), (make_upload()[:-60], 422), (bytes(33 << 20), 413)]
)
def test_a_file_that_is_no_picture_is_explained_on_a_page(browser: TestClient, content: bytes, status: int) -> None:
    answer = browser.post("/find", files={"file": ("a.png", content)})
    assert answer.status_code == status
    assert texts.TEXTS["start_again"] in answer.text


def test_a_filter_that_leaves_nothing_says_why(browser: TestClient) -> None:
    page = read(browser, "/?where=name:nothing.jpg")
    assert texts.TEXTS["nothing"] in page.words
    assert any("nothing.jpg" in text for text in page.words)
    words = "".join(read(browser, "/?where=width:>9000").words)
    assert "No picture has “Width: over 9000”" in words
    assert "width:>9000" not in words


def test_an_empty_collection_says_how_to_fill_it(serve: Serve, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from lookalike.web.app import create_app
    from lookalike.web.settings import Settings
    from tests.web.conftest import HOST

    with Gallery.open(tmp_path / "g", encoder="histogram", create=True) as empty:
        served = ServedGallery(empty, cache=tmp_path)
        app: Any = create_app(served, Settings())
        client = TestClient(app, HOST, client=("127.0.0.1", 1), headers={"accept": "text/html"})
        addresses = ("/", "/map", "/copies", "/collection")
        wait_for(lambda: not any("data-waiting" in client.get(address).text for address in addresses))
        answers = [client.get(address) for address in addresses]
        served.close()
    assert html.escape(f"lookalike index FOLDER -i {tmp_path / 'g'}") in answers[0].text
    assert all(texts.TEXTS["empty_start"] in answer.text for answer in answers[1:3])
    assert texts.TEXTS["skipped_none"] not in answers[3].text


def test_a_browser_without_the_token_is_answered_with_a_page(serve: Serve) -> None:
    from lookalike.web.settings import Settings

    client = serve(Settings(token="a-token-that-is-long"))
    answer = client.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert texts.TEXTS["token"] in answer.text
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert client.get("/").json()["error"]["code"] == "unauthorized"


def test_names_made_of_markup_are_shown_as_text(browser: TestClient, gallery: Gallery, photos: Path) -> None:
    ours = {tag for file in TEMPLATES.glob("*.html") for tag in re.findall(r"<(\w+)", file.read_text(encoding="utf-8"))}
    folder = photos / '"><script>alert(1)</script>'.replace("/", "\u2215")
    folder.mkdir()
    for case in badfiles.PLACES:
        if case.row == 19:
            case.make(folder)
    make_picture(60).save(folder / "<svg onload=alert(2)>.png")
    gallery.index()
    ids = gallery.select([f'label:"{folder.name.replace(chr(34), chr(34) * 2)}"']).tolist()
    assert len(ids) > 10
    for address in ("/", "/?like=1", *(f"/pictures/{id_}" for id_ in ids), *(f"/?like={id_}" for id_ in ids)):
        page = read(browser, address)
        assert {tag for tag, _ in page.elements} <= ours
        assert len(page.all("img")) <= len(page.ids) + 2
        assert [script["src"][:10] for script in page.all("script")] == ["/static/ea", "/static/pa"]
        assert not [one for _, attributes in page.elements for one in attributes if one.startswith("on")]
    text = '"><script>alert(1)</script>'
    for address in (f"/?text={text}", f"/?color={text}", f"/?where={text}", f"/?where=name:{text}", f"/{text}"):
        assert "<script>alert" not in browser.get(address).text


def test_pages_name_no_other_host_and_contain_no_inline_code(browser: TestClient) -> None:
    for address in ("/", "/?like=1", "/pictures/1", "/collection", "/nowhere"):
        page = read(browser, address, 404 if address == "/nowhere" else 200)
        assert all(script["src"].startswith("/static/") for script in page.all("script"))
        assert not page.all("style")
        for _, attributes in page.elements:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            links = [attributes.get(name) for name in ("href", "src", "action")]
            assert all(re.match(r"/(?!/)|#", link) for link in links if link)


def test_what_pages_are_made_of_is_small_and_cached(browser: TestClient) -> None:
    page = browser.get("/")
    links = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.text))
    answers = [browser.get(link) for link in links]
    assert all(answer.status_code == 200 and "immutable" in answer.headers["cache-control"] for answer in answers)
    assert len(page.content) + sum(len(answer.content) for answer in answers) < 100_000
    again = browser.get(links.pop(), headers={"if-none-match": answers[0].headers["etag"]})
    assert again.status_code in {200, 304}


def test_the_collection_is_described_in_words(browser: TestClient, photos: Path) -> None:
    page = read(browser, "/collection")
    assert str(photos) in "".join(page.words)
    assert texts.TEXTS["skipped_none"] in page.words


@pytest.mark.parametrize(
    ("distance", "chance", "words"),
    [
        (0.0, 1.0, "Almost certainly the same picture"),
        (0.05, 0.99, "Very close"),
        (0.1, 0.6, "Close"),
        (0.2, 0.1, "Alike"),
        (0.5, 0.01, "Not very alike"),
        (0.5, None, ""),
    ],
)
def test_a_distance_is_said_in_words(distance: float, chance: float | None, words: str, tmp_path: Path) -> None:
    hit = Hit(1, tmp_path, distance, 1, chance, None if chance is None else 0.0025)
    assert texts.closeness(hit) == words
    assert texts.numbers(hit).startswith(f"Distance {distance:.4f}")
    assert ("1 in 400 by chance" in texts.numbers(hit)) == (chance is not None)


def test_health_and_counts_are_told(browser: TestClient) -> None:
    assert browser.get("/healthz").json() == {"status": "ok"}
    text = browser.get("/metrics").text
    assert 'lookalike_requests_total{route="healthz",status="200"}' in text
    assert "lookalike_ready 1" in text
