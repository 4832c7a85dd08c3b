from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike.datasets.labelled import load_labelled
from lookalike.errors import TrainingError
from lookalike.training import count_trained, own_split, train
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = vary(find_preset("linear"), {"size": "16", "latent_dim": "4", "epochs": "1", "batch_size": "8"})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(16):
        home = tmp_path / "photos" / ("a" if seed % 2 else "b")
        home.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (20, 16)).save(home / f"{seed:02}.png")
    return tmp_path / "photos"


def test_what_was_trained_on_is_searched_with_the_rest_under_whatever_name(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", vary(LINEAR, {"fraction": "0.5"}))
    moved = tmp_path / "elsewhere"
    shutil.copytree(photos / "a", moved / "first")
    shutil.copytree(photos / "b", moved / "second")
    make_picture(99, (20, 16)).save(moved / "first" / "new.png")
    dataset = own_split(tmp_path / "run", load_labelled(moved))
    assert (len(dataset.gallery), len(dataset.queries)) == (8, 9)
    assert (moved / "first" / "new.png").as_posix().encode() in {picture.path for picture in dataset.queries}
    assert count_trained(tmp_path / "run", dataset.queries) == 0
    assert count_trained(tmp_path / "run", dataset.gallery) == 8


def test_a_training_that_has_seen_all_is_asked_with_pictures_that_it_has_seen(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", vary(LINEAR, {"fraction": "1"}))
    dataset = own_split(tmp_path / "run", load_labelled(photos))
    assert (len(dataset.gallery), len(dataset.queries)) == (12, 4)
    assert count_trained(tmp_path / "run", dataset.queries) == 4


def test_a_training_without_its_split_is_an_error(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", LINEAR)
    (tmp_path / "run" / "split.csv").unlink()
    with pytest.raises(TrainingError, match=r"lost its split\.csv"):
        own_split(tmp_path / "run", load_labelled(photos))
