from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, load_encoder
from lookalike.datasets.labelled import Dataset, load_labelled, read_split
from lookalike.errors import EncoderError, EncoderMismatch, UnknownEncoder, UsageError
from lookalike.evaluation.retrieval import evaluate_retrieval
from lookalike.images.pool import DecoderPool
from lookalike.indexing.learned import learn, learn_into
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from lookalike.images.decode import DecodedPicture


pytestmark = pytest.mark.usefixtures("few_patches")


@pytest.fixture
def learned(make_photos: Callable[..., Path], tmp_path: Path) -> Iterator[Gallery]:
    photos = make_photos(12)
    learn("patches", [photos], tmp_path / "gallery")
    with Gallery.open(tmp_path / "gallery", encoder="patches", create=True) as gallery:
        gallery.index(photos)
        yield gallery


def test_an_exported_gallery_brings_the_encoder_that_was_learned_for_it(learned: Gallery, tmp_path: Path) -> None:
    query = tmp_path / "photos" / "003.jpg"
    learned.export(tmp_path / "copy")
    Gallery.restore(tmp_path / "copy", tmp_path / "elsewhere")
    with Gallery.open(tmp_path / "elsewhere") as gallery:
        assert gallery.encoder.fingerprint == learned.encoder.fingerprint
        assert [hit.path for hit in gallery.search(query)] == [hit.path for hit in learned.search(query)]
        assert gallery.verify() == []


def test_a_gallery_keeps_the_encoder_that_was_learned_for_it(learned: Gallery, tmp_path: Path) -> None:
    assert (len(learned), learned.encoder.name) == (12, "patches")
    assert sorted(os.listdir(tmp_path / "gallery" / "patches")) == ["encoder.json", "encoder.onnx"]
    fingerprint = learned.encoder.fingerprint
    learned.close()
    (tmp_path / "gallery").rename(tmp_path / "elsewhere")
    with Gallery.open(tmp_path / "elsewhere") as gallery:
        assert gallery.encoder.fingerprint == fingerprint
        assert gallery.search(tmp_path / "photos" / "003.jpg", 1, include_self=True)[0].distance < 1e-6
    with Gallery.open(tmp_path / "elsewhere", encoder="patches") as gallery:
        assert gallery.encoder.fingerprint == fingerprint


