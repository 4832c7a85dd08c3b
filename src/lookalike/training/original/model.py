"""Import the weights of the original system into a folder like that of a finished training.

Weights are matched by order and shape, because names in such files are arbitrary. Weights do not show the slope of the
LeakyReLU and whether a ReLU follows the embedding: these are read, as data, from the file's description of its layers,
and must be given if it has none.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.errors import EncoderError, TrainingError, UsageError
from lookalike.files import expands_home, replace_file
from lookalike.images.decode import View
from lookalike.training import folder as run_folder
from lookalike.training.export import write_network
from lookalike.training.models.autoencoder import EPSILON, build, build_encoder
from lookalike.training.original.weights import read_weights
from lookalike.training.presets import Preset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lookalike.training.original.weights import Weights

    Arrays = list[NDArray[np.float32]]

__all__ = ["Imported", "import_model", "is_weights_file"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_AGREE = 1e-5  # the largest difference between exported encoder and model, relative to the largest value
_SHAPE = re.compile(r"((?:cn)+)dd((?:cn)+)c")
_DESCRIBED = re.compile(r"((?:conv leaky norm )+)flat dense (relu )?dense fold ((?:up leaky norm )+)colours sigmoid ")
_ACTIVATIONS = {"linear": "", "relu": "relu ", "sigmoid": "sigmoid "}
_ROUND = {"kernel_size": [3, 3], "padding": "same", "data_format": "channels_last", "dilation_rate": [1, 1]}
_WORDS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("Conv2D", "conv ", {**_ROUND, "strides": [2, 2], "groups": 1}),
    ("Conv2DTranspose", "up ", {**_ROUND, "strides": [2, 2]}),
    ("Conv2DTranspose", "colours ", {**_ROUND, "strides": [1, 1]}),
    ("LeakyReLU", "leaky ", {}),
    ("BatchNormalization", "norm ", {"epsilon": EPSILON}),
    ("Flatten", "flat ", {}),
    ("Dense", "dense ", {}),
    ("Reshape", "fold ", {}),
    ("ReLU", "relu ", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    ("Activation", "", {}),
)


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported model and its number of parameters."""

    folder: Path
    preset: Preset
    parameters: int


@expands_home
def is_weights_file(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes. Raises UsageError if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


@expands_home
def import_model(path: Path, run: Path, *, slope: float | None = None, relu: bool | None = None) -> Imported:
    """Turn a Keras 2 file into the folder `run`: encoder.onnx with its card, weights, a preset marked as imported.

    slope, relu: the slope of the LeakyReLU, and whether a ReLU follows the embedding; required only if the file does
    not say, and must not contradict it. Raises TrainingError when `run` holds a training already; UsageError for
    missing options and a folder that cannot be written; EncoderError, UntrustedModel for a file that is not the
    described model.
    """
    if (run / run_folder.PRESET).exists():
        raise TrainingError(f"{run} holds a training already", hint="choose another --output")
    with run_folder.writing_to(run):
        run.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=run, prefix="importing-")
    with scratch:
        weights = read_weights(path, Path(scratch.name))
    slope, relu = _resolve_options(weights.config, path, slope=slope, relu=relu)
    try:
        arrays = _group_by_layer(weights)
        preset = _find_preset(arrays, slope=slope, relu=relu, file=path.name)
    except ValueError as error:
        raise EncoderError(f"{path} is not a model of the original system: {error}") from None
    with run_folder.writing_to(run):
        _write(run, preset, arrays, path)
    return Imported(run, preset, sum(array.size for some in arrays.values() for array in some))


def _resolve_options(config: str, path: Path, *, slope: float | None, relu: bool | None) -> tuple[float, bool]:
    """The slope and the ReLU, from the file or else from the options."""
    if not config:
        missing = [option for option, value in (("--slope", slope), ("--relu or --no-relu", relu)) if value is None]
        if slope is None or relu is None:
            hint = "Keras's default is --slope 0.3; the original system has a ReLU from its experiment 5 on"
            raise UsageError(f"{path} has weights only: also give {' and '.join(missing)}", hint=hint)
        return slope, relu
    try:
        found = _parse_config(config)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EncoderError(f"{path} is not a model of the original system: {error}") from None
    for option, given, stated in (("--slope", slope, found[0]), ("--relu", relu, found[1])):
        if given is not None and not math.isclose(given, stated, rel_tol=1e-5):
            raise UsageError(f"{path} itself says that {option} is {stated}")
    return found


def _parse_config(config: str) -> tuple[float, bool]:
    """Find the slope and the ReLU in a file's layers. Raises ValueError for other layers than the described ones."""
    layers = list(_list_layers(json.loads(config)))
    words = [_describe(layer) for layer in layers]
    described = "".join(word for word in words if word)
    match = _DESCRIBED.fullmatch(described)
    if match is None or match[1].count("conv") != match[3].count("up"):
        raise ValueError(f"its layers are {' '.join(described.split()) or 'none'}")
    slopes = {_read_slope(layer["config"]) for layer in layers if layer["class_name"] == "LeakyReLU"}
    if len(slopes) != 1:
        raise ValueError(f"its LeakyReLU layers have the slopes {sorted(slopes)}")
    return slopes.pop(), match[2] is not None


