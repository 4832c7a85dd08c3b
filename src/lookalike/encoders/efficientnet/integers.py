"""The network in whole numbers of 8 bits: twice the pictures a second where the processor multiplies them at once.

Everything is known from the weights file, no picture is looked at (data-free quantisation, Nagel et al. 2019): what a
batch normalisation puts out has a mean and a deviation that it says itself. Weights have a step for each channel.
They take 7 bits: sums of two products then fit into the 16 bits that processors without VNNI add them in, so that all
come to the same numbers. What rounding a kernel changes on the average is taken off the shift behind it, without
which the features turn by eleven degrees instead of six.
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
_WIDE = 5  # deviations beside the mean that still have numbers; 4 to 6 do as well
_NORMAL = np.linspace(-6, 6, 1201)
_DENSITY = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()
_BIAS = 2**30  # half of what a shift has room for, in steps
_SMALLEST_STEP = 1e-9  # of a channel that is nothing but zeros


class _Value(NamedTuple):
    """name: of the dequantised value. step: between two of its 256 numbers. mean: expected, float (channels,).

    spread: as `mean`, the deviation before anything was cut off.
    """

    name: str
    side: int
    step: float
    mean: NDArray[np.floating]
    spread: NDArray[np.floating]


@dataclass
class IntegerWriter:
    """See `network.Writer`. Every value is quantised and taken back; ONNX Runtime computes what is between as uint8."""

    graph: Graph = field(default_factory=Graph)

    def pixels(self, size: int) -> _Value:
        """The bytes themselves, with the step and the zero that make the numbers of them."""
        step = 1 / 128
        name = self.graph.add("DequantizeLinear", IMAGES, step, np.array(127, np.uint8))
        unknown = np.zeros(3)  # pixels are 127 on the average
        return _Value(self.graph.add("Transpose", name, perm=[0, 3, 1, 2]), size, step, unknown, unknown)

    def convolve(self, value: _Value, layer: Convolution) -> _Value:
        """In products of bytes; the shift is a whole number of steps too."""
        steps = _steps(layer, value.step)
        weights = np.rint(layer.kernel / steps[:, None, None, None])
        shift = layer.shift - _moved(weights * steps[:, None, None, None] - layer.kernel, value.mean)
        kernel = self._constant(weights.astype(np.int8), steps)
        bias_steps = (steps * value.step).astype(np.float32)
        bias = self._constant(np.rint(shift / bias_steps).astype(np.int32), bias_steps)
        name = self.graph.add("Conv", value.name, kernel, bias, **layer.attributes(value.side))
        return self._rounded(name, -(-value.side // layer.stride), layer.norm, is_cut=layer.is_cut)

    def sum(self, one: _Value, other: _Value) -> _Value:
        """Of the two, with a step of its own; they are taken to vary independently."""
        both = Norm(one.mean + other.mean, np.hypot(one.spread, other.spread))
        return self._rounded(self.graph.add("Add", one.name, other.name), one.side, both, is_cut=False)

    def _constant(self, numbers: NDArray[np.signedinteger], steps: NDArray[np.float32]) -> str:
        zeros = np.zeros(len(steps), numbers.dtype)
        return self.graph.add("DequantizeLinear", cast("NDArray[np.generic]", numbers), steps, zeros, axis=0)

    def _rounded(self, name: str, side: int, norm: Norm, *, is_cut: bool) -> _Value:
        low, high = (0.0, SIX) if is_cut else _range(norm)
        step = (high - low) / 255
        to = step, np.array(round(-low / step), np.uint8)
        name = self.graph.add("DequantizeLinear", self.graph.add("QuantizeLinear", name, *to), *to)
        return _Value(name, side, float(np.float32(step)), _mean_behind(norm) if is_cut else norm.mean, norm.deviation)


def _steps(layer: Convolution, step: float) -> NDArray[np.float32]:
    """float32 (out,): between two weights of each channel: the largest is _TOP, and its shift has room in 32 bits."""
    largest = np.abs(layer.kernel).max(axis=(1, 2, 3))
    least = np.maximum(np.abs(layer.shift) / (step * _BIAS), _SMALLEST_STEP)
    return np.asarray(np.maximum(largest / _TOP, least), np.float32)


def _moved(error: NDArray[np.floating], mean: NDArray[np.floating]) -> NDArray[np.floating]:
    """(out,): by how much a kernel's rounding moves what comes out, for the mean of what goes in."""
    sums = error.sum(axis=(2, 3))
    return np.asarray(sums[:, 0] * mean if sums.shape == (len(mean), 1) else sums @ mean)


def _range(norm: Norm) -> tuple[float, float]:
    """What all channels are in, but for outliers; zero, which pads, always is."""
    reach = _WIDE * norm.deviation
    return min(0.0, float((norm.mean - reach).min())), max(0.0, float((norm.mean + reach).max()))


def _mean_behind(norm: Norm) -> NDArray[np.floating]:
    """(channels,): the mean of what a ReLU6 lets through of normally distributed numbers."""
    values = norm.mean[:, None] + norm.deviation[:, None] * _NORMAL
    return np.asarray(np.clip(values, 0, SIX) @ _DENSITY)
