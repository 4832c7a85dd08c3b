"""Encoders: pictures in, embeddings out. They know no paths and no galleries.

One file an encoder; a new one needs its line in `_TABLE` and the contract tests find it by themselves.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from lookalike.errors import UnknownEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.distance import Metric
    from lookalike.images.decode import View

__all__ = ["DEFAULT", "Encoder", "encoder_names", "load_encoder"]


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


DEFAULT = "efficientnet-lite0"

_TABLE = {
    DEFAULT: "lookalike.encoders.efficientnet:efficientnet_lite0",
    "efficientnet-lite0-layers": "lookalike.encoders.efficientnet:efficientnet_lite0_layers",
    "histogram": "lookalike.encoders.histogram:HistogramEncoder",
}


def encoder_names() -> list[str]:
    """The names that `load_encoder` knows, the default first."""
    return list(_TABLE)


def load_encoder(name: str | Path = DEFAULT) -> Encoder:
    """Load an encoder by its name, from an .onnx file, or from the folder of a training.

    Raises UnknownEncoder for a name that is none; EncoderError for a model that cannot be used.
    """
    if isinstance(name, str) and name in _TABLE:
        module, attribute = _TABLE[name].split(":")
        make = cast("Callable[[], Encoder]", getattr(importlib.import_module(module), attribute))
        return make()
    path = Path(name)
    if path.is_dir():
        path /= "encoder.onnx"
    if not path.is_file():
        known = ", ".join(_TABLE)
        raise UnknownEncoder(f"no encoder {str(name)!r}", hint=f"one of {known}, an .onnx file, or a training's folder")
    load_onnx = importlib.import_module("lookalike.encoders.onnx").load_onnx
    return cast("Encoder", load_onnx(path))
