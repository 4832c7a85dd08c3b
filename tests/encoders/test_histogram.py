from __future__ import annotations

import numpy as np

from lookalike.encoders.histogram import HistogramEncoder
from lookalike.vectors.metric import distances


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((1, 128, 128, 3), colour, np.uint8)


def test_rows_have_length_one() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(np.linalg.norm(HistogramEncoder().encode(noise), axis=1), 1, atol=1e-6)


def test_pictures_of_other_colours_have_nothing_in_common() -> None:
    encoder = HistogramEncoder()
    red, blue = encoder.encode(plain((250, 10, 10)))[0], encoder.encode(plain((10, 10, 250)))
    np.testing.assert_allclose(distances(red, blue, "cosine"), 1, atol=1e-6)


def test_the_same_colours_in_other_places_are_told_apart() -> None:
    upright = plain((250, 10, 10))
    upright[:, :64] = (10, 10, 250)
    distance = distances(HistogramEncoder().encode(upright)[0], HistogramEncoder().encode(upright[:, ::-1]), "cosine")
    assert distance[0] > 0.5


def test_mirrored_halves_move_between_corners_only() -> None:
    picture = plain((250, 10, 10))
    picture[:, :, :64] = (10, 250, 10)
    first, second = HistogramEncoder().encode(np.concatenate([picture, picture[:, :, ::-1]])).reshape(2, 5, -1)
    np.testing.assert_allclose(first[0], second[0], atol=0.02)  # the middle keeps its colours
    np.testing.assert_allclose(first[1:3], second[[2, 1]], atol=1e-6)
