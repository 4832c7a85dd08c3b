"""Principal components: what subspace iteration finds is what a full decomposition finds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.training import reconstruction_error, reconstructions, train
from lookalike.training.data import Pictures
from lookalike.training.models.linear import Linear
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.presets import Preset

SIZE, NUMBERS = 16, 12


def preset(**changes: str) -> Preset:
    return vary(find_preset("linear"), {"size": str(SIZE), "latent_dim": str(NUMBERS), "epochs": "8"} | changes)


def some_pictures(count: int) -> Pictures:
    pixels = np.stack([np.asarray(make_picture(seed, (SIZE, SIZE))) for seed in range(count)])
    return Pictures(pixels, np.arange(count) % 4 != 0, np.full(count, ""))


def as_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


def learned(pictures: Pictures, **changes: str) -> Linear:
    linear = Linear(preset(**changes))
    for epoch in range(8):
        linear.learn(pictures, epoch, lambda *_: None)
    return linear


def best_error(pixels: np.ndarray, mean_of: np.ndarray) -> float:
    """The error of a full decomposition of `mean_of` on `pixels`, both (n, length)."""
    mean = mean_of.mean(axis=0)
    axes = np.linalg.svd(mean_of - mean, full_matrices=False)[2][:NUMBERS]
    made = np.clip((pixels - mean) @ axes.T @ axes + mean, 0, 1)
    return float(np.square(made - pixels).mean())


@pytest.mark.parametrize("flip", ["yes", "no"])
def test_its_components_are_the_best_there_are(flip: str) -> None:
    pictures = some_pictures(160)
    images = pictures.pixels[pictures.train].astype(np.float64) / 255
    fitted = np.concatenate([images, images[:, :, ::-1]]) if flip == "yes" else images
    flat = (pictures.pixels[pictures.held_out] / 255).reshape(len(pictures.held_out), -1)
    best = best_error(flat, fitted.reshape(len(fitted), -1))
    assert learned(pictures, flip=flip).measure(pictures).mse == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize("flip", ["yes", "no"])
def test_codes_are_as_far_apart_as_the_pictures_that_they_stand_for(flip: str) -> None:
    pictures = some_pictures(60)
    linear = learned(pictures, flip=flip)
    codes = linear.encode(as_floats(pictures.pixels[:2]))
    components = np.asarray(dict(linear.state())["components"], np.float32)
    assert np.abs(components.T @ components - np.eye(NUMBERS)).max() < 1e-5
    drawn = codes @ components.T
    assert np.linalg.norm(codes[0] - codes[1]) == pytest.approx(float(np.linalg.norm(drawn[0] - drawn[1])), rel=1e-4)


@pytest.mark.parametrize("count", [2, 7])
def test_fewer_pictures_than_numbers_leave_the_rest_zero(count: int) -> None:
    linear = learned(some_pictures(count))
    codes = linear.encode(as_floats(some_pictures(count).pixels))
    assert codes.shape == (count, NUMBERS)
    assert np.isfinite(codes).all()
    assert (codes[:, -1] == 0).all()


def test_pictures_that_are_all_the_same_are_their_own_mean() -> None:
    pixels = np.full((4, SIZE, SIZE, 3), 100, np.uint8)
    linear = learned(Pictures(pixels, np.array([True, True, True, False]), np.full(4, "")))
    assert linear.measure(Pictures(pixels, np.array([True, True, True, False]), np.full(4, ""))).mse == pytest.approx(
        0, abs=1e-9
    )


def test_a_linear_training_is_a_training_like_the_others_without_tensorflow(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(24):
        make_picture(seed, (20, 16)).save(folder / f"{seed:02}.png")
    script = (
        "import sys; from pathlib import Path\n"
        "from lookalike.training.presets import find_preset, vary\nfrom lookalike.training import train\n"
        f"preset = vary(find_preset('linear'), {{'size': '{SIZE}', 'latent_dim': '{NUMBERS}', 'epochs': '3'}})\n"
        f"train(Path({str(folder)!r}), Path({str(tmp_path / 'run')!r}), preset)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    done = train(folder, tmp_path / "run", preset(epochs="3"))
    assert done.parameters == SIZE * SIZE * 3 * (NUMBERS + 1)
    assert reconstruction_error(tmp_path / "run", folder)["held_out_mse"] == pytest.approx(done.history[-1].val_mse)
    originals, made = reconstructions(tmp_path / "run", folder)
    assert originals.shape == made.shape == (6, SIZE, SIZE, 3)
    encoder = load_encoder(tmp_path / "run")
    assert (encoder.dim, encoder.metric, encoder.name) == (NUMBERS, "euclidean", f"linear-{NUMBERS}")


def test_a_linear_training_that_was_broken_off_comes_to_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(24):
        make_picture(seed, (20, 16)).save(folder / f"{seed:02}.png")

    def watch(step: object) -> None:
        if step.epoch == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "broken", preset(epochs="4"), on_step=watch)
    broken = train(folder, tmp_path / "broken", preset(epochs="4"))
    whole = train(folder, tmp_path / "whole", preset(epochs="4"))
    assert [epoch.mse for epoch in broken.history] == pytest.approx([epoch.mse for epoch in whole.history])
    assert load_encoder(tmp_path / "broken").fingerprint == load_encoder(tmp_path / "whole").fingerprint


def test_few_pictures_are_drawn_again_exactly() -> None:
    pictures = some_pictures(6)
    batch = as_floats(pictures.pixels[pictures.train])
    np.testing.assert_allclose(learned(pictures).reconstruct(batch), batch, atol=1e-4)
