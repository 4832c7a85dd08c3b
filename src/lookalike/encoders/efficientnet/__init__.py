"""EfficientNet-Lite0 (Tan & Le 2019; Google's Lite variants of 2020), trained on ImageNet.

The network in 8-bit integers lies in this package (`shipped`); one file serves every encoder in integers. Those in
float32 are converted from the published weights on this machine (`convert`), which needs the extra `float`.

Batch normalisation is folded into the convolutions. The graph takes uint8 pictures and scales them by itself,
(x - 127) / 128, so that they cannot be scaled in any other way: the usual ImageNet mean and scale cost six points of
mAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.encoders.efficientnet.classifier import measure_confidence
from lookalike.encoders.efficientnet.network import ALL, DIM, FEATURES
from lookalike.encoders.efficientnet.shipped import NETWORK, read_shipped
from lookalike.encoders.efficientnet.weights import CONVERTER, DIGEST
from lookalike.encoders.efficientnet.words import load_vocabulary
from lookalike.encoders.groups import EncoderGroup
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.images.decode import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "efficientnet_lite0", "efficientnet_lite0_int8", "efficientnet_lite0_layers", "efficientnet_lite0_layers_int8",
    "efficientnet_lite0_layers_int8_128", "efficientnet_lite0_layers_int8_160",
]  # fmt: skip

_SHARE, _EXPONENT = 0.6, 0.7  # of the features in a gallery, and of all values (docs/decisions.md)
_GROUPS = (EncoderGroup(DIM, _SHARE, _EXPONENT), EncoderGroup(ALL - DIM, 1 - _SHARE, _EXPONENT))
_SURE, _SLOPE, _MOST = 0.63, 2.0, 0.9  # from which confidence on, how fast and how far that share rises
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


def efficientnet_lite0_int8() -> OnnxEncoder:
    """`efficientnet_lite0` computed in 8-bit integers: the features without the earlier stages."""
    return _build(_Form("efficientnet-lite0-int8", "features int8", is_integer=True))


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
    # The default, with the earlier stages, is the first output and needs no name: galleries are older than the names.
    output = FEATURES if form.is_integer and not form.is_layered else ""
    card = Card(name=form.name, view=form.view, trained_on="ImageNet", output=output)
    return OnnxEncoder(
        read_shipped(NETWORK) if form.is_integer else _convert(form),
        card,
        dim=ALL if form.is_layered else DIM,
        source=_source(form.graph),
        groups=_GROUPS if form.is_layered else (),
        choose_shares=_choose_shares if form.is_layered else None,
        load_vocabulary=load_vocabulary,
        suits_cpu=form.is_integer,  # ONNX Runtime computes in integers on processors only, elsewhere in floats
    )


def _choose_shares(embeddings: NDArray[np.float32]) -> Sequence[float]:
    """The more surely the network recognises the pictures as things that it knows, the more its last features count."""
    confidence = measure_confidence(embeddings[:, :DIM])
    share = min(_MOST, _SHARE + _SLOPE * max(0.0, confidence - _SURE))
    return share, 1 - share


def _source(graph: str) -> str:
    """What an embedding depends on; not the model's bytes, so that galleries outlast another way of writing them."""
    return f"{DIGEST} {graph} {CONVERTER}"


def _convert(form: _Form) -> bytes:
    from lookalike.encoders.efficientnet.convert import load_float  # noqa: PLC0415  (the default needs none of it)

    return load_float(form.name, form.view.size, layered=form.is_layered)
