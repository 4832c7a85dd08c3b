from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from lookalike.training.experiments.logged import LOGGED, logged_epochs
from lookalike.training.presets import PRESETS

SPEC = Path(__file__).parents[4] / "shared" / "spec"
EXPERIMENTS, DESCRIPTION = SPEC / "experiments.csv", SPEC / "original-description.txt"


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


def test_the_epochs_of_the_log_are_those_of_the_description() -> None:
    if not DESCRIPTION.is_file():
        pytest.skip("the description of the original is not beside the checkout")
    printed = re.findall(r"- loss: ([\d.e-]+)(?: - val_loss: ([\d.e-]+))?", DESCRIPTION.read_text(encoding="utf-8"))
    ours = [epoch for name in LOGGED for epoch in logged_epochs(name)]
    assert [(epoch.loss, epoch.val_loss) for epoch in ours] == [
        (float(loss), float(val_loss) if val_loss else None) for loss, val_loss in printed
    ]


def test_the_last_epochs_of_the_log_are_those_of_its_table() -> None:
    lasts = {name: epochs[-1] for name in LOGGED if (epochs := logged_epochs(name))}
    assert len(lasts) == len(LOGGED) - 3  # of three it prints no epoch
    for name, last in lasts.items():
        if last.epoch == LOGGED[name].epoch:
            assert (last.loss, last.val_loss) == (LOGGED[name].train_loss, LOGGED[name].val_loss), name
        assert [epoch.epoch for epoch in logged_epochs(name)] == sorted({e.epoch for e in logged_epochs(name)})


def test_every_logged_experiment_is_a_preset_and_none_of_ours_is_in_the_log() -> None:
    assert list(LOGGED) == [name for name in PRESETS if name.startswith("exp") or name in {"base", "final"}]
    assert all(logged.epoch <= PRESETS[name].epochs for name, logged in LOGGED.items())
