"""The contrastive loss beside the squared error: against its definition, and in a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.errors import TrainingError, UsageError
from lookalike.training import measure, train
from lookalike.training.data import Pictures
from lookalike.training.models.contrast import contrastive_loss, draw_pairs, group_pictures
from lookalike.training.presets import find_preset, vary
from lookalike.vectors.metric import unit
from tests.conftest import make_two_classes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]  # of Keras's, TensorFlow's own making

SMALL = {
    "size": "16", "filters": "4,8", "latent_dim": "6", "epochs": "8", "batch_size": "16", "contrast": "1",
    "learning_rate": "1e-2",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_two_classes(tmp_path_factory.mktemp("contrast") / "photos", 40)


def loss_by_definition(numbers: list[int], embeddings: np.ndarray, temperature: float) -> list[float]:
    rows = unit(embeddings)
    found = []
    for place, number in enumerate(numbers):
        others = [other for other in range(len(numbers)) if other != place]
        likeness = {other: np.exp(float(rows[place] @ rows[other]) / temperature) for other in others}
        near = [other for other in others if numbers[other] == number]
        logs = [-np.log(likeness[other] / sum(likeness.values())) for other in near]
        found.append(float(np.mean(logs)) if logs else 0.0)
    return found


def test_the_loss_is_what_its_definition_says() -> None:
    numbers, rows = [0, 1, 0, 2, 1, 1], np.random.default_rng(0).normal(0, 3, (6, 4)).astype(np.float32)
    found = contrastive_loss(0.3)(np.array(numbers, np.int32)[:, None], rows)
    assert np.asarray(found).tolist() == pytest.approx(loss_by_definition(numbers, rows, 0.3), rel=1e-4)


def some(labels: list[str]) -> Pictures:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), np.uint8)
    return Pictures(pixels, np.ones(len(labels), bool), np.array(labels))


def test_pictures_belong_to_themselves_or_to_their_folder() -> None:
    pictures = some(["a", "", "b", "a", ""])
    assert len(set(group_pictures(pictures, find_preset("contrastive")).tolist())) == 5
    found = group_pictures(pictures, find_preset("supervised"))
    assert found[0] == found[3]
    assert len(set(found.tolist())) == 4


@pytest.mark.parametrize("labels", [["a", "a", ""], ["", ""]])
def test_learning_from_folders_takes_two_of_them(labels: list[str]) -> None:
    with pytest.raises(TrainingError, match="classes to learn from"):
        group_pictures(some(labels), find_preset("supervised"))


def test_views_come_in_pairs() -> None:
    pictures = some(["a", "b", "c"])
    views, numbers = draw_pairs(pictures.pixels, np.array([4, 5, 6], np.int32), np.random.default_rng(0))
    assert views.shape == (6, 8, 8, 3)
    assert views.dtype == np.uint8
    assert numbers.tolist() == [[4], [5], [6], [4], [5], [6]]
    assert not (views[:3] == views[3:]).all()


@pytest.mark.parametrize("preset", ["contrastive", "supervised"])
def test_a_training_with_contrast_learns_both(preset: str, photos: Path, tmp_path: Path) -> None:
    chosen = vary(find_preset(preset), SMALL)
    history = train(photos, tmp_path / "run", chosen).history
    assert history[-1].mse < history[0].mse
    assert history[-1].loss - history[-1].mse < history[0].loss - history[0].mse
    assert history[-1].val_loss == pytest.approx(history[-1].val_mse, rel=1e-4)  # shown once: there is no contrast
    errors = measure(tmp_path / "run", photos).held_out
    assert np.mean(list(errors.values())) == pytest.approx(history[-1].val_mse, rel=1e-3)
    encoder = load_encoder(tmp_path / "run")
    assert (encoder.dim, encoder.metric) == (6, "cosine")


def test_a_training_with_contrast_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    chosen = vary(find_preset("contrastive"), SMALL)
    train(photos, tmp_path / "whole", chosen)

    class Broken(Exception):
        pass

    def broken(epochs: object, *_: object) -> None:
        if len(list(epochs)) == 4:  # type: ignore[call-overload]
            raise Broken

    with pytest.raises(Broken):
        train(photos, tmp_path / "parts", chosen, on_epoch=broken)
    history = train(photos, tmp_path / "parts", chosen).history
    assert len(history) == 8
    pixels = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), np.uint8)
    rows = [load_encoder(tmp_path / name).encode(pixels) for name in ("whole", "parts")]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-3, atol=1e-4)


def test_other_models_know_no_contrast() -> None:
    with pytest.raises(UsageError, match="contrastive loss"):
        vary(find_preset("compact"), {"contrast": "1"})
