"""The compact autoencoder: it begins at the components of the pictures, and adds to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.training import reconstruction_error, train
from lookalike.training.data import Pictures
from lookalike.training.models.compact import Compact
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.training.presets import Preset

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]  # of Keras's, TensorFlow's own making

SIZE, NUMBERS = 16, 12


def preset(**changes: str) -> Preset:
    small = {"size": str(SIZE), "latent_dim": str(NUMBERS), "batch_size": "16", "epochs": "4"}
    return vary(find_preset("compact"), small | changes)


def some_pictures(count: int) -> Pictures:
    pixels = np.stack([np.asarray(make_picture(seed, (SIZE, SIZE))) for seed in range(count)])
    return Pictures(pixels, np.arange(count) % 4 != 0, np.full(count, ""))


def as_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)


def error_of_components(batch: np.ndarray, mean_of: np.ndarray) -> float:
    """The error of a projection on the principal components of `mean_of` and its mirror images, (n, s, s, 3) each."""
    both = np.concatenate([mean_of, mean_of[:, :, ::-1]]).reshape(2 * len(mean_of), -1)
    axes = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)[2][:NUMBERS]
    flat = batch.reshape(len(batch), -1) - both.mean(axis=0)
    return float(np.square(flat @ axes.T @ axes - flat).mean())


def test_it_begins_at_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.training.models.compact._OWN", 1.0)  # of whole pictures only, to be compared with
    pictures, begun = some_pictures(120), Compact(preset())
    begun._initialise(pictures, np.random.default_rng(1))
    own = as_floats(pictures.pixels[pictures.train])
    made = begun.reconstruct(own)
    assert np.square(made - own).mean() == pytest.approx(error_of_components(own, own), rel=0.02)
    assert begun.measure(pictures).mse == pytest.approx(
        error_of_components(as_floats(pictures.pixels[pictures.held_out]), own), rel=0.02
    )


def test_a_picture_and_its_mirror_image_are_equally_well_drawn_at_first() -> None:
    pictures, begun = some_pictures(60), Compact(preset())
    begun._initialise(pictures, np.random.default_rng(1))
    batch = as_floats(pictures.pixels[:8])
    np.testing.assert_allclose(begun.reconstruct(batch[:, :, ::-1]), begun.reconstruct(batch)[:, :, ::-1], atol=1e-3)


def test_what_it_learns_is_better_than_where_it_began() -> None:
    pictures = some_pictures(120)
    learner = Compact(preset(learning_rate="3e-4", epochs="12"))
    learner._initialise(pictures, np.random.default_rng((1, 0)))
    begun = np.square(learner.reconstruct(as_floats(pictures.pixels)) - as_floats(pictures.pixels)).mean()
    for epoch in range(12):
        learner.learn(pictures, epoch, lambda *_: None)
    assert np.square(learner.reconstruct(as_floats(pictures.pixels)) - as_floats(pictures.pixels)).mean() < begun


def test_distances_of_codes_are_distances_of_what_is_drawn_of_them_at_first() -> None:
    pictures, begun = some_pictures(60), Compact(preset())
    begun._initialise(pictures, np.random.default_rng(1))
    one, other = as_floats(pictures.pixels[:8]), as_floats(pictures.pixels[8:16])
    drawn = np.asarray(begun._fit.model(one)) - np.asarray(begun._fit.model(other))
    np.testing.assert_allclose(
        np.linalg.norm(begun.encode(one) - begun.encode(other), axis=1),
        np.linalg.norm(drawn.reshape(8, -1), axis=1),
        rtol=1e-3,
    )


def test_a_training_of_it_resumes_and_gives_an_encoder(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(24):
        make_picture(seed, (24, 20)).save(photos / f"{seed}.png")

    def stop(step: object) -> None:
        if getattr(step, "epoch", 0) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "run", preset(), on_step=stop)
    resumed = train(photos, tmp_path / "run", preset())
    whole = train(photos, tmp_path / "whole", preset())
    assert [epoch.epoch for epoch in resumed.history] == [1, 2, 3, 4]
    assert resumed.history[-1].val_mse == pytest.approx(whole.history[-1].val_mse, rel=1e-3)
    assert resumed.history[-1].mse == pytest.approx(whole.history[-1].mse, rel=1e-3)
    error = reconstruction_error(tmp_path / "run", photos)
    assert error["held_out_mse"] == pytest.approx(resumed.history[-1].val_mse, rel=1e-3)
    assert load_encoder(tmp_path / "run").dim == NUMBERS
