from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery
from lookalike.errors import UnreadableImage
from lookalike.search.explain import Inspection
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def with_stripes(seed: int, *, left: int, top: int) -> Image.Image:
    """A smooth picture with one striped square in it."""
    pixels = np.asarray(make_picture(seed, (192, 192))).copy()
    pixels[top : top + 64, left : left + 64] = np.where(np.arange(64)[:, None, None] // 4 % 2, 255, 0)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("inspected")
    (folder / "photos").mkdir()
    for seed in range(4):
        make_picture(seed, (192, 192)).save(folder / "photos" / f"{seed}.png")
    with Gallery.open(folder / "gallery", encoder="efficientnet-lite0", create=True) as opened:
        opened.index(folder / "photos")
        yield opened


def test_what_two_pictures_share_is_what_matches(gallery: Gallery) -> None:
    found = gallery.explain(with_stripes(1, left=16, top=16), with_stripes(2, left=112, top=112))
    assert found.query_heat.shape == found.hit_heat.shape == (12, 12)
    row, column = np.unravel_index(found.query_heat.argmax(), (12, 12))
    assert max(row, column) < 6  # the encoder sees the middle 7/8: stripes are its upper left
    row, column = np.unravel_index(found.hit_heat.argmax(), (12, 12))
    assert min(row, column) > 5


def test_the_distance_is_that_of_a_search(gallery: Gallery) -> None:
    query, hit = with_stripes(1, left=16, top=16), gallery.search(with_stripes(1, left=16, top=16), 1)[0]
    assert abs(gallery.explain(query, hit.path).distance - hit.distance) < 1e-3


def test_a_picture_and_itself_can_only_become_less_alike(gallery: Gallery) -> None:
    found = gallery.explain(with_stripes(3, left=64, top=64), with_stripes(3, left=64, top=64))
    assert found.distance == pytest.approx(0, abs=1e-6)
    assert found.query_heat.min() >= -1e-6
    np.testing.assert_allclose(found.query_heat, found.hit_heat, atol=1e-5)


def test_the_drawing_is_red_where_it_matches(gallery: Gallery) -> None:
    drawn = np.asarray(
        gallery.explain(with_stripes(1, left=16, top=16), with_stripes(2, left=112, top=112)).draw(), np.int16
    )
    red = drawn[16:416, 16:416, 0] - drawn[16:416, 16:416, 2]  # the query, in grey but for its heat
    assert red[40:160, 40:160].mean() > red[240:, 240:].mean()


def test_a_flat_picture_is_drawn_without_heat(gallery: Gallery) -> None:
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    found = gallery.explain(grey, grey)
    assert np.abs(found.query_heat).max() < 1e-5
    assert found.draw().getpixel((100, 100)) == (128, 128, 128)


def test_a_picture_that_cannot_be_read_is_an_error(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage):
        gallery.explain(tmp_path / "none.jpg", make_picture(1))


def test_pictures_that_hardly_match_are_drawn_pale_and_the_colours_have_a_scale() -> None:
    image, heat = Image.new("RGB", (400, 400), "#808080"), np.zeros((12, 12), np.float32)
    heat[3:6, 3:6] = 0.05
    spread = []
    for scale in (0.05, 1.0):
        pixels = np.asarray(Inspection(image, image, 0.5, heat, heat, scale).draw().convert("RGB"), int)
        spread.append(np.ptp(pixels[20:400, 20:400], axis=2).max())
        assert np.ptp(pixels[440:480, 80:280], axis=2).max() > 100
    assert spread[0] > 5 * spread[1]
