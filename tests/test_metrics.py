from __future__ import annotations

import numpy as np
import pytest

from lookalike.metrics import (
    RESAMPLES,
    average_precision,
    find_interval,
    mean_squared_error,
    measure_queries,
    measure_retrieval,
    ndcg_at,
    precision_at,
    recall_at,
    resample_means,
)


def relevance(*rows: str) -> np.ndarray:
    return np.array([[mark == "x" for mark in row] for row in rows])


@pytest.mark.parametrize(
    ("row", "expected"),
    [("x--", 1), ("-x-", 1 / 2), ("x-x", (1 + 2 / 3) / 2), ("xxx", 1), ("---", 0), ("--x", 1 / 3)],
)
def test_average_precision_is_the_mean_precision_at_the_relevant_ranks(row: str, expected: float) -> None:
    assert average_precision(relevance(row))[0] == pytest.approx(expected)


def test_average_precision_equals_a_slow_sum() -> None:
    relevant = np.random.default_rng(0).random((20, 50)) < 0.2
    for row, fast in zip(relevant, average_precision(relevant), strict=True):
        hits = [rank for rank, is_relevant in enumerate(row, 1) if is_relevant]
        slow = sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits)
        assert fast == pytest.approx(slow)


def test_precision_counts_what_was_not_found_as_not_relevant() -> None:
    assert precision_at(relevance("xx-x"), 2)[0] == 1
    assert precision_at(relevance("xx-x"), 10)[0] == pytest.approx(0.3)


def test_recall_is_the_share_of_what_there_is() -> None:
    np.testing.assert_allclose(recall_at(relevance("x--x", "----"), 2), [0.5, 0])


def test_the_gain_is_one_for_the_best_order_and_discounts_later_ranks() -> None:
    gains = ndcg_at(relevance("xx--", "x-x-", "--xx", "----"), 4)
    assert gains[0] == pytest.approx(1)
    assert gains[1] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))
    assert gains[0] > gains[1] > gains[2] > gains[3] == 0


def test_the_gain_at_k_can_reach_one_when_more_than_k_are_relevant() -> None:
    assert ndcg_at(relevance("xxxxxx"), 3)[0] == pytest.approx(1)


def test_all_measures_lie_between_0_and_1_and_chance_is_the_share_of_the_class() -> None:
    relevant = np.random.default_rng(1).random((400, 300)) < 0.125
    measures = measure_retrieval(relevant)
    assert all(0 <= value <= 1 for value in measures.values())
    assert measures["P@10"] == pytest.approx(0.125, abs=0.01)
    assert measures["mAP"] == pytest.approx(0.14, abs=0.02)


def test_the_squared_error_is_over_all_pixels_and_channels() -> None:
    black, grey = np.zeros((2, 4, 4, 3), np.float32), np.full((2, 4, 4, 3), 0.5, np.float32)
    assert mean_squared_error(black, grey) == 0.25
    grey[0] = 0
    assert mean_squared_error(black, grey) == 0.125


def test_the_measures_are_the_means_of_those_of_each_query() -> None:
    relevant = np.random.default_rng(1).random((40, 30)) < 0.2
    queries = measure_queries(relevant)
    assert all(values.shape == (40,) for values in queries.values())
    assert measure_retrieval(relevant) == {name: values.mean() for name, values in queries.items()}


def test_resampled_means_are_those_of_rows_drawn_with_replacement() -> None:
    values = np.random.default_rng(0).normal([[0.0, 5.0]], [[1.0, 2.0]], (500, 2))
    means = resample_means(values)
    assert means.shape == (RESAMPLES, 2)
    np.testing.assert_allclose(means.mean(axis=0), values.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(means.std(axis=0), values.std(axis=0) / 500**0.5, rtol=0.05)


def test_an_interval_is_that_of_the_normal_distribution_where_there_are_many_queries() -> None:
    values = np.random.default_rng(0).random((1000, 1))
    low, high = find_interval(resample_means(values)[:, 0])
    half = 1.96 * float(values.std()) / 1000**0.5
    assert low == pytest.approx(float(values.mean()) - half, abs=half / 10)
    assert high == pytest.approx(float(values.mean()) + half, abs=half / 10)


def test_a_seed_decides_the_samples_and_every_measure_has_the_same() -> None:
    values = np.random.default_rng(0).random((30, 1))
    twice = resample_means(np.concatenate([values, 2 * values], axis=1), 3)
    np.testing.assert_allclose(twice[:, 1], 2 * twice[:, 0])
    np.testing.assert_allclose(resample_means(values, 3)[:, 0], twice[:, 0])
    assert not np.allclose(resample_means(values, 4)[:, 0], twice[:, 0])


def test_queries_that_all_have_the_same_value_have_an_interval_of_that_value() -> None:
    assert find_interval(resample_means(np.ones((7, 1)))[:, 0]) == (1, 1)


def test_samples_of_many_queries_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    whole = resample_means(values)
    monkeypatch.setattr("lookalike.metrics._BLOCK", 333)
    np.testing.assert_allclose(resample_means(values), whole)
