"""The map of a gallery: what is near on it, and that it is the same every time."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import MissingExtra, UsageError
from lookalike.explore.collection import read_collection
from lookalike.explore.layout import lay_out
from lookalike.explore.map import Map, make_map
from lookalike.files import is_marked
from lookalike.vectors.graph import build_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike import Gallery
    from tests.explore.conftest import MakeStore


def find_data(page: str) -> dict[str, Any]:
    """The data in a page, as its script reads it."""
    start = page.index('id="data">') + len('id="data">')
    found: dict[str, Any] = json.loads(page[start : page.index("</script>", start)])
    return found


def test_neighbours_stay_neighbours_more_than_in_the_first_two_components(make_store: MakeStore) -> None:
    collection = read_collection(make_store([40] * 12, spread=0.4))
    graph = build_graph(collection.vectors, 10, "cosine")
    centred = collection.vectors - collection.vectors.mean(axis=0)
    flat = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T).astype(np.float32)
    kept = [
        np.mean(
            [
                len({*one} & {*other})
                for one, other in zip(
                    graph.indices.tolist(), build_graph(points, 10, "euclidean").indices.tolist(), strict=True
                )
            ]
        )
        for points in (lay_out(collection.vectors, graph), flat)
    ]
    assert kept[0] > 1.3 * kept[1]


@pytest.mark.parametrize("size", [4, 7])
def test_the_map_of_a_dozen_pictures_keeps_groups_together(make_store: MakeStore, size: int) -> None:
    collection = read_collection(make_store([size] * 3, spread=0.3))
    points = lay_out(collection.vectors, build_graph(collection.vectors, 10, "cosine"))
    groups = np.array([os.path.dirname(picture.path) for picture in collection.pictures])
    nearest = build_graph(points, 2, "euclidean").indices
    assert (groups[nearest] == groups[:, None]).mean() > 0.95


def test_the_same_seed_gives_the_same_map_bit_for_bit(make_store: MakeStore) -> None:
    store = make_store([30, 30, 30])
    first = make_map(store, seed=3).to_dict()
    assert make_map(store, seed=3).to_dict() == first
    assert make_map(store, seed=4).to_dict() != first


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_a_few_pictures_have_their_places(make_store: MakeStore, metric: str, count: int) -> None:
    points = make_map(make_store([count], metric=metric)).to_dict()["points"]
    assert len(points) == count
    assert all(abs(point["x"]) <= 1 and abs(point["y"]) <= 1 and point["cluster"] for point in points)


def test_equal_pictures_are_told_apart(make_store: MakeStore) -> None:
    points = make_map(make_store([40], spread=0.0))
    assert len({(point.x, point.y) for point in points}) == 40


def test_a_filter_chooses_what_is_on_the_map(make_store: MakeStore) -> None:
    points = make_map(make_store([10, 20]), where=["folder:group1"])
    assert len(points) == 20
    assert {point.path.parent.name for point in points} == {"group1"}


def test_a_point_names_its_picture_and_its_group(make_store: MakeStore) -> None:
    point = make_map(make_store([12, 12]))[0].to_dict()
    assert [*point] == ["id", "path", "display", "x", "y", "cluster"]
    assert point["path"] == point["display"] == "/photos/group0/0-000.jpg"


def test_a_map_is_drawn_with_thumbnails(gallery: Gallery) -> None:
    drawn = gallery.map().draw(600)
    assert max(drawn.size) == 600
    assert len(drawn.getcolors(10**6) or []) > 200


def test_a_drawing_has_a_reasonable_size(gallery: Gallery) -> None:
    for size in (10, 100_000):
        with pytest.raises(UsageError, match="cannot be drawn"):
            gallery.map().draw(size)


def test_a_page_holds_all_it_needs_and_bears_the_mark(gallery: Gallery, tmp_path: Path) -> None:
    file = tmp_path / "map.html"
    assert gallery.map().write_html(file) == 12
    page = file.read_text(encoding="utf-8")
    assert is_marked(file)
    assert "http://" not in page
    assert "https://" not in page
    assert "data:image/webp;base64," in page
    assert len(find_data(page)["names"]) == 12


def test_a_page_names_the_largest_groups_first_so_that_their_names_have_room(gallery: Gallery, tmp_path: Path) -> None:
    sizes = {"one": 1, "eight": 8, "three": 3}
    names = [name for name, size in sizes.items() for _ in range(size)]
    points = [replace(point, cluster=name) for point, name in zip(gallery.map(), names, strict=True)]
    Map(points).write_html(tmp_path / "map.html")
    data = find_data((tmp_path / "map.html").read_text(encoding="utf-8"))
    assert [group["name"] for group in data["groups"]] == ["eight", "three", "one"]
    assert [data["groups"][number]["name"] for number in data["group"]].count("eight") == 8


def test_a_page_shows_names_that_are_made_of_markup_as_text(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    from lookalike import Gallery

    photos = make_photos(3)
    name = "<img src=x onerror=alert(1)>&amp;'\".jpg"
    (photos / "000.jpg").rename(photos / name)
    (photos / "001.jpg").rename(photos / "<!--.jpg")
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        gallery.map().write_html(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "<!--" not in page
    assert {name, "<!--.jpg"} <= {*find_data(page)["names"]}


def test_a_picture_whose_file_is_gone_is_a_point(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    (photos / "003.jpg").unlink()
    made = gallery.map()
    assert made.write_html(tmp_path / "map.html") == 11
    data = find_data((tmp_path / "map.html").read_text(encoding="utf-8"))
    assert data["cell"][data["names"].index("003.jpg")] == -1
    made.draw(400)


def test_thumbnails_keep_to_their_limit(gallery: Gallery, tmp_path: Path) -> None:
    made = gallery.map()
    assert made.write_html(tmp_path / "none.html", megabytes=0) == 0
    assert "12 of them shown as points" in (tmp_path / "none.html").read_text(encoding="utf-8")
    some = made.write_html(tmp_path / "some.html", megabytes=0.003)
    assert 0 < some < 12
    with pytest.raises(UsageError, match="-1 MB"):
        made.write_html(tmp_path / "map.html", megabytes=-1)


def test_a_page_never_replaces_a_file_of_a_person(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text("my own page")
    with pytest.raises(UsageError, match="already exists"):
        gallery.map().write_html(tmp_path / "map.html")
    assert (tmp_path / "map.html").read_text() == "my own page"


def test_the_atlas_holds_the_pictures_of_the_page(gallery: Gallery, tmp_path: Path) -> None:
    import base64
    import io

    gallery.map().write_html(tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    data = find_data(page)
    encoded = page.split("data:image/webp;base64,")[1].split("<")[0]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as atlas:
        cell = data["cell"][data["names"].index("005.jpg")]
        assert isinstance(cell, int)
        side, columns = data["side"], data["columns"]
        left, top = cell % columns * side, cell // columns * side
        small = atlas.convert("RGB").crop((left, top, left + 64, top + 48))
    with Image.open(next(iter(gallery)).parent / "005.jpg") as own:
        difference = np.asarray(own, float) - np.asarray(small, float)
    assert np.abs(difference).mean() < 12


def test_a_finer_map_names_what_has_to_be_installed(make_store: MakeStore) -> None:
    if importlib.util.find_spec("openTSNE") is None:
        with pytest.raises(MissingExtra, match="openTSNE") as raised:
            make_map(make_store([20]), fine=True)
        assert "lookalike[maps]" in raised.value.hint
    else:
        points = make_map(make_store([20, 20]), fine=True)
        assert points.to_dict() == make_map(make_store([20, 20]), fine=True).to_dict()
