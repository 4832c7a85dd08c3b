"""Classes that only a discriminant can tell apart, made here."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.adaptation.lda import cross_validate, fit_classes
from lookalike.adaptation.projection import Projection, fit_projection
from lookalike.metrics import measure_retrieval
from lookalike.vectors.metric import unit


def plain_of(rows: np.ndarray) -> Projection:
    return fit_projection([rows], rows.shape[1], 8)


def clouds(count: int, seed: int = 0, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes whose means differ in narrow directions, under wide ones that mean nothing."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 3, count)
    rows = rng.normal(0, 1, (count, 20)) * np.linspace(6, 0.3, 20)
    rows[:, -3:] += apart * np.eye(3)[places]
    return rows.astype(np.float32), np.array(["a", "b", "c"])[places]


def measured(
    projection: object, gallery: tuple[np.ndarray, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> float:
    rows, others = (unit(projection.apply(part[0])) for part in (gallery, queries))  # type: ignore[attr-defined]
    order = np.argsort(-(others @ rows.T), axis=1)
    return measure_retrieval(gallery[1][order] == queries[1][:, None])["mAP"]


def test_labels_find_what_the_widest_directions_hide() -> None:
    gallery, queries = clouds(400), clouds(200, seed=1)
    choice = cross_validate(*gallery, dim=8, without=plain_of)
    plain = fit_projection([gallery[0]], 20, 8)
    adapted = fit_classes(*gallery, plain, choice)
    assert choice.is_better
    assert measured(plain, gallery, queries) < 0.5
    assert measured(adapted, gallery, queries) > 0.85
    assert abs(measured(adapted, gallery, queries) - choice.with_labels["mAP"]) < 0.05


def test_labels_that_mean_nothing_are_not_taken_for_better_than_ones_that_do() -> None:
    rows, labels = clouds(300)
    shuffled = np.random.default_rng(3).permutation(labels)
    assert cross_validate(rows, shuffled, dim=8, without=plain_of).with_labels["mAP"] < 0.45


def test_rows_have_length_one_and_their_product_is_the_coefficient_of_the_classes_beside_the_look() -> None:
    rows, labels = clouds(300)
    plain = fit_projection([rows], 20, 8)
    adapted = fit_classes(rows, labels, plain, cross_validate(rows, labels, dim=8, without=plain_of))
    made = adapted.apply(rows)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    likely, look = made[:, :3] / np.sqrt(0.7), made[:, 3:] / np.sqrt(0.3)
    np.testing.assert_allclose(np.square(likely).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(look, unit(plain.apply(rows)), atol=1e-6)


def test_the_probabilities_are_those_of_bayes_when_nothing_is_shrunk_or_softened() -> None:
    rng = np.random.default_rng(5)
    places = (rng.random(20_000) < 0.3).astype(int)
    rows = rng.normal(0, 1, (20_000, 2)).astype(np.float32) + np.array([[0, 0], [1.5, 0]], np.float32)[places]
    labels = np.array(["often", "seldom"])[places]
    choice = cross_validate(rows[:200], labels[:200], dim=2, without=plain_of)
    exact = type(choice)(choice.with_labels, choice.without, 1e-9, 1.0)
    made = fit_classes(rows, labels, fit_projection([rows], 2, 2), exact).apply(rows)
    odds = np.log(0.3 / 0.7) + 1.5 * rows[:, 0] - 1.5**2 / 2
    np.testing.assert_allclose(np.square(made[:, 1]) / 0.7, 1 / (1 + np.exp(-odds)), atol=0.04)


def test_the_same_rows_give_the_same_choice() -> None:
    rows, labels = clouds(120)
    assert cross_validate(rows, labels, dim=8, without=plain_of) == cross_validate(
        rows, labels, dim=8, without=plain_of
    )


def test_rows_that_are_all_the_same_are_an_error() -> None:
    with pytest.raises(ValueError, match="same"):
        cross_validate(np.ones((20, 4), np.float32), np.array(["a", "b"] * 10), dim=2, without=plain_of)
