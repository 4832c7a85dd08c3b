"""What the log of the original system says about its experiments; nothing here was measured by this project.

Its losses include the penalties. Its reconstruction errors are for pictures of which three quarters had been trained
on, because its evaluation shuffled before it split.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

__all__ = ["LOGGED", "Logged", "LoggedEpoch", "logged_epochs"]


class LoggedEpoch(NamedTuple):
    """An epoch of the log: losses with penalties; `final` has no held-out losses."""

    epoch: int
    loss: float
    val_loss: float | None


@dataclass(frozen=True, slots=True)
class Logged:
    """Losses at the last logged epoch, and the reconstruction error; None for what is not logged."""

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
    """Read the epochs that the log has of an experiment, in order; for most experiments some are missing."""
    text = (files("lookalike.training.experiments") / "logged.csv").read_text(encoding="utf-8")
    return [
        LoggedEpoch(int(row["epoch"]), float(row["loss"]), float(row["val_loss"]) if row["val_loss"] else None)
        for row in csv.DictReader(text.splitlines())
        if row["experiment"] == name
    ]
