from __future__ import annotations

import io
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from lookalike import Gallery, IndexOptions
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.server import configure
from lookalike.web.settings import Settings
from tests.conftest import make_picture
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., TestClient]

HOST = "http://127.0.0.1:8765"


def make_upload(seed: int = 0, size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    """A picture as the bytes of its file; the same seed and size as in `make_photos` give the same pixels."""
    buffer = io.BytesIO()
    make_picture(seed, size).save(buffer, kind)
    return buffer.getvalue()


def make_folder(home: Path, count: int) -> Path:
    """The folder `photos` with small JPEGs, 000.jpg and so on."""
    folder = home / "photos"
    folder.mkdir()
    for seed in range(count):
        make_picture(seed).save(folder / f"{seed:03}.jpg", quality=90)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pictures, which all tests of a module share."""
    return make_folder(tmp_path_factory.mktemp("home"), 12)


@pytest.fixture(scope="module")
def gallery(photos: Path) -> Iterator[Gallery]:
    """A gallery of `photos`, which all tests of a module share."""
    with Gallery.open(photos.parent / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        yield gallery


@pytest.fixture(scope="module")
def served(gallery: Gallery, photos: Path) -> Iterator[ServedGallery]:
    """The served of the gallery, ready."""
    served = ServedGallery(gallery, cache=photos.parent / "thumbnails")
    served.start()
    served.settle()
    assert served.is_ready
    yield served
    served.close()


@pytest.fixture(scope="module")
def serve(served: ServedGallery) -> Serve:
    """A client of the application in this process, as a browser or a program on this machine or another one."""

    def make(settings: Settings | None = None, client: str = "127.0.0.1", base: str = HOST) -> TestClient:
        app: Any = create_app(served, settings or Settings())
        return TestClient(app, base, client=(client, 50_000), raise_server_exceptions=False, follow_redirects=False)

    return make


@pytest.fixture(scope="module")
def api(serve: Serve) -> TestClient:
    """A program on this machine."""
    return serve()


@pytest.fixture(scope="module")
def browser(serve: Serve) -> TestClient:
    """A browser on this machine."""
    client = serve()
    client.headers["accept"] = "text/html"
    return client


@pytest.fixture(scope="module")
def port(served: ServedGallery) -> Iterator[int]:
    """The port of a real server in a thread of this process."""
    server = uvicorn.Server(configure(served, Settings()))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        wait_for(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()
