"""Write an ONNX model node by node.

All nodes are of opset 17, which every ONNX Runtime since 2022 reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.onnx_format import DATA_TYPES, proto

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FLOAT", "IMAGES", "Graph"]

IMAGES = "images"  # the name of the input
FLOAT = DATA_TYPES["float32"]
"""The kind of tensor to cast to."""
_OPSET, _IR_VERSION = 17, 8


@dataclass
class Graph:
    """Nodes in the order in which they were added, and the constants that they use."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str | NDArray[Any] | float, **attributes: Any) -> str:  # noqa: ANN401
        """Append a node; an input is the name of another node's output, or a constant. Returns the output's name."""
        output = f"{operator}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        described = [_attribute(name, value) for name, value in sorted(attributes.items())]
        self.nodes.append(proto("NodeProto", op_type=operator, input=names, output=[output], attribute=described))
        return output

    def rename(self, old: str, new: str) -> str:
        """Give the output of a node that no other node uses a name of its own. Returns it."""
        node = next(node for node in self.nodes if old in node.output)
        node.output[:] = [new]
        return new

    def model(self, name: str, output: str, *, size: int | str, dim: int, takes_bytes: bool = True) -> bytes:
        """Return the model as bytes: `images`, uint8 or float32 (n, size, size, 3), in; float32 (n, dim) out."""
        return self.model_of(name, {output: dim}, size=size, takes_bytes=takes_bytes)

    def model_of(self, name: str, outputs: Mapping[str, int], *, size: int | str, takes_bytes: bool = True) -> bytes:
        """Return a model with several outputs, each with its dimensions. size: a name if it may be any number."""
        kind = DATA_TYPES["uint8"] if takes_bytes else FLOAT
        graph = proto(
            "GraphProto",
            node=self.nodes,
            name=name,
            initializer=self.constants,
            input=[_value(IMAGES, kind, ["n", size, size, 3])],
            output=[_value(output, FLOAT, ["n", dim]) for output, dim in outputs.items()],
        )
        opset = proto("OperatorSetIdProto", domain="", version=_OPSET)
        model = proto("ModelProto", ir_version=_IR_VERSION, graph=graph, opset_import=[opset])
        return bytes(model.SerializeToString(deterministic=True))

    def _constant(self, value: NDArray[Any] | float) -> str:
        name = f"constant_{len(self.constants)}"
        array = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
        self.constants.append(
            proto(
                "TensorProto",
                dims=array.shape,
                data_type=DATA_TYPES[array.dtype.name],
                name=name,
                raw_data=array.astype(array.dtype.newbyteorder("<")).tobytes(),
            )
        )
        return name


def _value(name: str, kind: int, shape: Sequence[int | str]) -> Any:  # noqa: ANN401  (a message)
    """An input or an output of a graph; a side with a name may be of any length."""
    sides = [proto("Dimension", **{"dim_param" if isinstance(side, str) else "dim_value": side}) for side in shape]
    tensor = proto("TensorType", elem_type=kind, shape=proto("TensorShape", dim=sides))
    return proto("ValueInfoProto", name=name, type=proto("TypeProto", tensor_type=tensor))


def _attribute(name: str, value: Any) -> Any:  # noqa: ANN401  (a number, a text or whole numbers; a message)
    """A setting of an operator. Its `type` is the number that the format gives to each kind."""
    if isinstance(value, float):
        return proto("AttributeProto", name=name, f=value, type=1)
    if isinstance(value, int):
        return proto("AttributeProto", name=name, i=value, type=2)
    if isinstance(value, str):
        return proto("AttributeProto", name=name, s=value.encode(), type=3)
    return proto("AttributeProto", name=name, ints=value, type=7)
