"""Encoders as ONNX, node by node.

Written by hand because a converter is not made for this: tf2onnx took 19 GB of memory and minutes for the described
encoder's 50 million numbers (200 MB, which is what it takes here), and needed TensorFlow to be told what not to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.training.model import EPSILON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

    from lookalike.presets import Preset

    Weights = Callable[[str], Sequence[NDArray[Any]]]
    """A layer's weights by its name, in Keras's order."""

    Projected = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["LUMA", "write_compact", "write_linear", "write_network"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # brightness of red, green and blue (ITU-R BT.601), as Pillow's


class _Graph:
    """An ONNX graph that grows at its end, from a picture, float32 (n, size, size, 3)."""

    def __init__(self) -> None:
        self._last = "picture"
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def add(self, operator: str, *constants: NDArray[Any], **attributes: Any) -> None:  # noqa: ANN401  (ONNX's own)
        """A node that takes the newest value and these constants."""
        from onnx import helper, numpy_helper  # noqa: PLC0415  (0.2 s, once a training)

        number = len(self._nodes)
        names = [f"{operator}{number}_{n}" for n in range(len(constants))]
        self._constants += [
            numpy_helper.from_array(np.ascontiguousarray(constant, np.float32), name)
            for constant, name in zip(constants, names, strict=True)
        ]
        self._nodes.append(helper.make_node(operator, [self._last, *names], [f"value{number}"], **attributes))
        self._last = f"value{number}"

    def write(self, path: str, preset: Preset) -> None:
        """The newest value is what it gives."""
        from onnx import TensorProto, helper, save  # noqa: PLC0415

        shape: list[str | int | None] = ["n", preset.size, preset.size, 3]
        picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
        embedding = helper.make_tensor_value_info(self._last, TensorProto.FLOAT, ["n", preset.latent_dim])
        graph = helper.make_graph(self._nodes, "encoder", [picture], [embedding], self._constants)
        # Versions that every ONNX Runtime since 2022 reads.
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_network(path: str, preset: Preset, weights: Weights) -> None:
    """The described encoder with these weights."""
    graph = _Graph()
    graph.add("Transpose", perm=[0, 3, 1, 2])
    if preset.grey:
        graph.add("Conv", LUMA.reshape(1, 3, 1, 1))
    for number in range(len(preset.filters)):
        kernel, bias = weights(f"down{number}")
        graph.add("Conv", kernel.transpose(3, 2, 0, 1), bias, strides=[2, 2], auto_pad="SAME_UPPER")
        graph.add("LeakyRelu", alpha=preset.slope)
        graph.add("BatchNormalization", *weights(f"down{number}_norm"), epsilon=EPSILON)
    graph.add("Flatten", axis=1)
    kernel, bias = weights("embedding")
    side, filters = preset.size // 2 ** len(preset.filters), preset.filters[-1]
    by_channel = kernel.reshape(side, side, filters, -1).transpose(2, 0, 1, 3)  # Keras's rows go by place
    graph.add("Gemm", by_channel.reshape(kernel.shape), bias)
    if preset.relu:
        graph.add("Relu")
    graph.write(path, preset)


def write_linear(path: str, preset: Preset, mean: NDArray[np.float32], components: NDArray[np.float32]) -> None:
    """A projection, `(pixels - mean) @ components`: one matrix product."""
    graph = _Graph()
    graph.add("Flatten", axis=1)
    graph.add("Gemm", components, -(mean @ components))
    graph.write(path, preset)


def write_compact(path: str, preset: Preset, narrow: NDArray[np.float32], projected: Projected) -> None:
    """A thumbnail by `narrow`, (side, size), and its projection: kernel (side * side * 3, d) and bias (d,)."""
    kernel, bias = projected
    side = len(narrow)
    graph = _Graph()
    graph.add("Transpose", perm=[0, 3, 1, 2])
    graph.add("MatMul", narrow.T)
    graph.add("Transpose", perm=[0, 1, 3, 2])
    graph.add("MatMul", narrow.T)
    graph.add("Flatten", axis=1)
    by_channel = kernel.reshape(side, side, 3, -1).transpose(2, 1, 0, 3)  # sides are swapped: columns come first
    graph.add("Gemm", by_channel.reshape(kernel.shape), bias)
    graph.write(path, preset)
