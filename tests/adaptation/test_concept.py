from __future__ import annotations

import numpy as np
import pytest

from lookalike.adaptation.concept import Background, fit_direction
from lookalike.vectors.metric import unit

WIDTH = 16


def pictures(count: int, seed: int = 0, *, of: int | None = None) -> np.ndarray:
    """Vectors that vary most along the first axis; those of a concept also have their own axis."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (count, WIDTH)) * np.linspace(3, 0.5, WIDTH)
    if of is not None:
        rows[:, of] += 7
    return unit(rows.astype(np.float32))


NONE = np.empty((0, WIDTH), np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 40])
def test_the_direction_ranks_unseen_pictures_of_the_concept_before_others(count: int) -> None:
    others, unseen = pictures(300), pictures(30, 1, of=9)
    background = Background(np.concatenate([others, unseen]))
    found = fit_direction(pictures(count, 2, of=9), NONE, background)
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5)
    ranked = np.argsort(-np.concatenate([others, unseen]) @ found.vector)[:10]
    assert (ranked >= len(others)).mean() >= (0.4 if count == 1 else 0.8)


def test_more_examples_find_more_than_their_mean_does() -> None:
    others, unseen, like = pictures(300), pictures(30, 1, of=15), pictures(10, 2, of=15)
    everything = np.concatenate([others, unseen])
    found = fit_direction(like, NONE, Background(everything))

    def share(direction: np.ndarray) -> float:
        return float((np.argsort(-everything @ direction)[:30] >= len(others)).mean())

    assert share(found.vector) >= share(like.mean(axis=0))


def test_every_example_reaches_the_threshold_and_an_unlike_one_does_not() -> None:
    background = Background(pictures(300))
    like, unlike = pictures(5, 2, of=9), pictures(2, 3, of=10)
    found = fit_direction(like, unlike, background)
    assert ((like @ found.vector) >= found.threshold - 1e-6).all()
    assert ((unlike @ found.vector) < found.threshold).all()
    without = fit_direction(like, NONE, background)
    assert (unlike @ found.vector < unlike @ without.vector).all()


@pytest.mark.parametrize("rows", [NONE, pictures(1), pictures(5), np.repeat(pictures(1), 9, axis=0)])
def test_a_gallery_of_hardly_any_pictures_gives_the_examples_own_direction(rows: np.ndarray) -> None:
    like = pictures(1, 2, of=9)
    found = fit_direction(like, NONE, Background(rows))
    assert np.isfinite(found.vector).all()
    assert np.isfinite(found.threshold)
    assert float(like[0] @ found.vector) > 0.5


def test_an_example_that_is_the_whole_gallery_is_its_own_direction() -> None:
    like = pictures(1)
    found = fit_direction(like, NONE, Background(like))
    np.testing.assert_allclose(found.vector, like[0], atol=1e-5)


def test_the_background_may_be_wider_than_it_has_pictures() -> None:
    rows = pictures(300)
    wide = unit(np.concatenate([rows, np.zeros((300, 400), np.float32)], axis=1))
    like = np.concatenate([pictures(3, 2, of=9), np.zeros((3, 400), np.float32)], axis=1)
    narrow = fit_direction(like[:, :WIDTH], NONE, Background(rows))
    found = fit_direction(like, np.empty((0, WIDTH + 400), np.float32), Background(wide))
    np.testing.assert_allclose(found.vector[:WIDTH], narrow.vector, atol=1e-4)
