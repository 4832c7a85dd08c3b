"""Files as the described system wrote them: Keras 2's layout of HDF5, written here with h5py alone.

That Keras 2 itself writes them so, and that its numbers come out the same, was looked at once with the package
tf_keras 2.21 (docs/decisions.md).
"""

from __future__ import annotations

import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lookalike import Gallery
from lookalike.training.models.autoencoder import build
from lookalike.training.original import import_model, ordered_pictures
from lookalike.training.presets import PRESETS, Preset, vary

__all__ = ["SMALL", "described_config", "write_model", "write_project"]

SMALL = vary(PRESETS["exp6d"], {"size": "16", "filters": "4,8", "latent_dim": "6", "slope": "0.2"})
_ROUND = {"kernel_size": [3, 3], "padding": "same", "data_format": "channels_last", "dilation_rate": [1, 1]}


def weights_of(preset: Preset) -> dict[str, list[np.ndarray]]:
    """Random weights of every layer that has some, by our names, in the order of the flow."""
    rng = np.random.default_rng(3)
    model = build(preset)
    found = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
    return {name: [_random(rng, array.shape) for array in some] for name, some in found.items()}


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of either sign where the flow branches, so that pictures differ; above zero otherwise, as variances are."""
    return rng.uniform(-0.5 if len(shape) > 1 else 0.1, 0.5, shape).astype(np.float32)


def described_config(preset: Preset, *, nested: bool = False, extra: tuple[dict[str, Any], ...] = ()) -> str:
    """What Keras 2 writes of the layers, as far as anybody reads it. extra: layers before the first."""
    leaky = ("LeakyReLU", {"alpha": float(np.float32(preset.slope))})
    norm = ("BatchNormalization", {"axis": [3], "epsilon": 0.001, "momentum": 0.99})
    down = [("Conv2D", {**_ROUND, "strides": [2, 2], "activation": "linear"}), leaky, norm] * len(preset.filters)
    up = [("Conv2DTranspose", {**_ROUND, "strides": [2, 2], "activation": "linear"}), leaky, norm] * len(preset.filters)
    relu = [("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0})] if preset.relu else []
    encoder = [*down, ("Flatten", {}), ("Dense", {"activation": "linear"}), *relu]
    last = ("Conv2DTranspose", {**_ROUND, "strides": [1, 1], "activation": "linear"})
    decoder = [
        ("Dense", {"activation": "linear"}),
        ("Reshape", {}),
        *up,
        last,
        ("Activation", {"activation": "sigmoid"}),
    ]
    halves: list[list[dict[str, Any]]] = [
        [{"class_name": kind, "config": numbers} for kind, numbers in half] for half in (encoder, decoder)
    ]
    start: dict[str, Any] = {
        "class_name": "InputLayer",
        "config": {"batch_input_shape": [None, preset.size, preset.size, 3]},
    }
    if nested:
        layers = [{"class_name": "Functional", "config": {"layers": [start, *half]}} for half in halves]
    else:
        layers = [layer for half in halves for layer in half]
    return json.dumps({"class_name": "Functional", "config": {"layers": [start, *extra, *layers]}})


def write_model(
    path: Path, preset: Preset, weights: dict[str, list[np.ndarray]] | None = None, *, config: str | None = None,
    nested: bool = False,
) -> dict[str, list[np.ndarray]]:  # fmt: skip
    """A model as `model.save` writes it, or with config="" its weights as `save_weights` does; the weights."""
    weights = weights_of(preset) if weights is None else weights
    with h5py.File(path, "w") as file:
        root = file
        if config != "":
            file.attrs["model_config"] = described_config(preset, nested=nested) if config is None else config
            root = file.create_group("model_weights")
        groups = _nested(weights) if nested else _flat(weights)
        root.attrs["layer_names"] = np.array([b"input_1", *(name.encode() for name in groups)])
        root.create_group("input_1").attrs["weight_names"] = np.array([])
        for layer, named in groups.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name in named])
            for name, array in named.items():
                group.create_dataset(name, data=array)
    return weights


def write_project(folder: Path, photos: Path) -> None:
    """final_model.h5, and features.pkl with the codes of the pictures below `photos` in their order."""
    folder.mkdir()
    write_model(folder / "final_model.h5", SMALL)
    with tempfile.TemporaryDirectory() as scratch:
        home = import_model(folder / "final_model.h5", Path(scratch) / "home").folder
        with Gallery.open(Path(scratch) / "gallery", encoder=home, create=True) as gallery:
            rows = [row for _, row in gallery.embed_files(entry.path for entry in ordered_pictures(photos))]
    features = {"indexes": list(range(len(rows))), "features": np.stack(rows)}
    (folder / "features.pkl").write_bytes(pickle.dumps(features))


def _named(weights: dict[str, list[np.ndarray]]) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Keras's own names, which say nothing of ours."""
    named = []
    for number, arrays in enumerate(weights.values()):
        kinds = ["kernel", "bias"] if len(arrays) == 2 else ["gamma", "beta", "moving_mean", "moving_variance"]
        named.append((f"layer_{number}", dict(zip(kinds, arrays, strict=True))))
    return named


def _flat(weights: dict[str, list[np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    return {layer: {f"{layer}/{kind}:0": a for kind, a in arrays.items()} for layer, arrays in _named(weights)}


def _nested(weights: dict[str, list[np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Models within the model: each half in one group, what is trained before what is not."""
    named, at = _named(weights), list(weights).index("unfold")
    halves = {"encoder": named[:at], "decoder": named[at:]}
    return {
        half: {
            f"{layer}/{kind}:0": array
            for is_moving in (False, True)
            for layer, arrays in layers
            for kind, array in arrays.items()
            if kind.startswith("moving") == is_moving
        }
        for half, layers in halves.items()
    }
