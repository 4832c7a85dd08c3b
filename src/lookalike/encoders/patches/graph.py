"""The same in ONNX: uint8 pictures in, pooled answers of every bank of patches out, and their projection.

Nothing but convolutions, pooling and sums: no control flow, opset 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders.onnx_graph import IMAGES, Graph
from lookalike.encoders.patches.dictionary import CONTRAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.encoders.patches.dictionary import Bank

    Projected = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["CELLS", "EPSILON", "add_answers", "build_graph", "cell_weights"]

CELLS = 4  # rows and columns of the grid that answers are averaged in
EPSILON = 1e-6  # beneath a square root: a picture without any answer gives zeros


def build_graph(banks: list[Bank], size: int, projected: Projected | None = None) -> bytes:
    """An ONNX model: uint8 (n, size, size, 3) in, float32 (n, dim) out.

    projected: mean and directions of `learn_projection`; without them the pooled answers, whose parts (a cell and a
    bank) have length 1.
    """
    graph = Graph()
    output = add_answers(graph, banks, size)
    dim = sum(bank.grain.atoms for bank in banks) * CELLS**2
    if projected is not None:
        mean, directions = projected
        output = graph.add("MatMul", graph.add("Sub", output, mean), directions)
        dim = directions.shape[1]
    return graph.model("patches", output, size=size, dim=dim)


def add_answers(graph: Graph, banks: list[Bank], size: int) -> str:
    """The name of the pooled answers of all banks to the pictures that go in."""
    from onnx import TensorProto  # noqa: PLC0415  (heavy, and only fitting needs it)

    pixels = graph.add("Transpose", graph.add("Cast", IMAGES, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    return graph.add("Concat", *(_pooled(graph, pixels, bank, size) for bank in banks), axis=1)


def cell_weights(answers: int) -> NDArray[np.float32]:
    """float32 (answers, CELLS): what share each answer along a side has in each cell; columns sum to 1.

    Triangles as wide as two cells, so that a thing that moves a little moves its answers gradually.
    """
    width = answers / CELLS
    centres = (np.arange(CELLS) + 0.5) * width - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(answers)[:, None] - centres) / width)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def _pooled(graph: Graph, pixels: str, bank: Bank, size: int) -> str:
    """(n, atoms * CELLS * CELLS): square roots of the average answers, a length of 1 for every cell."""
    answers = _answers(graph, pixels, bank)
    side = (size - bank.grain.patch) // bank.grain.stride + 1
    weights = cell_weights(side)
    columns = graph.add("MatMul", answers, weights)
    cells = graph.add("MatMul", np.ascontiguousarray(weights.T), columns)
    squares = graph.add("ReduceSum", cells, np.array([1], np.int64), keepdims=1)  # of the roots: what is beneath them
    roots = graph.add("Sqrt", graph.add("Div", cells, graph.add("Add", squares, EPSILON)))
    return graph.add("Flatten", roots, axis=1)


def _answers(graph: Graph, pixels: str, bank: Bank) -> str:
    """(n, atoms, side, side): by how much each atom's answer to a patch normalised for contrast is over the offset."""
    where = {"kernel_shape": [bank.grain.patch] * 2, "strides": [bank.grain.stride] * 2}
    average = np.full((1, 3, bank.grain.patch, bank.grain.patch), 1 / bank.filters[0].size, np.float32)
    # Measured from mid-grey: the difference of two large averages of squares would be lost in rounding.
    grey = graph.add("Sub", pixels, 127.5)
    mean = graph.add("Conv", grey, average, **where)
    square = graph.add("Conv", graph.add("Mul", grey, grey), average, **where)
    variance = graph.add("Max", graph.add("Sub", square, graph.add("Mul", mean, mean)), 0.0)
    deviation = graph.add("Sqrt", graph.add("Add", variance, CONTRAST))
    answers = graph.add("Div", graph.add("Conv", grey, bank.filters, **where), deviation)
    return graph.add("Relu", graph.add("Sub", answers, bank.offsets.reshape(-1, 1, 1)))
