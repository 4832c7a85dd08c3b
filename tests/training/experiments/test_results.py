from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import TrainingError
from lookalike.training import train
from lookalike.training.experiments import read_results, record
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_two_classes
from tests.training.experiments.making import write_result

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = vary(find_preset("linear"), {"size": "16", "latent_dim": "4", "epochs": "2", "batch_size": "8"})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_two_classes(tmp_path_factory.mktemp("results") / "photos", 16)
    train(folder, folder.parent / "run", LINEAR)
    return folder


def test_a_finished_training_is_told_in_one_file(photos: Path, tmp_path: Path) -> None:
    path, result = record(photos.parent / "run", photos, tmp_path)
    assert json.loads(path.read_text())["full"] is False
    assert path.name == "linear-latent_dim-4-epochs-2-batch_size-8-size-16.json"
    assert read_results(tmp_path) == [result]
    assert (result.preset, len(result.history), result.is_full) == (LINEAR, 2, False)
    assert result.varied == {"latent_dim": 4, "epochs": 2, "batch_size": 8, "size": 16}
    assert result.held_out_mse == pytest.approx(result.history[-1].val_mse, rel=1e-3)
    assert set(result.mse_by_class) == {"a", "b"}
    assert result.retrieval["raw_euclidean"]["dim"] == 4
    assert result.pictures == {"folder": "photos", "n_train": 12, "n_held_out": 4}
    assert result.machine["cores"] >= 1
    assert "noted" not in result.machine
    assert "lookalike" in result.versions


def test_the_file_names_no_folder_of_the_machine(photos: Path, tmp_path: Path) -> None:
    path, result = record(photos.parent / "run", photos, tmp_path)
    assert str(photos.parent) not in path.read_text()
    assert result.command.startswith("lookalike train photos --preset linear --set latent_dim=4 ")


def test_what_is_told_already_is_not_measured_again(photos: Path, tmp_path: Path) -> None:
    path, _ = record(photos.parent / "run", photos, tmp_path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"train_mse": 0.5}))
    assert record(photos.parent / "run", photos, tmp_path)[1].train_mse == 0.5
    path.write_text(json.dumps(document | {"train_mse": 0.5, "encoder": "of an earlier training"}))
    assert record(photos.parent / "run", photos, tmp_path)[1].train_mse == document["train_mse"]


def test_pictures_without_classes_have_no_retrieval(photos: Path, tmp_path: Path) -> None:
    train(photos / "a", tmp_path / "run", LINEAR)
    _, result = record(tmp_path / "run", photos / "a", tmp_path / "results")
    assert result.retrieval == {}


def test_a_training_that_is_not_finished_is_refused(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", LINEAR)
    (tmp_path / "run" / "encoder.json").unlink()
    with pytest.raises(TrainingError, match="not finished"):
        record(tmp_path / "run", photos, tmp_path)


def test_a_training_from_before_machines_were_noted_names_the_one_that_measures(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", LINEAR)
    notes = json.loads((tmp_path / "run" / "preset.json").read_text())
    del notes["machine"], notes["preset"]["power"]
    (tmp_path / "run" / "preset.json").write_text(json.dumps(notes))
    assert record(tmp_path / "run", photos, tmp_path / "results")[1].machine["noted"] == "when it was measured"


def test_an_epoch_that_was_suspended_counts_as_long_as_the_others(tmp_path: Path) -> None:
    path = write_result(tmp_path, "exp6d", [0.03, 0.02, 0.018, 0.017])
    told = json.loads(path.read_text())
    told["history"][2]["seconds"] = 8000.0
    path.write_text(json.dumps(told))
    (result,) = read_results(tmp_path)
    assert result.seconds == 40.0
