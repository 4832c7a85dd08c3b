from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.web.thumbnails import Thumbnails
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

    from lookalike import Gallery
    from lookalike.web.served_gallery import ServedGallery

DIGEST = bytes(range(32))
JPEG = b"\xff\xd8 a picture \xff\xd9"


def test_a_thumbnail_is_a_jpeg_of_ours_whatever_the_file(api: TestClient, gallery: Gallery, photos: Path) -> None:
    big = make_picture(70, (900, 450))
    big.save(photos / "big.png", exif=b"Exif\0\0secret", dpi=(300, 300))
    gallery.index()
    (id_,) = gallery.select(["name:big.png"]).tolist()
    for size, expected in (("small", (400, 200)), ("large", (900, 450))):
        answer = api.get(f"/api/v1/images/{id_}/thumbnail", params={"size": size})
        assert answer.headers["content-type"] == "image/jpeg"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, image.size) == ("JPEG", expected)
        assert b"secret" not in answer.content
        assert answer.content == api.get(f"/thumbnails/{id_}/{size}").content


def test_a_thumbnail_that_a_client_has_is_not_sent_again(api: TestClient) -> None:
    first = api.get("/thumbnails/2/small?v=1")
    assert "immutable" in first.headers["cache-control"]
    again = api.get("/thumbnails/2/small", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.get("/thumbnails/2/small", headers={"if-none-match": '"other"'}).status_code == 200


def test_no_range_of_a_thumbnail_is_served(api: TestClient) -> None:
    answer = api.get("/thumbnails/2/small", headers={"range": "bytes=0-1,2-3"})
    assert answer.status_code == 200


def test_a_picture_whose_file_has_gone_or_changed_says_so(api: TestClient, gallery: Gallery, photos: Path) -> None:
    for seed in (71, 72):
        make_picture(seed).save(photos / f"{seed}.png")
    gallery.index()
    gone, changed = (gallery.select([f"name:{seed}.png"]).tolist()[0] for seed in (71, 72))
    (photos / "71.png").unlink()
    make_picture(73, (90, 30)).save(photos / "72.png")
    answer = api.get(f"/thumbnails/{gone}/small")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "gone")
    new = api.get(f"/thumbnails/{changed}/small?v=1")
    assert Image.open(io.BytesIO(new.content)).size == (90, 30)
    assert "immutable" not in new.headers["cache-control"]
    (photos / "72.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert api.get(f"/thumbnails/{changed}/small").status_code == 422
    gallery.index()


def test_a_file_that_became_a_link_to_elsewhere_is_not_shown(
    api: TestClient, gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    make_picture(74).save(photos / "74.png")
    gallery.index()
    (id_,) = gallery.select(["name:74.png"]).tolist()
    make_picture(75).save(tmp_path / "private.png")
    (photos / "74.png").unlink()
    (photos / "74.png").symlink_to(tmp_path / "private.png")
    assert api.get(f"/thumbnails/{id_}/small").status_code == 403
    (photos / "74.png").unlink()
    gallery.index()


def test_thumbnails_are_kept_by_content_and_never_shown_damaged(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path)
    assert kept.find(DIGEST, 400) is None
    kept.keep(DIGEST, 400, JPEG)
    assert kept.find(DIGEST, 400) == JPEG
    assert kept.find(DIGEST, 1600) is None
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(JPEG[:-2])
    assert kept.find(DIGEST, 400) is None


def test_the_thumbnails_used_last_are_kept_below_the_limit(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path, most_bytes=10 * len(JPEG))
    for number in range(20):
        digest = bytes([number]) * 32
        kept.keep(digest, 400, JPEG)
        os.utime(kept._path(digest, 400), (1000 + number, 1000 + number))
    kept.clean_up()
    found = [number for number in range(20) if kept.find(bytes([number]) * 32, 400)]
    assert found == list(range(12, 20))


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Thumbnails(tmp_path / "file" / "cache")
    kept.keep(DIGEST, 400, JPEG)
    assert kept.find(DIGEST, 400) is None


def test_a_thumbnail_is_drawn_once(served: ServedGallery, gallery: Gallery) -> None:
    id_ = int(gallery.select()[0])
    first = served.thumbnail(id_, "small")
    digest = gallery.store.get([id_])[id_].digest
    assert digest is not None
    assert served.thumbnails.find(digest, 400) == first.data
