"""More than eight bits as eight: what is black and what is white in samples of any depth, sign and kind.

The tones of a picture whose depth its file uses are kept: 257 times an 8-bit value is that value again. Whatever uses
less than its file could hold (12 bits in 16, 0..255 as floats, numbers of labels) is scaled to the depth that fits.
The 0.1% brightest and darkest samples do not count, so that one hot pixel blackens nothing. This is the only module of
the decoder that needs numpy, and is imported (0.1 s) by the first picture that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.images.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Samples", "collect", "to_eight_bits"]

_TAIL = 0.001  # of the samples at either end that do not count
_COUNTED = 1 << 21  # samples of which the ends are found
_CHUNK = 1 << 20  # samples that are looked at or converted at once
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that cameras, scanners and programs use
_FLOAT_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_BRIGHTEST = 16.0  # the whitest white of a float picture in which 1 is white: a sun in a scene of high range


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of a picture, (h, w, channels), perhaps made smaller.

    kind: "u", "i" or "f", as of a numpy type. bits: of a stored sample. is_expanded: whether all are eight bits, made
    deeper by repeating or shifting them.
    """

    values: NDArray[Any]
    kind: str
    bits: int
    is_expanded: bool = False


def collect(bands: Iterable[tuple[int, NDArray[Any]]], shape: tuple[int, int, int], bits: int, factor: int) -> Samples:
    """Gather bands of rows, each with the number of its first row, as means of factor x factor samples."""
    height, width, channels = shape
    reduced = -(-height // factor), -(-width // factor), channels
    sums: NDArray[Any] | None = None
    kind, expanded = "u", True
    for top, band in bands:
        if sums is None:
            kind = band.dtype.kind
            sums = np.zeros(reduced, band.dtype if factor == 1 else np.float64)
        step = max(1, _CHUNK // (width * channels))
        for start in range(0, len(band), step):
            part = band[start : start + step]
            expanded = expanded and kind == "u" and _is_expanded(part, bits)
            _add(sums, part, top + start, factor)
    values = np.zeros(reduced, np.uint8) if sums is None else sums
    if factor > 1:
        values /= _cells(height, factor)[:, None, None] * _cells(width, factor)[None, :, None]
    return Samples(values, kind, bits, expanded)


def to_eight_bits(samples: Samples, alpha: int | None = None) -> NDArray[np.uint8]:
    """The samples as uint8 (h, w, channels). alpha: the channel that is scaled by its depth alone, if there is one.

    Raises Unreadable for floats that are not finite.
    """
    values = samples.values
    if samples.kind == "f" and not _is_finite(values):
        raise Unreadable("pixels are not finite")
    colours = values if alpha is None else values[:, :, :alpha]
    black, white = _find_range(samples, colours)
    result = np.empty(values.shape, np.uint8)
    _convert(colours, (black, white), result[:, :, :alpha])
    if alpha is not None:
        _convert(values[:, :, alpha:], (0.0, _opaque(samples, white)), result[:, :, alpha:])
    return result


def _add(sums: NDArray[Any], part: NDArray[Any], top: int, factor: int) -> None:
    if factor == 1:
        sums[top : top + len(part)] = part
        return
    columns = np.add.reduceat(part, np.arange(0, part.shape[1], factor), axis=1, dtype=np.float64)
    rows = np.arange(top, top + len(part)) // factor
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    sums[rows[starts]] += np.add.reduceat(columns, starts, axis=0)


def _cells(length: int, factor: int) -> NDArray[np.float64]:
    """How many samples each mean along one side is of."""
    cells = np.full(-(-length // factor), factor, np.float64)
    cells[-1] = length - factor * (len(cells) - 1)
    return cells


def _is_expanded(part: NDArray[Any], bits: int) -> bool:
    if bits <= 8 or bits % 8:
        return False
    unit = ((1 << bits) - 1) // 255
    return not (part % unit).any() or not (part % (1 << (bits - 8))).any()


def _is_finite(values: NDArray[Any]) -> bool:
    return all(bool(np.isfinite(values[n : n + 64]).all()) for n in range(0, len(values), 64))


def _find_range(samples: Samples, colours: NDArray[Any]) -> tuple[float, float]:
    """The values that are black and white."""
    full = _full_range(samples)
    if samples.kind != "f" and (samples.is_expanded or samples.bits <= 8):
        return full
    low, high = _find_ends(colours)
    if high <= low:
        return low - 1, low + 1  # one value everywhere: grey, whatever the value
    if samples.kind == "f":
        black, white = _find_float_range(low, high)
    elif low < 0:
        black, white = full if max(-low, high + 1) > full[1] / 2 else (low, high)
    else:
        black, white = 0.0, _find_white(high, full[1])
    is_faint = high < white / 16 or high - low < (white - black) / 256
    return (low, high) if is_faint else (black, white)


def _full_range(samples: Samples) -> tuple[float, float]:
    if samples.kind == "i":
        return -float(1 << (samples.bits - 1)), float((1 << (samples.bits - 1)) - 1)
    return 0.0, float((1 << samples.bits) - 1)


def _find_ends(colours: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest value without the outermost 0.1%; with them, where nothing else is left."""
    flat = colours.reshape(-1)
    some = np.sort(flat[:: -(-len(flat) // _COUNTED)])
    last = len(some) - 1
    low, high = float(some[round(_TAIL * last)]), float(some[round((1 - _TAIL) * last)])
    return (low, high) if low < high else (float(flat.min()), float(flat.max()))


def _find_white(high: float, full: float) -> float:
    """White of unsigned integers: the largest value of the smallest usual depth that holds `high`."""
    for bits in _DEPTHS:
        if high <= (1 << bits) - 1 < full:
            return float((1 << bits) - 1)
    return full


def _find_float_range(low: float, high: float) -> tuple[float, float]:
    """Black and white of floats: 0..1 and 0..255 and their like are what they are; all else is its own range."""
    if low < -0.02 * abs(high):
        return (-1.0, 1.0) if -1.0 <= low < -0.5 and 0.5 < high <= 1.0 else (low, high)
    if high <= 1.001:
        return 0.0, 1.0
    if high <= _BRIGHTEST:
        return 0.0, high
    return 0.0, next((white for white in _FLOAT_WHITES if high <= white + 0.5), high)


def _opaque(samples: Samples, white: float) -> float:
    if samples.kind == "f":
        return 1.0 if white <= _BRIGHTEST else white
    full = _full_range(samples)[1]
    # Where 12 bits are stored in 16, full alpha is as far below the largest value as white is.
    return white if float(samples.values[:, :, -1].max()) <= white < full else full


def _convert(values: NDArray[Any], ends: tuple[float, float], result: NDArray[np.uint8]) -> None:
    black, white = ends
    step = max(1, _CHUNK // max(1, values.shape[1] * values.shape[2]))
    for start in range(0, len(values), step):
        # Scaled before they are subtracted: the range of doubles may be larger than a double.
        scaled = values[start : start + step].astype(np.float64) * (1 / white if black == 0 else 1)
        if black != 0:
            scaled = (scaled / 2 - black / 2) / (white / 2 - black / 2)
        result[start : start + step] = np.rint(np.clip(scaled, 0, 1) * 255)
