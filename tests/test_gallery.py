"""A gallery as people use it from Python: with real pictures, the histogram encoder and a real store."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions
from lookalike.errors import Corrupt, EncoderMismatch, NoGallery, StoreBusy, UnreadableImage, UsageError
from lookalike.store import Space, open_store
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE = IndexOptions(workers=1)


class TestSearching:
    def test_a_picture_of_the_gallery_is_not_among_its_own_hits(self, gallery: Gallery, photos: Path) -> None:
        hits = list(gallery.search(photos / "003.jpg", k=5))
        assert len(hits) == 5
        assert photos / "003.jpg" not in {hit.path for hit in hits}
        assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)

    def test_it_is_when_asked_for(self, gallery: Gallery, photos: Path) -> None:
        first, *_ = gallery.search(photos / "003.jpg", k=3, include_self=True)
        assert first.path == photos / "003.jpg"
        assert first.distance == pytest.approx(0, abs=1e-6)

    def test_only_the_very_file_is_left_out_not_its_copies(self, gallery: Gallery, photos: Path) -> None:
        for name in ("a-copy.jpg", "z-copy.jpg"):
            shutil.copy(photos / "003.jpg", photos / name)
        gallery.index(photos, options=ONE)
        for query, others in (("003.jpg", {"a-copy.jpg", "z-copy.jpg"}), ("z-copy.jpg", {"003.jpg", "a-copy.jpg"})):
            hits = list(gallery.search(photos / query, k=2))
            assert {hit.path.name for hit in hits} == others
            assert all(hit.distance == pytest.approx(0, abs=1e-6) for hit in hits)

    def test_path_picture_and_array_are_the_same_query(self, gallery: Gallery, photos: Path) -> None:
        path = photos / "005.jpg"
        with Image.open(path) as image:
            pixels = np.asarray(image)
            by_picture = list(gallery.search(image, k=4))
        assert list(gallery.search(pixels, k=4)) == by_picture
        assert list(gallery.search(path, k=4, include_self=True)) == by_picture
        assert list(gallery.search(str(path), k=4, include_self=True)) == by_picture
        assert list(gallery.search(os.fsencode(path), k=4, include_self=True)) == by_picture

    @pytest.mark.parametrize("kind", ["turned", "transparent", "transparent colour", "sixteen bits"])
    def test_a_picture_that_pillow_opened_is_what_its_file_is(
        self, gallery: Gallery, tmp_path: Path, kind: str
    ) -> None:
        path, plain = tmp_path / "query.png", make_picture(5)
        if kind == "turned":
            exif = plain.getexif()
            exif[0x0112] = 6
            plain.crop((0, 0, 40, 20)).save(path, exif=exif)
        elif kind == "transparent":
            plain.putalpha(Image.linear_gradient("L").resize(plain.size))
            plain.convert("LA").save(path)
        elif kind == "transparent colour":
            plain.quantize(4).save(path, transparency=1)
        else:
            Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 3).save(path)
        with Image.open(path) as image:
            assert list(gallery.search(image, k=4)) == list(gallery.search(path, k=4))

    def test_a_picture_that_pillow_cannot_finish_is_refused(self, gallery: Gallery, photos: Path) -> None:
        data = (photos / "005.jpg").read_bytes()
        with Image.open(io.BytesIO(data[: len(data) // 2])) as image, pytest.raises(UnreadableImage, match="truncated"):
            gallery.search(image)

    def test_a_query_by_another_spelling_of_its_path_is_still_itself(
        self, gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(photos)
        hits = gallery.search("../photos/./003.jpg", k=20)
        assert photos / "003.jpg" not in {hit.path for hit in hits}

    def test_a_grey_array_is_a_picture(self, gallery: Gallery) -> None:
        assert len(gallery.search(np.full((20, 30), 100, np.uint8), k=3)) == 3

    @pytest.mark.parametrize("k", [0, -1])
    def test_less_than_one_hit_cannot_be_asked_for(self, gallery: Gallery, photos: Path, k: int) -> None:
        with pytest.raises(UsageError, match=f"k is {k}"):
            gallery.search(photos / "003.jpg", k=k)

    def test_all_come_back_when_more_are_asked_for(self, gallery: Gallery, photos: Path) -> None:
        assert len(gallery.search(photos / "003.jpg", k=10**9)) == 11
        assert len(gallery.search(photos / "003.jpg", k=10**9, include_self=True)) == 12

    def test_an_empty_gallery_has_no_hits(self, tmp_path: Path) -> None:
        with Gallery.open(tmp_path / "empty", encoder="histogram", create=True) as gallery:
            assert list(gallery.search(make_picture(1), k=3)) == []
            assert len(gallery) == 0
            assert gallery.verify() == []

    def test_a_query_that_is_no_picture_names_its_path(self, gallery: Gallery, tmp_path: Path) -> None:
        (tmp_path / "text.jpg").write_text("not a picture")
        with pytest.raises(UnreadableImage, match=r"text\.jpg"):
            gallery.search(tmp_path / "text.jpg")
        with pytest.raises(UnreadableImage, match="no such file"):
            gallery.search(tmp_path / "absent.jpg")

    @pytest.mark.parametrize(
        "array", [np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)]
    )
    def test_an_array_that_is_no_picture_is_refused(self, gallery: Gallery, array: np.ndarray[tuple[int, ...]]) -> None:
        with pytest.raises(UnreadableImage, match="array"):
            gallery.search(array)

    def test_a_picture_that_another_process_removes_is_no_hit(self, gallery: Gallery, photos: Path) -> None:
        first, *_ = gallery.search(photos / "003.jpg", k=12)
        with Gallery.open(gallery.store.path.parent) as other:  # type: ignore[attr-defined]
            other.remove(first.path)
        assert first.path not in {hit.path for hit in gallery.search(photos / "003.jpg", k=12)}


class TestFilters:
    def test_as_many_come_back_as_there_are(
        self, gallery: Gallery, photos: Path, make_photos: Callable[..., Path]
    ) -> None:
        gallery.index(make_photos(3, "other", first=50), options=ONE)
        hits = gallery.search(photos / "003.jpg", k=5, where=["folder:other"])
        assert {hit.path.parent.name for hit in hits} == {"other"}
        assert len(hits) == 3
        assert len(gallery.search(photos / "003.jpg", k=99, where=["-folder:other"])) == 11
        assert len(gallery.search(photos / "003.jpg", k=99, where=["width:>64"])) == 0

    def test_they_choose_among_what_is_there_now(
        self, gallery: Gallery, photos: Path, make_photos: Callable[..., Path]
    ) -> None:
        assert len(gallery.search(photos / "003.jpg", where=["folder:other"])) == 0
        gallery.index(make_photos(3, "other", first=50), options=ONE)
        assert len(gallery.search(photos / "003.jpg", where=["folder:other"])) == 3

    def test_what_is_no_filter_is_refused(self, gallery: Gallery, photos: Path) -> None:
        with pytest.raises(UsageError, match="is not a filter"):
            gallery.search(photos / "003.jpg", where=["beach"])
        with pytest.raises(UsageError, match="colour"):
            gallery.search(photos / "003.jpg", where=["colour:red"])


class TestMany:
    def test_many_queries_have_the_answers_of_each(self, gallery: Gallery, photos: Path) -> None:
        queries: list[Any] = [photos / "003.jpg", make_picture(99), photos / "007.jpg"]
        together = gallery.search_many(queries, k=4, where=["format:jpeg"])
        assert [list(hits) for hits in together] == [list(gallery.search(query, k=4)) for query in queries]
        assert gallery.search_many([]) == []

    def test_a_distance_may_be_the_limit(self, gallery: Gallery, photos: Path) -> None:
        hits = gallery.search(photos / "003.jpg", k=5)
        assert list(hits.within(hits[1].distance)) == list(hits[:2])
        assert list(hits.within(None)) == list(hits)
        assert list(hits.within(-1.0)) == []

    def test_every_picture_has_the_neighbours_that_a_search_finds(self, gallery: Gallery, photos: Path) -> None:
        found = dict(gallery.neighbours(3))
        assert set(found) == {photos / f"{n:03}.jpg" for n in range(12)}
        for path, hits in found.items():
            assert [hit.path for hit in hits] == [hit.path for hit in gallery.search(path, k=3)]
            assert [hit.rank for hit in hits] == [1, 2, 3]

    def test_less_than_one_neighbour_cannot_be_asked_for(self, gallery: Gallery) -> None:
        with pytest.raises(UsageError, match="k is 0"):
            next(gallery.neighbours(0))

    def test_indexing_leaves_nothing_to_be_made_before_a_search(self, gallery: Gallery, tmp_path: Path) -> None:
        assert (tmp_path / "gallery" / "search.cache").exists()


class TestOpening:
    def test_a_gallery_remembers_its_encoder(self, gallery: Gallery, photos: Path, tmp_path: Path) -> None:
        before = list(gallery.search(photos / "001.jpg"))
        with Gallery.open(tmp_path / "gallery") as again:
            assert again.encoder.name == "histogram"
            assert list(again.search(photos / "001.jpg")) == before

    def test_a_folder_called_like_an_encoder_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "histogram").mkdir()
        monkeypatch.chdir(tmp_path)
        Gallery.open(tmp_path / "gallery", encoder="histogram", create=True).close()
        with Gallery.open(tmp_path / "gallery") as gallery:
            assert gallery.encoder.name == "histogram"

    def test_another_encoder_is_refused_and_both_are_named(self, gallery: Gallery, tmp_path: Path) -> None:
        class Other:
            name, fingerprint = "other", "other-1"

            def __getattr__(self, name: str) -> object:
                return getattr(gallery.encoder, name)

        with pytest.raises(EncoderMismatch, match="histogram, not by other") as mismatch:
            Gallery(Gallery.open(tmp_path / "gallery").store, Other())  # type: ignore[arg-type]
        assert "lookalike index" in mismatch.value.hint

    def test_an_encoder_that_has_changed_is_refused(self, gallery: Gallery, tmp_path: Path) -> None:
        class Changed:
            name, fingerprint = "histogram", "histogram-2"

        with pytest.raises(EncoderMismatch, match="has changed"):
            Gallery(Gallery.open(tmp_path / "gallery").store, Changed())  # type: ignore[arg-type]

    def test_no_gallery_says_how_to_make_one(self, tmp_path: Path) -> None:
        with pytest.raises(NoGallery) as nothing:
            Gallery.open(tmp_path / "nowhere")
        assert "lookalike index" in nothing.value.hint
        assert not (tmp_path / "nowhere").exists()

    def test_the_nearest_gallery_upward_is_found(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Gallery.open(tmp_path / ".lookalike", encoder="histogram", create=True).close()
        monkeypatch.chdir(photos)
        with Gallery.open() as gallery:
            assert gallery.encoder.name == "histogram"


class TestRemoving:
    def test_a_removed_picture_is_gone_until_it_is_indexed_again(self, gallery: Gallery, photos: Path) -> None:
        assert gallery.remove(photos / "003.jpg") == 1
        assert len(gallery) == 11
        assert photos / "003.jpg" not in {hit.path for hit in gallery.search(photos / "001.jpg", k=99)}
        report = gallery.index(photos, options=ONE)
        assert (report.added, report.unchanged) == (1, 11)
        assert len(gallery) == 12

    def test_a_folder_goes_with_all_below_it_and_nothing_beside(
        self, gallery: Gallery, photos: Path, make_photos: Callable[..., Path]
    ) -> None:
        gallery.index(make_photos(2, "photos2", first=50), options=ONE)
        assert gallery.remove(photos) == 12
        assert {Path(os.fsdecode(item.path)).parent.name for item in gallery.pictures()} == {"photos2"}

    def test_what_is_not_there_cannot_be_removed(self, gallery: Gallery, photos: Path) -> None:
        with pytest.raises(UsageError, match=r"absent\.jpg"):
            gallery.remove(photos / "absent.jpg")

    def test_a_second_writer_is_told(self, gallery: Gallery, photos: Path) -> None:
        with gallery.store.writing():
            for write in (
                lambda: gallery.remove(photos),
                lambda: gallery.index(photos, options=ONE),
                gallery.adapt,
            ):
                with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
                    write()


def make_pictures(folder: Path, seeds: range | list[int]) -> Path:
    folder.mkdir(exist_ok=True)
    for n, seed in enumerate(seeds):
        make_picture(seed, (20, 16)).save(folder / f"{n:03}.png")
    return folder


class TestAdapting:
    @pytest.fixture
    def tiles(self, tmp_path: Path) -> Iterator[Gallery]:
        """An empty gallery of an encoder of 48 numbers: a projection is fitted in no time."""
        encoder = TilesEncoder()
        space = Space(encoder.name, encoder.fingerprint, encoder.dim, encoder.metric, encoder.name)
        with Gallery(open_store(tmp_path / "tiles", create=space), encoder) as gallery:
            yield gallery

    def test_fewer_than_two_pictures_are_too_few(self, tiles: Gallery, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="two"):
            tiles.adapt()
        tiles.index(make_pictures(tmp_path / "one", [1]), options=ONE)
        with pytest.raises(UsageError, match="two"):
            tiles.adapt()
        assert tiles.info()["adapted_on"] == 0

    def test_pictures_that_are_all_the_same_have_no_direction(self, tiles: Gallery, tmp_path: Path) -> None:
        tiles.index(make_pictures(tmp_path / "same", [1, 1, 1]), options=ONE)
        with pytest.raises(UsageError, match="same"):
            tiles.adapt()
        assert [hit.distance for hit in tiles.search(tmp_path / "same" / "000.png", k=2)] == [0, 0]

    def test_it_cuts_and_keeps_pictures_at_distance_0_from_themselves(self, tiles: Gallery, tmp_path: Path) -> None:
        folder = make_pictures(tmp_path / "some", range(12))
        tiles.index(folder, options=ONE)
        assert tiles.adapt(dim=5) == 5
        assert tiles.info()["dim"] == 5
        assert tiles.info()["adapted_on"] == 12
        for item in tiles.pictures():
            first, *_ = tiles.search(item.path, k=1, include_self=True)
            assert os.fsencode(first.path) == item.path
            assert first.distance == 0
        assert tiles.adapt() == 11  # never more than there are directions
        assert folder / "001.png" not in {hit.path for hit in tiles.search(folder / "001.png", k=99)}

    def test_a_gallery_adapts_itself_once_it_has_grown_enough(self, tiles: Gallery, tmp_path: Path) -> None:
        """At 50 pictures, and not again before it has doubled."""
        folder = make_pictures(tmp_path / "many", range(50))
        last = (folder / "049.png").rename(tmp_path / "049.png")
        tiles.index(folder, options=ONE)
        assert tiles.info()["adapted_on"] == 0
        last.rename(folder / "049.png")
        tiles.index(folder, options=ONE)
        assert tiles.info()["adapted_on"] == 50
        generation = tiles.info()["generation"]
        tiles.index(folder, options=ONE)
        assert tiles.info()["generation"] == generation

    def test_a_gallery_larger_than_the_sample_is_not_adapted_in_every_run(
        self, tiles: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lookalike.indexing.adapt._SAMPLE", 20)
        folder = make_pictures(tmp_path / "many", range(60))
        tiles.index(folder, options=ONE)
        assert tiles.info()["adapted_on"] == 60
        generation = tiles.info()["generation"]
        tiles.index(folder, options=ONE)
        assert tiles.info()["generation"] == generation


class TestKnowing:
    def test_info_says_what_is_there(self, gallery: Gallery, photos: Path) -> None:
        (photos / "bad.jpg").write_bytes(b"no picture")
        gallery.index(photos, options=ONE)
        info = gallery.info()
        assert (info["pictures"], info["skipped"]) == (12, 1)
        assert info["encoder"] == "histogram"
        assert info["dim"] == info["encoder_dim"] == 1440 + 51 + 8  # with the whole picture
        assert [path for path, _ in gallery.skipped()] == [photos / "bad.jpg"]
        assert len(list(gallery.pictures())) == len(gallery) == 12

    def test_a_damaged_gallery_is_an_error_and_verify_says_where(self, gallery: Gallery, photos: Path) -> None:
        assert gallery.verify() == []
        place = gallery.store.path  # type: ignore[attr-defined]
        gallery.close()
        db = sqlite3.connect(place)
        db.execute("UPDATE content SET embedding = zeroblob(length(embedding))")
        db.commit()
        db.close()
        (place.parent / "search.cache").unlink()  # which is sound, and would give the right answer
        with Gallery.open(place.parent) as damaged:
            with pytest.raises(Corrupt, match=r"embedding of '.*\d\.jpg' does not match"):
                damaged.search(photos / "001.jpg")
            assert any("checksum" in problem for problem in damaged.verify())

    def test_a_picture_that_is_found_but_not_listed_is_an_error(
        self, gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a damaged file where all rows can be read in a row and one not by its number."""
        get = gallery.store.get
        monkeypatch.setattr(gallery.store, "get", lambda ids: get(list(ids)[1:]))
        with pytest.raises(Corrupt, match="have no record"):
            gallery.search(photos / "001.jpg")
