from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.images.augment import TONES, cut_part, mirror
from tests.conftest import make_picture

if TYPE_CHECKING:
    from PIL import Image


def saturation(image: Image.Image) -> float:
    pixels = np.asarray(image, np.float64)
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())


def test_tones_are_what_they_are_called() -> None:
    image = make_picture(1)
    mean = np.asarray(image, np.float64).mean()
    assert saturation(TONES["paler"](image)) == pytest.approx(saturation(image) / 2, abs=1)
    assert np.asarray(TONES["darker"](image), np.float64).mean() == pytest.approx(0.8 * mean, abs=1)
    assert np.asarray(TONES["lighter"](image), np.float64).mean() > 1.1 * mean


def test_a_mirrored_picture_is_its_original_twice_over() -> None:
    image = make_picture(2)
    assert mirror(mirror(image)).tobytes() == image.tobytes() != mirror(image).tobytes()


@pytest.mark.parametrize("size", [(64, 48), (1, 1), (3, 200)])
def test_a_part_has_three_fifths_of_the_area_and_is_the_same_for_the_same_seed(size: tuple[int, int]) -> None:
    image = make_picture(3, size)
    part, same = (cut_part(image, np.random.default_rng(4)) for _ in range(2))
    assert part.tobytes() == same.tobytes()
    if min(size) > 20:
        assert part.width * part.height == pytest.approx(0.6 * size[0] * size[1], rel=0.05)


def test_what_is_altered_stays_as_it_was() -> None:
    image = make_picture(5)
    before = image.tobytes()
    cut_part(image, np.random.default_rng(0))
    for alter in (*TONES.values(), mirror):
        alter(image)
    assert image.tobytes() == before
