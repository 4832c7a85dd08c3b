"""A gallery that is moved: with its pictures it finds them, without them it still knows where they are."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike.store import Store, open_store
from lookalike.store.filter import Condition
from lookalike.store.keys import absolute
from lookalike.store.sqlite.backup import export, restore
from tests.store.making import embedding, nearest, problems, put, space

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = [f"{folder}/{n}.jpg" for folder in ("beach", "forest") for n in range(4)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures with their gallery beside them, and one picture elsewhere."""
    photos = tmp_path / "Photos"
    for name in NAMES:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    (tmp_path / "elsewhere.jpg").touch()
    store = open_store(photos / "gallery", create=space())
    with store.writing():
        put(store, {path: n for n, path in enumerate(sorted(paths(photos)))})
        put(store, {absolute(tmp_path / "elsewhere.jpg"): 77})
        store.set_roots({absolute(photos): {}, absolute(photos / "beach"): {"exclude": ["x"]}})
    store.close()
    return photos


def paths(folder: Path, names: Iterable[str] = NAMES) -> set[bytes]:
    return {absolute(folder / name) for name in names}


def assert_is_at(store: Store, folder: Path) -> None:
    """Everything that the fixture put is found below `folder`, by whatever way one asks."""
    assert {one.path for one in store.scan(absolute(folder) + b"/")} == paths(folder)
    assert {one.path for one in store.scan()} == paths(folder) | {absolute(folder.parent / "elsewhere.jpg")}
    assert set(store.find(paths(folder))) == paths(folder)
    assert set(store.roots) == paths(folder, [".", "beach"])
    near = nearest(store, embedding(3), 1, where=Condition("folder", "=", os.fspath(folder)))
    assert store.get([near[0][0]])[near[0][0]].path == sorted(paths(folder))[3]
    assert problems(store) == []


def test_moved_together_with_its_pictures_it_finds_everything(photos: Path) -> None:
    before = open_store(photos / "gallery")
    ids = [one.id for one in before.scan()]
    before.close()
    moved = photos.rename(photos.with_name("Holiday"))
    store = open_store(moved / "gallery")
    assert_is_at(store, moved)
    assert sorted(one.id for one in store.scan()) == sorted(ids)
    with store.writing():
        put(store, {absolute(moved / "beach/0.jpg"): 5})
    assert_is_at(store, moved)
    store.close()
    for _ in range(2):
        again = moved.rename(photos)
        store = open_store(again / "gallery")
        assert_is_at(store, photos)
        store.close()
        moved = photos.rename(moved)


def test_moved_without_its_pictures_it_still_shows_the_old_places(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.move(photos / "gallery", tmp_path / "other" / "gallery")
    for _ in range(2):
        store = open_store(tmp_path / "other" / "gallery")
        assert_is_at(store, photos)
        with store.writing():
            put(store, {absolute(photos / "beach/0.jpg"): 5})
        assert_is_at(store, photos)
        store.close()


def test_copied_both_know_where_their_pictures_are(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    shutil.copytree(photos, tmp_path / "copy" / "Photos")
    (tmp_path / "copy" / "elsewhere.jpg").touch()
    shutil.copytree(photos / "gallery", tmp_path / "alone")
    here, there, alone = (
        open_store(place) for place in (photos / "gallery", tmp_path / "copy/Photos/gallery", tmp_path / "alone")
    )
    assert_is_at(here, photos)
    assert {one.path for one in there.scan(absolute(tmp_path / "copy"))} == paths(tmp_path / "copy" / "Photos")
    assert_is_at(alone, photos)
    for store in (here, there, alone):
        store.close()


def test_a_gallery_that_is_moved_to_its_pictures_knows_them_and_moves_with_them_from_then_on(
    photos: Path, tmp_path: Path
) -> None:
    """Kept in another folder at first, so that all paths were absolute; the next index must not take them for new."""
    other = tmp_path / "other"
    store = open_store(other / "gallery", create=space())
    with store.writing():
        put(store, {path: n for n, path in enumerate(sorted(paths(photos)))})
        put(store, {absolute(tmp_path / "elsewhere.jpg"): 77})
        store.set_roots({root: {} for root in paths(photos, [".", "beach"])})
    ids = {one.path: one.id for one in store.scan()}
    store.close()
    shutil.rmtree(photos / "gallery")
    shutil.move(other / "gallery", photos / "gallery")
    store = open_store(photos / "gallery")
    assert_is_at(store, photos)
    with store.writing():
        put(store, {path: n for n, path in enumerate(sorted(paths(photos)))}, stamp="2:2")
    assert {one.path: one.id for one in store.scan()} == ids
    store.close()
    moved = photos.rename(tmp_path / "Holiday")
    store = open_store(moved / "gallery")
    assert_is_at(store, moved)
    store.close()


def test_a_copy_from_an_export_is_where_its_pictures_are(photos: Path, tmp_path: Path) -> None:
    export(photos / "gallery", tmp_path / "exported")
    restore(tmp_path / "exported", tmp_path / "restored" / "gallery")
    store = open_store(tmp_path / "restored" / "gallery")
    assert_is_at(store, photos)
    store.close()
