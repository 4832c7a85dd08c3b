"""Encoders as ONNX, node by node.

Written by hand because a converter is not made for this: tf2onnx took 19 GB of memory and minutes for the described
encoder's 50 million numbers (200 MB, which is what it takes here), and needed TensorFlow to be told what not to say.
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
    """The described encoder with these weights."""
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
    by_channel = kernel.reshape(side, side, filters, -1).transpose(2, 0, 1, 3)  # Keras's rows go by place
    value = graph.add("Gemm", graph.add("Flatten", value, axis=1), by_channel.reshape(kernel.shape), bias)
    if preset.relu:
        value = graph.add("Relu", value)
    _write(path, preset, graph, value)


def write_linear(path: str, preset: Preset, mean: NDArray[np.float32], components: NDArray[np.float32]) -> None:
    """A projection, `(pixels - mean) @ components`: one matrix product."""
    graph = Graph()
    value = graph.add("Gemm", graph.add("Flatten", IMAGES, axis=1), components, -(mean @ components))
    _write(path, preset, graph, value)


def write_compact(path: str, preset: Preset, narrow: NDArray[np.float32], projected: Projected) -> None:
    """A thumbnail by `narrow`, (side, size), and its projection: kernel (side * side * 3, d) and bias (d,)."""
    kernel, bias = projected
    side = len(narrow)
    graph = Graph()
    value = graph.add("MatMul", graph.add("Transpose", IMAGES, perm=[0, 3, 1, 2]), narrow.T)
    value = graph.add("MatMul", graph.add("Transpose", value, perm=[0, 1, 3, 2]), narrow.T)
    by_channel = kernel.reshape(side, side, 3, -1).transpose(2, 1, 0, 3)  # sides are swapped: columns come first
    value = graph.add("Gemm", graph.add("Flatten", value, axis=1), by_channel.reshape(kernel.shape), bias)
    _write(path, preset, graph, value)


def _write(path: str, preset: Preset, graph: Graph, value: str) -> None:
    """The model that gives this value for a picture, float32 (n, size, size, 3)."""
    model = graph.model("encoder", value, size=preset.size, dim=preset.latent_dim, takes_bytes=False)
    Path(path).write_bytes(model)
