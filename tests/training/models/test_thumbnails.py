"""Thumbnails: the lowest frequencies of a picture, and nothing else of it."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.training.models.thumbnails import cropping, enlarge, narrowing, thumbnails


def some_pictures(size: int = 32) -> np.ndarray:
    return np.random.default_rng(3).random((5, size, size, 3), np.float32)


def test_a_thumbnail_has_the_lowest_frequencies_of_the_cosine_transform() -> None:
    fft = pytest.importorskip("scipy.fft", reason="scipy is not there to compare with")
    batch, narrow = some_pictures(), narrowing(8, 32)
    waves = fft.dctn(batch, axes=(1, 2), norm="ortho")[:, :8, :8]
    np.testing.assert_allclose(
        thumbnails(batch, narrow, narrow), fft.idctn(waves, axes=(1, 2), norm="ortho") / 4, atol=1e-6
    )


def test_the_error_of_a_picture_is_that_of_its_thumbnail_and_what_that_leaves_out() -> None:
    batch, narrow = some_pictures(), narrowing(8, 32)
    small = thumbnails(batch, narrow, narrow)
    other = small + np.random.default_rng(4).normal(0, 0.1, small.shape).astype(np.float32)
    left_out = np.square(batch).mean() - np.square(small).mean()
    assert np.square(enlarge(other, 32) - batch).mean() == pytest.approx(
        np.square(other - small).mean() + left_out, rel=1e-4
    )


def test_what_is_enlarged_has_the_same_thumbnail() -> None:
    narrow = narrowing(8, 32)
    small = thumbnails(some_pictures(), narrow, narrow)
    np.testing.assert_allclose(thumbnails(enlarge(small, 32), narrow, narrow), small, atol=1e-5)


def test_rows_are_rows_and_columns_columns() -> None:
    batch = np.zeros((1, 32, 32, 3), np.float32)
    batch[:, 8:16] = 1  # the second quarter from above
    whole, quarter = narrowing(8, 32), cropping(8, 32, 0.25, 0.25)
    assert thumbnails(batch, quarter, whole).mean() == pytest.approx(1, abs=0.1)
    assert thumbnails(batch, whole, quarter).mean() == pytest.approx(0.25, abs=0.1)


def test_a_part_of_a_slope_is_the_part_that_was_asked_for() -> None:
    slope = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None, None], (1, 64, 64, 3))
    part = thumbnails(slope, cropping(16, 64, 0.25, 0.5), narrowing(16, 64))[0, :, 0, 0]
    np.testing.assert_allclose(part, 0.25 + 0.5 * (np.arange(16) + 0.5) / 16, atol=0.02)


def test_a_thumbnail_as_large_as_the_picture_is_the_picture() -> None:
    batch, narrow = some_pictures(16), narrowing(16, 16)
    np.testing.assert_allclose(thumbnails(batch, narrow, narrow), batch, atol=1e-5)
