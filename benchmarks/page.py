"""What a person waits for on the page of `lookalike serve`, in Chromium, driven by Playwright.

    python benchmarks/page.py --gallery GALLERY [--write FILE.json] [--rounds 5] [PART...]

The parts: `first` (the first page: what it loads besides pictures, how much moves meanwhile), `drop` (from a dropped
picture until the first eight hits are painted), `map` (from the address until the map is drawn, once it is computed,
and the time between two frames while it is moved). All of them by default. A gallery of 10^5 made-up pictures:

    python benchmarks/serving.py --make 100000 --gallery GALLERY

Needs `pip install playwright` and a Chromium (`chromium`, `chromium-browser` or `google-chrome`).
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import write_figures
from playwright.sync_api import sync_playwright
from serving import make_uploads, served

from lookalike import Gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_HITS = 8  # of which a first row or two consist
_FRAMES = 120
_PATIENCE = 600_000  # milliseconds in which a map of 10^5 pictures can be computed

_DROP = """async ([text, count]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "mine.jpg", { type: "image/jpeg" }));
    const old = document.querySelector("main");
    const began = performance.now();
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    const frame = () => new Promise(requestAnimationFrame);
    const isThere = () => {
        const images = [...document.querySelectorAll("#hits > .tile img")].slice(0, count);
        return document.querySelector("main") !== old && images.length && images.every((one) => one.naturalWidth);
    };
    while (!isThere()) await frame();
    await frame();  // that paints them
    await frame();
    return performance.now() - began;
}"""

_SHIFT = """() => new Promise((done) => {
    let sum = 0;
    const add = (list) => { for (const one of list.getEntries()) sum += one.value; };
    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 500);
})"""

_DRAWN = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    while (!document.querySelector("[data-ready=yes]")) await frame();
    await frame();
    await frame();
    return performance.now();  // since the address was gone to
}"""

_MOVE = """async (count) => {
    const canvas = document.querySelector("#map");
    const frame = () => new Promise(requestAnimationFrame);
    const found = [];
    let last = await frame();
    for (let number = 0; number < count; number++) {
        const key = number % 40 < 20 ? "ArrowLeft" : "ArrowRight";
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
        const now = await frame();
        found.push(now - last);
        last = now;
    }
    return found;
}"""


def measure_first(browser: Browser, address: str, rounds: int) -> dict[str, Any]:
    """The first page with an empty cache: its bytes besides pictures, when it was painted, and how much moved."""
    found = [_measure_load(browser, address) for _ in range(rounds)]
    return {name: round(statistics.median(one[name] for one in found), 4) for name in found[0]}


def _measure_load(browser: Browser, address: str) -> dict[str, float]:
    page = _open(browser)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    kinds: dict[str, str] = {}
    sizes: dict[str, float] = {}
    network.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    page.goto(address, wait_until="load")
    shift = page.evaluate(_SHIFT)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    pictures = {one for one, kind in kinds.items() if kind == "Image"}
    page.context.close()
    kilobytes = sum(size for one, size in sizes.items() if one not in pictures) / 1000
    return {"kilobytes": kilobytes, "painted_ms": painted, "layout_shift": shift}


def measure_drop(browser: Browser, address: str, rounds: int, uploads: Sequence[bytes]) -> dict[str, Any]:
    """From a dropped picture to its first hits on the screen, each picture for the first time."""
    page = _open(browser)
    page.goto(address, wait_until="load")
    times = [page.evaluate(_DROP, [base64.b64encode(one).decode(), _HITS]) for one in uploads[:rounds]]
    page.context.close()
    return {
        "hits": _HITS,
        "painted_ms": round(statistics.median(times), 1),
        "each_ms": [round(one, 1) for one in times],
    }


def measure_map(browser: Browser, address: str, rounds: int) -> dict[str, Any]:
    """The map once it is computed: until it is drawn, and the time from frame to frame while it moves."""
    page = _open(browser)
    page.goto(f"{address}map")
    page.wait_for_selector("[data-ready=yes]", timeout=_PATIENCE)
    ready = []
    for _ in range(rounds):
        page.goto(f"{address}map")
        ready.append(page.evaluate(_DRAWN))
    page.wait_for_timeout(2000)  # until the thumbnails are there
    frames = sorted(page.evaluate(_MOVE, _FRAMES))
    page.context.close()
    return {
        "ready_ms": round(statistics.median(ready), 1),
        "frame_p50_ms": round(statistics.median(frames), 1),
        "frame_p95_ms": round(frames[int(0.95 * len(frames))], 1),
        "frame_most_ms": round(frames[-1], 1),
    }


def _open(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    return context.new_page()


def measure(gallery: Path, parts: Sequence[str], rounds: int, browser: Browser | None = None) -> dict[str, Any]:
    """The figures of some parts, of a server of its own for one gallery. browser: one that runs already."""
    with Gallery.open(gallery) as opened:
        pictures, uploads = len(opened), make_uploads(opened, min(rounds, len(opened)))
    measures: dict[str, Callable[[Browser, str], dict[str, Any]]] = {
        "first": lambda browser, address: measure_first(browser, address, rounds),
        "drop": lambda browser, address: measure_drop(browser, address, rounds, uploads),
        "map": lambda browser, address: measure_map(browser, address, rounds),
    }
    with contextlib.ExitStack() as stack:
        browser = browser or stack.enter_context(_launch())
        address = f"http://127.0.0.1:{stack.enter_context(served(gallery)).port}/"
        figures: dict[str, Any] = {"pictures": pictures, "chromium": browser.version}
        return figures | {part: measures[part](browser, address) for part in parts or measures}


@contextlib.contextmanager
def _launch() -> Iterator[Browser]:
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def main(arguments: Sequence[str] | None = None, browser: Browser | None = None) -> None:
    """Measure what the arguments ask for. browser: one that runs already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], "first", "drop", "map"], metavar="PART")
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        figures = measure(given.gallery, given.parts, given.rounds, browser)
    write_figures(given.write, __file__, {"load_before": round(load, 2), **figures})


if __name__ == "__main__":
    main()
