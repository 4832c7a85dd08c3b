"""Pictures of every view and state of the page, to be looked at.

    python -m tests.web.screenshots [--gallery GALLERY] [--to output/page] [--only NAME,NAME] [--themes light,dark]
    python -m tests.web.screenshots --docs --gallery demo/gallery-* --to docs/images    after `lookalike demo`

Each view is drawn on a phone, a small and a large screen, in light and dark; some at 360 and 3,840 pixels as well.
GALLERY is a collection of your own, which is only looked at; without one, drawn scenes are shown. The states that a
collection is seldom in (empty, one picture, odd names, files that cannot be read, copies that are moved and brought
back) are of small collections that are made for the purpose. Needs Playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from lookalike import Gallery, IndexOptions
from tests.scenery import draw_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser, FilePayload, HttpCredentials, Page

    Theme = Literal["light", "dark"]

__all__ = ["CHROMIUM", "OUTPUT", "SIZES", "THEMES", "VIEWS", "WHO", "View", "launch", "main", "served", "take"]

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
OUTPUT = Path(__file__).parents[2] / "output" / "page"
SIZES = {390: 844, 1024: 768, 1920: 1080}
EXTREMES = {360: 740, 3840: 2160}
PHONE = 700  # pixels
WIDELY = {"first", "hits", "picture", "map", "copies"}
THEMES: tuple[Theme, ...] = ("light", "dark")
TOKEN = "a-token-for-the-tests"
WHO: HttpCredentials = {"username": "me", "password": TOKEN}
LONG = "a picture from the long walk around the lake on the last day of the summer holidays " * 2
GONE = "soon gone.jpg"
WRITABLE = {"odd", "empty-write"}
MARKUP = "<img src=x onerror=alert(1)> & <b>bold</b>.jpg"

_SERVE = """
import contextlib
import sys
from lookalike import Gallery
from lookalike.web.server import serve
from lookalike.web.settings import Settings
with contextlib.suppress(KeyboardInterrupt), Gallery.open(sys.argv[1]) as gallery:
    settings = Settings(port=0, allow_write=sys.argv[2] == "write", token=sys.argv[3])
    serve(gallery, settings, on_address=lambda address: print(address, flush=True))
