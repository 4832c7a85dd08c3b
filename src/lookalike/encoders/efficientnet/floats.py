"""The network in float32, as it was trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lookalike.encoders.efficientnet.network import SIX
from lookalike.encoders.onnx_graph import IMAGES, Graph

if TYPE_CHECKING:
    from lookalike.encoders.efficientnet.network import Convolution

__all__ = ["FloatWriter"]


class _Value(NamedTuple):
    name: str
    side: int


@dataclass
class FloatWriter:
    """See `network.Writer`."""

    graph: Graph = field(default_factory=Graph)

    def pixels(self, size: int) -> _Value:
        """Cast, and scaled."""
        from onnx import TensorProto  # noqa: PLC0415  (heavy: needed for the one conversion only)

        grey = self.graph.add("Sub", self.graph.add("Cast", IMAGES, to=TensorProto.FLOAT), 127)
        return _Value(self.graph.add("Transpose", self.graph.add("Mul", grey, 1 / 128), perm=[0, 3, 1, 2]), size)

    def convolve(self, value: _Value, layer: Convolution) -> _Value:
        """As the layer says."""
        name = self.graph.add("Conv", value.name, layer.kernel, layer.shift, **layer.attributes(value.side))
        name = self.graph.add("Clip", name, 0, SIX) if layer.is_cut else name
        return _Value(name, -(-value.side // layer.stride))

    def sum(self, one: _Value, other: _Value) -> _Value:
        """Of the two."""
        return _Value(self.graph.add("Add", one.name, other.name), one.side)
