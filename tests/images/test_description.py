"""What is kept of each picture beside its embedding."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike.images.colors import anchor_lab, ciede2000, count_colors, shares, to_lab
from lookalike.images.decode import View, decode
from lookalike.images.description import COLORS, DESCRIPTION_SIZE, HASH, describe
from lookalike.images.perceptual import hash_brightness, take_brightness
from lookalike.images.sample import PIXELS, SIZE, take_sample

if TYPE_CHECKING:
    from pathlib import Path


def _plain(color: tuple[int, int, int]) -> bytes:
    return bytes(color) * PIXELS


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [  # from the test data of Sharma et al. 2005
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
        ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_is_that_of_its_test_data(one: tuple[float, ...], other: tuple[float, ...], wanted: float) -> None:
    assert float(ciede2000(np.array(one), np.array(other))) == pytest.approx(wanted, abs=5e-5)
    assert float(ciede2000(np.array(other), np.array(one))) == pytest.approx(wanted, abs=5e-5)


def test_white_and_the_primaries_have_their_places_in_cielab() -> None:
    np.testing.assert_allclose(to_lab(np.array([255.0, 255.0, 255.0])), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(to_lab(np.array([255.0, 0.0, 0.0])), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_allclose(to_lab(np.array([0.0, 0.0, 0.0])), [0, 0, 0], atol=1e-9)


def test_every_colour_of_a_screen_is_near_an_anchor() -> None:
    colors = to_lab(np.random.default_rng(0).uniform(0, 255, (500, 3)))
    nearest = ciede2000(colors[:, None], anchor_lab()[None]).min(axis=1)
    assert float(nearest.max()) < 12
    assert float(nearest.mean()) < 5


def test_the_shares_of_a_histogram_add_up_to_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8).tobytes()
    for sample in (pixels, _plain((255, 0, 0)), _plain((0, 0, 0))):
        (histogram,) = count_colors([sample])
        assert shares(np.frombuffer(histogram, np.uint8)).sum() == pytest.approx(1, abs=0.03)


def test_a_hundredth_of_a_colour_is_not_lost() -> None:
    (plain, touched) = count_colors([_plain((255, 255, 255)), _plain((255, 255, 255))[:-120] + bytes((200, 0, 0)) * 40])
    assert plain != touched
    red = ciede2000(to_lab(np.array([200.0, 0.0, 0.0])), anchor_lab()) < 20
    assert shares(np.frombuffer(touched, np.uint8))[red].sum() == pytest.approx(40 / PIXELS, rel=0.2)


def test_a_sample_has_only_colours_of_the_picture() -> None:
    stripes = Image.new("RGB", (1000, 10))
    stripes.paste((255, 0, 0), (0, 0, 1000, 10))
    for x in range(0, 1000, 2):
        stripes.paste((0, 255, 0), (x, 0, x + 1, 10))
    found = {tuple(pixel) for pixel in np.frombuffer(take_sample(stripes), np.uint8).reshape(-1, 3).tolist()}
    assert found <= {(255, 0, 0), (0, 255, 0)}


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2), (64, 64), (900, 700)])
def test_pictures_of_any_shape_are_described(size: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    image = Image.new("RGB", size, (10, 200, 30))
    image.save(file)
    (described,) = describe([decode(bytes(file), View(32))])
    assert len(described) == DESCRIPTION_SIZE
    assert described[HASH] == hash_brightness([take_brightness(image)])[0]
    assert described[COLORS] == count_colors([_plain((10, 200, 30))])[0]


def test_transparent_pictures_are_described_on_the_ground_that_is_seen(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((250, 250, 250, 255), (0, 0, 20, 40))
    content = io.BytesIO()
    image.save(content, "PNG")
    (tmp_path / "a.png").write_bytes(content.getvalue())
    picture = decode(bytes(tmp_path / "a.png"), View(32))
    assert picture.sample == take_sample(Image.frombytes("RGB", (64, 64), picture.sample))
    assert (250, 250, 250) in {
        tuple(pixel) for pixel in np.frombuffer(picture.sample, np.uint8).reshape(-1, 3).tolist()
    }
