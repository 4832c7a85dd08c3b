"""Search by colour: alone, by the palette of a picture, beside likeness, and as a filter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, Query
from lookalike.errors import UsageError
from lookalike.images.colors import find_near, find_share
from lookalike.images.description import COLORS
from lookalike.search.color import count_undescribed
from lookalike.store.filter import Condition
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike.search.hits import Hits


PICTURES: dict[str, dict[str, float]] = {  # the share of each colour
    "red": {"#d01010": 1.0},
    "mostly red": {"#d01010": 0.7, "#1020c0": 0.3},
    "half": {"#d01010": 0.5, "#1020c0": 0.5},
    "blue": {"#1020c0": 1.0},
    "green": {"#208030": 1.0},
    "little red": {"#208030": 0.94, "#d01010": 0.06},
    "some red": {"#208030": 0.85, "#d01010": 0.15},
    "grey": {"#808080": 1.0},
    "purple": {"#800080": 1.0},
    "beige": {"#f5f5dc": 1.0},
}


def draw(parts: dict[str, float], size: int = 80) -> Image.Image:
    image, start = Image.new("RGB", (size, size)), 0
    for color, share in parts.items():
        end = start + round(share * size)
        image.paste(color, (0, start, size, end))
        start = end
    return image


@pytest.fixture(scope="module")
def photos(index_drawings: Callable[[dict[str, Image.Image]], Path]) -> Path:
    return index_drawings({name: draw(parts) for name, parts in PICTURES.items()})


@pytest.fixture
def gallery(drawn_gallery: Gallery) -> Gallery:
    return drawn_gallery


def names(hits: Hits) -> list[str]:
    return [hit.path.stem for hit in hits]


def test_the_picture_with_most_of_a_colour_comes_first(gallery: Gallery) -> None:
    assert names(gallery.search(Query.color("red"), 4)) == ["red", "mostly red", "half", "some red"]
    assert names(gallery.search(Query.color("navy"), 1)) == ["blue"]


@pytest.mark.parametrize("name", ["purple", "beige", "green", "gray", "grey"])
def test_named_colours_find_their_pictures(gallery: Gallery, name: str) -> None:
    wanted = {"gray": "grey"}.get(name, name)
    assert names(gallery.search(Query.color(name), 1)) == [wanted]


def test_of_two_colours_the_picture_with_both_comes_first(gallery: Gallery) -> None:
    assert names(gallery.search(Query.color("#d01010", "#1020c0"), 2)) == ["half", "mostly red"]
    assert names(gallery.search(Query.color("#d01010:7", "#1020c0:3"), 1)) == ["mostly red"]


def test_a_sum_of_colours_is_the_query_with_all_of_them(gallery: Gallery) -> None:
    together = gallery.search(Query.color("#d01010:7", "#1020c0:3"), 10)
    added = gallery.search(0.7 * Query.color("#d01010") + 0.3 * Query.color("#1020c0"), 10)
    assert names(added) == names(together)
    assert [hit.distance for hit in added] == pytest.approx([hit.distance for hit in together])


def test_distances_lie_between_0_and_1_and_are_0_for_what_is_wanted(gallery: Gallery) -> None:
    for query in (Query.color("#d01010"), Query.color("#208030:2", "white"), Query.palette(draw({"#d01010": 1.0}))):
        assert all(0 <= hit.distance <= 1 for hit in gallery.search(query, 10))
    assert gallery.search(Query.color("#d01010"), 1)[0].distance < 0.1
    assert gallery.search(Query.palette(draw({"#d01010": 1.0})), 1)[0].distance < 1e-6


def test_a_palette_finds_pictures_with_the_same_colours(gallery: Gallery, photos: Path) -> None:
    image = draw(PICTURES["mostly red"]).rotate(90)
    assert names(gallery.search(Query.palette(image), 2)) == ["mostly red", "half"]
    assert names(gallery.search(Query.palette(np.asarray(image)), 2)) == ["mostly red", "half"]
    assert names(gallery.search(Query.palette(photos / "mostly red.png"), 1)) == ["half"]
    assert names(gallery.search(Query.palette(photos / "mostly red.png"), 1, include_self=True)) == ["mostly red"]


def test_the_palette_of_a_stored_picture_is_not_read_again(gallery: Gallery) -> None:
    (hit,) = gallery.search(Query.color("#d01010:7", "#1020c0:3"), 1)
    assert names(gallery.search(Query.palette(Query.stored(hit.id)), 1)) == ["half"]
    with pytest.raises(UsageError, match="no picture in the gallery has the id 999"):
        gallery.search(Query.palette(Query.stored(999)), 1)


def test_colours_and_likeness_are_weighed(gallery: Gallery, photos: Path) -> None:
    like, color = Query.picture(photos / "green.png"), Query.color("#d01010")
    by_likeness, by_color = gallery.search(like, 10), gallery.search(color, 10)
    color_of = {hit.id: hit.distance for hit in by_color}
    mixed = gallery.search(0.6 * like + 0.4 * color, 10)
    wanted = {hit.id: 0.6 * hit.distance + 0.4 * color_of[hit.id] for hit in by_likeness}
    assert {hit.id: pytest.approx(hit.distance, abs=1e-6) for hit in mixed} == wanted
    assert [hit.distance for hit in mixed] == sorted(hit.distance for hit in mixed)
    assert "green" not in names(mixed)
    assert names(gallery.search(0.01 * like + 0.99 * color, 1)) == ["red"]


def test_a_filter_by_colour_lets_pass_what_is_a_tenth_of_it_or_more(gallery: Gallery) -> None:
    found = {hit.path.stem for hit in gallery.search(Query.color("green"), 10, where=["color:#d01010"])}
    assert found == {"red", "mostly red", "half", "some red"}
    found = {hit.path.stem for hit in gallery.search(Query.color("green"), 10, where=["-color:#d01010", "name:*e*"])}
    assert found == {"blue", "green", "little red", "grey", "purple", "beige"}
    found = {hit.path.stem for hit in gallery.search(Query.color("green"), 10, where=["color:purple,#1020c0"])}
    assert found == {"purple", "blue", "half", "mostly red"}


def test_filters_hold_for_colours_and_for_mixed_queries(gallery: Gallery, photos: Path) -> None:
    for query in (Query.color("red"), Query.color("red") + Query.picture(photos / "half.png")):
        assert names(gallery.search(query, 10, where=["name:some*"])) == ["some red"]
        assert names(gallery.search(query, 10, where=["name:nothing"])) == []


def test_a_colour_that_no_picture_has_is_explained(gallery: Gallery) -> None:
    assert gallery.explain_filters(["color:orange"]) == [
        "no picture has color:orange: a tenth of it must be near the colour"
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Query.color("reed"), "'reed' is not a colour"),
        (lambda: Query.color(""), "'' is not a colour"),
        (lambda: Query.color("red:0"), "above 0"),
        (lambda: Query.color("red:-1"), "above 0"),
        (lambda: Query.color("red:x"), "above 0"),
        (lambda: Query.color("red:nan"), "above 0"),
        (Query.color, "no colour"),
        (lambda: Query.palette(Query.text("a boat")), "only a picture has a palette"),
        (lambda: Query.palette(Query.color("red")), "only a picture has a palette"),
    ],
)
def test_what_is_no_colour_is_named(make: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()  # type: ignore[operator]


def test_a_misspelt_colour_comes_with_what_was_meant() -> None:
    with pytest.raises(UsageError) as error:
        Query.color("turqoise")
    assert "turquoise" in error.value.hint


def test_what_cannot_be_combined_with_colours_is_refused(gallery: Gallery, photos: Path) -> None:
    picture = Query.picture(photos / "half.png")
    for query, options, said in [
        (picture - Query.color("red"), {}, "can only be added"),
        (Query.color("red"), {"order": "diffusion"}, "diffusion"),
        (Query.color("red"), {"weights": {"histogram": 0.5}}, "weights"),
    ]:
        with pytest.raises(UsageError, match=said):
            gallery.search(query, 3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        Query.color("red:2", "#00f"),
        Query.palette(Query.stored(3)),
        Query.palette("/a/b.jpg"),
        2 * Query.stored(3) + Query.color("red"),
    ],
)
def test_queries_by_colour_come_back_from_json(query: Query) -> None:
    fields = json.loads(json.dumps(query.to_dict()))
    assert Query.from_dict(fields, paths=True).to_dict() == fields


@pytest.mark.parametrize("fields", [{"colors": "red"}, {"colors": []}, {"colors": [{"color": 5}]}, {"palette": 5}])
def test_json_that_is_no_query_by_colour_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Query.from_dict(fields)


def test_copies_count_once_on_request(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw({"#d01010": 1.0}).save(tmp_path / f"{name}.png")
    draw(PICTURES["half"]).save(tmp_path / "c.png")
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(tmp_path)
        assert names(gallery.search(Query.color("red"), 3)) == ["a", "b", "c"]
        assert names(gallery.search(Query.color("red"), 2, unique=True)) == ["a", "c"]


def test_pictures_without_a_description_are_counted_until_they_are_read_again(photos: Path) -> None:
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        store = gallery.store
        with store.writing():  # as an earlier version left them
            ids = store.ids().tolist()
            records = list(store.get(ids).values())
            rows = {record.digest: next(iter(store.embeddings([record.id])))[1][0] for record in records}
            store.remove(ids)
            store.put(records, rows)  # type: ignore[arg-type]
        hits = gallery.search(Query.color("red"), 3)
        assert (names(hits), hits.undescribed) == ([], len(PICTURES))
        assert hits.to_dict()["undescribed"] == len(PICTURES)
        with pytest.raises(UsageError, match="no picture has a colour description yet"):
            gallery.search(photos / "red.png", where=["color:red"])
        with pytest.raises(UsageError, match="no colour description yet"):
            gallery.search(Query.palette(Query.stored(int(store.ids()[0]))))
        (photos / "red.png").touch()
        gallery.index(photos)
        hits = gallery.search(Query.color("red"), 3)
        assert (names(hits), hits.undescribed) == (["red"], len(PICTURES) - 1)
        from lookalike.indexing.update import IndexOptions

        report = gallery.index(photos, options=IndexOptions(refresh=True))
        assert (report.unchanged, report.changed, report.added) == (len(PICTURES), 0, 0)
        assert count_undescribed(store) == 0
        assert names(gallery.search(Query.color("red"), 2)) == ["red", "mostly red"]


def test_every_store_filters_by_colour_alike(photos: Path, tmp_path: Path) -> None:
    wanted = None
    with Gallery.open(photos.parent / "gallery") as source:
        records = list(source.pictures())
        rows = {one.digest: next(iter(source.store.embeddings([one.id])))[1][0] for one in records}
        described = {one.digest: source.store.descriptions([one.id])[one.id] for one in records}
        space = source.store.space
        for tuning in (Tuning(), Tuning(approximate_from=4, columns_from=1, added=2)):
            store = SqliteStore(tmp_path / str(tuning.columns_from), create=space, tuning=tuning)
            with store.writing():
                store.put(records[:4], {one.digest: rows[one.digest] for one in records[:4]}, described)  # type: ignore[misc, arg-type]
                store.ids(Condition("color", "=", "#d01010"))
                store.put(records[4:], rows, described)  # type: ignore[arg-type]
            found = {store.get([id_])[id_].path for id_ in store.ids(Condition("color", "=", "#d01010")).tolist()}
            wanted = wanted or found
            assert found == wanted
            assert len(found) == 4
            store.close()


def test_a_picture_of_another_colour_is_near_to_none_and_has_no_share(gallery: Gallery) -> None:
    (part,) = gallery.store.described()
    names_ = {one.id: one.path.rpartition(b"/")[2] for one in gallery.pictures()}
    for measure, most in ((find_near, 0.15), (find_share, 0.0)):
        values = measure(part.rows[:, COLORS], "#808080").tolist()
        found = {names_[id_]: value for id_, value in zip(part.ids.tolist(), values, strict=True)}
        assert found[b"grey.png"] > 0.9
        assert found[b"red.png"] <= most
