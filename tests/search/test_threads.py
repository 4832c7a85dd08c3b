"""A gallery that many threads search at once, while another process indexes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions, Query
from lookalike.encoders.histogram import HistogramEncoder
from lookalike.encoders.hybrid import HybridEncoder
from lookalike.encoders.threads import guard
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

THREADS = 8
ONE = IndexOptions(workers=1)


def queries(photos: Path) -> list[Any]:
    return [
        photos / "003.jpg",
        make_picture(77),
        Query.stored(5),
        2 * Query.picture(photos / "001.jpg") - Query.stored(2),
    ]


def test_eight_threads_find_what_one_finds(gallery: Gallery, photos: Path) -> None:
    wanted = [list(gallery.search(query, 5)) for query in queries(photos)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda _: [list(gallery.search(query, 5)) for query in queries(photos)], range(4 * THREADS))
        assert all(each == wanted for each in found)


def test_a_gallery_is_searched_under_asyncio(gallery: Gallery, photos: Path) -> None:
    async def search_all() -> list[list[Any]]:
        searches = (asyncio.to_thread(gallery.search, photos / f"{n:03}.jpg", 3) for n in range(12))
        return [list(hits) for hits in await asyncio.gather(*searches)]

    assert asyncio.run(search_all()) == [list(gallery.search(photos / f"{n:03}.jpg", 3)) for n in range(12)]


def test_a_gallery_is_searched_by_a_threading_server(gallery: Gallery, photos: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(gallery.search(Query.from_dict(fields, paths=True), 3).to_dict()).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"

        def ask(query: Query) -> Any:
            asked = urllib.request.Request(address, json.dumps(query.to_dict()).encode())
            with urllib.request.urlopen(asked) as answer:
                return json.load(answer)

        asked = [Query.picture(photos / f"{n:03}.jpg") for n in range(12)]
        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(ask, asked)) == [gallery.search(query, 3).to_dict() for query in asked]
        server.shutdown()


def test_every_answer_is_of_a_whole_generation_while_another_process_indexes(
    gallery: Gallery, photos: Path, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    more = make_photos(40, "more", first=100)
    code = (
        "import sys; from lookalike import Gallery, IndexOptions\n"
        "with Gallery.open(sys.argv[1]) as gallery:\n"
        "    gallery.index(sys.argv[2], options=IndexOptions(workers=1, batch_size=20))\n"
        "    gallery.remove(sys.argv[2])\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, gallery.location, str(more)])
    is_done = threading.Event()

    def search() -> set[int]:
        sizes = set()
        while not is_done.is_set():
            hits = gallery.search(photos / "003.jpg", 99)
            sizes.add(len(hits))
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            assert len({hit.path for hit in hits}) == len(hits)
        return sizes

    with ThreadPoolExecutor(THREADS) as pool:
        searches = [pool.submit(search) for _ in range(THREADS)]
        assert writer.wait(120) == 0
        is_done.set()
        sizes = set().union(*(each.result() for each in searches))
    assert sizes <= {11, 31, 51}  # whole batches
    assert len(gallery.search(photos / "003.jpg", 99)) == 11


class Careless(TilesEncoder):
    """An encoder that notices when it is called by two threads at once."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = threading.Lock()

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert self._busy.acquire(blocking=False), "two threads at once"
        try:
            threading.Event().wait(0.002)
            return super().encode(images)
        finally:
            self._busy.release()


@pytest.mark.parametrize("is_part", [False, True])
def test_an_encoder_that_is_not_safe_is_called_by_one_thread_at_a_time(*, is_part: bool) -> None:
    encoder = guard(HybridEncoder([Careless(), HistogramEncoder()], [1, 1]) if is_part else Careless())
    size = encoder.view.size
    images = np.zeros((1, size, size, 3), np.uint8)
    with ThreadPoolExecutor(THREADS) as pool:
        rows = list(pool.map(lambda _: encoder.encode(images), range(4 * THREADS)))
    assert all((row == rows[0]).all() for row in rows)


def test_an_encoder_that_is_safe_is_not_held_up() -> None:
    encoder = HistogramEncoder()
    assert guard(encoder) is encoder


def test_an_encoder_is_loaded_once(gallery: Gallery) -> None:
    with Gallery.open(gallery.location) as again, ThreadPoolExecutor(THREADS) as pool:
        assert len({id(encoder) for encoder in pool.map(lambda _: again.encoder, range(THREADS))}) == 1


def test_no_transaction_is_open_while_a_picture_is_encoded(gallery: Gallery, photos: Path) -> None:
    met = []

    class Watching(HistogramEncoder):
        def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            with Gallery.open(gallery.location) as other, other.store.writing():
                other.store.set_projection(None)
            met.append(gallery.store.generation)
            return super().encode(images)

    with Gallery(gallery.store, Watching()) as watched:
        before = gallery.store.generation
        watched.search(make_picture(77), 3, where=["format:jpeg"])
        assert met == [before + 1]
