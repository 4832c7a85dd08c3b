"""The page as a person uses it: in a real Chromium, by mouse, by keyboard alone, and without a script."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions, Query
from lookalike.web import texts
from tests.conftest import make_picture
from tests.web import screenshots
from tests.web.conftest import make_upload
from tests.web.screenshots import CHROMIUM, OUTPUT, SIZES, THEMES, WHO, served

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    Open = Callable[..., Page]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "page.py"
WAIT = 20_000  # milliseconds, on two cores that others use as well

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here, and it cannot be installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders with twelve pictures of several shapes, and a copy of one of them."""
    folder = tmp_path_factory.mktemp("home") / "photos"
    for name in ("lake", "town"):
        (folder / name).mkdir(parents=True)
    for seed in range(12):
        size = ((96, 64), (64, 96), (120, 50))[seed % 3]
        make_picture(seed, size).save(folder / ("lake" if seed < 8 else "town") / f"{seed:03}.jpg", quality=90)
    shutil.copy(folder / "lake" / "000.jpg", folder / "town" / "again.jpg")
    return folder


@pytest.fixture(scope="module")
def gallery(photos: Path) -> Iterator[Gallery]:
    """A gallery of `photos` that knows one word."""
    with Gallery.open(photos.parent / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        gallery.teach("stripes", Query.stored(1))
        yield gallery


@pytest.fixture(scope="module")
def address(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of its own, which may write."""
    with served(gallery.location, tmp_path_factory.mktemp("cache"), may_write=True) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with screenshots.launch() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts, whose pages may say nothing on the console and ask no other host for anything."""
    with contextlib.ExitStack() as stack:
        wrong: list[str] = []

        def make(**options: Any) -> BrowserContext:
            usual: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "http_credentials": WHO}
            made: BrowserContext = browser.new_context(**(usual | options))
            made.set_default_timeout(WAIT)
            stack.callback(made.close)
            made.on("console", lambda line: wrong.append(line.text) if line.type in {"error", "warning"} else None)
            made.on("weberror", lambda error: wrong.append(str(error.error)))
            made.on("request", lambda request: wrong.append(request.url) if not _is_own(request.url) else None)
            return made

        yield make
        assert not wrong


@pytest.fixture
def visit(context: Callable[..., BrowserContext], address: str) -> Open:
    """Opens a page of the server: `visit("/?like=1", java_script_enabled=False)`."""

    def visit(place: str = "/", **options: Any) -> Page:
        page = context(**options).new_page()
        page.goto(address + place)
        return page

    return visit


def _is_own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:", "data:"))


def ids(page: Page) -> list[int]:
    return [int(tile.get_attribute("data-id") or 0) for tile in page.locator("#hits > .tile").all()]


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def wait_for(page: Page, *parts: str) -> None:
    """Wait until the address says what was asked for, and the page shows it."""
    page.wait_for_function(
        "parts => parts.every(part => decodeURIComponent(location.href).includes(part))", arg=[*parts]
    )


def reload_until_found(page: Page) -> None:
    """What a browser without a script does by itself every two seconds, while something is computed."""
    while page.locator("[data-waiting]").count():
        page.wait_for_timeout(250)
        page.reload()


def give(page: Page, kind: str, seed: int = 3) -> None:
    """Drop or paste a picture as a browser reports it."""
    content = base64.b64encode(make_upload(seed)).decode()
    page.evaluate(
        """([kind, text]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "mine.png", { type: "image/png" }));
            const event = kind === "paste"
              ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
              : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
        }""",
        [kind, content],
    )


def test_a_click_finds_more_and_back_puts_everything_where_it_was(visit: Open) -> None:
    page = visit(viewport={"width": 500, "height": 300})
    first = ids(page)
    page.evaluate("window.kept = document.querySelector('main')")
    page.locator(".tile").nth(5).scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    page.locator(".hit").nth(5).click()
    wait_for(page, f"like={first[5]}")
    assert page.locator(".chip").count() == 1
    assert first[5] not in ids(page)
    page.go_back()
    wait_for(page)
    page.wait_for_function("() => document.querySelector('main') === window.kept")
    assert ids(page) == first
    assert page.evaluate("scrollY") == place


def test_the_keyboard_alone_finds_opens_and_comes_back(visit: Open) -> None:
    page = visit()
    first = ids(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    wait_for(page, f"/pictures/{first[1]}")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.matches('.hit')")
    page.keyboard.press("Enter")
    wait_for(page, f"like={first[1]}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("-")
    wait_for(page, "bad=")
    for _ in range(2):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    wait_for(page)
    assert urlsplit(page.url).query == ""
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_typing_anywhere_searches(visit: Open) -> None:
    page = visit()
    page.keyboard.type("stripes")
    page.keyboard.press("Enter")
    wait_for(page, "text=stripes")
    assert page.locator(".chip").inner_text().strip() == "“stripes”"
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_that_is_given_finds_its_lookalikes_without_a_new_page(visit: Open, kind: str) -> None:
    page = visit()
    page.evaluate("window.isSame = true")
    if kind == "drop":
        give(page, "dragenter")
        assert page.locator("#veil").is_visible()
    give(page, kind)
    wait_for(page, "dropped=")
    assert page.evaluate("window.isSame")
    assert len(ids(page)) == 13
    assert not page.locator("#veil").is_visible()
    page.locator(".chip .look").click()
    wait_for(page, "/large")
    assert page.locator("img.large").is_visible()


def test_everything_is_found_without_a_script(visit: Open, tmp_path: Path) -> None:
    page = visit(java_script_enabled=False)
    first = ids(page)
    page.locator(".hit").first.click()
    assert query(page)["like"] == [str(first[0])]
    page.locator(".tile").first.hover()
    page.locator(".tile .plus").first.click()
    assert len(query(page)["good"]) == 1
    page.locator(".chip .remove").first.click()
    assert not query(page)
    (tmp_path / "mine.png").write_bytes(make_upload(4))
    page.locator("header input[type=file]").set_input_files(tmp_path / "mine.png")
    page.get_by_role("button", name=texts.TEXTS["choose_go"]).click()
    assert "dropped" in query(page)
    page.locator("main input[type=file]").set_input_files(tmp_path / "mine.png")
    page.get_by_role("button", name=texts.TEXTS["add_go"]).click()
    assert len(query(page)["dropped"]) == 2
    page.locator("nav [data-section=map]").click()
    reload_until_found(page)
    page.locator(".islands a").first.click()
    assert len(ids(page)) >= 1
    page.locator(".open").first.click(force=True)
    page.locator(".parts summary").click()
    page.locator(".parts a").first.click()
    assert "@25,25,50,50" in query(page)["like"][0]


def test_marks_rank_again_at_once_and_weights_count(visit: Open, gallery: Gallery) -> None:
    page = visit("/?like=1")
    page.evaluate("window.isSame = true")
    before = ids(page)
    page.locator(".tile").nth(2).hover()
    page.locator(".tile .minus").nth(2).click()
    wait_for(page, f"bad={before[2]}")
    assert before[2] not in ids(page)
    page.get_by_label(texts.TEXTS["weigh_more"]).first.click()
    wait_for(page, "like=1*2")
    assert texts.TEXTS["times"].format(weight=2) in page.locator(".chip").first.inner_text()
    page.locator(".chip .remove").nth(1).click()
    page.wait_for_function("() => !location.search.includes('bad')")
    page.get_by_label(texts.TEXTS["weigh_less"]).first.click()
    page.wait_for_function("() => location.search === '?like=1'")
    assert page.evaluate("window.isSame")


def test_colours_can_count_more_than_what_pictures_show(visit: Open, gallery: Gallery) -> None:
    page = visit("/?like=1")
    page.locator("[name=mix]").focus()
    page.keyboard.press("End")
    wait_for(page, "mix=100")
    assert ids(page) == [hit.id for hit in gallery.search(Query.palette(Query.stored(1)), 60)]


def test_filters_say_how_many_they_keep(visit: Open) -> None:
    page = visit("/")
    town = page.locator(".facets a").filter(has_text="town")
    assert "5" in town.inner_text()
    town.click()
    wait_for(page, "where=label:town")
    assert len(ids(page)) == 5
    page.goto(page.url + "&where=width:>9000")
    button = page.locator(".blank .button").first
    assert "9000" in page.locator(".blank").inner_text()
    button.click()
    page.wait_for_selector(".tile")


def test_filters_are_chips_on_a_phone(visit: Open) -> None:
    page = visit(viewport={"width": 390, "height": 844})
    assert not page.locator(".facets li").first.is_visible()
    page.locator(".facets summary").first.click()
    page.locator(".facets a").first.click()
    wait_for(page, "where=")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_box_on_the_large_picture_searches_for_that_part(visit: Open) -> None:
    page = visit("/pictures/1")
    first = page.locator("h1").inner_text()
    page.wait_for_selector("img.large.there")
    box = page.locator(".frame").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=3)
    page.mouse.up()
    wait_for(page, "like=1@")
    left, top, wide, high = map(float, query(page)["like"][0].partition("@")[2].split(","))
    assert (left, top, wide, high) == pytest.approx((20, 30, 50, 50), abs=2)
    assert texts.TEXTS["part_of"].format(name=first) in page.locator(".chip").inner_text()


def test_a_part_is_marked_by_the_keyboard_alone(visit: Open) -> None:
    page = visit("/pictures/1")
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.matches('.box')")
    page.keyboard.press("Escape")
    assert page.locator(".box").count() == 0
    page.get_by_role("button", name=texts.TEXTS["mark"]).press("Enter")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
    assert "35" in page.locator("#said").inner_text()
    page.keyboard.press("Enter")
    wait_for(page, "like=1@35,25,50,60")
    assert ids(page)


def test_a_part_is_marked_by_touch_and_can_be_drawn_again(visit: Open) -> None:
    page = visit("/pictures/1", has_touch=True, viewport={"width": 390, "height": 844})
    page.wait_for_selector("img.large.there")
    page.get_by_role("button", name=texts.TEXTS["mark"]).tap()
    page.wait_for_selector(".frame.marking")
    box = page.locator(".frame").bounding_box()
    assert box
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for right in (0.5, 0.9):
        send("touchStart", (0.1, 0.2))
        send("touchMove", (right, 0.6))
        send("touchEnd")
    page.get_by_role("button", name=texts.TEXTS["mark_go"]).tap()
    wait_for(page, "like=1@")
    sides = [float(side) for side in query(page)["like"][0].partition("@")[2].split(",")]
    assert sides == pytest.approx([10, 20, 80, 40], abs=2)


def test_keys_walk_through_hits_compare_them_and_show_what_matches(visit: Open) -> None:
    page = visit("/?like=1")
    all_ids = ids(page)
    page.locator(".hit").first.focus()
    page.keyboard.press("o")
    wait_for(page, f"/pictures/{all_ids[0]}")
    page.keyboard.press("ArrowRight")
    wait_for(page, f"/pictures/{all_ids[1]}")
    assert page.locator(".walk .number").inner_text() == f"2 of {len(all_ids)}"
    page.keyboard.press("b")
    wait_for(page, "view=compare")
    page.locator(".wipe").focus()
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.querySelector('.frame')).getPropertyValue('--wipe')") == "0%"
    page.locator(".wipe").blur()
    page.keyboard.press("h")
    wait_for(page, "view=heat")
    page.wait_for_function("() => document.querySelectorAll('.frame figure.there').length === 2")
    page.keyboard.press("h")
    page.wait_for_function("() => !location.search.includes('view')")
    page.locator("#back").click()
    page.wait_for_function("() => location.search === '?like=1'")


def test_the_map_leads_to_pictures(visit: Open) -> None:
    page = visit("/map")
    page.wait_for_selector("[data-ready=yes]")
    page.wait_for_timeout(300)
    assert page.evaluate(
        """() => { const canvas = document.querySelector('#map');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value > 0); }"""
    )
    said, box = page.locator("#map-said").bounding_box(), page.locator("#map").bounding_box()
    assert box
    assert said
    assert said["y"] >= box["y"] + box["height"]  # below the pictures, not on them
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.97), (0.02, 0.97), (0.02, 0.02)]
    page.locator("#map").press("Shift")
    page.keyboard.down("Shift")
    for index, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + 1 + x * (box["width"] - 70), box["y"] + y * box["height"])
        if not index:
            page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    wait_for(page, "lasso=")
    assert len(ids(page)) == 13
    page.go_back()
    page.locator("#map").focus()
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.keyboard.press("Tab")
    page.locator(".islands a").first.focus()
    page.keyboard.press("Enter")
    wait_for(page, "group=")
    assert ids(page)


