"""Write trained encoders as ONNX, node by node.

There is no converter because tf2onnx took 19 GB of memory and minutes for the 50 million parameters of the described
encoder. This takes 200 MB, the size of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.onnx_graph import IMAGES, Graph
from lookalike.training.models.autoencoder import EPSILON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from lookalike.training.presets import Preset

    Weights = Callable[[str], Sequence[NDArray[Any]]]
    """A layer's weights by its name, in Keras's order."""

    Projected = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["LUMA", "write_compact", "write_linear", "write_network"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # brightness of red, green and blue (ITU-R BT.601), as Pillow's


def write_network(path: str, preset: Preset, weights: Weights) -> None:
    """Write the described encoder with these weights."""
    graph = Graph()
    value = graph.add("Transpose", IMAGES, perm=[0, 3, 1, 2])
    if preset.grey:
        value = graph.add("Conv", value, LUMA.reshape(1, 3, 1, 1))
    for number in range(len(preset.filters)):
        kernel, bias = weights(f"down{number}")
        value = graph.add("Conv", value, kernel.transpose(3, 2, 0, 1), bias, strides=[2, 2], auto_pad="SAME_UPPER")
        value = graph.add("LeakyRelu", value, alpha=preset.slope)
        value = graph.add("BatchNormalization", value, *weights(f"down{number}_norm"), epsilon=EPSILON)
    kernel, bias = weights("embedding")
    side, filters = preset.size // 2 ** len(preset.filters), preset.filters[-1]
    by_channel = kernel.reshape(side, side, filters, -1).transpose(2, 0, 1, 3)  # Keras orders rows by position
    value = graph.add("Gemm", graph.add("Flatten", value, axis=1), by_channel.reshape(kernel.shape), bias)
    if preset.relu:
        value = graph.add("Relu", value)
    _write(path, preset, graph, value)


def write_linear(path: str, preset: Preset, mean: NDArray[np.float32], components: NDArray[np.float32]) -> None:
    """Write a projection, `(pixels - mean) @ components`, as one matrix product."""
    graph = Graph()
    value = graph.add("Gemm", graph.add("Flatten", IMAGES, axis=1), components, -(mean @ components))
    _write(path, preset, graph, value)


def write_compact(path: str, preset: Preset, narrow: NDArray[np.float32], projected: Projected) -> None:
    """Write a thumbnail by `narrow`, (side, size), and its projection: kernel (side * side * 3, d) and bias (d,)."""
    kernel, bias = projected
    side = len(narrow)
    graph = Graph()
    value = graph.add("MatMul", graph.add("Transpose", IMAGES, perm=[0, 3, 1, 2]), narrow.T)
    value = graph.add("MatMul", graph.add("Transpose", value, perm=[0, 1, 3, 2]), narrow.T)
    by_channel = kernel.reshape(side, side, 3, -1).transpose(2, 1, 0, 3)  # sides are swapped: columns come first
    value = graph.add("Gemm", graph.add("Flatten", value, axis=1), by_channel.reshape(kernel.shape), bias)
    _write(path, preset, graph, value)


def _write(path: str, preset: Preset, graph: Graph, value: str) -> None:
    """Write the model whose output is `value` for pictures, float32 (n, size, size, 3)."""
    model = graph.model("encoder", value, size=preset.size, dim=preset.latent_dim, takes_bytes=False)
    Path(path).write_bytes(model)
