from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike.training import has_collapsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's and TensorFlow's own making

LINEAR = ("--preset", "linear", "--epochs", 2, "--size", 16, "--set", "latent_dim=6")
QUICK = ("--epochs", 2, "--size", 16, "--set", "filters=4,8", "--set", "latent_dim=6", "--set", "batch_size=8")


def test_a_trained_encoder_is_drawn_evaluated_and_searched_with(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(10, "set/one")
    make_photos(10, "set/two", first=10)
    home = tmp_path / "output" / "mine"
    done = run("train", tmp_path / "set", "-o", home, *QUICK, "--json")
    assert done.status == 0, done.err
    assert len(done.json["history"]) == 2
    for picture in ("loss.png", "reconstructions.png", "model.png"):
        with Image.open(home / picture) as image:
            assert min(image.size) > 30
    figures = run("evaluate", tmp_path / "set", "--model", home, "--draw", tmp_path / "ends.png", "--json").json
    assert 0 < figures["held_out_mse"] < 1
    assert set(figures["mse_by_class"]) == {"one", "two"}
    with Image.open(tmp_path / "ends.png") as image:
        assert image.width > 5 * 128
    assert figures["encoder"] == "tiny-6"
    assert (figures["n_gallery"], figures["n_queries"], figures["n_queries_trained_on"]) == (15, 5, 0)
    assert set(figures["retrieval"]) == {"raw_euclidean", "raw_cosine", "adapted_euclidean", "adapted_cosine"}
    assert figures["retrieval"]["raw_euclidean"]["mAP"] == figures["mAP"]  # too few to be adapted to
    gallery = tmp_path / "gallery"
    assert run("index", tmp_path / "set", "-e", home, "-i", gallery, "--json").json["added"] == 20
    hits = run("search", tmp_path / "set" / "one" / "000.jpg", "-i", gallery, "--json").json
    assert hits["encoder"] == "tiny-6"
    assert len(hits["hits"]) == 10
    table = run("train", tmp_path / "set", "-o", home, *QUICK)
    assert table.out.splitlines()[0].split() == ["epoch", "loss", "mse", "val_loss", "val_mse", "seconds"]


@pytest.mark.parametrize("wrong", [("--preset", "nonsense"), ("--set", "epochs"), ("--set", "epochs=x"), ("--size", 9)])
def test_a_wrong_word_is_the_users_mistake(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path, wrong: tuple[object, ...]
) -> None:
    done = run("train", make_photos(2), "-o", tmp_path / "run", *wrong)
    assert done.status == 2
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_beginning_anew_removes_the_training_and_no_picture(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_photos(6, "set")
    before = sorted(folder.rglob("*.jpg"))
    for _ in range(2):
        done = run("train", folder, "-o", folder, *LINEAR, "--fresh", "--json")
        assert done.status == 0, done.err
        assert len(done.json["history"]) == 2
    assert sorted(folder.rglob("*.jpg")) == before != []


def test_the_errors_of_a_model_are_told_class_by_class(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(8, "set/one")
    make_photos(8, "set/two", first=8)
    run("train", tmp_path / "set", "-o", tmp_path / "run", *LINEAR)
    table = run("evaluate", tmp_path / "set", "--model", tmp_path / "run").out
    assert [line for line in table.splitlines() if line.startswith("mse_by_class: one")]
    assert table.splitlines()[-4].split()[0] == "raw_euclidean"
    refused = run("evaluate", tmp_path / "set", "--draw", tmp_path / "ends.png")
    assert (refused.status, "--model" in refused.err) == (2, True)


def test_events_for_tensorboard_are_written_on_request(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    home = tmp_path / "run"
    assert run("train", make_photos(6), "-o", home, *LINEAR, "--json").status == 0
    assert not (home / "tensorboard").exists()
    for _ in range(2):  # also of a training that is finished; not twice
        assert run("train", tmp_path / "photos", "-o", home, *LINEAR, "--tensorboard", "--json").status == 0
    assert {path.parent.name for path in home.glob("tensorboard/*/*")} == {"train", "validation"}


def test_what_is_not_a_number_is_null_in_json(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> None:
    done = run("train", make_photos(6), "-o", tmp_path / "all", *LINEAR, "--set", "fraction=1", "--json")
    assert "NaN" not in done.out
    assert done.json["history"][0]["val_mse"] is None


@pytest.mark.usefixtures("few_patches")
def test_selfsup_takes_labels_and_others_say_that_they_do_not(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(6, "set/one")
    make_photos(6, "set/two", first=6)
    done = run("train", tmp_path / "set", "--preset", "selfsup", "-o", tmp_path / "run", "--labels", tmp_path / "set")
    assert done.status == 0, done.err
    plain = run("train", tmp_path / "set", "--preset", "selfsup", "-o", tmp_path / "plain")
    assert plain.status == 0, plain.err
    assert (tmp_path / "run" / "encoder.onnx").read_bytes() != (tmp_path / "plain" / "encoder.onnx").read_bytes()
    for preset in ("patches", "tiny"):
        refused = run(
            "train", tmp_path / "set", "--preset", preset, "-o", tmp_path / "no", "--labels", tmp_path / "set"
        )
        assert (refused.status, "--labels" in refused.err) == (2, True)


def test_a_first_training_on_few_pictures_says_why_it_looks_broken(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    done = run("train", make_photos(12, "set"), "-o", tmp_path / "out", *QUICK)
    assert done.status == 0
    assert "an epoch is only" in done.err
    assert "mean squared error with the final weights" in done.err


def test_reconstructions_that_are_all_the_same_are_called_collapsed() -> None:
    pictures = np.random.default_rng(1).random((6, 8, 8, 3), dtype=np.float32)
    assert has_collapsed(pictures, np.repeat(pictures.mean(axis=0)[None], 6, axis=0))
    assert not has_collapsed(pictures, pictures * np.float32(0.5))