def test_copies_are_reviewed_and_only_a_plan_is_made(visit: Open, photos: Path) -> None:
    page = visit("/copies")
    page.wait_for_selector(".group")
    assert page.locator(".copy.goes").count() == 1
    other = page.locator(".copy.goes .what").inner_text()
    page.get_by_label(texts.TEXTS["pick"]).click()
    wait_for(page, "pick=")
    page.wait_for_function("name => document.querySelector('.copy:not(.goes) .what').textContent === name", arg=other)
    with page.expect_download() as download:
        page.get_by_role("link", name=texts.TEXTS["plan_csv"]).click()
    table = Path(download.value.path()).read_text(encoding="utf-8")
    assert f"keep,{photos}" in table.replace("\\", "/")
    with page.expect_download() as download:
        page.get_by_role("link", name=texts.TEXTS["plan_sh"]).click()
    assert Path(download.value.path()).read_bytes().startswith(b"#!/bin/sh")
    page.get_by_role("link", name=texts.TEXTS["leave"]).click()
    wait_for(page, "leave=")
    assert page.locator(".copy.goes").count() == 0
    assert len(list(photos.rglob("*.jpg"))) == 13


def test_captions_and_the_size_of_the_rows_are_remembered(visit: Open) -> None:
    page = visit()
    page.locator("#captions").check(force=True)
    page.locator("#rows").fill("300")
    page.reload()
    assert page.locator(".caption").first.evaluate("one => getComputedStyle(one).opacity") == "1"
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--row')") == "300px"