def test_what_was_learned_is_not_learned_again(
    learned: Gallery, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    more = make_photos(9, "more", first=50)
    learn("patches", [more], tmp_path / "gallery")
    assert load_encoder("patches", tmp_path / "gallery").fingerprint == learned.encoder.fingerprint
    assert learned.index(more).added == 9


def test_another_gallerys_encoder_is_not_this_ones(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    photos = make_photos(3)
    with Gallery.open(tmp_path / "colours", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
    with pytest.raises(EncoderMismatch, match="made by histogram, not by patches"):
        Gallery.open(tmp_path / "colours", encoder="patches")


def test_a_gallery_whose_encoder_is_gone_says_so(learned: Gallery, tmp_path: Path) -> None:
    learned.close()
    shutil.rmtree(tmp_path / "gallery" / "patches")
    with Gallery.open(tmp_path / "gallery") as gallery, pytest.raises(UnknownEncoder, match="patches"):
        gallery.search(make_picture(99))  # from outside: a picture of the gallery is not encoded again


def test_it_is_learned_from_an_even_sample(
    make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.indexing.learned._MOST", 5)
    seen: list[tuple[int, int]] = []
    learn("patches", [make_photos(12)], tmp_path / "home", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_same_pictures_give_the_same_encoder_wherever_it_is_learned(
    make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    photos = make_photos(8)
    learn_into(tmp_path / "one", "patches", [photos])
    learn("patches", [photos], tmp_path / "two")
    assert load_encoder(tmp_path / "one").fingerprint == load_encoder("patches", tmp_path / "two").fingerprint


def test_files_that_cannot_be_read_are_passed_over(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    photos = make_photos(6)
    (photos / "bad.jpg").write_bytes(b"nonsense")
    learn("patches", [photos], tmp_path / "home")
    assert load_encoder("patches", tmp_path / "home").dim >= 1


def test_nothing_half_made_is_left_behind(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="at least two"):
        learn("patches", [make_photos(1)], tmp_path / "home")
    with pytest.raises(UsageError, match="no such file"):
        learn("patches", [tmp_path / "nowhere"], tmp_path / "home")
    assert os.listdir(tmp_path / "home") == []
    with pytest.raises(UnknownEncoder, match="learned") as raised:
        load_encoder("patches", tmp_path / "home")
    assert "-e patches" in raised.value.hint


def test_an_encoder_that_needs_nothing_is_left_alone(tmp_path: Path) -> None:
    learn("histogram", [tmp_path / "nowhere"], tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_hybrid_may_have_a_part_that_is_learned(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    photos, name = make_photos(12), "hybrid:patches=0.8+histogram=0.2"
    learn(name, [photos], tmp_path / "gallery")
    with Gallery.open(tmp_path / "gallery", encoder=name, create=True) as gallery:
        gallery.index(photos)
        assert gallery.encoder.name == "hybrid:patches+histogram"
        assert len(gallery.search(photos / "000.jpg", 3, weights={"histogram": 1})) == 3


def test_an_evaluation_learns_from_the_gallery_pictures_only(
    make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(8, "set/one")
    make_photos(8, "set/two", first=8)
    pictures = load_labelled(tmp_path / "set")
    dataset = Dataset(tuple(pictures[::2]), tuple(pictures[1::2]))
    seen: list[bytes] = []

    def noting(self: DecoderPool, paths: Iterable[bytes]) -> Generator[tuple[bytes, DecodedPicture | str]]:
        for path, outcome in read(self, paths):
            seen.append(path)
            yield path, outcome

    read = DecoderPool.read
    monkeypatch.setattr("lookalike.indexing.learned.DecoderPool.read", noting)
    figures = evaluate_retrieval(dataset, "patches")
    assert figures["encoder"] == "patches"
    assert set(seen[: len(dataset.gallery)]) == {picture.path for picture in dataset.gallery}


def test_patches_keep_their_promise_on_a_part_of_8_scenes(scenes8: Path) -> None:
    """A small twin of the measurement in docs/evaluation.md, with a tenth of the patches."""
    whole = read_split(scenes8 / "mit_split.csv", scenes8)
    figures = evaluate_retrieval(Dataset(whole.gallery[::4], whole.queries[::8]), "patches")
    assert figures["mAP"] > 0.42
    assert figures["P@10"] > 0.62


class TestLearningWhenAGalleryIsMade:
    def test_an_encoder_is_learned_from_these_folders(self, make_photos: Callable[..., Path], tmp_path: Path) -> None:
        photos, seen = make_photos(12), list[tuple[int, int]]()

        def on_progress(done: int, total: int) -> None:
            seen.append((done, total))

        place = tmp_path / "gallery"
        with Gallery.open(
            place, encoder="patches", create=True, learn_from=[photos], on_progress=on_progress
        ) as gallery:
            assert gallery.index(photos).added == 12
            assert gallery.encoder.name == "patches"
        assert seen[-1] == (12, 12)
        seen.clear()
        with Gallery.open(
            place, encoder="patches", create=True, learn_from=[tmp_path / "nowhere"], on_progress=on_progress
        ) as gallery:
            assert len(gallery) == 12
        assert seen == []

    def test_an_encoder_that_is_ready_reads_nothing(self, tmp_path: Path) -> None:
        with Gallery.open(
            tmp_path / "gallery", encoder="histogram", create=True, learn_from=[tmp_path / "nowhere"]
        ) as gallery:
            assert gallery.encoder.name == "histogram"

    def test_a_folder_that_is_not_there_makes_no_gallery(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nowhere"):
            Gallery.open(tmp_path / "gallery", encoder="patches", create=True, learn_from=[tmp_path / "nowhere"])
        assert not (tmp_path / "gallery").exists()

    def test_a_gallery_without_a_folder_has_nowhere_to_keep_it(self, make_photos: Callable[..., Path]) -> None:
        with pytest.raises(UsageError, match="kept in the gallery's folder"):
            Gallery.open("memory:", encoder="patches", create=True, learn_from=[make_photos(12)])
