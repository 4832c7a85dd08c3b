"""Encoders: pictures in, embeddings out. They know no paths and no galleries.

One file an encoder; a new one needs its line in `_TABLE` and the contract tests find it by themselves. An encoder
that is learned from the pictures it is for needs its line in `_LEARNED`; `lookalike.indexing.learned` fits and
keeps it.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from lookalike.errors import UnknownEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders.onnx import OnnxEncoder
    from lookalike.images.decode import View
    from lookalike.vectors.metric import Metric

    Shown = tuple[NDArray[np.uint8], str]
    """A picture, uint8 (view.size, view.size, 3), and its class; empty where it is not known."""

__all__ = [
    "CARD",
    "DEFAULT",
    "MODEL",
    "TEXT",
    "TOKENIZER",
    "Encoder",
    "Learner",
    "encoder_names",
    "fetch",
    "find_learner",
    "hub_names",
    "lasting_name",
    "learned_names",
    "learned_parts",
    "load_encoder",
]


class Encoder(Protocol):
    """What every encoder is. Read-only members; `encode` may be called from one thread at a time."""

    @property
    def name(self) -> str:
        """What it is called by, unique in the table."""

    @property
    def view(self) -> View:
        """How a picture is cut before it is encoded."""

    @property
    def dim(self) -> int:
        """How many numbers an embedding has."""

    @property
    def metric(self) -> Metric:
        """How its embeddings are compared."""

    @property
    def trained_on(self) -> str:
        """Where its weights come from; empty for an encoder that has none."""

    @property
    def fingerprint(self) -> str:
        """Differs whenever the same picture would give another embedding: weights, sizes, constants."""

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, view.size, view.size, 3) in, float32 (n, dim) out, finite."""


@dataclass(frozen=True, slots=True)
class Learner:
    """How an encoder is learned: from pictures cut by `view` with their classes, as far as these are known.

    learn: writes the model and its card into a folder that is there; raises EncoderError for too few pictures.
    takes_labels: whether it makes anything of classes.
    """

    view: View
    learn: Callable[[Iterable[Shown], Path], None]
    takes_labels: bool = False


DEFAULT = "efficientnet-lite0-layers-int8"
# In the folder of a training, or of an encoder that was learned for a gallery:
MODEL, CARD = "encoder.onnx", "encoder.json"
# Beside them in the folder of a pair, whose second tower takes texts:
TEXT, TOKENIZER = "text.onnx", "tokenizer.json"

