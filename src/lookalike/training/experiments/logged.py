"""What the log of the described system says of its experiments, by their names; nothing here was measured by us.

Its losses have the penalties in them. Its reconstruction errors are those of pictures three quarters of which had
been trained on, because its evaluation shuffled before it split.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

__all__ = ["LOGGED", "Logged", "LoggedEpoch", "logged_epochs"]


class LoggedEpoch(NamedTuple):
    """An epoch of the log: losses with their penalties; `final` has no held-out ones."""

    epoch: int
    loss: float
    val_loss: float | None


@dataclass(frozen=True, slots=True)
class Logged:
    """Losses at the last epoch that is logged, and the reconstruction error, if any; None is what is not said."""

    epoch: int
    train_loss: float | None = None
    val_loss: float | None = None
    error: float | None = None
    remark: str = ""


LOGGED: dict[str, Logged] = {
    "base": Logged(50, 0.0063, 0.0198),
    "exp1": Logged(16, 0.0144, 0.0180, remark="logged up to epoch 16"),
    "exp2": Logged(18, 0.0133, 0.0188, remark="logged up to epoch 18; 0.0169 at epoch 13"),
    "exp3": Logged(15, 0.0149, 0.0174, remark="logged up to epoch 15"),
    "exp4": Logged(25, 0.0142, 0.0175),
    "exp5a": Logged(25, 0.0255, 0.0352),
    "exp5b": Logged(25, 0.0180, 0.0288),
    "exp5c": Logged(25, 0.0172, 0.0271, 0.025),
    "exp5d": Logged(23, 0.0452, 0.0496, remark="logged up to epoch 23"),
    "exp5e": Logged(40, 0.0195, 0.0277, 0.017836),
    "exp6a": Logged(40, 0.0274, 0.0288),
    "exp6b": Logged(40, 0.0224, 0.0254, 0.01879, remark="the error is printed as 0.001879"),
    "exp6c": Logged(50, 0.0151, 0.0196, 0.015255),
    "exp6d": Logged(60, 0.0127, 0.0177, 0.0126),
    "exp7a": Logged(60, 0.0165, 0.0294),
    "exp7b": Logged(30, 0.0332, 0.0366),
    "exp7c": Logged(60, 0.0256, 0.0277),
    "final": Logged(60, 0.0128, remark="trained on all pictures"),
}


def logged_epochs(name: str) -> list[LoggedEpoch]:
    """The epochs that the log prints of an experiment, in their order; most experiments lack some."""
    text = (files("lookalike.training.experiments") / "logged.csv").read_text(encoding="utf-8")
    return [
        LoggedEpoch(int(row["epoch"]), float(row["loss"]), float(row["val_loss"]) if row["val_loss"] else None)
        for row in csv.DictReader(text.splitlines())
        if row["experiment"] == name
    ]
