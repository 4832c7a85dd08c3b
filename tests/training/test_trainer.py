"""Trainings of a few small pictures: they take seconds and go through everything that a long one does."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.errors import StoreBusy, TrainingError, UsageError
from lookalike.training import (
    Epoch,
    Finished,
    Step,
    measure,
    reconstruction_error,
    reconstructions,
    start_afresh,
    train,
    trainer,
)
from lookalike.training.folder import read_preset
from lookalike.training.models.autoencoder import build, rate_at
from lookalike.training.models.backend import load_keras
from lookalike.training.presets import PRESETS, Preset, find_preset, vary
from tests.conftest import make_picture, make_two_classes
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]  # of Keras's, TensorFlow's own making

SMALL = vary(
    PRESETS["tiny"],
    {"size": "16", "filters": "4,8", "latent_dim": "6", "epochs": "3", "batch_size": "8", "learning_rate": "1e-2"},
)

# Of what all trainings have in common most is tested with one that takes a blink of an eye.
LINEAR = vary(find_preset("linear"), {"size": "16", "latent_dim": "6", "epochs": "3", "batch_size": "8"})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_two_classes(tmp_path_factory.mktemp("training") / "photos", 40)
    (folder / "a" / "broken.jpg").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def done(photos: Path) -> Finished:
    return train(photos, photos.parent / "run", SMALL)


def test_the_described_model_has_its_parameters_and_shapes() -> None:
    with load_keras().StatelessScope(initialize_variables=False):  # its shapes alone, not its 400 MB
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
    assert {"best.weights.h5", "encoder.onnx", "encoder.json"} <= names
    assert not [name for name in names if name.startswith("part-")]
    assert not {"checkpoint.npz", "pictures.u8"} & names  # large, and needed only to go on
    versions = json.loads((done.folder / "preset.json").read_text())["versions"]
    assert {"lookalike", "keras"} <= set(versions)
    assert any(package.startswith("tensorflow") for package in versions)


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


def test_a_training_in_grey_sees_no_colours(photos: Path, tmp_path: Path) -> None:
    grey = vary(find_preset("hybrid"), {"size": "16", "filters": "4,8", "latent_dim": "6", "epochs": "1"})
    (epoch,) = train(photos, tmp_path / "run", grey).history
    error = reconstruction_error(tmp_path / "run", photos)
    assert error["held_out_mse"] == pytest.approx(epoch.val_mse, rel=1e-3)  # of the brightness alone
    originals, made = reconstructions(tmp_path / "run", photos)
    assert np.ptp(made, axis=-1).max() == 0
    assert np.ptp(originals, axis=-1).max() > 0
    encoder = load_encoder(tmp_path / "run")
    assert encoder.dim == 6 + 1440  # colours are in the histogram beside it, and count for one half
    rows = encoder.encode(np.random.default_rng(1).integers(0, 256, (3, *[encoder.view.size] * 2, 3), np.uint8))
    np.testing.assert_allclose(np.linalg.norm(rows[:, 6:], axis=1), 0.5**0.5, rtol=1e-5)


def test_mixed_precision_learns_and_keeps_float32(photos: Path, tmp_path: Path) -> None:
    mixed = vary(SMALL, {"precision": "mixed", "l1_activity": "1e-3", "l2_kernel": "1e-3", "relu": "yes"})
    history = train(photos, tmp_path / "run", mixed).history
    assert history[-1].mse < history[0].mse
    weights = weights_of(tmp_path / "run")
    assert {array.dtype for array in weights} == {np.dtype(np.float32)}
    assert load_keras().config.dtype_policy().name == "float32"  # other models are made as before
    assert load_encoder(tmp_path / "run").dim == 6


def test_a_training_begun_by_an_older_version_goes_on(photos: Path, tmp_path: Path) -> None:
    stopped(photos, tmp_path)
    document = json.loads((tmp_path / "preset.json").read_text())
    for newer in ("grey", "precision", "model"):
        document["preset"].pop(newer)
    document["preset"]["model"] = "linear"
    (tmp_path / "preset.json").write_text(json.dumps(document))
    assert len(train(photos, tmp_path, LINEAR).history) == 3


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
    originals, made = reconstructions(done.folder, photos)
    assert originals.shape == made.shape == (10, 16, 16, 3)
    assert 0 <= made.min() <= made.max() <= 1


def test_another_training_in_the_same_folder_is_refused_and_the_difference_named(done: Finished, photos: Path) -> None:
    with pytest.raises(TrainingError, match="another training: latent_dim"):
        train(photos, done.folder, vary(SMALL, {"latent_dim": "7"}))


def test_a_training_resumes_whatever_words_a_later_version_describes_it_in(photos: Path, tmp_path: Path) -> None:
    begun = train(photos, tmp_path / "run", vary(LINEAR, {"epochs": "3"}), patience=None)
    reworded = replace(LINEAR, description="the same in other words")
    assert train(photos, begun.folder, reworded).history == begun.history


def test_a_finished_training_is_not_done_again(done: Finished, photos: Path) -> None:
    steps: list[object] = []
    fingerprint = load_encoder(done.folder).fingerprint
    assert train(photos, done.folder, SMALL, on_step=steps.append).history == done.history
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
    for name in ("split.csv", "encoder.json"):
        (tmp_path / name).write_bytes((done.folder / name).read_bytes())
    (tmp_path / "model.weights.h5").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="does not hold the weights"):
        reconstruction_error(tmp_path, photos)


CHILD = """
import sys
from pathlib import Path
from lookalike.training.presets import PRESETS, vary
from lookalike.training import train

