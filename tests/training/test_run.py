"""Trainings of a few small pictures: they take seconds and go through everything that a long one does."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.errors import TrainingError
from lookalike.presets import PRESETS, Preset, vary
from lookalike.training import Finished, reconstruction_error, reconstructions, train
from lookalike.training.model import build, rate_at

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]  # of Keras's, TensorFlow's own making

SMALL = vary(
    PRESETS["tiny"],
    {"size": "16", "filters": "4,8", "latent_dim": "6", "epochs": "3", "batch_size": "8", "learning_rate": "1e-2"},
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import make_picture

    folder = tmp_path_factory.mktemp("training") / "photos"
    for seed in range(40):
        home = folder / ("a" if seed % 2 else "b")
        home.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (20, 16)).save(home / f"{seed:02}.png")
    (folder / "a" / "broken.jpg").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def done(photos: Path) -> Finished:
    return train(photos, photos.parent / "run", SMALL)


def test_the_described_model_has_its_parameters_and_shapes() -> None:
    model = build(PRESETS["final"])
    assert model.count_params() == 101_002_051
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}
    assert [shapes[name] for name in ("down0", "down1", "flat", "embedding", "unfold", "unflat")] == [
        (128, 128, 32),
        (64, 64, 64),
        (262144,),
        (192,),
        (262144,),
        (64, 64, 64),
    ]
    assert [shapes[name] for name in ("up1", "up0", "colours", "reconstruction")] == [
        (128, 128, 64),
        (256, 256, 32),
        (256, 256, 3),
        (256, 256, 3),
    ]


def test_penalties_are_where_the_description_puts_them() -> None:
    layer = build(vary(PRESETS["exp6d"], {"size": "16"})).get_layer("embedding")
    assert float(layer.activity_regularizer.l1) == pytest.approx(1e-4)
    assert float(layer.kernel_regularizer.l2) == pytest.approx(1e-4)
    plain = build(vary(PRESETS["base"], {"size": "16"})).get_layer("embedding")
    assert plain.activity_regularizer is None
    assert plain.kernel_regularizer is None


@pytest.mark.parametrize(
    ("preset", "epoch", "rate"),
    [("base", 7, None), ("exp2", 7, None), ("exp3", 0, 1e-3), ("exp3", 5, 0.8e-3), ("exp4", 24, 4e-4)],
)
def test_the_rate_follows_its_schedule(preset: str, epoch: int, rate: float | None) -> None:
    assert rate_at(PRESETS[preset], epoch) == (rate if rate is None else pytest.approx(rate))


def test_a_training_leaves_everything_in_its_folder(done: Finished) -> None:
    names = {path.name for path in done.folder.iterdir()}
    assert {"preset.json", "split.csv", "skipped.csv", "history.csv", "history.json", "model.weights.h5"} <= names
    assert {"best.weights.h5", "encoder.onnx", "encoder.json", "checkpoint.npz"} <= names
    assert not [name for name in names if name.startswith("part-")]
    versions = json.loads((done.folder / "preset.json").read_text())["versions"]
    assert versions["backend"] == "tensorflow"


def test_the_error_falls_and_each_epoch_is_told(done: Finished) -> None:
    assert [epoch.epoch for epoch in done.history] == [1, 2, 3]
    assert done.history[-1].mse < done.history[0].mse
    assert all(epoch.loss == pytest.approx(epoch.mse, rel=1e-4) for epoch in done.history)  # no penalties here


def test_three_quarters_are_trained_on_and_a_bad_file_is_listed(done: Finished) -> None:
    rows = list(csv.DictReader((done.folder / "split.csv").read_text().splitlines()))
    assert [row["split"] for row in rows].count("train") == 30
    assert {row["class"] for row in rows} == {"a", "b"}
    assert len(rows) == 40
    assert done.skipped == 1
    assert "a/broken.jpg,not an image" in (done.folder / "skipped.csv").read_text().replace(os.sep, "/")


def test_a_penalised_loss_has_the_bare_error_beside_it(photos: Path, tmp_path: Path) -> None:
    penalised = vary(SMALL, {"l1_activity": "1e-2", "l2_kernel": "1e-2", "relu": "yes", "epochs": "1", "flip": "yes"})
    (epoch,) = train(photos, tmp_path / "run", penalised).history
    assert epoch.loss > epoch.mse
    assert epoch.val_loss > epoch.val_mse


def test_the_exported_encoder_is_one_and_needs_no_tensorflow(done: Finished) -> None:
    encoder = load_encoder(done.folder)
    assert (encoder.dim, encoder.view.size, encoder.metric) == (6, 16, "euclidean")
    script = (
        f"import sys, lookalike, numpy\nencoder = lookalike.load_encoder({str(done.folder)!r})\n"
        "encoder.encode(numpy.zeros((1, 16, 16, 3), numpy.uint8))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_reconstruction_error_is_measured_on_the_runs_own_split(done: Finished, photos: Path) -> None:
    error = reconstruction_error(done.folder, photos)
    assert (error["n_held_out"], error["n_train"]) == (10, 30)
    assert error["held_out_mse"] == pytest.approx(done.history[-1].val_mse, rel=1e-3)
    originals, made = reconstructions(done.folder, photos, count=5)
    assert originals.shape == made.shape == (5, 16, 16, 3)
    assert 0 <= made.min() <= made.max() <= 1


def test_another_training_in_the_same_folder_is_refused_and_the_difference_named(done: Finished, photos: Path) -> None:
    with pytest.raises(TrainingError, match="another training: latent_dim"):
        train(photos, done.folder, vary(SMALL, {"latent_dim": "7"}))


def test_a_finished_training_is_not_done_again(done: Finished, photos: Path) -> None:
    steps: list[object] = []
    fingerprint = load_encoder(done.folder).fingerprint
    assert train(photos, done.folder, SMALL, watch=steps.append).history == done.history
    assert steps == []
    assert load_encoder(done.folder).fingerprint == fingerprint


def test_a_training_on_all_pictures_holds_none_out(photos: Path, tmp_path: Path) -> None:
    everything = train(photos, tmp_path / "run", vary(SMALL, {"fraction": "1", "epochs": "1"}))
    assert np.isnan(everything.history[0].val_mse)
    assert reconstruction_error(tmp_path / "run", photos)["n_held_out"] == 0


def test_a_training_without_progress_ends_early(photos: Path, tmp_path: Path) -> None:
    hopeless = vary(SMALL, {"learning_rate": "1e-9", "epochs": "30", "schedule": "constant"})
    assert len(train(photos, tmp_path / "run", hopeless, patience=1).history) < 30


def test_a_folder_without_pictures_cannot_be_trained_on(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="0 pictures"):
        train(tmp_path / "empty", tmp_path / "run", SMALL)


@pytest.mark.parametrize("content", [None, "", "{}", '{"preset": {"name": "x"}}'])
def test_a_folder_that_holds_no_training_is_an_error(photos: Path, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "preset.json").write_text(content)
    with pytest.raises(TrainingError, match="holds no training"):
        reconstruction_error(tmp_path, photos)


def test_weights_of_another_making_are_refused(done: Finished, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "preset.json").write_text((done.folder / "preset.json").read_text())
    (tmp_path / "model.weights.h5").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="does not hold the weights"):
        reconstruction_error(tmp_path, photos)


CHILD = """
import sys
from pathlib import Path
from lookalike.presets import PRESETS, vary
from lookalike.training import train

