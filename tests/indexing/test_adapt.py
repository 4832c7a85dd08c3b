"""Adapting a gallery: which numbers are kept, and when its pictures vouch for each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import Gallery
from lookalike.adaptation.projection import Projection
from lookalike.encoders import DEFAULT
from lookalike.encoders.composition import choose_shares
from lookalike.images.augment import cut_part
from lookalike.images.decode import fit
from lookalike.vectors.metric import unit
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNT = 60
WHOLE = 16 + 8  # dimensions of the layout and the pixels of the whole picture


@pytest.fixture
def photos(make_photos: Callable[..., Path]) -> Path:
    return make_photos(COUNT)


@pytest.fixture
def gallery(photos: Path, tmp_path: Path) -> Iterator[Gallery]:
    """By the default encoder, large enough to be adapted."""
    with Gallery.open(tmp_path / "gallery", encoder=DEFAULT, create=True) as gallery:
        gallery.index(photos)
        yield gallery


def test_pretrained_features_are_blended_by_themselves(gallery: Gallery) -> None:
    info = gallery.info()
    assert info["blended"]
    assert info["adapted_on"] == COUNT
    assert info["dim"] == 2 * (29 + COUNT // 4) + WHOLE  # whitened: a quarter as many as pictures


def test_a_gallery_chooses_the_shares_of_its_groups_by_its_own_pictures(gallery: Gallery) -> None:
    embeddings = np.concatenate([rows for _, rows in gallery.store.embeddings()])
    projection = gallery.store.projection
    assert projection is not None
    assert projection.shares == pytest.approx(choose_shares(gallery.encoder, embeddings))
    assert sum(projection.shares) == pytest.approx(1)


def test_every_picture_is_at_distance_0_from_itself(gallery: Gallery) -> None:
    for item in gallery.pictures():
        first, *_ = gallery.search(item.path, k=1, include_self=True)
        assert (os.fsencode(first.path), first.distance < 1e-12) == (item.path, True)


def test_what_is_added_changes_no_other_distance(gallery: Gallery, photos: Path) -> None:
    before = {hit.path: hit.distance for hit in gallery.search(photos / "003.jpg", k=COUNT)}
    make_picture(500).save(photos / "new.jpg")
    gallery.index(photos)
    after = {hit.path: hit.distance for hit in gallery.search(photos / "003.jpg", k=COUNT + 1)}
    assert after.keys() - before.keys() == {photos / "new.jpg"}
    assert all(after[path] == distance for path, distance in before.items())


def test_whether_it_is_blended_is_a_choice_that_is_kept(
    gallery: Gallery, photos: Path, make_photos: Callable[..., Path]
) -> None:
    assert gallery.adapt(blend=False) == 2 * 32 + WHOLE
    assert not gallery.info()["blended"]
    gallery.index(make_photos(COUNT, "more", first=1000), photos)  # twice as many: it adapts itself
    assert gallery.info()["adapted_on"] == 2 * COUNT
    assert not gallery.info()["blended"]
    assert gallery.adapt(dim=20, blend=True) == 20
    assert gallery.adapt() == 2 * (29 + 2 * COUNT // 4) + WHOLE


@pytest.mark.parametrize("blend", [None, True])
def test_hand_made_features_are_blended_only_when_asked_for(
    photos: Path, tmp_path: Path, *, blend: bool | None
) -> None:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        assert gallery.adapt(blend=blend) == (32 + COUNT // 4 if blend else COUNT - 1) + WHOLE
        first, *_ = gallery.search(photos / "007.jpg", k=1, include_self=True)
        assert (first.path.name, first.distance < 1e-12) == ("007.jpg", True)


@pytest.mark.parametrize(("numbers", "kept"), [(4, 4), (16, 16), (40, 40)])
def test_as_many_numbers_as_are_asked_for_are_kept_if_there_are_so_many(
    gallery: Gallery, numbers: int, kept: int
) -> None:
    assert gallery.adapt(dim=numbers) == kept == gallery.info()["dim"]


def test_a_gallery_that_was_adapted_to_labels_is_blended_again_without_them(gallery: Gallery) -> None:
    projection = gallery.store.projection
    assert projection is not None
    components = projection.components[:, :3]
    with gallery.store.writing():
        gallery.store.set_projection(Projection(projection.mean, components, COUNT, (0.7, 0.3), (0.0,)))
    assert gallery.info()["classes"] == 1
    gallery.adapt()
    assert gallery.info()["blended"]


def test_a_query_is_looked_at_as_the_encoder_does_and_whole(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    image = make_picture(7, (256, 256))
    looks = gallery.encode_views([image])[0]
    assert looks.shape == (2, gallery.store.space.dim)
    pixels = np.asarray(fit(image, gallery.encoder.view))
    features = gallery.encoder.encode(pixels[None])[0, :1280]
    np.testing.assert_allclose(unit(looks[0, :1280]), unit(features**0.7), atol=1e-6)
    inner = image.crop((16, 16, 240, 240))  # what the encoder sees of it
    np.testing.assert_allclose(gallery.encode_views([inner])[0][1][:1904], looks[0][:1904], rtol=0.2, atol=0.02)
    ((first, _), *_), *_ = gallery.nearest([looks], 3)
    assert gallery.store.get([first])[first].path == os.fsencode(photos / "007.jpg")


def test_an_encoder_that_sees_all_of_a_picture_looks_once(photos: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        assert len(gallery.views) == 1
        assert gallery.encode_views([make_picture(3)])[0].shape == (1, 1440 + 51 + 8)


def test_a_picture_is_as_near_as_to_the_nearer_look(gallery: Gallery) -> None:
    looks = gallery.encode_views([cut_part(make_picture(9, (256, 256)), np.random.default_rng(1))])[0]
    (together,) = gallery.nearest([looks], COUNT)
    apart = [dict(near) for near in gallery.store.search(looks, COUNT)]
    assert dict(together) == {id_: min(near[id_] for near in apart) for id_ in apart[0]}
    assert [distance for _, distance in together] == sorted(dict(together).values())
    assert gallery.nearest([looks, looks[:1]], 5) == [together[:5], *gallery.store.search(looks[:1], 5)]