def test_a_server_that_is_gone_is_noticed(context: Callable[..., BrowserContext], address: str) -> None:
    page = context().new_page()
    page.clock.install()
    page.goto(address)
    page.evaluate("() => { window.fetch = async () => { throw new TypeError('gone'); }; }")
    page.clock.run_for(6000)
    page.wait_for_selector("#banner:visible")
    assert page.locator("#banner").inner_text() == texts.TEXTS["server_gone"]


@pytest.mark.parametrize("place", ["/", "/?like=1"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_while_a_page_loads_on_a_slow_machine(
    context: Callable[..., BrowserContext], address: str, place: str, width: int
) -> None:
    made = context(viewport={"width": width, "height": 800})
    page = made.new_page()
    made.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    page.goto(f"{address}{place}")
    page.wait_for_load_state("load")
    moved = page.evaluate(
        """() => new Promise((done) => { let sum = 0;
        new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.value; })
          .observe({ type: "layout-shift", buffered: true });
        setTimeout(() => done(sum), 300); })"""
    )
    assert moved < 0.02


def test_what_is_loaded_and_drawn_first_is_measured_by_a_benchmark(
    gallery: Gallery, browser: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARK.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # which the benchmark sets
    spec = importlib.util.spec_from_file_location("benchmark_page", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "_FRAMES", 20)
    benchmark.main(["--gallery", gallery.location, "--rounds", "1"], browser)
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index("{") :])
    assert found["pictures"] == len(gallery)
    assert found["first"]["kilobytes"] <= 100
    assert found["first"]["layout_shift"] < 0.02
    assert found["drop"]["painted_ms"] > 0
    assert {"ready_ms", "frame_p50_ms", "frame_p95_ms"} <= found["map"].keys()


PLACES = {
    "first": "/",
    "hits": "/?like=1&bad=4",
    "picture": "/pictures/2?like=1",
    "compare": "/pictures/2?like=1&view=compare",
    "copies": "/copies",
    "map": "/map",
    "collection": "/collection",
    "nothing": "/?where=width:%3E9000&where=label:town",
}
FIND_SERIOUS = """async (rules) => {
    const found = await axe.run({ resultTypes: ["violations"], ...(rules && { runOnly: rules }) });
    const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
    return serious.map((one) => [one.id, one.nodes[0].html]);
}"""


def test_every_view_is_accessible_and_fits_from_a_phone_to_a_large_screen(
    context: Callable[..., BrowserContext], address: str
) -> None:
    from axe_playwright_python.base import AXE_FILE_PATH

    OUTPUT.mkdir(parents=True, exist_ok=True)
    made = context(reduced_motion="reduce", bypass_csp=True)
    made.add_init_script(path=AXE_FILE_PATH)
    page = made.new_page()
    for name, place in PLACES.items():
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
        page.goto(address + place)
        page.wait_for_selector("main:not(:has([data-waiting]))")
        assert page.evaluate(FIND_SERIOUS, None) == [], name
        for width, height in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)
                page.screenshot(path=OUTPUT / f"{name}-{width}-{theme}.jpg", quality=90)
        assert page.evaluate(FIND_SERIOUS, ["color-contrast"]) == [], name  # in the dark theme


