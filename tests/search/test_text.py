"""Searching by a text, with a real pair of towers and a real store."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions, draw_searches
from lookalike.errors import EncoderError, EncoderMismatch, NoTextEncoder, UsageError
from lookalike.vectors.metric import distances
from tests.encoders.test_plugins import install
from tests.pairs import COLOURS, paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike import Hits

ONE = IndexOptions(workers=1)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write_pair(tmp_path / "pair")


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    return paint(tmp_path / "painted")


@pytest.fixture
def gallery(pair: Path, painted: Path, tmp_path: Path) -> Iterator[Gallery]:
    """Of twenty pictures, four of each colour."""
    with Gallery.open(tmp_path / "gallery", encoder=pair, create=True) as gallery:
        gallery.index(painted, options=ONE)
        yield gallery


def colours(hits: Hits) -> set[str]:
    return {hit.path.name.split("-")[0] for hit in hits}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_text_finds_what_it_describes(gallery: Gallery, colour: str) -> None:
    hits = gallery.search_text(f"a {colour} boat", k=4)
    assert colours(hits) == {colour}
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)


def test_distances_are_those_of_the_two_embeddings_before_any_projection(gallery: Gallery) -> None:
    found = {hit.id: hit.distance for hit in gallery.search_text("blue", k=100)}
    assert len(found) == len(gallery) == 20
    for ids, rows in gallery.store.embeddings():
        expected = distances(np.array([0, 0, 1], np.float32), rows[:, :3], "cosine")
        assert [found[id_] for id_ in ids.tolist()] == pytest.approx(expected.tolist())


def test_adapting_the_gallery_to_its_pictures_changes_no_answer_to_a_text(gallery: Gallery) -> None:
    before = gallery.search_text("yellow", k=20).rows()
    gallery.adapt(dim=2)
    assert gallery.search_text("yellow", k=20).rows() == before
    gallery.adapt(dim=2, blend=True)
    assert gallery.search_text("yellow", k=20).rows() == before


def test_filters_hold_for_texts_as_well(gallery: Gallery) -> None:
    hits = gallery.search_text("red", k=3, where=["name:green-*"])
    assert (len(hits), colours(hits)) == (3, {"green"})
    assert not gallery.search_text("red", where=["name:nothing"])


def test_copies_are_all_found(gallery: Gallery, painted: Path) -> None:
    shutil.copy(painted / "red-0.png", painted / "red-copy.png")
    gallery.index(painted, options=ONE)
    assert len(colours(gallery.search_text("red", k=5))) == 1


def test_an_empty_gallery_answers_nothing(pair: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "empty", encoder=pair, create=True) as gallery:
        assert not gallery.search_text("red")


def test_what_cannot_be_asked_is_an_error(gallery: Gallery) -> None:
    for text, k in (("", 5), (" \n", 5), ("red", 0)):
        with pytest.raises(UsageError):
            gallery.search_text(text, k)


def test_hits_draw_the_text_as_their_query(gallery: Gallery) -> None:
    hits = gallery.search_text("a red boat on a lake that is blue " * 20, k=3)
    assert isinstance(hits.image, Image.Image)
    assert hits.montage().width > draw_searches([hits]).height


def test_an_encoder_without_a_text_tower_says_what_would_have_one(
    make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "plain", encoder="histogram", create=True) as gallery:
        gallery.index(make_photos(2), options=ONE)
        with pytest.raises(NoTextEncoder, match="histogram has no text encoder") as raised:
            gallery.search_text("red")
        assert "an encoder such as CLIP" in raised.value.hint


def test_a_pair_whose_image_tower_has_changed_is_refused(gallery: Gallery, pair: Path) -> None:
    write_pair(pair, length=3)
    with Gallery.open(gallery.location) as again:
        assert colours(again.search_text("red", k=4)) == {"red"}
    card = pair / "encoder.json"
    card.write_text(card.read_text().replace('"size": 8', '"size": 8, "std": [1, 2, 3]'))
    with Gallery.open(gallery.location) as changed, pytest.raises(EncoderMismatch):
        changed.search_text("red")


def test_a_tower_that_went_missing_is_named(gallery: Gallery, pair: Path) -> None:
    (pair / "tokenizer.json").unlink()
    with Gallery.open(gallery.location) as again, pytest.raises(EncoderError, match=r"tokenizer\.json is missing"):
        again.search_text("red")


@pytest.mark.parametrize("name", ["hybrid:{}=0.3+histogram=0.7", "hybrid:histogram=0.7+{}=0.3"])
def test_of_a_hybrid_the_part_that_reads_texts_answers(pair: Path, painted: Path, tmp_path: Path, name: str) -> None:
    with Gallery.open(tmp_path / "both", encoder=name.format(pair), create=True) as gallery:
        gallery.index(painted, options=ONE)
        hits = gallery.search_text("green", k=4)
    assert colours(hits) == {"green"}
    with Gallery.open(tmp_path / "alone", encoder=pair, create=True) as gallery:
        gallery.index(painted, options=ONE)
        assert [hit.distance for hit in gallery.search_text("green", k=4)] == pytest.approx(
            [hit.distance for hit in hits], abs=1e-3
        )


def test_an_encoder_of_another_package_may_read_texts(
    painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import numpy as np
from lookalike import View

class Mean:
    name, dim, metric, trained_on, fingerprint, view = "mean", 3, "cosine", "", "mean-1", View(4)

    def encode(self, images):
        return images.mean(axis=(1, 2), dtype=np.float32)

    def encode_texts(self, texts):
        return np.array([[text == "red", text == "green", text == "blue"] for text in texts], np.float32)
"""
    install(tmp_path, monkeypatch, source, {"mean": "Mean"})
    with Gallery.open(tmp_path / "g", encoder="mean", create=True) as gallery:
        gallery.index(painted, options=ONE)
        assert colours(gallery.search_text("blue", k=4)) == {"blue"}
