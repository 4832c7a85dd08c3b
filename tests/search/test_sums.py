"""Queries of several pictures and texts, pages, diverse hits and the least similar ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, Query
from lookalike.errors import UnreadableImage, UsageError
from tests.conftest import make_picture
from tests.pairs import paint, write_pair

if TYPE_CHECKING:
    from pathlib import Path


def paths(hits: Any) -> list[str]:
    return [hit.path.name for hit in hits]


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sums")
    paint(folder / "painted")
    with Gallery.open(folder / "gallery", encoder=write_pair(folder / "pair"), create=True) as gallery:
        gallery.index(folder / "painted")
        yield gallery


def test_more_than_one_picture_finds_what_is_like_both(gallery: Gallery, photos: Path) -> None:
    one, two = photos / "001.jpg", photos / "002.jpg"
    both = gallery.search(Query.picture(one) + Query.picture(two), 100)
    assert len(both) == len(gallery) - 2
    assert not {one, two} & {hit.path for hit in both}
    assert paths(gallery.search(1e6 * Query.picture(one) + Query.picture(two), 3, include_self=True))[0] == one.name


def test_what_is_not_wanted_moves_away(gallery: Gallery, photos: Path) -> None:
    wanted, unwanted = Query.picture(photos / "001.jpg"), Query.picture(photos / "002.jpg")
    before = {hit.path: hit.rank for hit in gallery.search(wanted, 100)}
    for query in (wanted - unwanted, wanted - 3 * unwanted, 0.1 * wanted - 0.1 * unwanted):
        after = {hit.path: hit.rank for hit in gallery.search(query, 100, include_self=True)}
        assert after[photos / "002.jpg"] > before[photos / "002.jpg"]
        assert after[photos / "001.jpg"] == 1


@pytest.mark.parametrize("weights", [(-1, -1), (0, 0), (-1, 0)])
def test_a_query_must_want_something(gallery: Gallery, photos: Path, weights: tuple[float, float]) -> None:
    query = weights[0] * Query.picture(photos / "001.jpg") + weights[1] * Query.picture(photos / "002.jpg")
    with pytest.raises(UsageError, match="needs something to look for"):
        gallery.search(query)


def test_an_error_names_the_part_of_a_sum(gallery: Gallery, photos: Path) -> None:
    fine = Query.picture(photos / "001.jpg")
    with pytest.raises(UnreadableImage, match=r"part 2 of the query: .*missing\.jpg: no such file"):
        gallery.search(fine + Query.picture("missing.jpg"))
    with pytest.raises(UsageError, match="part 3 of the query: no picture in the gallery has the id 99"):
        gallery.search(fine + fine - Query.stored(99))
    with pytest.raises(UnreadableImage, match="part 2 of the query: an array"):
        gallery.search(fine + Query.picture(np.zeros((3, 3), np.float32)))


def test_the_content_of_a_file_is_a_query(gallery: Gallery, photos: Path) -> None:
    data = (photos / "004.jpg").read_bytes()
    hits = gallery.search(Query.content(data, "upload"), 2)
    assert hits[0].path == photos / "004.jpg"
    assert hits[0].distance == pytest.approx(0, abs=1e-6)
    assert hits.to_dict()["query"] == {"picture": {"name": "upload"}}
    with pytest.raises(UnreadableImage, match="upload: "):
        gallery.search(Query.content(b"nonsense", "upload"))


def test_a_text_goes_with_pictures(painted: Gallery) -> None:
    ids = {record.path.rpartition(b"/")[2].decode(): record.id for record in painted.pictures()}
    red = Query.stored(next(id_ for name, id_ in sorted(ids.items()) if name.startswith("red")))
    both = painted.search(red + Query.text("blue"), 100)
    assert {name.partition("-")[0] for name in paths(both)[:2]} <= {"red", "blue", "white"}
    assert red.to_dict()["id"] not in [hit.id for hit in both]
    more = paths(painted.search(red + 20 * Query.text("blue"), 3))
    assert all(name.startswith("blue") for name in more)
    less = paths(painted.search(Query.text("blue") + Query.text("red") - 2 * red, 3))
    assert all(name.startswith("blue") for name in less)
    assert min(hit.distance for hit in painted.search(Query.text("blue") - Query.text("red"), 100)) >= 0
    assert [hit.distance for hit in both] == sorted(hit.distance for hit in both)
    with pytest.raises(UsageError, match="diffusion"):
        painted.search(red + Query.text("blue"), order="diffusion")


def test_a_text_a_picture_and_a_colour_go_together(painted: Gallery) -> None:
    query = Query.stored(1) + Query.text("blue") + Query.color("blue")
    assert len(painted.search(query, 5)) == 5
    assert painted.search(Query.text("red") + Query.color("red"), 2)


def test_pages_follow_each_other(gallery: Gallery, photos: Path) -> None:
    query = photos / "000.jpg"
    for options in ({}, {"unique": True}, {"diverse": 0.5}, {"least": True}, {"least": True, "unique": True}):
        whole = gallery.search(query, 9, **options)
        pages = [gallery.search(query, 3, offset=offset, **options) for offset in (0, 3, 6)]
        assert [hit.to_dict() for page in pages for hit in page] == [hit.to_dict() for hit in whole]
        assert "offset" not in pages[0].to_dict()
        assert pages[1].to_dict()["offset"] == 3
    assert not gallery.search(query, 3, offset=10_000)


@pytest.mark.parametrize("offset", [-1, 1.5, "3", True, None])
def test_an_offset_is_a_whole_number(gallery: Gallery, photos: Path, offset: Any) -> None:
    with pytest.raises(UsageError, match="offset"):
        gallery.search(photos / "000.jpg", offset=offset)


def test_the_least_similar_come_farthest_first(gallery: Gallery, photos: Path) -> None:
    query = photos / "000.jpg"
    all_ = gallery.search(query, 100)
    least = gallery.search(query, 4, least=True)
    assert [hit.path for hit in least] == [hit.path for hit in reversed(all_)][:4]
    assert [hit.rank for hit in least] == [1, 2, 3, 4]
    assert least.nothing_good is None
    filtered = gallery.search(query, 2, least=True, where=["-name:" + least[0].path.name])
    assert filtered[0].path == least[1].path
    with pytest.raises(UsageError, match="cannot be combined"):
        gallery.search(query, least=True, diverse=0.5)


def test_diverse_hits_differ_from_each_other(painted: Gallery) -> None:
    query = Query.stored(1)
    plain = painted.search(query, 5, include_self=True)
    diverse = painted.search(query, 5, include_self=True, diverse=0.9)
    assert diverse[0].id == plain[0].id
    colours = [{hit.path.name.partition("-")[0] for hit in hits} for hits in (plain, diverse)]
    assert len(colours[1]) > len(colours[0])
    assert paths(painted.search(query, 5, diverse=0)) == paths(painted.search(query, 5))
    assert paths(painted.search(query, 5, diverse=True)) == paths(painted.search(query, 5, diverse=0.5))
    assert len({hit.id for hit in painted.search(query, 100, diverse=1.0)}) == len(painted) - 1


@pytest.mark.parametrize("strength", [-0.1, 1.1, "0.5", float("nan"), None])
def test_the_strength_of_diverse_is_a_share(gallery: Gallery, photos: Path, strength: Any) -> None:
    with pytest.raises(UsageError, match="strength"):
        gallery.search(photos / "000.jpg", diverse=strength)


@pytest.mark.parametrize("encoder", ["histogram", "hybrid:efficientnet-lite0-int8=0.5+histogram=0.5"])
def test_a_picture_twice_is_that_picture(photos: Path, encoder: str) -> None:
    outside = make_picture(77)
    with Gallery.open("memory:", encoder=encoder, create=True) as gallery:
        gallery.index(photos)
        for weights in (None, {"histogram": 0.9}) if "hybrid" in encoder else (None,):
            for query in (Query.picture(outside), Query.picture(photos / "003.jpg")):
                once = gallery.search(query, 5, weights=weights)
                twice = gallery.search(query + query, 5, weights=weights)
                assert [hit.id for hit in twice] == [hit.id for hit in once]
                assert [hit.distance for hit in twice] == pytest.approx([hit.distance for hit in once], abs=1e-5)


def test_sums_of_pictures_are_explained_and_nothing_else_is(painted: Gallery) -> None:
    both = Query.stored(1) + Query.stored(9)
    explained = painted.explain(both, Query.stored(2))
    hits = painted.search(both, 100)
    assert explained.distance == pytest.approx(next(hit.distance for hit in hits if hit.id == 2), abs=1e-6)
    for query in (Query.stored(1) + Query.text("red"), Query.color("red"), Query.stored(1) + Query.color("red")):
        with pytest.raises(UsageError, match="only pictures"):
            painted.explain(query, Query.stored(2))
