"""All encoders by their names, and how each is loaded.

An encoder that is ready to use has its line in `_TABLE`. One that is learned from the pictures it is for has its line
in `_LEARNED`; `lookalike.indexing.learned` fits it to a gallery and keeps it there. Importing this module is cheap:
what a name stands for is imported when it is loaded.
"""

from __future__ import annotations

import importlib
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lookalike.encoders.devices import on_device
from lookalike.errors import UnknownEncoder
from lookalike.files import expand_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.encoders import Encoder, Learner
    from lookalike.encoders.onnx import OnnxEncoder

__all__ = [
    "CARD",
    "DEFAULT",
    "MODEL",
    "TEXT",
    "TOKENIZER",
    "encoder_names",
    "fetch",
    "find_learner",
    "hub_names",
    "lasting_name",
    "learned_names",
    "learned_parts",
    "load_encoder",
    "recall",
]

_log = logging.getLogger(__name__)

DEFAULT = "efficientnet-lite0-layers-int8"
# The files in the folder of a training, or of an encoder that was learned for a gallery:
MODEL, CARD = "encoder.onnx", "encoder.json"
# Beside them in the folder of a pair, whose other encoder takes texts:
TEXT, TOKENIZER = "text.onnx", "tokenizer.json"

_TABLE = {
    DEFAULT: "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8",
    f"{DEFAULT}-128": "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8_128",
    f"{DEFAULT}-160": "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8_160",
    "efficientnet-lite0-int8": "lookalike.encoders.efficientnet:efficientnet_lite0_int8",
    "efficientnet-lite0-layers": "lookalike.encoders.efficientnet:efficientnet_lite0_layers",
    "efficientnet-lite0": "lookalike.encoders.efficientnet:efficientnet_lite0",
    "histogram": "lookalike.encoders.histogram:HistogramEncoder",
}
_LEARNED = {
    "patches": "lookalike.encoders.patches:LEARNER",
    "selfsup": "lookalike.encoders.selfsup:LEARNER",
}
_HUB = "hf:"


def encoder_names() -> list[str]:
    """Names of the encoders that are ready to use: the default first, then the other built-in ones, then plug-ins."""
    return [*_TABLE, *(name for name in _plugins().plugin_names() if name not in _TABLE)]


def learned_names() -> list[str]:
    """Names of the encoders that are learned from the pictures they are for."""
    return list(_LEARNED)


def learned_parts(name: str | Path) -> list[str]:
    """The parts of an encoder that have to be learned before it can be loaded; an empty list for most names."""
    return [part for part, _ in _parse_hybrid(name) or [(str(name), 1.0)] if part in _LEARNED]


def hub_names(name: str | Path) -> list[str]:
    """The parts of an encoder that have to be fetched before it can be loaded; an empty list for most names."""
    return [part for part, _ in _parse_hybrid(name) or [(str(name), 1.0)] if part.startswith(_HUB)]


def fetch(name: str | Path, on_message: Callable[[str], None], *, bars: bool = False) -> str:
    """Download what an encoder of this name needs from a hub (see `lookalike.encoders.huggingface.hub`).

    Returns the name with a commit in each part that comes from a hub: the newest, where the name had none.
    No other function downloads an encoder. Raises UnknownEncoder, MissingExtra, FetchFailed, EncoderError.
    """
    pinned = {part: _hub().pin(part, on_message) for part in hub_names(name)}
    for part in pinned.values():
        _hub().fetch(part, on_message, bars=bars)
    return _rename_parts(name, lambda part: pinned.get(part, part)) if pinned else str(name)


def recall(name: str | Path, known: str) -> str:
    """Return `known`, the name that a gallery remembers, if that is `name` with commits; otherwise `name`."""
    return known if lasting_name(_rename_parts(known, _drop_commit)) == lasting_name(name) else str(name)


def find_learner(name: str) -> Learner:
    """Return how an encoder with one of the `learned_names` is learned."""
    return cast("Learner", _import(_LEARNED[name]))


