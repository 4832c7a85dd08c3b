"""Searches that count copies once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike import Gallery, Query
from lookalike.indexing.update import IndexOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike import Hits

COUNT, COPIED = 8, 4


def draw(seed: int) -> Image.Image:
    """A picture of many colours, without an even ground."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC)


def draw_letter(letter: str) -> Image.Image:
    image = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(image).text((200, 200), letter, fill="black", font=ImageFont.load_default(40), anchor="mm")
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight pictures; of four of them also a small copy, a compressed one and one that is both."""
    folder = tmp_path_factory.mktemp("unique") / "photos"
    folder.mkdir()
    for seed in range(COUNT):
        image = draw(seed)
        image.save(folder / f"{seed}.png")
        if seed < COPIED:
            image.resize((120, 90)).save(folder / f"{seed}-small.png")
            image.save(folder / f"{seed}-compressed.jpg", quality=40)
            image.resize((180, 135)).save(folder / f"{seed}-both.jpg", quality=60)
    for letter in "DGQ":
        draw_letter(letter).save(folder / f"{letter}.png")
    draw(0).crop((40, 30, 240, 180)).save(folder / "cropped.png")
    return folder


WITHOUT_COPIES = {*map(str, range(COUNT)), "D", "G", "Q", "cropped"}


@pytest.fixture(scope="module")
def gallery(folder: Path) -> Iterator[Gallery]:
    with Gallery.open(folder.parent / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        yield gallery


def originals(hits: Hits) -> list[str]:
    """Which picture each hit is, or is a copy of."""
    return [hit.path.stem.partition("-")[0] for hit in hits]


def test_pictures_that_were_rescaled_or_compressed_count_once(gallery: Gallery) -> None:
    assert len(gallery.search(draw(0), 100)) == len(gallery) == len(WITHOUT_COPIES) + 3 * COPIED
    found = originals(gallery.search(draw(0), 100, unique=True))
    assert sorted(found) == sorted(WITHOUT_COPIES)


def test_the_nearest_of_the_copies_remains(gallery: Gallery) -> None:
    every = [hit.id for hit in gallery.search(draw(1), 100)]
    found = gallery.search(draw(1), 100, unique=True)
    assert [hit.id for hit in found] == sorted((hit.id for hit in found), key=every.index)
    assert found[0].path.stem == "1"


@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_there_are_as_many_hits_as_were_asked_for(gallery: Gallery, k: int) -> None:
    found = originals(gallery.search(draw(2), k, unique=True))
    assert len(set(found)) == len(found) == k


@pytest.mark.parametrize("least", [False, True])
def test_pages_without_copies_follow_each_other(gallery: Gallery, *, least: bool) -> None:
    whole = [hit.id for hit in gallery.search(draw(0), 100, unique=True, least=least)]
    pages = [gallery.search(draw(0), 3, unique=True, least=least, offset=offset) for offset in range(0, 15, 3)]
    assert [hit.id for page in pages for hit in page] == whole
    assert [hit.rank for page in pages for hit in page] == list(range(1, len(whole) + 1))


@pytest.mark.parametrize("query", [Query.color("teal"), Query.picture(draw(3)) - Query.picture(draw(5))])
def test_copies_count_once_for_every_kind_of_query(gallery: Gallery, query: Query) -> None:
    assert sorted(originals(gallery.search(query, 100, unique=True))) == sorted(WITHOUT_COPIES)


def test_a_copy_that_is_marked_as_no_duplicate_is_a_hit_of_its_own(gallery: Gallery, folder: Path) -> None:
    digests = [
        record.digest
        for record in gallery.pictures()
        if record.path.endswith((b"/3.png", b"/3-small.png")) and record.digest
    ]
    with gallery.store.writing():
        gallery.store.set_distinct([(digests[0], digests[1])])
    try:
        found = {hit.path for hit in gallery.search(draw(3), 100, unique=True)}
        assert {folder / "3.png", folder / "3-small.png"} <= found
        assert len(found) == len(WITHOUT_COPIES) + 1
    finally:
        with gallery.store.writing():
            gallery.store.set_distinct([])


def test_pictures_without_a_description_are_copies_only_if_they_are_equal(
    folder: Path, tmp_path: Path, make_photos: Callable[..., Path]
) -> None:
    photos = make_photos(3)
    for name in ("0.png", "0-small.png", "1.png"):
        (photos / name).write_bytes((folder / name).read_bytes())
    (photos / "again.png").write_bytes((folder / "1.png").read_bytes())
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
    with closing(sqlite3.connect(tmp_path / "gallery" / "gallery.db")) as db, db:
        db.execute("DELETE FROM description")
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert len(gallery.search(draw(0), 100, unique=True)) == len(gallery) - 1 == 6