preset = vary(PRESETS["tiny"], dict(pair.split("=") for pair in sys.argv[3:]))
train(Path(sys.argv[1]), Path(sys.argv[2]), preset)
"""


def child(photos: Path, home: Path, preset: Preset) -> subprocess.Popen[bytes]:
    keys = ("size", "latent_dim", "epochs", "batch_size", "learning_rate")
    pairs = [f"{key}={getattr(preset, key)}" for key in keys] + ["filters=4,8"]
    return subprocess.Popen([sys.executable, "-c", CHILD, str(photos), str(home), *pairs], stderr=subprocess.DEVNULL)


def weights_of(home: Path) -> list[np.ndarray]:
    model = build(read_preset(home))
    model.load_weights(home / "model.weights.h5")
    return list(model.get_weights())


def test_a_training_killed_in_the_middle_goes_on_and_comes_to_the_same_weights(photos: Path, tmp_path: Path) -> None:
    preset = vary(SMALL, {"epochs": "12"})
    process = child(photos, tmp_path / "killed", preset)
    wait_for((tmp_path / "killed" / "checkpoint.npz").exists, 120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "encoder.json").exists(), "it was killed too late to tell"
    resumed = train(photos, tmp_path / "killed", preset)
    whole = train(photos, tmp_path / "whole", preset)
    assert [epoch.epoch for epoch in resumed.history] == list(range(1, 13))
    for ours, theirs in zip(weights_of(tmp_path / "killed"), weights_of(tmp_path / "whole"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert resumed.history[-1].val_mse == pytest.approx(whole.history[-1].val_mse, rel=0.02)


def test_memory_does_not_hold_the_pictures(photos: Path, tmp_path: Path) -> None:
    from lookalike.training.data import gather

    assert isinstance(gather(photos, tmp_path, SMALL).pixels, np.memmap)


def test_a_finished_training_decodes_nothing(done: Finished, photos: Path) -> None:
    told: list[int] = []
    train(photos, done.folder, SMALL, on_progress=lambda number, _: told.append(number))
    assert told == []


def stopped(photos: Path, home: Path) -> None:
    """A training that a bad step of the watcher's ended in its second epoch."""

    def watch(step: Step) -> None:
        if step.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, home, LINEAR, on_step=watch)


def test_ctrl_c_keeps_every_whole_epoch(photos: Path, tmp_path: Path) -> None:
    stopped(photos, tmp_path)
    assert {"pictures.u8", "checkpoint.npz"} <= {path.name for path in tmp_path.iterdir()}
    told: list[int] = []
    assert len(train(photos, tmp_path, LINEAR, on_progress=lambda number, _: told.append(number)).history) == 3
    assert told == []  # what was decoded is still there


def test_a_slow_checkpoint_is_not_written_after_every_epoch(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_QUICK", -1.0)
    monkeypatch.setattr(trainer, "_SHARE", 0.0)
    unmeasured = vary(SMALL, {"fraction": "1", "epochs": "4"})
    on_disk: list[int] = []

    def watch(history: Sequence[Epoch], *_: object) -> None:
        with np.load(tmp_path / "run" / "checkpoint.npz") as saved:
            on_disk.append(int(saved["epochs"]))
        if len(on_disk) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "run", unmeasured, on_epoch=watch)
    resumed = train(photos, tmp_path / "run", unmeasured, on_epoch=watch)
    assert on_disk == [1, 1, 1, 2, 2, 4]  # the first of each run, to see how long it takes, and the last
    assert [epoch.epoch for epoch in resumed.history] == [1, 2, 3, 4]


