"""Searching with a part of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from lookalike import Query
from lookalike.errors import UsageError
from lookalike.images.crop import read_crop
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike import Gallery


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        ("10,20,30,40", (10, 20, 40, 60)),
        ("10%,10%,50%,50%", (20, 10, 120, 60)),
        ("0,50%,100%,50%", (0, 50, 200, 100)),
        ((0, 0, 200, 100), (0, 0, 200, 100)),
        ("0,0,0.1%,0.1%", (0, 0, 1, 1)),
        ("66.6%,0,33.4%,100%", (133, 0, 200, 100)),
        ("199,99,1,1", (199, 99, 200, 100)),
    ],
)
def test_a_part_is_given_in_pixels_or_percent(crop: Any, box: tuple[int, int, int, int]) -> None:
    assert read_crop(crop).find_box((200, 100)) == box


@pytest.mark.parametrize("crop", ["150,0,60,10", "0,60%,10,50%", "200,0,1,1", "0,0,101%,1"])
def test_a_part_outside_the_picture_is_an_error_that_names_its_size(crop: str) -> None:
    with pytest.raises(UsageError, match="200 x 100 pixels"):
        read_crop(crop).find_box((200, 100))


@pytest.mark.parametrize(
    "crop", ["", "1,2,3", "1,2,3,x", "-1,0,5,5", "0,0,0,5", "nan,0,1,1", "0,0,inf,1", 5, "1,2,3,4,5"]
)
def test_what_is_not_a_part_is_refused(crop: Any) -> None:
    with pytest.raises(UsageError):
        Query.picture("a.jpg", crop=crop)


def test_a_part_finds_the_picture_that_is_like_it(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    sheet = Image.new("RGB", (200, 100), "white")
    sheet.paste(make_picture(3).resize((64, 48)), (100, 20))
    sheet.save(tmp_path / "sheet.png")
    query = Query.picture(tmp_path / "sheet.png", crop="100,20,64,48")
    assert gallery.search(query, 1)[0].path == photos / "003.jpg"
    assert gallery.search(query, 1).image.size == (64, 48)
    with pytest.raises(UsageError, match=r"sheet\.png: .*200 x 100"):
        gallery.search(Query.picture(tmp_path / "sheet.png", crop="0,0,201,1"))


def test_a_part_of_a_picture_in_the_gallery_is_not_its_own_hit(gallery: Gallery, photos: Path) -> None:
    id_ = next(record.id for record in gallery.pictures() if record.path.endswith(b"003.jpg"))
    for query in (Query.stored(id_, crop="0,0,50%,50%"), Query.picture(photos / "003.jpg", crop="0,0,50%,50%")):
        hits = gallery.search(query, 100)
        assert len(hits) == len(gallery) - 1
        assert id_ not in [hit.id for hit in hits]
        assert hits.to_dict()["query"]["crop"] == "0,0,50%,50%"
    assert Query.from_dict({"id": id_, "crop": "0,0,50%,50%"}).to_dict() == {"id": id_, "crop": "0,0,50%,50%"}
