"""The encoder in ONNX: uint8 pictures in, pooled responses of every bank of patches out, and their projection.

It consists of convolutions, pooling and sums, without control flow, in opset 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders.onnx_graph import FLOAT, IMAGES, Graph
from lookalike.encoders.patches.dictionary import CONTRAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.encoders.patches.dictionary import Bank

    Projected = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["CELLS", "EPSILON", "add_responses", "build_graph", "cell_weights"]

CELLS = 4  # rows and columns of the grid in which responses are averaged
EPSILON = 1e-6  # under a square root: a picture without any response gives zeros


def build_graph(banks: list[Bank], size: int, projected: Projected | None = None) -> bytes:
    """An ONNX model: uint8 (n, size, size, 3) in, float32 (n, dim) out.

    projected: mean and directions of `learn_projection`; without them the output is the pooled responses, whose parts
    (a cell of a bank) have length 1.
    """
    graph = Graph()
    output = add_responses(graph, banks, size)
    dim = sum(bank.grain.atoms for bank in banks) * CELLS**2
    if projected is not None:
        mean, directions = projected
        output = graph.add("MatMul", graph.add("Sub", output, mean), directions)
        dim = directions.shape[1]
    return graph.model("patches", output, size=size, dim=dim)


def add_responses(graph: Graph, banks: list[Bank], size: int) -> str:
    """Add the pooled responses of all banks to the input pictures; returns their name."""
    pixels = graph.add("Transpose", graph.add("Cast", IMAGES, to=FLOAT), perm=[0, 3, 1, 2])
    return graph.add("Concat", *(_pool(graph, pixels, bank, size) for bank in banks), axis=1)


def cell_weights(side: int) -> NDArray[np.float32]:
    """float32 (side, CELLS): the share of each response along a side in each cell; columns sum to 1.

    The weights are triangles as wide as two cells, so that an object that moves a little moves its responses gradually.
    """
    width = side / CELLS
    centres = (np.arange(CELLS) + 0.5) * width - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(side)[:, None] - centres) / width)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def _pool(graph: Graph, pixels: str, bank: Bank, size: int) -> str:
    """(n, atoms * CELLS * CELLS): square roots of the average responses, each cell of length 1."""
    responses = _respond(graph, pixels, bank)
    side = (size - bank.grain.patch) // bank.grain.stride + 1
    weights = cell_weights(side)
    columns = graph.add("MatMul", responses, weights)
    cells = graph.add("MatMul", np.ascontiguousarray(weights.T), columns)
    squares = graph.add(
        "ReduceSum", cells, np.array([1], np.int64), keepdims=1
    )  # of the roots: the sum of what is under them
    roots = graph.add("Sqrt", graph.add("Div", cells, graph.add("Add", squares, EPSILON)))
    return graph.add("Flatten", roots, axis=1)


def _respond(graph: Graph, pixels: str, bank: Bank) -> str:
    """(n, atoms, side, side): how far each atom's response to a contrast-normalised patch exceeds its offset."""
    where = {"kernel_shape": [bank.grain.patch] * 2, "strides": [bank.grain.stride] * 2}
    average = np.full((1, 3, bank.grain.patch, bank.grain.patch), 1 / bank.filters[0].size, np.float32)
    # Measured from mid-grey: the difference of two large averages of squares would be lost in rounding.
    grey = graph.add("Sub", pixels, 127.5)
    mean = graph.add("Conv", grey, average, **where)
    square = graph.add("Conv", graph.add("Mul", grey, grey), average, **where)
    variance = graph.add("Max", graph.add("Sub", square, graph.add("Mul", mean, mean)), 0.0)
    deviation = graph.add("Sqrt", graph.add("Add", variance, CONTRAST))
    responses = graph.add("Div", graph.add("Conv", grey, bank.filters, **where), deviation)
    return graph.add("Relu", graph.add("Sub", responses, bank.offsets.reshape(-1, 1, 1)))