def _list_layers(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All layers from input to output, including those of nested models."""
    for layer in document["config"]["layers"]:
        if layer["class_name"] in {"Functional", "Model", "Sequential"}:
            yield from _list_layers(layer)
        elif layer["class_name"] != "InputLayer":
            yield layer


def _describe(layer: dict[str, Any]) -> str:
    """A layer as a word if all of its settings are as described, with another word for its activation."""
    kind, settings = layer["class_name"], layer["config"]
    activation = _ACTIVATIONS.get(settings.get("activation", "linear"), "? ")
    for name, word, expected in _WORDS:
        if kind == name and all(settings.get(key, value) == value for key, value in expected.items()):
            return f"{word}{activation}"
    return f"{kind}? "


def _read_slope(settings: dict[str, Any]) -> float:
    value = settings.get("negative_slope", settings.get("alpha"))
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"a LeakyReLU with the slope {value!r}")
    return round(float(value), 6)  # 0.2 is written as the float32 that it is


def _group_by_layer(weights: Weights) -> dict[str, Arrays]:
    """The arrays of each layer by its name. Raises ValueError when the kinds of layers are not in the right order."""
    parts: dict[tuple[str, str], dict[str, NDArray[np.float32]]] = {}
    for (layer, name), array in zip(weights.names, weights.arrays, strict=True):
        path, _, last = name.rpartition("/")
        parts.setdefault((layer, path), {})[last.partition(":")[0]] = np.ascontiguousarray(array, np.float32)
    order = [(_kind(arrays), list(arrays.values())) for arrays in parts.values()]
    match = _SHAPE.fullmatch("".join(kind for kind, _ in order))
    if match is None or len(match[1]) != len(match[2]):
        raise ValueError(f"its layers with weights are {' '.join(kind for kind, _ in order) or 'none'}")
    return dict(zip(_names(len(match[1]) // 2), (arrays for _, arrays in order), strict=True))


def _kind(arrays: dict[str, NDArray[np.float32]]) -> str:
    """The kind of a layer: c for either convolution, d for dense, n for batch normalisation."""
    names = list(arrays)
    if names == ["gamma", "beta", "moving_mean", "moving_variance"]:
        return "n"
    kinds = {4: "c", 2: "d"}
    return kinds.get(arrays["kernel"].ndim, "?") if names == ["kernel", "bias"] else f"({', '.join(names)})"


def _names(depth: int) -> list[str]:
    down = [name for number in range(depth) for name in (f"down{number}", f"down{number}_norm")]
    up = [name for number in reversed(range(depth)) for name in (f"up{number}", f"up{number}_norm")]
    return [*down, "embedding", "unfold", *up, "colours"]


def _find_preset(arrays: dict[str, Arrays], *, slope: float, relu: bool, file: str) -> Preset:
    """Find the preset that has these weights. Raises ValueError when a shape or a value does not fit."""
    filters = tuple(some[0].shape[3] for name, some in arrays.items() if re.fullmatch(r"down\d+", name))
    if not all(filters):
        raise ValueError("a convolution has no filters")
    rows, latent_dim = arrays["embedding"][0].shape
    side = math.isqrt(rows // filters[-1])
    preset = Preset(
        "original", f"imported from {file}", latent_dim=latent_dim, learning_rate=0.0, epochs=0, relu=relu,
        size=side * 2 ** len(filters), filters=filters, slope=slope,
    )  # fmt: skip
    for name, shapes in _shapes(preset).items():
        found = [array.shape for array in arrays[name]]
        if found != shapes:
            raise ValueError(f"{name} has {found}, expected {shapes}")
        if not all(np.isfinite(array).all() for array in arrays[name]):
            raise ValueError(f"{name} has numbers that are not finite")
        if name.endswith("_norm") and arrays[name][3].min() < 0:
            raise ValueError(f"{name} has a variance below zero")
    return preset


def _shapes(preset: Preset) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of each layer's weights, in Keras's order."""
    filters, shapes = preset.filters, dict[str, list[tuple[int, ...]]]()
    side = preset.size // 2 ** len(filters)
    flat = side * side * filters[-1]
    for number, count in enumerate(filters):
        before, above = (3, *filters)[number], (*filters, filters[-1])[number + 1]
        shapes[f"down{number}"] = [(3, 3, before, count), (count,)]
        shapes[f"up{number}"] = [(3, 3, count, above), (count,)]
        shapes[f"down{number}_norm"] = shapes[f"up{number}_norm"] = [(count,)] * 4
    shapes["embedding"] = [(flat, preset.latent_dim), (preset.latent_dim,)]
    shapes["unfold"] = [(preset.latent_dim, flat), (flat,)]
    shapes["colours"] = [(3, 3, 3, filters[0]), (3,)]
    return shapes


def _write(run: Path, preset: Preset, arrays: dict[str, Arrays], source: Path) -> None:
    """Write the folder, its card last."""
    model = build(preset)
    for name, some in arrays.items():
        model.get_layer(name).set_weights(some)
    with replace_file(run / "model.weights.h5") as part:
        model.save_weights(part)
    with replace_file(run / run_folder.ENCODER) as part:
        write_network(str(part), preset, lambda name: arrays[name])
    card = Card(
        f"original-{preset.latent_dim}", View(preset.size), metric="euclidean", trained_on=f"imported: {source.name}"
    )
    _check(OnnxEncoder((run / run_folder.ENCODER).read_bytes(), card), build_encoder(model, preset), run)
    run_folder.claim(run, preset, None, imported=_origin(source))
    with replace_file(run / run_folder.CARD) as part:
        card.write(part)


def _origin(source: Path) -> dict[str, str]:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": source.name, "sha256": digest}


def _check(encoder: OnnxEncoder, model: Any, run: Path) -> None:  # noqa: ANN401  (Keras has no types)
    side = encoder.view.size
    some = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    expected = np.asarray(model(some.astype(np.float32) / np.float32(255)), np.float32)
    if np.abs(encoder.encode(some) - expected).max() > _AGREE * max(1.0, float(np.abs(expected).max())):
        raise TrainingError(f"{run / run_folder.ENCODER} does not give the same embeddings as the model")
