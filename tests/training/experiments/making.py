"""Results as files, made without a training."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lookalike.training.presets import find_preset, vary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["write_result"]

MACHINE = {"processor": "abacus", "cores": 2, "memory_gib": 4, "system": "Linux", "accelerators": []}
MEASURES: dict[str, Any] = {"dim": 8, "mAP": 0.2, "P@10": 0.3, "top_1": 0.4, "intervals": {"mAP": [0.1, 0.3]}}


def write_result(
    folder: Path, name: str, errors: Sequence[float], *, trained: float = 0.01, penalty: float = 0.0, **more: Any
) -> Path:
    """A result of a preset with these held-out errors, an epoch each of ten seconds. NaN: nothing is held out."""
    varied = {key: more.pop(key) for key in ("size", "epochs", "seed") if key in more}
    preset = vary(find_preset(name), {key: str(value) for key, value in varied.items()})
    history = [
        {
            "epoch": number, "loss": trained + penalty, "mse": trained, "val_loss": _plain(error + penalty),
            "val_mse": _plain(error), "learning_rate": 0.001, "seconds": 10.0,
        }
        for number, error in enumerate(errors, 1)
    ]  # fmt: skip
    document = {
        "name": name, "date": "2026-01-02T03:04:05+00:00", "command": f"lookalike train Photos --preset {name}",
        "versions": {"lookalike": "0.1.0"}, "machine": MACHINE, "encoder": "", "preset": asdict(preset),
        "varied": varied, "epochs": len(errors), "seconds": 10.0 * len(errors), "held_out_mse": _plain(errors[-1]),
        "train_mse": trained, "mse_by_class": {}, "queries_trained_on": 0, "history": history,
        "retrieval": {"raw_euclidean": MEASURES, "raw_cosine": {**MEASURES, "mAP": 0.25}},
        "pictures": {"folder": "Photos", "n_train": 3, "n_held_out": 1}, **more,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{''.join(f'-{key}-{value}' for key, value in varied.items())}.json"
    path.write_text(json.dumps(document))
    return path


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