def test_an_epoch_that_is_the_best_is_on_disk_however_slow_that_is(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_QUICK", -1.0)
    monkeypatch.setattr(trainer, "_SHARE", 0.0)

    def watch(history: Sequence[Epoch], *_: object) -> None:
        errors = [epoch.val_mse for epoch in history]
        if errors[-1] == min(errors):
            with np.load(tmp_path / "run" / "checkpoint.npz") as saved:
                assert int(saved["epochs"]) == len(history)

    train(photos, tmp_path / "run", LINEAR, on_epoch=watch)


def test_a_training_of_other_pictures_in_the_same_folder_is_refused(done: Finished, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="of the pictures in"):
        train(tmp_path, done.folder, SMALL)


def test_pictures_that_changed_meanwhile_are_no_longer_the_split(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    stopped(tmp_path / "photos", tmp_path / "run")
    (tmp_path / "run" / "pictures.u8").unlink()
    (tmp_path / "photos" / "a" / "01.png").unlink()
    with pytest.raises(TrainingError, match="pictures have changed"):
        train(tmp_path / "photos", tmp_path / "run", LINEAR)


@pytest.mark.parametrize("name", ["checkpoint.npz", "history.csv", "split.csv", "preset.json"])
def test_a_damaged_file_is_named(photos: Path, tmp_path: Path, name: str) -> None:
    stopped(photos, tmp_path)
    (tmp_path / name).write_text("nonsense\nmore of it\n")
    with pytest.raises(TrainingError, match=r"is damaged|holds no training"):
        train(photos, tmp_path, LINEAR)


def test_two_trainings_in_one_folder_at_once_are_one_too_many(photos: Path, tmp_path: Path) -> None:
    refused = []

    def watch(step: Step) -> None:
        if step.done == 1:
            with pytest.raises(StoreBusy, match="being written by process") as raised:
                train(photos, tmp_path, LINEAR)
            refused.append(raised.value.hint)

    train(photos, tmp_path, LINEAR, on_step=watch)
    assert refused == ["wait until it is done, or choose another --output"]


def test_a_folder_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        train(tmp_path / "nowhere", tmp_path / "run", LINEAR)


def test_beginning_afresh_removes_the_training_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    start_afresh(tmp_path)  # there is no training yet
    stopped(photos, tmp_path)
    start_afresh(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"writer.lock"} == {"mine.txt"}


def test_a_measured_folder_is_split_by_the_content_of_its_files(done: Finished, photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in photos.rglob("*.png"):
        shutil.copy(path, moved / f"renamed-{path.name}")
    make_picture(1000, (20, 16)).save(moved / "new.png")
    measured = measure(done.folder, moved)
    assert (len(measured.held_out), len(measured.train)) == (11, 30)
    assert "new.png" in measured.held_out
    assert measured.ranked[0] == min(measured.held_out, key=measured.held_out.__getitem__)


def test_errors_are_told_for_each_class(done: Finished, photos: Path) -> None:
    measured = measure(done.folder, photos)
    assert set(measured.by_class) == {"a", "b"}
    counts = {label: sum(measured.labels[name] == label for name in measured.held_out) for label in "ab"}
    whole = sum(measured.by_class[label] * counts[label] for label in "ab") / 10
    assert whole == pytest.approx(reconstruction_error(done.folder, photos)["held_out_mse"])


def test_names_that_are_no_text_stay_what_they_are(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "photos" / "class")
    os.makedirs(folder)
    make_picture(1, (20, 16)).save(tmp_path / "one.png")
    make_picture(2, (20, 16)).save(tmp_path / "two.png")
    for source, name in (("one.png", b"\xff\n.png"), ("two.png", b"plain.png")):
        try:
            shutil.copy(os.fsencode(tmp_path / source), os.path.join(folder, name))
        except OSError:
            pytest.skip("this file system takes no such names")
    train(tmp_path / "photos", tmp_path / "run", vary(LINEAR, {"fraction": "0.5", "epochs": "1"}))
    assert len(reconstructions(tmp_path / "run", tmp_path / "photos")[0]) == 1


def test_an_export_that_differs_from_the_model_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike.training.models.linear import Linear

    monkeypatch.setattr(Linear, "encode", lambda self, batch: np.full((len(batch), 6), 99, np.float32))
    with pytest.raises(TrainingError, match="does not give the same embeddings as the model"):
        train(photos, tmp_path, LINEAR)
    assert not (tmp_path / "encoder.json").exists()
