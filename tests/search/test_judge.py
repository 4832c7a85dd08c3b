"""What a distance means: how hits are judged by the gallery's own pictures, and when nothing good was found."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, Query
from lookalike.indexing.calibrate import LEAST, calibrate, calibrate_if_grown
from lookalike.indexing.update import IndexOptions
from lookalike.store import open_store
from lookalike.store.calibration import Calibration, from_json, to_json
from tests.store.making import digest, put, record, space

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


COUNT = 60


def draw_own(number: int) -> Image.Image:
    """One of many pictures in reds, each with its own pattern."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (6, 6, 3)) * [1, 0.3, 0.2]
    return Image.fromarray(coarse.astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)


def draw_foreign(number: int) -> Image.Image:
    """A picture in blues, which has nothing of the others."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (6, 6, 3)) * [0, 0.5, 1]
    return Image.fromarray(coarse.astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(index_drawings: Callable[[dict[str, Image.Image]], Path]) -> Path:
    return index_drawings({f"{number:02}": draw_own(number) for number in range(COUNT)})


@pytest.fixture
def gallery(drawn_gallery: Gallery) -> Gallery:
    return drawn_gallery


def test_a_foreign_picture_finds_nothing_good(gallery: Gallery) -> None:
    found = gallery.search_many(map(draw_foreign, range(20)))
    assert [hits.nothing_good for hits in found] == [True] * 20


def test_most_of_its_own_kind_find_something(gallery: Gallery) -> None:
    found = gallery.search_many(map(draw_own, range(1000, 1100)))
    assert [hits.nothing_good for hits in found].count(False) >= 88


def test_a_copy_is_nearer_than_all_others(gallery: Gallery, photos: Path) -> None:
    image = Image.open(photos / "07.png").resize((30, 30))
    hits = gallery.search(image)
    assert (hits[0].path.name, hits.nothing_good) == ("07.png", False)
    assert hits[0].chance is not None
    assert hits[0].chance > 0.95
    assert hits[0].expected is not None
    assert hits[0].expected < 0.05


@pytest.mark.parametrize("k", [1, 3, 10, 25])
def test_the_verdict_does_not_depend_on_how_many_hits_are_asked_for(gallery: Gallery, k: int) -> None:
    for image in (draw_own(2000), draw_own(2001), draw_foreign(3)):
        few, many = gallery.search(image, k), gallery.search(image, 10)
        assert few.nothing_good == many.nothing_good
        shared = {hit.id: (hit.chance, hit.expected) for hit in many}
        assert all(shared.get(hit.id, (hit.chance, hit.expected)) == (hit.chance, hit.expected) for hit in few)
        assert len(few) == k


def test_the_nearer_has_the_greater_chance_and_fewer_are_expected(gallery: Gallery) -> None:
    hits = gallery.search(draw_own(3000), 30)
    pairs = sorted((hit.chance or 0.0, hit.expected or 0.0) for hit in hits)
    assert [expected for _, expected in pairs] == sorted((expected for _, expected in pairs), reverse=True)
    assert all(0 <= chance <= 1 and expected >= 0 for chance, expected in pairs)


def test_a_stored_picture_is_judged_without_itself(gallery: Gallery, photos: Path) -> None:
    by_path = gallery.search(photos / "05.png", 5)
    [stored] = [record.id for record in gallery.pictures() if record.path.endswith(b"/05.png")]
    by_id = gallery.search(Query.stored(stored), 5)
    assert [hit.chance for hit in by_path] == [hit.chance for hit in by_id]
    with_itself = gallery.search(photos / "05.png", 5, include_self=True)
    assert with_itself[0].chance == 1
    assert with_itself.nothing_good == by_path.nothing_good


def test_judged_hits_say_so_in_json(gallery: Gallery) -> None:
    found = json.loads(json.dumps(gallery.search(draw_own(1), 2).to_dict()))
    assert found["nothing_good"] is False
    assert {"chance", "expected"} <= found["hits"][0].keys()
    assert gallery.search(draw_foreign(1), 2).to_dict()["nothing_good"] is True


def test_hits_are_cut_where_chance_would_bring_as_many(gallery: Gallery, photos: Path) -> None:
    hits = gallery.search(Image.open(photos / "07.png").resize((30, 30)), 20)
    assert [hit.path.name for hit in hits.beyond_chance(0.05)] == ["07.png"]
    assert len(hits.beyond_chance(None)) == 20
    assert len(gallery.search(draw_foreign(1), 20).beyond_chance(0.5)) == 0
    assert hits.beyond_chance(0.05).nothing_good is False


def test_colours_and_texts_are_not_judged(gallery: Gallery) -> None:
    for query in (Query.color("red"), Query.color("red") + Query.picture(draw_own(1))):
        hits = gallery.search(query, 3)
        assert hits.nothing_good is None
        assert "chance" not in hits[0].to_dict()
        assert "nothing_good" not in hits.to_dict()


def test_filters_and_other_orders_are_judged_too(gallery: Gallery) -> None:
    assert gallery.search(draw_foreign(1), 3, where=["name:1*"]).nothing_good is True
    assert gallery.search(draw_foreign(1), 3, order="diffusion").nothing_good is True
    assert gallery.search(draw_own(0), 3, unique=True).nothing_good is False
    assert gallery.search(draw_own(0), 3, where=["name:none"]).nothing_good is None


def test_the_parts_of_a_search_keep_the_verdict(gallery: Gallery) -> None:
    hits = gallery.search(draw_foreign(1), 5)
    assert hits[:2].nothing_good is True
    assert hits.within(2.0).nothing_good is True
    assert hits.without({hits[0].id}, 3).nothing_good is True


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_a_small_gallery_says_nothing(tmp_path: Path, count: int) -> None:
    for number in range(count):
        draw_own(number).save(tmp_path / f"{number}.png")
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        if count:
            gallery.index(tmp_path)
        hits = gallery.search(draw_foreign(1))
        assert hits.nothing_good is None
        assert all(hit.chance is None and hit.expected is None for hit in hits)


def test_a_gallery_of_copies_of_one_picture_says_nothing(tmp_path: Path) -> None:
    for number in range(30):
        draw_own(1).save(tmp_path / f"{number}.png")
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(tmp_path)
        assert gallery.search(draw_foreign(1)).nothing_good is None
        generation = gallery.store.generation
        gallery.index(tmp_path)
        assert gallery.store.generation == generation


def test_a_gallery_with_two_of_each_picture_knows_its_own(tmp_path: Path) -> None:
    """Without regard to copies, every other picture would be farther than the nearest of 100 in 100 pictures."""
    for number in range(COUNT):
        image = draw_own(number)
        image.save(tmp_path / f"{number}.png")
        image.resize((28, 28)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / f"{number} again.jpg")
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(tmp_path)
        own = [hits.nothing_good for hits in gallery.search_many(map(draw_own, range(1000, 1040)))]
        foreign = [hits.nothing_good for hits in gallery.search_many(map(draw_foreign, range(10)))]
    assert own.count(False) >= 34
    assert foreign == [True] * 10


def test_the_calibration_is_renewed_as_the_gallery_grows(tmp_path: Path) -> None:
    def add(numbers: range) -> int:
        for number in numbers:
            draw_own(number).save(tmp_path / f"{number}.png")
        growing.index(tmp_path)
        known = growing.store.calibration
        return 0 if known is None else known.pictures

    with Gallery.open("memory:", encoder="histogram", create=True) as growing:
        assert add(range(19)) == 0
        assert add(range(19, 24)) == 24
        assert add(range(24, 26)) == 24
        assert add(range(26, 40)) == 40
        before = growing.store.generation
        growing.index(tmp_path, options=IndexOptions(dry_run=True))
        assert growing.store.generation == before


def test_an_adapted_gallery_is_measured_again(photos: Path) -> None:
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        before = gallery.store.calibration
        gallery.adapt(dim=3)
        after = gallery.store.calibration
        assert before is not None
        assert after is not None
        assert before.adapted != after.adapted


def test_a_gallery_from_before_is_measured_by_its_next_index(photos: Path, tmp_path: Path) -> None:
    with Gallery.open(shutil.copytree(photos.parent / "gallery", tmp_path / "gallery")) as gallery:
        with gallery.store.writing():
            gallery.store.set_calibration(None)
        assert gallery.search(draw_foreign(1)).nothing_good is None
        gallery.index()
        assert gallery.search(draw_foreign(1)).nothing_good is True


def _embed(count: int, dim: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((count, dim)).astype(np.float32)


def test_the_calibration_is_that_of_brute_force(tmp_path: Path) -> None:
    rows = _embed(300)
    with closing(open_store(tmp_path / "gallery", create=space())) as store:
        with store.writing():
            records = [record(b"%03d" % n, n) for n in range(300)]
            store.put(records, {digest(n): rows[n] for n in range(300)})
            calibrate(store)
        known = store.calibration
        assert known is not None
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        distances = np.sort(1 - unit @ unit.T, axis=1)[:, 1:]
        for quantile in (0.0, 0.05, 0.5, 0.95, 1.0):
            at = np.quantile(distances[:, 0], quantile)
            assert known.find_chances(np.array([at]))[0] == pytest.approx(1 - quantile, abs=0.02)
        for at in (0.01, 0.03, 0.06):
            expected = (distances[:, :10] <= at).sum(axis=1).mean()
            assert known.find_expected(np.array([at]))[0] == pytest.approx(expected, rel=0.15, abs=0.01)
        with store.writing():
            calibrate_if_grown(store)
        assert store.calibration is known


def test_large_galleries_are_measured_by_a_sample_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[NDArray[np.float64]] = []
    parts: list[NDArray[np.float64]] = []
    for values, found in (((2048, 4096), whole), ((64, 100), parts)):
        monkeypatch.setattr("lookalike.indexing.calibrate._SAMPLE", values[0])
        monkeypatch.setattr("lookalike.indexing.calibrate._TOGETHER", values[1])
        with closing(open_store("memory:", create=space())) as store:
            with store.writing():
                put(store, {b"%03d" % n: n for n in range(300)})
                calibrate(store)
            assert store.calibration is not None
            found.append(store.calibration.find_chances(np.array([0.05, 0.1, 0.2])))
    np.testing.assert_allclose(parts, whole, atol=0.2)


@pytest.mark.parametrize(
    "content",
    [
        b"5",
        b"{}",
        b"[]",
        b'{"pictures": 5, "adapted": "", "nearest": [1, 0], "around": [], "counts": []}',
        b'{"pictures": 5, "adapted": "", "nearest": [NaN], "around": [], "counts": []}',
        b'{"pictures": 5, "adapted": "", "nearest": [], "around": [1], "counts": []}',
    ],
)
def test_a_calibration_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises((TypeError, ValueError, LookupError)):
        from_json(content)


def test_a_calibration_comes_back_from_json_as_it_was() -> None:
    measured = Calibration.measure(40, "x", np.random.default_rng(0).uniform(0, 1, (40, 10)))
    again = from_json(to_json(measured))
    assert again is not None
    assert to_json(again) == to_json(measured)
    assert len(to_json(measured)) < 8000
