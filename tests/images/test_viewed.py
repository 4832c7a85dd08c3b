from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions, Query
from lookalike.errors import UsageError
from lookalike.images.decode import DecodedPicture, View
from lookalike.images.pool import DecoderPool
from lookalike.images.viewed import CUTS, ViewedPicture, decode_small, decode_views, take_small, take_views
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path


def decode_one(path: Path, view: View) -> ViewedPicture:
    with DecoderPool(view, workers=1, decoder=decode_views, cuts=CUTS) as pool:
        ((_, picture),) = pool.read([os.fsencode(path)])
    assert isinstance(picture, DecodedPicture)
    return take_views(picture, view)


def make_small(path: Path, size: int) -> Image.Image:
    with DecoderPool(View(size), workers=1, decoder=decode_small) as pool:
        ((_, picture),) = pool.read([os.fsencode(path)])
    assert isinstance(picture, DecodedPicture)
    return take_small(picture, size)


@pytest.mark.parametrize("encoder", ["histogram", "efficientnet-lite0-int8"])
def test_a_picture_decoded_in_a_worker_finds_what_its_file_finds(encoder: str, photos: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.png"
    make_picture(40, (700, 510)).save(query)
    with Gallery.open(tmp_path / "gallery", encoder=encoder, create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        viewed = decode_one(query, gallery.encoder.view)
        by_file, by_worker = gallery.search(query), gallery.search(viewed)
        assert [(hit.id, hit.distance) for hit in by_worker] == [(hit.id, hit.distance) for hit in by_file]
        with_colors = Query.picture(viewed) + Query.palette(viewed)
        assert len(gallery.search(with_colors)) == 10
        assert by_worker.to_dict()["query"] == {"picture": {"width": 700, "height": 510}}


def test_a_picture_cut_for_another_encoder_is_refused(gallery: Gallery, photos: Path) -> None:
    with pytest.raises(UsageError, match="cut to 7 pixels"):
        gallery.search(decode_one(photos / "000.jpg", View(7)))


@pytest.mark.parametrize(("size", "small"), [((900, 300), (300, 100)), ((90, 500), (54, 300)), ((40, 30), (40, 30))])
def test_a_picture_is_made_small_in_its_own_proportions(
    size: tuple[int, int], small: tuple[int, int], tmp_path: Path
) -> None:
    make_picture(1, size).save(tmp_path / "a.png")
    drawn = make_small(tmp_path / "a.png", 300)
    assert drawn.size == small
    expected = make_picture(1, size).resize(small, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(drawn, int) - np.asarray(expected, int)).mean() < 3


def test_transparent_parts_lie_on_a_ground(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (60, 60), (200, 0, 0, 0))
    picture.paste((10, 10, 10, 255), (20, 20, 40, 40))
    picture.save(tmp_path / "a.png")
    assert make_small(tmp_path / "a.png", 60).getpixel((2, 2)) == (255, 255, 255)