_TABLE = {
    DEFAULT: "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8",
    f"{DEFAULT}-128": "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8_128",
    f"{DEFAULT}-160": "lookalike.encoders.efficientnet:efficientnet_lite0_layers_int8_160",
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
    """The names of the encoders that can be loaded as they are: our own, the default first, then other packages'."""
    return [*_TABLE, *(name for name in _plugins().plugin_names() if name not in _TABLE)]


def learned_names() -> list[str]:
    """The names of the encoders that are learned from the pictures they are for."""
    return list(_LEARNED)


def learned_parts(name: str | Path) -> list[str]:
    """What has to be learned before an encoder of this name can be loaded; mostly nothing."""
    return [part for part, _ in _hybrid(name) or [(str(name), 1.0)] if part in _LEARNED]


def hub_names(name: str | Path) -> list[str]:
    """What has to be fetched before an encoder of this name can be loaded; mostly nothing."""
    return [part for part, _ in _hybrid(name) or [(str(name), 1.0)] if part.startswith(_HUB)]


def fetch(name: str | Path, told: Callable[[str], None], *, bars: bool = False) -> None:
    """Fetch what an encoder of this name needs from a hub (see `lookalike.encoders.huggingface.hub`).

    The one way that an encoder comes over a network. Raises UnknownEncoder, MissingExtra, FetchFailed, EncoderError.
    """
    for part in hub_names(name):
        _hub().fetch(part, told, bars=bars)


def find_learner(name: str) -> Learner:
    """How an encoder of one of `learned_names` is learned."""
    return cast("Learner", _found(_LEARNED[name]))


def load_encoder(name: str | Path = DEFAULT, home: Path | None = None) -> Encoder:
    """Load an encoder by its name, from an .onnx file, from the folder of a training or a pair, or several as one.

    Several are `hybrid:NAME[=WEIGHT]+NAME[=WEIGHT]`; `hf:OWNER/NAME@COMMIT` is what was fetched from a hub: no network
    is used here.
    home: where the encoders lie that were learned for a gallery, each in a folder of its name.
    Raises UnknownEncoder for a name that is none; EncoderError for a model that cannot be used.
    """
    if parts := _hybrid(name):
        return _joined([load_encoder(part, home) for part, _ in parts], [weight for _, weight in parts])
    if isinstance(name, str) and name in _TABLE:
        return cast("Callable[[], Encoder]", _found(_TABLE[name]))()
    if isinstance(name, str) and name in _LEARNED:
        return _load_learned(name, home)
    place = cast("Path", _hub().fetched(str(name))) if hub_names(name) else Path(name)
    path = place / MODEL if place.is_dir() else place
    if path.is_file():
        return _load_file(path)
    plugin = cast("Encoder | None", _plugins().load_plugin(str(name)))
    if plugin is None:
        known = ", ".join([*encoder_names(), *_LEARNED])
        raise UnknownEncoder(f"no encoder {str(name)!r}", hint=f"one of {known}, an .onnx file, or a training's folder")
    return plugin


def _load_learned(name: str, home: Path | None) -> Encoder:
    if home is None or not (home / name / MODEL).is_file():
        hint = f"lookalike index FOLDER -e {name}, or: lookalike train FOLDER --preset {name}"
        raise UnknownEncoder(f"{name} is learned from the pictures it is for, and was not yet", hint=hint)
    return _load_file(home / name / MODEL)


def _load_file(path: Path) -> Encoder:
    """A model file; with encoders of our own beside it, if its card names some."""
    encoder = cast("Callable[[Path], OnnxEncoder]", _found("lookalike.encoders.untrusted:load_onnx"))(path)
    beside = encoder.card.beside
    if not beside:
        return encoder
    if unknown := [name for name in beside if name not in _TABLE]:
        raise UnknownEncoder(f"the card of {path} names {unknown[0]!r}, which is no encoder of ours")
    own = 1 - math.fsum(beside.values())
    return _joined([encoder, *(load_encoder(name) for name in beside)], [own, *beside.values()])


def _joined(encoders: list[Encoder], weights: list[float]) -> Encoder:
    join = cast("Callable[[list[Encoder], list[float]], Encoder]", _found("lookalike.encoders.hybrid:HybridEncoder"))
    return join(encoders, weights)


def _plugins() -> Any:  # noqa: ANN401  (a module)
    return importlib.import_module("lookalike.encoders.plugins")


def _hub() -> Any:  # noqa: ANN401  (a module)
    return importlib.import_module("lookalike.encoders.huggingface.hub")


def lasting_name(name: str | Path) -> str:
    """The name as it can be loaded by from any folder: paths of files made absolute."""
    parts = [f"{_absolute(part)}={weight!r}" for part, weight in _hybrid(name)]
    return "hybrid:" + "+".join(parts) if parts else _absolute(str(name))


def _absolute(name: str) -> str:
    is_file = name not in _TABLE and name not in _LEARNED and Path(name).exists()
    return str(Path(name).resolve()) if is_file else name


def _hybrid(name: str | Path) -> list[tuple[str, float]]:
    """The parts of a hybrid and their weights; none if it is something else."""
    if not str(name).startswith("hybrid:"):
        return []
    read = cast("Callable[[str], list[tuple[str, float]]]", _found("lookalike.encoders.hybrid:read_hybrid"))
    return read(str(name))


def _found(place: str) -> object:
    module, attribute = place.split(":")
    return getattr(importlib.import_module(module), attribute)
