"""Write an ONNX model node by node.

All nodes are of opset 17, which every ONNX Runtime since 2022 reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

__all__ = ["IMAGES", "Graph"]

IMAGES = "images"  # the name of the input


@dataclass
class Graph:
    """Nodes in the order in which they were added, and the constants that they use."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str | NDArray[Any] | float, **attributes: Any) -> str:  # noqa: ANN401
        """Append a node; an input is the name of another node's output, or a constant. Returns the output's name."""
        from onnx import helper  # noqa: PLC0415  (0.3 s, and needed only to write a model)

        output = f"{operator}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def model(self, name: str, output: str, *, size: int, dim: int, takes_bytes: bool = True) -> bytes:
        """Return the model as bytes: `images`, uint8 or float32 (n, size, size, 3), in; float32 (n, dim) out."""
        from onnx import TensorProto, checker, helper  # noqa: PLC0415

        kind = TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                name,
                [helper.make_tensor_value_info(IMAGES, kind, ["n", size, size, 3])],
                [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", dim])],
                self.constants,
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        checker.check_model(model)
        return bytes(model.SerializeToString())

    def _constant(self, value: NDArray[Any] | float) -> str:
        from onnx import numpy_helper  # noqa: PLC0415

        name = f"constant_{len(self.constants)}"
        # `ascontiguousarray` would turn a scalar into a row
        array = np.asarray(value, order="C") if isinstance(value, np.ndarray) else np.array(value, np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name
