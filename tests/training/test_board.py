"""What is written is read here with TensorFlow; that TensorBoard shows it was looked at once (docs/decisions.md)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike.training import Board, start_afresh, train
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")  # of TensorFlow's own making

LINEAR = vary(find_preset("linear"), {"size": "16", "latent_dim": "4", "epochs": "5", "batch_size": "8"})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(16):
        make_picture(seed, (20, 16)).save(tmp_path / "photos" / f"{seed:02}.png")
    return tmp_path / "photos"


def events(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Of every tag the steps and values of its events, in the order of the files."""
    import tensorflow as tf

    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("events.out.tfevents.*")):
        records = tf.data.TFRecordDataset([str(path)]).ignore_errors()  # of a torn end
        for record in records:
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == (
                    "images" if value.tag == "reconstructions" else "scalars"
                )
                found[value.tag].append((event.step, tf.make_ndarray(value.tensor)))
    return found


def steps(folder: Path, tag: str) -> list[int]:
    return [step for step, _ in events(folder)[tag]]


def test_the_numbers_of_every_epoch_and_some_pictures_are_there(photos: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    done = train(photos, tmp_path / "run", LINEAR, on_epoch=Board(tmp_path / "run", 5))
    trained, held_out = (events(tmp_path / "run" / "tensorboard" / side) for side in ("train", "validation"))
    assert set(trained) == {"loss", "mse", "learning_rate", "seconds"}
    assert [step for step, _ in held_out["mse"]] == [1, 2, 3, 4, 5]
    assert [float(value) for _, value in held_out["mse"]] == pytest.approx([epoch.val_mse for epoch in done.history])
    assert [step for step, _ in held_out["reconstructions"]] == [1, 2, 4, 5]
    width, height, png = held_out["reconstructions"][-1][1]
    assert (int(width), int(height)) == (4 * 16, 2 * 16)
    sheet = tf.io.decode_png(png).numpy()
    assert sheet.shape == (32, 64, 3)
    assert np.abs(sheet[:16].astype(int) - sheet[16:]).mean() > 0  # above what was, below what was made of it


def test_a_training_that_goes_on_adds_to_what_is_there(photos: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop_at_three(history: Any, learner: Any, pictures: Any) -> None:
        board(history, learner, pictures)
        if len(history) == 3:
            raise Enough

    board = Board(tmp_path / "run", 5)
    with pytest.raises(Enough):
        train(photos, tmp_path / "run", LINEAR, on_epoch=stop_at_three)
    train(photos, tmp_path / "run", LINEAR, on_epoch=Board(tmp_path / "run", 5))
    for side in ("train", "validation"):
        assert steps(tmp_path / "run" / "tensorboard" / side, "mse") == [1, 2, 3, 4, 5]


def test_asked_for_late_it_has_all_numbers(photos: Path, tmp_path: Path) -> None:
    done = train(photos, tmp_path / "run", LINEAR)
    Board(tmp_path / "run", 5).add(done.history)
    Board(tmp_path / "run", 5).add(done.history)
    assert steps(tmp_path / "run" / "tensorboard" / "train", "loss") == [1, 2, 3, 4, 5]


def test_a_torn_file_loses_no_more_than_its_end(photos: Path, tmp_path: Path) -> None:
    done = train(photos, tmp_path / "run", LINEAR)
    Board(tmp_path / "run", 5).add(done.history)
    for path in (tmp_path / "run" / "tensorboard" / "train").iterdir():
        path.write_bytes(path.read_bytes()[:-300])  # somewhere in the fourth of five epochs
    Board(tmp_path / "run", 5).add(done.history)
    found = steps(tmp_path / "run" / "tensorboard" / "train", "mse")
    assert sorted(set(found)) == [1, 2, 3, 4, 5]


def test_without_held_out_pictures_there_are_trained_ones_and_no_numbers_of_others(
    photos: Path, tmp_path: Path
) -> None:
    train(photos, tmp_path / "run", vary(LINEAR, {"fraction": "1"}), on_epoch=Board(tmp_path / "run", 5))
    assert set(events(tmp_path / "run" / "tensorboard" / "validation")) == {"reconstructions"}


def test_beginning_afresh_removes_the_events_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run", LINEAR, on_epoch=Board(tmp_path / "run", 5))
    other = tmp_path / "run" / "tensorboard" / "train" / "notes.txt"
    other.write_text("mine")
    start_afresh(tmp_path / "run")
    assert [path for path in (tmp_path / "run" / "tensorboard").rglob("*") if path.is_file()] == [other]