def load_encoder(name: str | Path = DEFAULT, folder: Path | None = None, *, device: str | None = None) -> Encoder:
    """Load an encoder: by its name, from an .onnx file, from the folder of a training or of a pair, or a hybrid.

    A hybrid is `hybrid:NAME[=WEIGHT]+NAME[=WEIGHT]`. `hf:OWNER/NAME@COMMIT` is a model that was fetched from a hub
    before: loading uses no network.
    folder: where the encoders are that were learned for a gallery, each in a subfolder with its name.
    device: one of auto, cpu, cuda, coreml, directml; by default that of `on_device`, or auto. Embeddings agree within
    0.001 on all of them; where a device fails or gives others, the processor is used and a warning logged.
    Raises UnknownEncoder for an unknown name; EncoderError for a model that cannot be used; UsageError for a device
    that ONNX Runtime lacks.
    """
    with on_device(device):
        encoder = _load(name, folder)
    _log.info("loaded the encoder %s: %d dimensions, %s", encoder.name, encoder.dim, encoder.metric)
    return encoder


def _load(name: str | Path, folder: Path | None) -> Encoder:
    if parts := _parse_hybrid(name):
        return _join([load_encoder(part, folder) for part, _ in parts], [weight for _, weight in parts])
    if isinstance(name, str) and name in _TABLE:
        return cast("Callable[[], Encoder]", _import(_TABLE[name]))()
    if isinstance(name, str) and name in _LEARNED:
        return _load_learned(name, folder)
    model = cast("Path", _hub().find_model(str(name))) if hub_names(name) else expand_home(Path(name))
    file = model / MODEL if model.is_dir() else model
    return _load_file(file) if file.is_file() else _load_plugin(str(name))


def lasting_name(name: str | Path) -> str:
    """Return the name in the form that loads the same encoder from any working directory: with absolute paths."""
    return _rename_parts(name, _make_absolute)


def _rename_parts(name: str | Path, rename: Callable[[str], str]) -> str:
    """The name with each part of a hybrid renamed, or as a whole for any other encoder."""
    parts = [f"{rename(part)}={weight!r}" for part, weight in _parse_hybrid(name)]
    return "hybrid:" + "+".join(parts) if parts else rename(str(name))


def _drop_commit(part: str) -> str:
    return part.partition("@")[0] if part.startswith(_HUB) else part


def _load_learned(name: str, folder: Path | None) -> Encoder:
    if folder is None or not (folder / name / MODEL).is_file():
        hint = f"lookalike index FOLDER -e {name}, or: lookalike train FOLDER --preset {name}"
        raise UnknownEncoder(f"{name} has to be learned from your pictures first", hint=hint)
    return _load_file(folder / name / MODEL)


def _load_file(path: Path) -> Encoder:
    """Load a model file, joined with the built-in encoders that its card names, if any."""
    encoder = cast("Callable[[Path], OnnxEncoder]", _import("lookalike.encoders.untrusted:load_onnx"))(path)
    beside = encoder.card.beside
    if not beside:
        return encoder
    if unknown := [name for name in beside if name not in _TABLE]:
        raise UnknownEncoder(f"the card of {path} names {unknown[0]!r}, which is not a built-in encoder")
    own = 1 - math.fsum(beside.values())
    return _join([encoder, *(load_encoder(name) for name in beside)], [own, *beside.values()])


def _load_plugin(name: str) -> Encoder:
    plugin = cast("Encoder | None", _plugins().load_plugin(name))
    if plugin is None:
        known = ", ".join([*encoder_names(), *_LEARNED])
        raise UnknownEncoder(
            f"unknown encoder {name!r}", hint=f"one of {known}, an .onnx file, or the folder of a trained model"
        )
    return plugin


def _join(encoders: list[Encoder], weights: list[float]) -> Encoder:
    join = cast("Callable[[list[Encoder], list[float]], Encoder]", _import("lookalike.encoders.hybrid:HybridEncoder"))
    return join(encoders, weights)


def _make_absolute(name: str) -> str:
    path = expand_home(Path(name))
    is_file = name not in _TABLE and name not in _LEARNED and path.exists()
    return str(path.resolve()) if is_file else name


def _parse_hybrid(name: str | Path) -> list[tuple[str, float]]:
    """The parts of a hybrid and their weights; an empty list for any other name."""
    if not str(name).startswith("hybrid:"):
        return []
    parse = cast("Callable[[str], list[tuple[str, float]]]", _import("lookalike.encoders.hybrid:parse_hybrid"))
    return parse(str(name))


def _plugins() -> Any:  # noqa: ANN401  (a module, 30 ms)
    return importlib.import_module("lookalike.encoders.plugins")


def _hub() -> Any:  # noqa: ANN401  (a module, 140 ms: numpy and onnxruntime)
    return importlib.import_module("lookalike.encoders.huggingface.hub")


def _import(target: str) -> object:
    """Import "module:name": 80 ms for a hybrid, 110 for a histogram, 160 for a model file, 175 for EfficientNet."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
