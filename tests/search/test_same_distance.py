"""Two pictures have one distance, whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, IndexOptions, Query
from lookalike.store import Space, open_store
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS = ("plain", "adapted", "hybrid", "euclidean", "euclidean adapted", "memory")
ONE = IndexOptions(workers=1)


def open_gallery(kind: str, folder: Path) -> Gallery:
    if kind.startswith("euclidean"):
        encoder = TilesEncoder()
        space = Space(encoder.name, encoder.fingerprint, encoder.dim, encoder.metric, encoder.name)
        return Gallery(open_store(folder, create=space), encoder)
    name = "hybrid:efficientnet-lite0-layers-int8-128=0.6+histogram=0.4" if kind == "hybrid" else "histogram"
    return Gallery.open("memory:" if kind == "memory" else folder, encoder=name, create=True)


@pytest.fixture(params=KINDS)
def gallery(request: pytest.FixtureRequest, make_photos: Callable[..., Path], tmp_path: Path) -> Iterator[Gallery]:
    with open_gallery(request.param, tmp_path / "gallery") as gallery:
        gallery.index(make_photos(12), options=ONE)
        if "adapted" in request.param or request.param == "hybrid":
            gallery.adapt(dim=8)
        yield gallery


def test_search_neighbours_and_inspect_agree_to_the_last_bit(gallery: Gallery) -> None:
    for path, near in list(gallery.neighbours(4))[:4]:
        wanted = [(hit.id, hit.distance) for hit in near]
        assert [(hit.id, hit.distance) for hit in gallery.search(path, 4)] == wanted
        assert [(hit.id, hit.distance) for hit in gallery.search_many([path, path], 4)[1]] == wanted
    assert gallery.explain(path, near[0].path).distance == near[0].distance
    assert gallery.explain(near[0].path, path).distance == near[0].distance


def test_a_stored_picture_is_its_file(gallery: Gallery) -> None:
    path = next(iter(gallery))
    id_ = gallery.search(path, 1, include_self=True)[0].id
    assert list(gallery.search(Query.stored(id_), 5)) == list(gallery.search(path, 5))
    assert gallery.search(Query.stored(id_), 1, include_self=True)[0].distance == 0


def test_inspecting_a_new_picture_gives_the_distance_of_a_search(gallery: Gallery) -> None:
    query = make_picture(99)
    hit = gallery.search(query, 1)[0]
    assert gallery.explain(query, hit.path).distance == pytest.approx(hit.distance, abs=1e-6)


def test_a_file_that_changed_is_read_again(gallery: Gallery) -> None:
    first, second, *_ = gallery
    before = [hit.id for hit in gallery.search(first, 11)]
    make_picture(99, (64, 48)).save(first, quality=90)
    found = gallery.search(first, 11)
    assert first not in {hit.path for hit in found}
    wanted = [(hit.id, hit.distance) for hit in gallery.search(make_picture(99, (64, 48)), 12) if hit.path != first]
    assert sorted(before) == sorted(id_ for id_, _ in wanted)
    assert second in gallery
