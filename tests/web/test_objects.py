"""A gallery of pictures in an object store, served like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from lookalike import Gallery, IndexOptions
from lookalike.images import object_store
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import Settings
from tests.buckets import BUCKET, needs_s3, serve
from tests.web.conftest import HOST, make_upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.buckets import Bucket

pytestmark = needs_s3


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    object_store._open.cache_clear()
    with serve(monkeypatch) as bucket:
        for seed in range(4):
            bucket.put(f"all/{seed}.png", make_upload(seed))
        yield bucket


@pytest.fixture
def api(bucket: Bucket, tmp_path: Path) -> Iterator[TestClient]:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(f"s3://{BUCKET}/all", options=IndexOptions(workers=1))
        served = ServedGallery(gallery, cache=tmp_path / "thumbnails")
        served.start()
        served.settle()
        assert served.is_ready
        yield TestClient(
            create_app(served, Settings()), HOST, client=("127.0.0.1", 50_000), raise_server_exceptions=False
        )
        served.close()


def test_pictures_in_an_object_store_are_shown_and_searched_with(api: TestClient, bucket: Bucket) -> None:
    shown = api.get("/api/v1/images/1/thumbnail")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    part = api.post("/api/v1/search", json={"query": {"id": 1, "crop": "0%,0%,50%,50%"}, "k": 2})
    assert part.status_code == 200
    assert len(part.json()["hits"]) == 2
    bucket.delete("all/1.png")
    gone = next(one for one in api.get("/api/v1/images").json()["images"] if one["display"].endswith("1.png"))
    assert api.get(f"/api/v1/images/{gone['id']}/thumbnail").status_code == 410
