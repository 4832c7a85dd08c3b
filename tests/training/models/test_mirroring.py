"""Halves: what is found on them is what is found on pictures and their mirror images together."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.training.models.mirroring import halves, whole

PICTURES = np.random.default_rng(5).normal(size=(40, 4, 6, 3)).astype(np.float32)[:, :, :4]


def test_without_mirroring_pictures_and_directions_stay_what_they_are() -> None:
    (flat,) = halves(PICTURES, flip=False)
    np.testing.assert_array_equal(flat, PICTURES.reshape(40, -1))
    np.testing.assert_array_equal(whole(flat.T, 0, 4, flip=False), flat.T)


def test_halves_have_all_of_a_picture() -> None:
    parts = halves(PICTURES, flip=True)
    assert sum(np.square(part).sum() for part in parts) == pytest.approx(np.square(PICTURES).sum(), rel=1e-5)
    made = sum(whole(part.T, number, 4, flip=True) for number, part in enumerate(parts))
    np.testing.assert_allclose(made, PICTURES.reshape(40, -1).T, atol=1e-5)


def test_directions_of_halves_are_those_of_pictures_and_mirror_images() -> None:
    both = np.concatenate([PICTURES, PICTURES[:, :, ::-1]]).reshape(80, -1).astype(np.float64)
    expected = np.linalg.eigvalsh(both.T @ both / 80)
    found, axes = [], []
    for number, part in enumerate(halves(PICTURES, flip=True)):
        spread, vectors = np.linalg.eigh(part.T.astype(np.float64) @ part / 40)
        found.append(spread)
        axes.append(whole(vectors, number, 4, flip=True))
    np.testing.assert_allclose(np.sort(np.concatenate(found)), expected, atol=1e-5)
    together = np.concatenate(axes, axis=1)
    np.testing.assert_allclose(together.T @ together, np.eye(48), atol=1e-5)