def test_one_command_draws_every_state_of_the_page(browser: Browser, tmp_path: Path) -> None:
    screenshots.main(["--only", "empty", "--themes", "dark", "--to", str(tmp_path)], browser)
    for width, height in SIZES.items():
        with Image.open(tmp_path / f"empty-{width}-dark.jpg") as picture:
            assert picture.size == (width, height)


def test_what_is_touched_is_large_enough(visit: Open) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for place in ("/?like=1*2&bad=4&where=label:lake", "/pictures/2?like=1", "/collection"):
        page = visit(place, **phone)
        page.wait_for_selector("main:not(:has([data-waiting]))")
        assert page.evaluate(FIND_SMALL) == [], place


FIND_SMALL = """() => [...document.querySelectorAll("main :is(a[href], button, summary), .tool, .sections a")]
    .filter((one) => !one.matches(".hit") && getComputedStyle(one).visibility !== "hidden")
    .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
    .filter(([, box]) => box.width > 1 && (box.width < 39.5 || box.height < 39.5))
    .map(([html]) => html)"""


def test_the_focus_stays_where_a_keyboard_is_used(visit: Open) -> None:
    page = visit("/?like=1")
    page.keyboard.press("Tab")
    page.locator("[name=mix]").focus()
    for mix in (10, 20):
        page.keyboard.press("ArrowRight")
        wait_for(page, f"mix={mix}")
        page.wait_for_function("() => document.activeElement.name === 'mix'")
    page.locator(".hit").nth(2).focus()
    page.keyboard.press("-")
    wait_for(page, "bad=")
    page.wait_for_function("() => document.activeElement === document.querySelectorAll('.hit')[2]")
    assert page.locator(".tile .caption").nth(2).evaluate("one => getComputedStyle(one).opacity") == "1"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement === document.querySelectorAll('.hit')[0]")