"""


@dataclass(frozen=True, slots=True)
class View:
    """A state of the page: its address, the collection it is of, and what is done there before it is looked at.

    is_once: it comes only once, and is drawn on every screen then. settles: whether it is waited for.
    """

    place: str
    of: str = "main"
    act: Callable[[Page], object] | None = None
    is_once: bool = False
    settles: bool = True


def _press(*keys: str) -> Callable[[Page], object]:
    def act(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)

    return act


def _point(selector: str) -> Callable[[Page], object]:
    return lambda page: page.locator(selector).first.hover()


def _open_filter(page: Page) -> None:
    summary = page.locator(".facets summary").first
    if summary.evaluate("one => getComputedStyle(one).pointerEvents !== 'none'"):
        summary.click()


def _drag_box(page: Page) -> None:
    page.wait_for_selector("img.large.there")
    box = page.locator(".frame").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.7, steps=3)


def _draw_lasso(page: Page) -> None:
    page.locator("#lasso").click()
    box = page.locator("#map").bounding_box()
    assert box
    corners = [(0.3, 0.3), (0.6, 0.25), (0.7, 0.6), (0.4, 0.7)]
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if not number:
            page.mouse.down()


def _zoom(page: Page) -> None:
    page.locator("#map").focus()
    for _ in range(7):
        page.keyboard.press("+")
    page.wait_for_load_state("networkidle")


def _look_for_noise(page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    file: FilePayload = {"name": "noise.png", "mimeType": "image/png", "buffer": content.getvalue()}
    page.locator("header input[type=file]").set_input_files(file)
    page.wait_for_url("**dropped=**")


def _move_copies(page: Page) -> None:
    page.locator(".sure summary").click()
    page.get_by_role("button", name="Move them").click()
    page.wait_for_selector(".blank h1")


def _undo(page: Page) -> None:
    page.locator("form[action='/copies/undo'] button").first.click()
    page.wait_for_url("**/copies/undo")


def _show_captions(page: Page) -> None:
    page.evaluate("document.documentElement.classList.add('captions')")


def _lose_server(page: Page) -> None:
    page.evaluate("() => { window.fetch = async () => { throw new TypeError('gone'); }; }")
    page.wait_for_selector("#banner:visible", timeout=12_000)


VIEWS = {
    "waiting": View("/copies", is_once=True, settles=False),
    "first": View("/"),
    "first-scrolled": View("/", act=lambda page: page.mouse.wheel(0, 900)),
    "hits": View("/?like=1"),
    "hit-hovered": View("/?like=1", act=_point(".tile:nth-child(3)")),
    "hit-focused": View("/?like=1", act=_press("ArrowDown", "ArrowRight")),
    "several": View("/?like=1*2&like=9&like=5*-1&good=12&bad=14"),
    "part": View("/?like=1@25,25,50,50"),
    "colour": View("/?color=%23ff8800"),
    "words": View("/?text=stripes"),
    "unknown-word": View("/?text=stripe"),
    "filters": View("/", act=_open_filter),
    "filtered": View("/?like=1&where=size:<100kB"),
    "nothing-filtered": View("/?where=width:>9000&where=format:JPEG"),
    "nothing-good": View("/", act=_look_for_noise),
    "picture": View("/pictures/2"),
    "picture-among-hits": View("/pictures/9?like=1"),
    "picture-box": View("/pictures/2", act=_drag_box),
    "picture-mark": View("/pictures/2", act=_press("p")),
    "compare": View("/pictures/9?like=1&view=compare"),
    "heat": View("/pictures/9?like=1&view=heat", act=lambda page: page.wait_for_timeout(4000)),
    "map": View("/map", act=lambda page: page.wait_for_load_state("networkidle")),
    "map-zoomed": View("/map", act=_zoom),
    "map-lasso": View("/map", act=_draw_lasso),
    "map-list": View("/map", act=lambda page: page.locator(".islands").scroll_into_view_if_needed()),
    "map-group": View("/map", act=lambda page: page.locator(".islands a").first.click()),
    "copies": View("/copies"),
    "collection": View("/collection"),
    "keys": View("/", act=_press("?")),
    "captions": View("/?like=1", act=_show_captions),
    "not-found": View("/nothing"),
    "gone": View("/", act=_lose_server),
    "dragged": View("/", act=lambda page: page.evaluate("document.querySelector('#veil').hidden = false")),
    "odd-first": View("/", of="odd"),
    "odd-hits": View("/?like=1", of="odd"),
    "odd-captions": View("/?like=1", "odd", _show_captions),
    "odd-picture": View("/pictures/1", of="odd"),
    "odd-markup": View("/pictures/2", of="odd"),
    "odd-vanished": View("/pictures/3", of="odd"),
    "odd-collection": View("/collection", of="odd"),
    "odd-skipped": View("/collection", "odd", lambda page: page.locator("table").scroll_into_view_if_needed()),
    "odd-copies": View("/copies", of="odd"),
    "odd-copies-sure": View("/copies", of="odd", act=lambda page: page.locator(".sure summary").click()),
    "moved": View("/copies", of="odd", act=_move_copies, is_once=True),
    "undone": View("/copies", of="odd", act=_undo, is_once=True),
    "empty": View("/", of="empty"),
    "empty-write": View("/", of="empty-write"),
    "empty-map": View("/map", of="empty"),
    "empty-copies": View("/copies", of="empty"),
    "empty-collection": View("/collection", of="empty-write"),
    "one": View("/", of="one"),
    "one-hits": View("/?like=1", of="one"),
    "one-picture": View("/pictures/1", of="one"),
    "one-map": View("/map", of="one"),
    "one-copies": View("/copies", of="one"),
}


def make_scenes(folder: Path, count: int = 60) -> Path:
    """A folder of drawn scenes of several shapes in three folders, for who has no collection at hand."""
    for seed in range(count):
        home = folder / ("hills", "lakes", "towns")[seed % 3]
        home.mkdir(parents=True, exist_ok=True)
        draw_scene(seed, ((480, 320), (320, 480), (600, 250), (400, 400))[seed % 4]).save(home / f"{seed:03}.jpg")
    return folder


def make_odd(folder: Path) -> list[Path]:
    """Many folders of pictures: names that are long or made of markup, copies, files that cannot be read."""
    folders = [
        folder / f"{year} summer with a rather long name" / f"week {week}" for year in (2023, 2024) for week in range(6)
    ]
    for number, one in enumerate(folders):
        one.mkdir(parents=True)
        draw_scene(number, ((480, 320), (320, 480), (1200, 200), (200, 1200))[number % 4]).save(
            one / f"{number:03}.jpg"
        )
    draw_scene(50).save(folders[0] / f"{LONG[:200]}.jpg")
    draw_scene(51).save(folders[1] / MARKUP.replace("/", "_"))
    draw_scene(52).save(folders[2] / GONE)
    for number in range(3):
        shutil.copy(folders[0] / "000.jpg", folders[3 + number] / f"copy {number}.jpg")
    draw_scene(0, (240, 160)).save(folders[6] / "small.jpg", quality=60)
    for name in ("empty.jpg", f"{LONG[:150]}.png", "notes.jpg", "broken.gif"):
        (folders[7] / name).write_bytes(b"" if name == "empty.jpg" else b"this is not a picture at all")
    return folders


def make_gallery(location: Path, folders: Sequence[Path]) -> Path:
    """A gallery of some folders, which compares colours."""
    with Gallery.open(location, encoder="histogram", create=True) as gallery:
        for folder in folders:
            gallery.index(folder, options=IndexOptions(workers=1))
    return location


def make_one(folder: Path) -> Path:
    """A folder of one picture."""
    folder.mkdir()
    draw_scene(7).save(folder / "only.jpg")
    return folder


def find_gallery(name: str, home: Path, given: Path | None) -> Path:
    """The gallery that views are of, made in a folder unless it is the one that was given."""
    location = home / f"{name}.gallery"
    if name == "main":
        return given or make_gallery(location, [make_scenes(home / "scenes")])
    if name == "odd":
        make_gallery(location, make_odd(home / "odd"))
        next((home / "odd").rglob(GONE)).unlink()
        return location
    return make_gallery(location, [make_one(home / "one")] if name == "one" else [])


@contextlib.contextmanager
def served(gallery: Path | str, cache: Path, *, may_write: bool) -> Iterator[str]:
    """The address of a server of its own, whose searches run in one thread each, as `serve` has it."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", _SERVE, str(gallery), "write" if may_write else "", TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip().rstrip("/")
        finally:
            server.send_signal(signal.SIGINT)


