from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lookalike.experiments.logged import LOGGED
from lookalike.presets import PRESETS

EXPERIMENTS = Path(__file__).parents[3] / "shared" / "spec" / "experiments.csv"


def test_the_log_is_told_as_the_table_of_the_described_experiments_tells_it() -> None:
    if not EXPERIMENTS.is_file():
        pytest.skip("the table of the described experiments is not beside the checkout")
    rows = list(csv.DictReader(EXPERIMENTS.read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows] == list(LOGGED)
    for row in rows:
        logged = LOGGED[row["id"]]
        for said, ours in (
            (row["logged_train_loss"], logged.train_loss),
            (row["logged_val_loss"], logged.val_loss),
            (row["logged_reconstruction_error"], logged.error),
        ):
            assert not said or ours == float(said), row["id"]


def test_every_logged_experiment_is_a_preset_and_none_of_ours_is_in_the_log() -> None:
    assert list(LOGGED) == [name for name in PRESETS if name.startswith("exp") or name in {"base", "final"}]
    assert all(logged.epoch <= PRESETS[name].epochs for name, logged in LOGGED.items())
