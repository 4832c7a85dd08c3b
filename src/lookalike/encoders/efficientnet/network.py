"""EfficientNet-Lite as ONNX: the same walk over its blocks writes it in float32, or in integers (`integers`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from lookalike.encoders.onnx_graph import FLOAT, IMAGES, Graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]

__all__ = [
    "ALL", "DIM", "FEATURES", "LAYERED", "LAYERS", "MULTIPLE", "SIX", "Convolution", "FloatWriter", "Norm", "Value",
    "Writer", "write_both", "write_network",
]  # fmt: skip

DIM = 1280
LAYERS = {4: 112, 5: 192, 6: 320}  # the last stages by their index, and how many channels each has
ALL = DIM + sum(LAYERS.values())
LAYERED, FEATURES = "layers", "features"
"""The outputs of the shipped network: float32 (n, 1904) and (n, 1280)."""
MULTIPLE = 32  # pixels: what all strides together come to
SIX = 6.0  # the upper limit of every activation: ReLU6
_BATCH_NORM_EPSILON = 1e-3


class Value(Protocol):
    """The output of a node of the graph, as its writer knows it."""

    @property
    def name(self) -> str:
        """Its name in the graph."""


V = TypeVar("V", bound=Value)


@dataclass(frozen=True, slots=True)
class _Stage:
    """`repeats` inverted residual blocks, of which the first has the stride."""

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


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch normalisation: the mean and deviation of each output channel over the pictures it was trained on."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with its batch normalisation folded in.

    kernel: float32 (out, in / groups, width, width). shift: float32 (out,). is_cut: whether a ReLU6 follows.
    """

    kernel: NDArray[np.float32]
    shift: NDArray[np.float32]
    norm: Norm
    stride: int
    is_cut: bool

    @property
    def groups(self) -> int:
        """As many as channels where each has its own filter, otherwise one: this network has no other kinds."""
        return len(self.kernel) if self.kernel.shape[1] == 1 else 1

    def attributes(self, side: int) -> dict[str, Any]:
        """The ONNX operator's attributes for an input of this side: TensorFlow's SAME padding, with more at the end."""
        width = self.kernel.shape[-1]
        padding = max((-(-side // self.stride) - 1) * self.stride + width - side, 0)
        before, after = padding // 2, padding - padding // 2
        return {
            "kernel_shape": [width, width],
            "strides": [self.stride, self.stride],
            "pads": [before, before, after, after],
            "group": self.groups,
        }


class Writer(Protocol[V]):
    """Writes the parts of the network into its graph, and is given the values back that it returned."""

    @property
    def graph(self) -> Graph:
        """The graph so far."""

    def pixels(self, size: int) -> V:
        """The pictures, scaled to (x - 127) / 128: (n, 3, size, size)."""

    def convolve(self, value: V, layer: Convolution) -> V:
        """The output of a convolution."""

    def sum(self, one: V, other: V) -> V:
        """The sum of two values."""


class _FloatValue(NamedTuple):
    name: str
    side: int


@dataclass
class FloatWriter:
    """Write the network in float32, as it was trained. See `Writer`."""

    graph: Graph = field(default_factory=Graph)

    def pixels(self, size: int) -> _FloatValue:
        """The pictures, cast and scaled."""
        grey = self.graph.add("Sub", self.graph.add("Cast", IMAGES, to=FLOAT), 127)
        return _FloatValue(self.graph.add("Transpose", self.graph.add("Mul", grey, 1 / 128), perm=[0, 3, 1, 2]), size)

    def convolve(self, value: _FloatValue, layer: Convolution) -> _FloatValue:
        """A convolution with its ReLU6."""
        name = self.graph.add("Conv", value.name, layer.kernel, layer.shift, **layer.attributes(value.side))
        name = self.graph.add("Clip", name, 0, SIX) if layer.is_cut else name
        return _FloatValue(name, -(-value.side // layer.stride))

    def sum(self, one: _FloatValue, other: _FloatValue) -> _FloatValue:
        """The sum of two values."""
        return _FloatValue(self.graph.add("Add", one.name, other.name), one.side)


def write_network(tensors: Tensors, size: int, writer: Writer[V], *, layered: bool) -> bytes:
    """uint8 (n, size, size, 3) in, float32 (n, 1280) out: the globally averaged features before the classes.

    layered: followed by the averages of the stages in `LAYERS`, (n, 1904), each part of length 1.
    """
    averages = _write_averages(tensors, size, writer, LAYERS if layered else ())
    if not layered:
        return writer.graph.model("efficientnet-lite", averages[0], size=size, dim=DIM)
    return writer.graph.model("efficientnet-lite", _join(writer.graph, averages), size=size, dim=ALL)


def write_both(tensors: Tensors, writer: Writer[V]) -> bytes:
    """The network for pictures of any size that is a multiple of 32, with two outputs, `LAYERED` and `FEATURES`.

    At these sizes every stage halves an even side, so that all have the same padding.
    """
    graph = writer.graph
    averages = _write_averages(tensors, MULTIPLE, writer, LAYERS)
    layers = graph.rename(_join(graph, averages), LAYERED)
    features = graph.rename(graph.add("Identity", averages[0]), FEATURES)
    return graph.model_of("efficientnet-lite", {layers: ALL, features: DIM}, size="side")


def _write_averages(tensors: Tensors, size: int, writer: Writer[V], stages: Iterable[int]) -> list[str]:
    """Write the network up to the averages over all positions: of the features, then of these stages."""
    value = writer.convolve(writer.pixels(size), _layer(tensors, "_conv_stem", "_bn0", stride=2))
    ends: list[V] = []
    blocks = iter(range(sum(stage.repeats for stage in _LITE0)))
    for stage in _LITE0:
        for repeat in range(stage.repeats):
            value = _block(tensors, f"_blocks.{next(blocks)}", writer, value, stage.stride if repeat == 0 else 1)
        ends.append(value)
    head = writer.convolve(value, _layer(tensors, "_conv_head", "_bn1"))
    return [_average(writer.graph, v.name) for v in [head, *(ends[stage] for stage in stages)]]


def _join(graph: Graph, averages: list[str]) -> str:
    """All averages in a row, each scaled to length 1."""
    parts = [graph.add("LpNormalization", average, axis=1, p=2) for average in averages]
    return graph.add("Concat", *parts, axis=1)


def _block(tensors: Tensors, name: str, writer: Writer[V], start: V, stride: int) -> V:
    """An inverted residual block: expand, filter each channel, project; added to its input where the shapes allow."""
    value = start
    if f"{name}._expand_conv.weight" in tensors:
        value = writer.convolve(value, _layer(tensors, f"{name}._expand_conv", f"{name}._bn0"))
    filtering = _layer(tensors, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
    narrowing = _layer(tensors, f"{name}._project_conv", f"{name}._bn2", is_cut=False)
    value = writer.convolve(writer.convolve(value, filtering), narrowing)
    first = tensors.get(f"{name}._expand_conv.weight", filtering.kernel)
    return writer.sum(value, start) if stride == 1 and first.shape[1] == len(narrowing.kernel) else value


def _layer(tensors: Tensors, weight: str, norm: str, *, stride: int = 1, is_cut: bool = True) -> Convolution:
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _BATCH_NORM_EPSILON)
    kernel = (tensors[f"{weight}.weight"] * scale[:, None, None, None]).astype(np.float32)
    shift = (beta - mean * scale).astype(np.float32)
    return Convolution(kernel, shift, Norm(beta, np.abs(gamma)), stride, is_cut)


def _average(graph: Graph, value: str) -> str:
    """The mean over all positions, a row for each picture."""
    return graph.add("Flatten", graph.add("GlobalAveragePool", value), axis=1)
