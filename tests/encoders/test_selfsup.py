"""Selfsup learned from generated textures, and its training step by step."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import load_encoder
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.patches import VIEW, fit_patches
from lookalike.encoders.patches.projection import find_axes
from lookalike.encoders.selfsup import _belong_together, _spread, fit_selfsup
from lookalike.encoders.selfsup.head import _TEMPERATURE, Head, _batches, _targets, _through_loss, train_head
from lookalike.encoders.untrusted import check_model
from lookalike.errors import EncoderError
from lookalike.images.augment import alter
from lookalike.images.decode import View, fit
from lookalike.indexing.learned import learn
from lookalike.vectors.metric import unit
from tests.encoders.test_patches import mean_precision, textures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _little_learned(few_patches: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.encoders.selfsup._VIEWS", 3)
        yield


@pytest.fixture(scope="module")
def learned() -> tuple[bytes, Card]:
    return fit_selfsup(textures(60)[0], seed=3)


def loss(out: np.ndarray, wanted: np.ndarray) -> float:
    """Straight from the definition: mean cross-entropy between `wanted` and the softmax of cosines."""
    rows = out / np.linalg.norm(out, axis=1, keepdims=True)
    likeness = rows @ rows.T / _TEMPERATURE
    np.fill_diagonal(likeness, -np.inf)
    logs = likeness - np.log(np.exp(likeness).sum(axis=1, keepdims=True))
    return -float(np.where(wanted > 0, wanted * np.where(wanted > 0, logs, 0), 0).sum() / len(out))


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    out, near = rng.normal(0, 1, (8, 3)), rng.random((4, 4)) < 0.4
    wanted = _targets(near | near.T, np.arange(4))
    found = _through_loss(out.astype(np.float32), wanted)
    for place in np.ndindex(out.shape):
        step = np.zeros_like(out)
        step[place] = 1e-5
        slope = (loss(out + step, wanted) - loss(out - step, wanted)) / 2e-5
        assert found[place] == pytest.approx(slope, abs=1e-4)


def test_each_view_belongs_to_the_other_views_of_its_picture_and_of_its_neighbours() -> None:
    near = np.zeros((5, 5), bool)
    near[0, 3] = near[3, 0] = True
    wanted = _targets(near, np.array([0, 3, 4]))
    assert wanted[0].tolist() == pytest.approx([0, 1 / 3, 0, 1 / 3, 1 / 3, 0])  # 3, and the other views of 0 and 3
    assert wanted[2].tolist() == [0, 0, 0, 0, 0, 1]


def test_batches_have_every_picture_once() -> None:
    for count in (1, 2, 256, 400, 1001):
        batches = list(_batches(count, np.random.default_rng(0)))
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert max(map(len, batches)) - min(map(len, batches)) <= 1
        assert max(map(len, batches)) <= 385


def test_a_head_brings_belong_together_what_belongs_belong_together() -> None:
    """Pictures of two kinds, told apart by one number of twenty, the others being loud and without meaning."""
    rng = np.random.default_rng(0)
    kinds = np.arange(80) % 2
    views = rng.normal(0, 1, (4, 80, 20)).astype(np.float32)
    views[..., 0] += 2 * kinds - 1
    head = train_head(views, kinds[:, None] == kinds, 8, rng)
    seen = rng.normal(0, 1, (200, 20)).astype(np.float32)
    seen[:, 0] += 2 * (np.arange(200) % 2) - 1
    begun = Head.begin(20, 8, np.random.default_rng(0))
    assert _apart(head.rows(seen)) > 1.5 * _apart(begun.rows(seen)) > 0


def _apart(rows: np.ndarray) -> float:
    """How much nearer rows are to those of their kind, every second one, than to the others."""
    likeness, kinds = rows @ rows.T, np.arange(len(rows)) % 2
    same = kinds[:, None] == kinds
    return float(likeness[same].mean() - likeness[~same].mean())


def test_altered_pictures_are_parts_in_other_tones() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[:64], picture[64:] = (200, 40, 40), (40, 40, 200)
    made = alter(np.stack([picture] * 40), 96, np.random.default_rng(0))
    assert made.shape == (40, 96, 96, 3)
    assert made.dtype == np.uint8
    assert len({one.tobytes() for one in made}) == 40
    upper, lower = made[:, :10].astype(int).mean(axis=(1, 2)), made[:, -10:].astype(int).mean(axis=(1, 2))
    assert (upper[:, 0] >= upper[:, 2]).all()  # nothing is upside down
    assert (lower[:, 2] >= lower[:, 0]).all()
    assert np.ptp(upper[:, 0]) > 40


def test_half_of_the_numbers_are_those_of_patches(learned: tuple[bytes, Card]) -> None:
    pictures, _ = textures(20, seed=1)
    rows = OnnxEncoder(*learned).encode(pictures)
    for half in (rows[:, :-64], rows[:, -64:]):
        np.testing.assert_allclose(np.linalg.norm(half, axis=1), 0.5**0.5, atol=1e-5)
    small, _ = textures(60)
    own = OnnxEncoder(*fit_patches(_as_seen(small), seed=3)).encode(pictures)
    assert np.corrcoef((unit(own) @ unit(own).T).ravel(), (rows[:, :-64] @ rows[:, :-64].T).ravel())[0, 1] > 0.8


def _as_seen(pictures: np.ndarray) -> np.ndarray:
    """Enlarged to what selfsup keeps, and made small again."""
    large = [fit(Image.fromarray(picture), View(128)) for picture in pictures]
    return np.stack([np.asarray(fit(one, VIEW)) for one in large])


def test_the_same_pictures_and_seed_give_the_same_model(learned: tuple[bytes, Card]) -> None:
    assert fit_selfsup(textures(60)[0], seed=3) == learned
    assert fit_selfsup(textures(60)[0], seed=4)[0] != learned[0]


def test_textures_are_told_apart_without_labels(learned: tuple[bytes, Card]) -> None:
    (pictures, kinds), (queries, wanted) = textures(60), textures(40, seed=1)
    encoder = OnnxEncoder(*learned)
    assert mean_precision(encoder.encode(pictures), encoder.encode(queries), (kinds, wanted)) > 0.9


def test_labels_decide_what_belongs_belong_together() -> None:
    """Of labels that are those of no texture, pictures of a label come nearer than they would by themselves."""
    (pictures, kinds), marks = textures(60), np.arange(60) // 30
    wanted = [f"{mark}" for mark in marks]
    found = []
    for labels in (None, wanted):
        rows = OnnxEncoder(*fit_selfsup(pictures, labels=labels, seed=3)).encode(pictures)
        found.append(mean_precision(rows[::2], rows[1::2], (marks[::2], marks[1::2])))
    assert len(np.unique(kinds[marks == 0])) > 1
    assert found[1] > found[0] + 0.1


def test_labels_of_one_class_and_empty_ones_change_nothing(learned: tuple[bytes, Card]) -> None:
    pictures, _ = textures(60)
    assert fit_selfsup(pictures, labels=[""] * 60, seed=3) == learned
    assert fit_selfsup(pictures, labels=["one"] * 30 + [""] * 30, seed=3) == learned
    with pytest.raises(ValueError, match="zip"):
        fit_selfsup(pictures, labels=["one"] * 3)


def test_what_has_no_label_belongs_to_its_neighbours() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (90, 4)).astype(np.float32)
    labels = np.array(["a", "b"] * 15 + [""] * 60)
    found, near = _belong_together(rows, labels), _belong_together(rows, np.full(90, ""))
    assert (found[:30, :30] == (labels[:30, None] == labels[:30])).all()
    assert (found[30:] == near[30:]).all()
    assert (found == found.T).all()


@pytest.mark.parametrize("count", [2, 3, 20])
def test_few_or_equal_pictures_give_finite_numbers(count: int) -> None:
    flat = np.full((count, 96, 96, 3), 128, np.uint8)
    assert np.isfinite(OnnxEncoder(*fit_selfsup(flat)).encode(flat)).all()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_are_refused(count: int) -> None:
    with pytest.raises(EncoderError, match="at least two pictures"):
        fit_selfsup(textures(2)[0][:count])


def test_directions_without_spread_are_left_out() -> None:
    rows = np.zeros((10, 5), np.float32)
    rows[:, 2] = np.arange(10)
    axes = find_axes(rows)
    assert axes.directions.shape == (5, 1)
    assert (axes.rows(rows) / _spread(axes, rows)).std() == pytest.approx(1, rel=1e-4)


def test_it_is_learned_for_a_gallery_by_its_name(tmp_path: Path, make_photos: Callable[..., Path]) -> None:
    learn("selfsup", [make_photos(12)], tmp_path / "gallery")
    encoder = load_encoder("selfsup", tmp_path / "gallery")
    assert (encoder.name, encoder.view, encoder.metric) == ("selfsup", VIEW, "cosine")


def test_the_model_passes_the_check_for_foreign_ones(learned: tuple[bytes, Card], tmp_path: Path) -> None:
    check_model(learned[0], tmp_path)


def test_scenes_are_found_better_than_by_patches(scenes8: Path) -> None:
    """A small twin of the figures in docs/decisions.md: 400 gallery pictures, 100 others of the gallery as queries."""
    with (scenes8 / "mit_split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    chosen = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:500]]
    kinds = np.array([row["class"] for row in chosen])
    pictures = np.stack([np.asarray(fit(Image.open(scenes8 / row["file"]), View(128))) for row in chosen])
    small = np.stack([np.asarray(fit(Image.fromarray(picture), VIEW)) for picture in pictures])
    found = []
    for model in (fit_patches(small[:400]), fit_selfsup(pictures[:400])):
        encoder = OnnxEncoder(*model)
        answers = encoder.encode(small)
        found.append(mean_precision(answers[:400], answers[400:], (kinds[:400], kinds[400:])))
    assert found[1] > found[0] + 0.02
