"""Embeddings as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.store.float16 import blob_size, from_blobs, rounded, to_blobs


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1.0, 1e15])
def test_numbers_come_back_within_a_thousandth_of_the_largest(scale: float) -> None:
    rows = np.random.default_rng(1).normal(size=(9, 30)).astype(np.float32) * np.float32(scale)
    blobs = to_blobs(list(rows), 30)
    assert {len(blob) for blob in blobs} == {blob_size(30)} == {62}
    back = from_blobs(blobs, 30)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rows, atol=np.abs(rows).max() / 2000, rtol=0)


def test_what_was_rounded_once_is_not_rounded_again() -> None:
    once = rounded(np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32), 7)
    np.testing.assert_array_equal(rounded(once, 7), once)


def test_nothing_but_zeros_stays_so() -> None:
    np.testing.assert_array_equal(rounded(np.zeros((2, 3), np.float32), 3), 0)


@pytest.mark.parametrize("row", [np.ones(4), np.full(3, np.nan), np.full(3, np.inf), np.full(3, 1e17)])
def test_others_are_refused(row: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an embedding"):
        to_blobs([row.astype(np.float32)], 3)


def test_every_finite_number_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view("<f2")
    finite = every[np.isfinite(every)]
    blob = np.int16(0).tobytes() + finite.tobytes()
    (back,) = from_blobs([blob], len(finite))
    assert np.array_equal(back.view(np.uint32), finite.astype(np.float32).view(np.uint32))
