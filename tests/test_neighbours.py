from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from lookalike import neighbours
from lookalike.distance import unit
from lookalike.neighbours import Blend, beside, expand, nearest, smooth, whiten


def made(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def smoothed_naively(rows: np.ndarray, k: int, power: float) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    result = []
    for row in rows:
        likeness = rows @ row
        best = np.argsort(-likeness)[:k]
        mean = sum(max(likeness[place], 0.0) ** power * rows[place] for place in best)
        result.append(mean / np.linalg.norm(mean))
    return np.array(result)


def test_smoothing_worked_out_by_hand() -> None:
    rows = np.array([[2, 0], [3, 3], [-1, 0]], np.float32)
    # Of the first: itself with weight 1, and the second, at 45 degrees, with weight cos^2 = 1/2.
    first = np.array([1 + 0.5**1.5, 0.5**1.5])
    np.testing.assert_allclose(smooth(rows, k=2, power=2)[0], first / np.linalg.norm(first), rtol=1e-6)


@pytest.mark.parametrize(("k", "power"), [(2, 1.0), (7, 3.0), (20, 0.5)])
def test_smoothing_equals_the_naive_way(k: int, power: float) -> None:
    rows = made(60, 5)
    np.testing.assert_allclose(smooth(rows, k=k, power=power), smoothed_naively(rows, k, power), atol=1e-5)


def test_work_in_small_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made(50, 6)
    whole = smooth(rows, k=5)
    monkeypatch.setattr(neighbours, "_PRODUCTS", 120)
    np.testing.assert_allclose(smooth(rows, k=5), whole, atol=1e-6)


def test_one_neighbour_is_the_row_itself() -> None:
    rows = made(40, 8)
    np.testing.assert_allclose(smooth(rows, k=1), unit(rows), atol=1e-6)


def test_fewer_rows_than_neighbours_are_all_taken() -> None:
    rows = made(4, 3)
    np.testing.assert_array_equal(smooth(rows, k=50), smooth(rows, k=4))


def test_equal_rows_stay_exactly_equal() -> None:
    rows = np.concatenate([made(300, 64), made(300, 64)[::-1], made(300, 64)])
    smoothed = smooth(rows, k=5)
    np.testing.assert_array_equal(smoothed[:300], smoothed[600:])
    np.testing.assert_array_equal(smoothed[:300], smoothed[300:600][::-1])


def test_a_row_of_length_0_stays_0_and_counts_for_no_other() -> None:
    rows = made(10, 4)
    with_zero = np.concatenate([np.zeros((1, 4), np.float32), rows])
    smoothed = smooth(with_zero, k=11)
    np.testing.assert_array_equal(smoothed[0], 0)
    np.testing.assert_allclose(smoothed[1:], smooth(rows, k=10), atol=1e-6)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows, order = made(80, 6), np.random.default_rng(5).permutation(80)
    np.testing.assert_allclose(smooth(rows[order], k=7), smooth(rows, k=7)[order], atol=1e-5)


def test_smoothing_brings_a_group_together() -> None:
    groups = np.repeat(made(4, 16), 30, axis=0)
    rows = groups + np.float32(0.5) * made(120, 16, seed=1)
    before, after = (np.sum(unit(part) * unit(groups), axis=1).mean() for part in (rows, smooth(rows, k=20)))
    assert after > before + 0.03


def test_no_rows_and_no_queries_are_no_error() -> None:
    rows, none = made(5, 3), np.empty((0, 3), np.float32)
    assert smooth(none).shape == (0, 3)
    assert expand(none, rows).shape == (0, 3)
    np.testing.assert_array_equal(expand(rows, none), np.zeros((5, 3), np.float32))
    assert nearest(rows, none, 3).shape == (5, 0)


def test_a_query_equal_to_a_row_becomes_the_smoothed_row() -> None:
    rows = made(90, 12)
    np.testing.assert_allclose(expand(rows[40:43], rows, k=9), smooth(rows, k=9)[40:43], atol=1e-6)


def test_nearest_finds_the_largest_products() -> None:
    rows, queries = made(70, 5), made(6, 5, seed=1)
    expected = np.sort(np.argsort(-(queries @ rows.T), axis=1)[:, :8], axis=1)
    np.testing.assert_array_equal(np.sort(nearest(queries, rows, 8), axis=1), expected)


def test_whitened_rows_have_directions_of_equal_weight() -> None:
    rows = made(2000, 4) * np.array([10, 3, 1, 0], np.float32)
    white = whiten(rows, rows.std(axis=0, dtype=np.float64))
    np.testing.assert_allclose(white[:, :3].std(axis=0), 3**-0.5, rtol=0.05)
    np.testing.assert_array_equal(white[:, 3], 0)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-6)


def test_a_product_of_rows_side_by_side_is_the_weighted_mean_of_the_products() -> None:
    first, second = unit(made(9, 4)), unit(made(9, 6, seed=1))
    both = beside(first, second, share=0.25)
    np.testing.assert_allclose(both @ both.T, 0.75 * first @ first.T + 0.25 * second @ second.T, atol=1e-6)


def test_a_blended_query_of_the_gallery_is_nearest_to_itself_at_distance_0() -> None:
    rows = made(400, 100)
    blend = Blend(rows, numbers=16, k=10)
    queries = blend.query(rows[:50])
    assert blend.rows.dtype == queries.dtype == np.float32
    np.testing.assert_allclose(queries, blend.rows[:50], atol=1e-6)
    np.testing.assert_array_equal((queries @ blend.rows.T).argmax(axis=1), np.arange(50))


def test_a_blend_finds_a_picture_of_many_of_its_kind_by_an_altered_copy() -> None:
    groups = np.repeat(np.float32(10) * made(8, 16), 100, axis=0)
    rows = np.concatenate([groups + made(800, 16, seed=1), made(800, 64, seed=2)], axis=1)
    rows -= rows.mean(axis=0)
    copies = rows[::8] + np.float32(0.6) * made(100, 80, seed=3)
    blend, smoothed = Blend(rows, numbers=16), smooth(rows[:, :16])
    found = (blend.query(copies) @ blend.rows.T).argmax(axis=1)
    found_smoothed = (expand(copies[:, :16], rows[:, :16]) @ smoothed.T).argmax(axis=1)
    own = np.arange(0, 800, 8)
    assert (found == own).mean() > 0.95 > (found_smoothed == own).mean()


def test_a_small_gallery_whitens_no_more_directions_than_it_knows() -> None:
    assert Blend(made(400, 300), numbers=16).rows.shape == (400, 16 + 100)
    assert Blend(made(40, 300), numbers=16).rows.shape == (40, 16 + 10)
    assert Blend(made(40, 8), numbers=16).rows.shape == (40, 8 + 8)


def test_memory_stays_far_below_that_of_all_products() -> None:
    rows = made(12_000, 8)
    tracemalloc.start()
    smooth(rows, k=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000 * 12_000 * 4 / 4