preset = vary(PRESETS["tiny"], dict(pair.split("=") for pair in sys.argv[3:]))
train(Path(sys.argv[1]), Path(sys.argv[2]), preset)
"""


def child(photos: Path, home: Path, preset: Preset) -> subprocess.Popen[bytes]:
    keys = ("size", "latent_dim", "epochs", "batch_size", "learning_rate")
    pairs = [f"{key}={getattr(preset, key)}" for key in keys] + ["filters=4,8"]
    return subprocess.Popen([sys.executable, "-c", CHILD, str(photos), str(home), *pairs], stderr=subprocess.DEVNULL)


def weights_of(home: Path) -> dict[str, np.ndarray]:
    with np.load(home / "checkpoint.npz") as saved:
        return {name: saved[name] for name in saved.files}


def test_a_training_killed_in_the_middle_goes_on_and_comes_to_the_same_weights(photos: Path, tmp_path: Path) -> None:
    preset = vary(SMALL, {"epochs": "12"})
    process = child(photos, tmp_path / "killed", preset)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint.npz").exists():
        assert time.monotonic() < deadline, "no epoch was finished"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = int(weights_of(tmp_path / "killed")["epochs"])
    assert before < 12, "it was killed too late to tell"
    resumed = train(photos, tmp_path / "killed", preset)
    whole = train(photos, tmp_path / "whole", preset)
    assert [epoch.epoch for epoch in resumed.history] == list(range(1, 13))
    ours, theirs = weights_of(tmp_path / "killed"), weights_of(tmp_path / "whole")
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=2e-3, err_msg=name)
    assert resumed.history[-1].val_mse == pytest.approx(whole.history[-1].val_mse, rel=0.02)


def test_memory_does_not_hold_the_pictures(done: Finished) -> None:
    from lookalike.training.data import gather

    pictures = gather(done.folder.parent / "photos", done.folder, SMALL)
    assert isinstance(pictures.pixels, np.memmap)


def test_pictures_are_decoded_once(done: Finished, photos: Path) -> None:
    told: list[int] = []
    train(photos, done.folder, SMALL, progress=lambda number, _: told.append(number))
    assert told == []