def settle(page: Page, *, waits: bool = True) -> None:
    """Wait until what is computed is there, unless that is to be seen, and the pictures in sight are painted."""
    if waits:
        page.wait_for_selector("main:not(:has([data-waiting]))")
    if page.locator("[data-map]").count():
        page.wait_for_selector("[data-ready=yes]")
    page.evaluate(_PAINTED)


_PAINTED = """async () => {
    const isSeen = (one) => one.getBoundingClientRect().top < innerHeight && one.getBoundingClientRect().width;
    const missing = () => [...document.images].filter((one) => isSeen(one) && one.src && !one.complete);
    for (let tries = 0; missing().length && tries < 100; tries++) await new Promise((done) => setTimeout(done, 50));
    await new Promise((done) => setTimeout(done, 200));
}"""


def take(browser: Browser, address: str, name: str, view: View, to: Path, themes: Sequence[Theme] = THEMES) -> None:
    """Draw a view on every screen, in some themes; on phones with touch."""
    sizes = SIZES | (EXTREMES if name in WIDELY else {})
    groups = {False: sizes} if view.is_once else {is_phone: _choose(sizes, is_phone) for is_phone in (True, False)}
    for is_phone, some in groups.items():
        page = _open(browser, is_phone=is_phone)
        for index, (width, height) in enumerate(some.items()):
            page.set_viewport_size({"width": width, "height": height})
            if not index or not view.is_once:
                _go(page, address, view)
            for theme in themes:
                page.emulate_media(color_scheme=theme)
                page.evaluate(_PAINTED)
                page.screenshot(path=to / f"{name}-{width}-{theme}.jpg", quality=90)
        page.context.close()


def _choose(sizes: dict[int, int], is_phone: bool) -> dict[int, int]:
    return {width: height for width, height in sizes.items() if (width < PHONE) == is_phone}


def _open(browser: Browser, *, is_phone: bool) -> Page:
    kind: dict[str, Any] = {"has_touch": True, "is_mobile": True} if is_phone else {}
    context = browser.new_context(http_credentials=WHO, reduced_motion="reduce", **kind)
    context.set_default_timeout(600_000)  # in which copies among thousands of pictures are found
    return context.new_page()


def _go(page: Page, address: str, view: View) -> None:
    page.goto(address + view.place)
    settle(page, waits=view.settles)
    if view.act is not None:
        view.act(page)


def main(arguments: Sequence[str] | None = None, browser: Browser | None = None) -> None:
    """Draw the views that are asked for. browser: one that runs already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path)
    parser.add_argument("--to", type=Path, default=OUTPUT)
    parser.add_argument("--only", default=",".join(VIEWS))
    parser.add_argument("--themes", default=",".join(THEMES))
    parser.add_argument("--docs", action="store_true", help="the two of the documentation, of the demo's pictures")
    given = parser.parse_args(arguments)
    given.to.mkdir(parents=True, exist_ok=True)
    themes = [theme for theme in THEMES if theme in given.themes.split(",")]
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        browser = browser or stack.enter_context(launch())
        addresses: dict[str, str] = {}
        for name in given.only.split(","):
            of = VIEWS[name].of
            if of not in addresses:
                location = find_gallery(of, Path(home), given.gallery)
                addresses[of] = stack.enter_context(served(location, Path(home) / "cache", may_write=of in WRITABLE))
            if given.docs:
                draw_docs(browser, addresses[of], given.gallery, given.to)
                break
            take(browser, addresses[of], name, VIEWS[name], given.to, themes)


def draw_docs(browser: Browser, address: str, gallery: Path, to: Path) -> None:
    """Draw the two pictures of the documentation."""
    with Gallery.open(gallery) as opened:
        cat, cup = (opened.select([f"name:{name}"]).tolist()[0] for name in ("chelsea-12.jpg", "coffee-31.jpg"))
    context = browser.new_context(http_credentials=WHO, viewport={"width": 1180, "height": 640})
    page = context.new_page()
    hits = View(f"/?like={cat}&like={cup}", act=_point(".tile:nth-child(3)"))
    drawn: dict[str, tuple[View, Theme]] = {"page-first": (View("/"), "light"), "page-hits": (hits, "dark")}
    for name, (view, theme) in drawn.items():
        page.emulate_media(color_scheme=theme)
        _go(page, address, view)
        page.evaluate(_PAINTED)
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            picture.save(to / f"{name}.webp", quality=72, method=6)
    context.close()


@contextlib.contextmanager
def launch() -> Iterator[Browser]:
    """A Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
