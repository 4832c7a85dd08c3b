"""Rows drawn to their neighbours, beside rows that stand apart."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from lookalike.adaptation import expansion as neighbours
from lookalike.adaptation.expansion import Blend, concat, expand, fit_blend, whiten
from lookalike.vectors.metric import unit


def made(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def smoothed(rows: np.ndarray, k: int = 20, power: float = 3.0) -> np.ndarray:
    return expand(rows, unit(rows), k=k, power=power)


def blended(rows: np.ndarray, numbers: int = 16) -> Blend:
    return fit_blend(rows, smoothed=numbers, whitened=512)


def smoothed_naively(rows: np.ndarray, k: int, power: float) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    result = []
    for row in rows:
        likeness = rows @ row
        best = np.argsort(-likeness)[:k]
        second = likeness[best[1]]
        mean = sum(np.clip(likeness[place] / second, 0.0, 1.0) ** power * rows[place] for place in best)
        result.append(mean / np.linalg.norm(mean))
    return np.array(result)


def test_smoothing_worked_out_by_hand() -> None:
    rows = np.array([[2, 0], [3, 3], [-1, 0]], np.float32)
    # Of the first: itself and the second, at 45 degrees, with weight 1 each, as the second is what the others are
    # compared with.
    first = np.array([1 + 0.5**0.5, 0.5**0.5])
    np.testing.assert_allclose(smoothed(rows, k=2, power=2)[0], first / np.linalg.norm(first), rtol=1e-6)


@pytest.mark.parametrize(("k", "power"), [(2, 1.0), (7, 3.0), (20, 0.5)])
def test_smoothing_equals_the_naive_way(k: int, power: float) -> None:
    rows = made(60, 5)
    np.testing.assert_allclose(smoothed(rows, k, power), smoothed_naively(rows, k, power), atol=1e-5)


def test_work_in_small_blocks_gives_exactly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made(50, 6)
    whole = smoothed(rows, k=5)
    monkeypatch.setattr(neighbours, "_PRODUCTS", 120)
    np.testing.assert_array_equal(smoothed(rows, k=5), whole)


def test_one_neighbour_is_the_row_itself() -> None:
    rows = made(40, 8)
    np.testing.assert_allclose(smoothed(rows, k=1), unit(rows), atol=1e-6)


def test_fewer_rows_than_neighbours_are_all_taken() -> None:
    rows = made(4, 3)
    np.testing.assert_array_equal(smoothed(rows, k=50), smoothed(rows, k=4))


def test_a_row_of_length_0_stays_0_and_counts_for_no_other() -> None:
    rows = made(10, 4)
    with_zero = np.concatenate([np.zeros((1, 4), np.float32), rows])
    found = smoothed(with_zero, k=11)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[1:], smoothed(rows, k=10), atol=1e-6)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows, order = made(80, 6), np.random.default_rng(5).permutation(80)
    np.testing.assert_allclose(smoothed(rows[order], k=7), smoothed(rows, k=7)[order], atol=1e-5)


def test_smoothing_brings_a_group_together() -> None:
    groups = np.repeat(made(4, 16), 30, axis=0)
    rows = groups + np.float32(0.5) * made(120, 16, seed=1)
    before, after = (np.sum(unit(part) * unit(groups), axis=1).mean() for part in (rows, smoothed(rows)))
    assert after > before + 0.03


def test_no_queries_are_no_error() -> None:
    assert expand(np.empty((0, 3), np.float32), unit(made(5, 3))).shape == (0, 3)
    assert blended(made(40, 8)).apply(np.empty((0, 8), np.float32)).shape == (0, 16)


def test_whitened_rows_have_directions_of_equal_weight() -> None:
    rows = made(2000, 4) * np.array([10, 3, 1, 0], np.float32)
    white = whiten(rows, rows.std(axis=0))
    np.testing.assert_allclose(white[:, :3].std(axis=0), 3**-0.5, rtol=0.05)
    np.testing.assert_array_equal(white[:, 3], 0)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-6)


def test_a_product_of_rows_side_by_side_is_the_weighted_mean_of_the_products() -> None:
    first, second = unit(made(9, 4)), unit(made(9, 6, seed=1))
    both = concat(first, second, share=0.25)
    np.testing.assert_allclose(both @ both.T, 0.75 * first @ first.T + 0.25 * second @ second.T, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_equal_embeddings_become_exactly_equal_rows_wherever_they_stand(count: int) -> None:
    rows = made(600, 100)
    blend = blended(np.concatenate([rows, rows[:200]]))
    whole = blend.apply(rows)
    for start in range(0, 600 - count, 7):
        np.testing.assert_array_equal(blend.apply(rows[start : start + count]), whole[start : start + count])


def test_copies_count_once_as_anchors() -> None:
    rows = made(90, 40)
    copied = blended(np.concatenate([rows, np.repeat(rows[:1], 30, axis=0)]))
    np.testing.assert_array_equal(copied.anchors, blended(rows).anchors)


def test_of_many_rows_some_are_kept_that_are_spread_along_the_widest_direction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "_ANCHORS", 50)
    rows = made(1000, 20) * np.array([5, *[1] * 19], np.float32)
    anchors = blended(rows).anchors
    assert anchors.shape == (50, 16)
    known = {row.tobytes() for row in unit(rows[:, :16])}
    assert all(anchor.tobytes() in known for anchor in anchors)
    quarters = np.quantile(unit(rows[:, :16])[:, 0], [0.25, 0.5, 0.75])
    assert np.bincount(np.searchsorted(quarters, anchors[:, 0])).tolist() == pytest.approx([12.5] * 4, abs=2)


def test_a_row_depends_on_nothing_that_comes_later() -> None:
    rows = made(300, 40)
    blend = blended(rows[:200])
    np.testing.assert_array_equal(blend.apply(rows)[:200], blend.apply(rows[:200]))


def test_a_blend_finds_a_picture_of_many_of_its_kind_by_an_altered_copy() -> None:
    groups = np.repeat(np.float32(10) * made(8, 16), 100, axis=0)
    rows = np.concatenate([groups + made(800, 16, seed=1), made(800, 64, seed=2)], axis=1)
    rows -= rows.mean(axis=0)
    copies = rows[::8] + np.float32(0.6) * made(100, 80, seed=3)
    blend, first = blended(rows), unit(rows[:, :16])
    found = (blend.apply(copies) @ blend.apply(rows).T).argmax(axis=1)
    found_smoothed = (expand(copies[:, :16], first) @ expand(first, first).T).argmax(axis=1)
    own = np.arange(0, 800, 8)
    assert (found == own).mean() > 0.95 > (found_smoothed == own).mean()


def test_a_small_gallery_whitens_no_more_directions_than_it_knows() -> None:
    for count, dim, width in ((400, 300, 16 + 100), (40, 300, 16 + 10), (40, 8, 8 + 8), (1, 8, 8)):
        rows = made(count, dim)
        assert blended(rows).apply(rows).shape == (count, width) == (count, blended(rows).width)


def test_memory_stays_far_below_that_of_all_products() -> None:
    rows = made(12_000, 8)
    tracemalloc.start()
    smoothed(rows, k=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000 * 12_000 * 4 / 4
