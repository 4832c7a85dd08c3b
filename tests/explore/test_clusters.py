"""Groups of pictures that are alike, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.encoders.efficientnet.words import load_vocabulary
from lookalike.errors import UsageError
from lookalike.explore.clusters import find_clusters
from lookalike.explore.naming import name_by_words, name_groups
from lookalike.store import Record, Space, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike import Gallery
    from tests.explore.conftest import MakeStore


def make_group(*paths: str) -> list[Record]:
    return [Record(path.encode()) for path in paths]


def test_groups_are_found_and_named_by_their_folders(make_store: MakeStore) -> None:
    found = find_clusters(make_store([50, 40, 30]))
    assert [(each.name, len(each.pictures)) for each in found] == [("group0", 50), ("group1", 40), ("group2", 30)]


@pytest.mark.parametrize("count", [1, 2, 5, 30, 90])
def test_as_many_groups_are_found_as_are_asked_for(make_store: MakeStore, count: int) -> None:
    found = find_clusters(make_store([30, 30, 30]), count)
    assert len(found) == count
    assert sum(len(each.pictures) for each in found) == 90
    assert len({each.name for each in found}) == count


def test_more_groups_than_pictures_are_one_for_each(make_store: MakeStore) -> None:
    assert len(find_clusters(make_store([4]), 9)) == 4


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_an_impossible_number_of_groups_is_rejected(make_store: MakeStore, count: int) -> None:
    with pytest.raises(UsageError, match="groups cannot be made"):
        find_clusters(make_store([4]), count)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_pictures_are_grouped(make_store: MakeStore, count: int) -> None:
    assert sum(len(each.pictures) for each in find_clusters(make_store([count]))) == count


def test_equal_pictures_are_grouped(make_store: MakeStore) -> None:
    assert sum(len(each.pictures) for each in find_clusters(make_store([40], spread=0.0))) == 40


def test_the_most_typical_picture_comes_first(make_store: MakeStore) -> None:
    store = make_store([30])
    first, *others = find_clusters(store, 1)[0].pictures
    rows = store.vectors([first.id, *(each.id for each in others)])
    far = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    assert far.argmin() == 0
    assert far.argmax() == 29


def test_the_same_seed_gives_the_same_groups(make_store: MakeStore) -> None:
    store = make_store([40] * 5, spread=1.0)
    assert find_clusters(store).to_dict() == find_clusters(store).to_dict()


def test_groups_of_one_folder_are_named_by_their_exemplars() -> None:
    groups = [make_group("/photos/1.jpg", "/photos/2.jpg"), make_group("/photos/3.jpg")]
    assert name_groups(groups) == ["like 1.jpg", "like 3.jpg"]


def test_two_folders_name_a_group_together() -> None:
    groups = [
        make_group("/p/coast/1.jpg", "/p/coast/2.jpg", "/p/lake/3.jpg", "/p/lake/4.jpg"),
        make_group("/p/town/1.jpg", "/p/town/2.jpg"),
    ]
    assert name_groups(groups) == ["coast, lake", "town"]


def test_groups_with_the_same_name_are_numbered() -> None:
    groups = [make_group("/p/a/1.jpg"), make_group("/p/a/2.jpg"), make_group("/p/b/3.jpg", "/p/b/4.jpg")]
    assert name_groups(groups) == ["a", "a (2)", "b"]


def test_a_namer_is_asked_before_the_folders() -> None:
    groups = [make_group("/p/a/1.jpg"), make_group("/p/b/3.jpg")]
    assert name_groups(groups, [lambda some: ["seashore", *[None] * (len(some) - 1)]]) == ["seashore", "b"]


def test_the_groups_of_a_gallery_print_as_a_table(gallery: Gallery) -> None:
    assert repr(gallery.clusters(2)).splitlines()[0] == "pictures  name"


def test_groups_are_drawn_into_a_folder(gallery: Gallery, tmp_path: Path) -> None:
    from lookalike.explore.sheets import write_sheets

    written = write_sheets(gallery.clusters(2), tmp_path / "groups")
    assert len(written) == len([*(tmp_path / "groups").iterdir()]) == 2


def test_groups_in_one_folder_are_named_by_the_words_of_the_encoder(request: pytest.FixtureRequest) -> None:
    vocabulary, random = load_vocabulary(), np.random.default_rng(0)
    numbers = {name: number for number, name in vocabulary.class_names.items()}
    store = open_store("memory:", create=Space("test", "test", 1280, "cosine", "test"))
    request.addfinalizer(store.close)
    rows = {
        b"%s %d" % (name.encode(), n): vocabulary.directions[numbers[name]] + 0.01 * random.standard_normal(1280)
        for name in ("daisy", "streetcar")
        for n in range(10)
    }
    with store.writing():
        store.put([Record(b"/photos/" + key, digest=key) for key in rows], {k: v.astype("f4") for k, v in rows.items()})
    namer = name_by_words(store, lambda: load_encoder("efficientnet-lite0-int8"))
    assert {each.name for each in find_clusters(store, 2, namers=[namer])} == {"daisy", "streetcar"}
