"""The network in 8-bit integers: twice the pictures a second on processors with vector instructions for them.

The quantisation needs the weights file only and no pictures (data-free quantisation, Nagel et al. 2019): a batch
normalisation contains the mean and the deviation of its own output. Every channel of weights has its own step.
Weights have 7 bits: sums of two products then fit into the 16 bits in which processors without VNNI add them, so that
all processors give the same result. The average change that rounding a kernel causes is subtracted from the shift
after it; without this, features turn by eleven degrees instead of six.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from lookalike.encoders.efficientnet.network import SIX, Norm
from lookalike.encoders.onnx_graph import IMAGES, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.encoders.efficientnet.network import Convolution

__all__ = ["IntegerWriter"]

_TOP = 63  # the largest weight
_WIDE = 5  # deviations around the mean that are represented; 4 to 6 do as well
_NORMAL = np.linspace(-6, 6, 1201)
_DENSITY = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()
_BIAS = 2**30  # half of the range of a shift, in steps
_SMALLEST_STEP = 1e-9  # for a channel of zeros


class _Value(NamedTuple):
    """A quantised value. name: of its dequantised form. step: between two of its 256 levels.

    mean, spread: expected mean and deviation, before clipping, of each channel, float (channels,).
    """

    name: str
    side: int
    step: float
    mean: NDArray[np.floating]
    spread: NDArray[np.floating]


@dataclass
class IntegerWriter:
    """Write the network in integers. See `network.Writer`.

    Every value is quantised and dequantised again; ONNX Runtime computes what is in between with uint8.
    """

    graph: Graph = field(default_factory=Graph)

    def pixels(self, size: int) -> _Value:
        """The bytes of the pictures, with the step and the zero point that scale them."""
        step = 1 / 128
        name = self.graph.add("DequantizeLinear", IMAGES, step, np.array(127, np.uint8))
        unknown = np.zeros(3)  # pixels are 127 on average
        return _Value(self.graph.add("Transpose", name, perm=[0, 3, 1, 2]), size, step, unknown, unknown)

    def convolve(self, value: _Value, layer: Convolution) -> _Value:
        """A convolution in products of bytes; the shift is a whole number of steps too."""
        steps = _steps(layer, value.step)
        weights = np.rint(layer.kernel / steps[:, None, None, None])
        shift = layer.shift - _mean_error(weights * steps[:, None, None, None] - layer.kernel, value.mean)
        kernel = self._constant(weights.astype(np.int8), steps)
        bias_steps = (steps * value.step).astype(np.float32)
        bias = self._constant(np.rint(shift / bias_steps).astype(np.int32), bias_steps)
        name = self.graph.add("Conv", value.name, kernel, bias, **layer.attributes(value.side))
        return self._quantise(name, -(-value.side // layer.stride), layer.norm, is_cut=layer.is_cut)

    def sum(self, one: _Value, other: _Value) -> _Value:
        """The sum of two values, with its own step; they are assumed to vary independently."""
        both = Norm(one.mean + other.mean, np.hypot(one.spread, other.spread))
        return self._quantise(self.graph.add("Add", one.name, other.name), one.side, both, is_cut=False)

    def _constant(self, levels: NDArray[np.signedinteger], steps: NDArray[np.float32]) -> str:
        zeros = np.zeros(len(steps), levels.dtype)
        return self.graph.add("DequantizeLinear", cast("NDArray[np.generic]", levels), steps, zeros, axis=0)

    def _quantise(self, name: str, side: int, norm: Norm, *, is_cut: bool) -> _Value:
        low, high = (0.0, SIX) if is_cut else _range(norm)
        step = (high - low) / 255
        to = step, np.array(round(-low / step), np.uint8)
        name = self.graph.add("DequantizeLinear", self.graph.add("QuantizeLinear", name, *to), *to)
        return _Value(
            name, side, float(np.float32(step)), _mean_after_relu6(norm) if is_cut else norm.mean, norm.deviation
        )


def _steps(layer: Convolution, step: float) -> NDArray[np.float32]:
    """float32 (out,): the step between two weights of each channel, so that the largest is _TOP and the shift fits."""
    largest = np.abs(layer.kernel).max(axis=(1, 2, 3))
    least = np.maximum(np.abs(layer.shift) / (step * _BIAS), _SMALLEST_STEP)
    return np.asarray(np.maximum(largest / _TOP, least), np.float32)


def _mean_error(error: NDArray[np.floating], mean: NDArray[np.floating]) -> NDArray[np.floating]:
    """(out,): how far a kernel's rounding errors move the output, for the mean of the input."""
    sums = error.sum(axis=(2, 3))
    return np.asarray(sums[:, 0] * mean if sums.shape == (len(mean), 1) else sums @ mean)


def _range(norm: Norm) -> tuple[float, float]:
    """The range of all channels except for outliers; always with zero in it, which pads."""
    reach = _WIDE * norm.deviation
    return min(0.0, float((norm.mean - reach).min())), max(0.0, float((norm.mean + reach).max()))


def _mean_after_relu6(norm: Norm) -> NDArray[np.floating]:
    """(channels,): the mean of normally distributed values after a ReLU6."""
    values = norm.mean[:, None] + norm.deviation[:, None] * _NORMAL
    return np.asarray(np.clip(values, 0, SIX) @ _DENSITY)