def test_hits_are_marked_by_touch_in_the_large_view(visit: Open) -> None:
    page = visit("/?like=1", has_touch=True, viewport={"width": 390, "height": 844})
    second = ids(page)[1]
    page.locator(".open").nth(1).tap()
    page.get_by_role("link", name=texts.TEXTS["subtract"], exact=True).tap()
    wait_for(page, f"bad={second}")
    assert second not in ids(page)


def test_copies_are_moved_and_brought_back_by_the_keyboard_alone_and_without_a_script(
    visit: Open, photos: Path
) -> None:
    page = visit("/copies", java_script_enabled=False)
    reload_until_found(page)
    page.locator(".sure summary").focus()
    page.keyboard.press("Enter")
    assert str(photos.parent) in page.locator(".sure form").inner_text()
    page.get_by_role("button", name=texts.TEXTS["move_go"]).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".blank h1")
    assert len(list(photos.rglob("*.jpg"))) == 12
    page.get_by_role("button", name=texts.TEXTS["undo"]).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/copies/undo")
    assert page.locator("h1").inner_text() == texts.TEXTS["back_done"].format(count=texts.count_pictures(1))
    assert len(list(photos.rglob("*.jpg"))) == 13


def test_pictures_that_are_no_copies_are_remembered(visit: Open) -> None:
    page = visit("/copies")
    page.wait_for_selector(".group")
    group = page.locator(".group", has=page.locator(".copy.goes"))
    group.get_by_role("button", name=texts.TEXTS["distinct"]).click()
    page.wait_for_selector("main:not(:has([data-waiting]))")
    assert page.locator(".copy.goes").count() == 0
