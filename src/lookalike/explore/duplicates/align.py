"""How two pictures lie on each other: the orientation, the scale and the shift at which most of their details agree.

Contrast is evened out first: the mean around each pixel is taken away, and the rest divided by the deviation there, so
that tones, greys and the hard edge of a strip of text count little. One picture is then correlated with the other in
eight orientations and at 13 scales, by the Fourier transform, at 32 pixels; the best few again at 64 pixels; and the
best of these is refined by least squares (Lucas and Kanade 1981) at 64 and at 128 pixels.

Evening out was chosen on 1,800 copies and on the nearest other pictures of 8 Scenes: without it half of the cropped
copies correlate less than the nearest 5% of other pictures, with it 2% do (docs/decisions.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Plane = NDArray[np.float32]
    Spectra = NDArray[np.complex64]

__all__ = ["FINE", "Alignment", "Coarse", "align", "correlate", "orient", "sample", "smooth"]

FINE = 192
"""Pixels of the long side at which pictures are compared in the end."""

_COARSE, _MIDDLE, _FINER = 32, 64, 128  # pixels of the long side, from step to step
_STEP, _STEPS = 1.09, 6  # from one scale to the next, and how many either way: from 0.6 to 1.68
_SHRINKS = [(1.0, _STEP**-number) for number in range(_STEPS + 1)]
_SCALES = [*_SHRINKS, *((smaller, 1.0) for _, smaller in _SHRINKS[1:])]  # by how much each of the two is made smaller
_UNDONE = [0, 1, 2, 3, 4, 6, 5, 7]  # the orientation that undoes each
_DEVIATION = 16.0  # variance, in levels of 255, that is added, so that noise in a plain sky stays small
_AROUND = 3.0  # pixels: the deviation of the Gaussian in which contrast is evened out
_FINEST, _WIDEST = 0.6, 4.0  # pixels: details from the one to the other are correlated
_LEAST_AT_MIDDLE, _LEAST_REFINED = 0.40, 0.42  # a text over a plain picture leaves 0.43; 85% of others have less
_TRIED = 3  # orientations and scales of the first step that the second looks at
_LEAST_OVERLAP = 0.3  # of the smaller picture
_ROUNDS = 6  # of least squares
_FARTHEST = 0.2  # by which a refinement may move or scale a picture: more is a flight


class Alignment(NamedTuple):
    """Where a second picture lies on a first: the point u of the first is `scale * u + shift` in the second.

    Points and shifts are in units of the long side of each picture, from its upper left corner; (y, x).
    orientation: what was done to the second picture before, as a number of
    `lookalike.images.perceptual.ORIENTATIONS`. agreement: the correlation of both where they overlap, in [-1, 1].
    """

    orientation: int
    scale: tuple[float, float]
    shift: tuple[float, float]
    agreement: float


class Coarse:
    """The spectra of a picture at 32 pixels, in all orientations and at all smaller scales, each of energy 1; 0.15 MB.

    grey: uint8 (h, w).
    """

    def __init__(self, grey: Grey) -> None:
        size = _COARSE * 3 // 2
        planes = [even_out(_resize(grey, _COARSE * shrink)) for _, shrink in _SHRINKS]
        spectra = _transform([*planes, planes[0].T], size)
        energies = np.sqrt((np.abs(spectra) ** 2 * _multiplicity(size)).sum((1, 2), keepdims=True)) / size
        spectra = (spectra / np.maximum(energies, 1e-6)).astype(np.complex64)
        self.smaller: Spectra = spectra[:-1]
        self.turned: Spectra = np.concatenate([_mirror(spectra[0]), _mirror(spectra[-1])])


def correlate(one: Coarse, other: Coarse) -> NDArray[np.float32]:
    """The highest correlation for each orientation of the other picture and each scale, float32 (8, 13); 1 ms."""
    # Where the other picture is the smaller one, the first is turned, the other way.
    turned_first = one.turned[_UNDONE][:, None] * other.smaller[None].conj()
    turned_other = other.turned[:, None] * one.smaller[None, 1:].conj()
    products = np.concatenate([turned_first, turned_other], axis=1)
    size = products.shape[2]
    return np.asarray(np.fft.irfft2(products, s=(size, size)).max((2, 3)), np.float32)


def align(one: Grey, other: Grey, peaks: NDArray[np.float32]) -> Alignment | None:
    """The best alignment of two grey pictures with long sides of 192; None if they hardly agree anywhere.

    peaks: what `correlate` found. 5 ms for most others, 10 ms for copies.
    """
    best = max(_shifts(one, other, peaks), key=lambda found: found.agreement, default=None)
    if best is None or best.agreement < _LEAST_AT_MIDDLE:
        return None
    turned = orient(other, best.orientation)
    for side, least in ((_MIDDLE, _LEAST_REFINED), (_FINER, 0.0)):
        best = _refine(even_out(_resize(one, side)), even_out(_resize(turned, side)), best)
        if best.agreement < least:
            return None
    return best


def orient(plane: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array (h, w, ...) in one of `lookalike.images.perceptual.ORIENTATIONS`."""
    plane = plane.swapaxes(0, 1) if orientation & 4 else plane
    plane = plane[::-1] if orientation & 2 else plane
    return plane[:, ::-1] if orientation & 1 else plane


def even_out(plane: Plane, around: float = _AROUND) -> Plane:
    """A picture whose mean is 0 and whose deviation is about 1 around every pixel, float32 of the same shape."""
    centred = plane - smooth(plane, around)
    spread = smooth(centred * centred, around)
    return np.asarray(centred / np.sqrt(spread + np.float32(_DEVIATION)), np.float32)


def smooth(plane: Plane, deviation: float) -> Plane:
    """A picture smoothed by a Gaussian, at its ends over what is there; the deviation counts in tenths of a pixel."""
    down, across = (_smoothing(length, round(deviation, 1)) for length in plane.shape)
    return np.asarray(down @ plane @ across.T, np.float32)


def sample(plane: Plane, shape: tuple[int, int], alignment: Alignment) -> tuple[Plane, NDArray[np.bool_]]:
    """The second picture as it lies on the first, which has this shape, and where it does: both of this shape."""
    side, own = max(shape), max(plane.shape)
    weights, inside = [], []
    for axis in (0, 1):
        at = (alignment.scale[axis] * (np.arange(shape[axis]) + 0.5) / side + alignment.shift[axis]) * own - 0.5
        width = max(1.0, alignment.scale[axis] * own / side)
        weight = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(plane.shape[axis])) / width)
        weights.append((weight / np.maximum(weight.sum(1, keepdims=True), 1e-6)).astype(np.float32))
        inside.append((at > -0.5) & (at < plane.shape[axis] - 0.5))
    return weights[0] @ plane @ weights[1].T, inside[0][:, None] & inside[1]


def _shifts(one: Grey, other: Grey, peaks: NDArray[np.float32]) -> Iterator[Alignment]:
    """The likeliest orientations and scales, each with the shift at which 64 pixels agree most."""
    for orientation, number in _likeliest(peaks):
        turned = orient(other, orientation)
        shrink_one, shrink_other = _SCALES[number]
        planes = [even_out(_resize(one, _MIDDLE * shrink_one)), even_out(_resize(turned, _MIDDLE * shrink_other))]
        yield from _find_shift(planes, orientation)


def _likeliest(peaks: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The orientations and scales with the highest peaks, and the scales next to these."""
    order = np.argsort(peaks, axis=None)[::-1][:_TRIED]
    found: dict[tuple[int, int], None] = {}
    for orientation, number in zip(*np.unravel_index(order, peaks.shape), strict=True):
        for near in _next_scales(int(number)):
            found[int(orientation), near] = None
    return list(found)


def _next_scales(number: int) -> list[int]:
    """The numbers of a scale, the next smaller and the next larger one: 0 is 1, then down, then up."""
    step = -number if number <= _STEPS else number - _STEPS
    return [-near if near <= 0 else near + _STEPS for near in (step - 1, step, step + 1) if abs(near) <= _STEPS]


def _find_shift(planes: Sequence[Plane], orientation: int) -> Iterator[Alignment]:
    """The shift at which two planes correlate most, if they overlap enough there."""
    size = _MIDDLE * 3 // 2
    first, second = _transform(planes, size)
    correlation = np.fft.irfft2(first * second.conj(), s=(size, size))
    peak = [int(at) for at in np.unravel_index(correlation.argmax(), correlation.shape)]
    offsets = [at - size if at >= own.shape[axis] else at for axis, at in enumerate(peak) for own in planes[:1]]
    boxes = [_overlap(planes[0].shape[axis], planes[1].shape[axis], offsets[axis]) for axis in (0, 1)]
    area = np.prod([max(0, stop - start) for start, stop in boxes])
    if area < _LEAST_OVERLAP * min(plane.size for plane in planes):
        return
    part = planes[0][boxes[0][0] : boxes[0][1], boxes[1][0] : boxes[1][1]]
    (top, bottom), (left, right) = ((start - at, stop - at) for (start, stop), at in zip(boxes, offsets, strict=True))
    agreement = _agreement(part, planes[1][top:bottom, left:right])
    sides = [max(plane.shape) for plane in planes]
    scale = sides[0] / sides[1]
    shifts = -offsets[0] / sides[1], -offsets[1] / sides[1]
    yield Alignment(orientation, (scale, scale), shifts, agreement)


def _overlap(one: int, other: int, offset: int) -> tuple[int, int]:
    """Where in the first range the second lies that begins at an offset."""
    return max(0, offset), min(one, other + offset)


def _agreement(one: Plane, other: Plane) -> float:
    energies = float((one * one).sum()) * float((other * other).sum())
    return float((one * other).sum() / np.sqrt(max(energies, 1e-6)))


def _refine(one: Plane, other: Plane, alignment: Alignment) -> Alignment:
    """The alignment moved and scaled until the squared differences are least; as it was if that leads nowhere."""
    best, current = alignment._replace(agreement=-1.0), alignment
    for _ in range(_ROUNDS + 1):
        warped, inside = sample(other, one.shape, current)
        if inside.sum() < _LEAST_OVERLAP * min(one.size, other.size) / 2:
            break
        agreement = _agreement(one * inside, warped * inside)
        if agreement <= best.agreement + 1e-4:
            break
        best = current._replace(agreement=agreement)
        current = _improve(one, warped, inside, current)
        if not _is_near(alignment, current):
            break
    return best if best.agreement > -1 else alignment


def _improve(one: Plane, warped: Plane, inside: NDArray[np.bool_], alignment: Alignment) -> Alignment:
    """One step of least squares over the scales and shifts of both directions."""
    side = max(one.shape)
    slopes = np.gradient(warped)
    columns, factors = [], []
    for axis in (0, 1):
        at = (np.arange(one.shape[axis], dtype=np.float32) + 0.5) / side - 0.5
        slope = slopes[axis] * inside * np.float32(side / alignment.scale[axis])
        columns += [(slope * (at[:, None] if axis == 0 else at)).ravel(), slope.ravel()]
        factors.append(at)
    jacobian = np.stack(columns)
    gain = float((one * warped * inside).sum()) / max(float((warped * warped * inside).sum()), 1e-6)
    error = ((one - gain * warped) * inside).ravel()
    normal = jacobian @ jacobian.T * gain**2
    step = np.linalg.lstsq(normal.astype(np.float64), (jacobian @ error * gain).astype(np.float64), rcond=1e-9)[0]
    scale = alignment.scale[0] + float(step[0]), alignment.scale[1] + float(step[2])
    shift = (
        alignment.shift[0] + float(step[1] - 0.5 * step[0]),
        alignment.shift[1] + float(step[3] - 0.5 * step[2]),
    )
    return alignment._replace(scale=scale, shift=shift)


def _is_near(one: Alignment, other: Alignment) -> bool:
    moved = [abs(a - b) for a, b in zip((*one.scale, *one.shift), (*other.scale, *other.shift), strict=True)]
    return max(moved) <= _FARTHEST


def _resize(grey: Grey, side: float) -> Plane:
    """A grey picture with a long side of this many pixels, at least one each, float32."""
    factor = side / max(grey.shape)
    height, width = (max(1, round(length * factor)) for length in grey.shape)
    image = Image.fromarray(np.ascontiguousarray(grey)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def _transform(planes: Sequence[Plane], size: int) -> Spectra:
    """The spectra of planes at the upper left of squares, without what is too fine or too wide."""
    framed = np.zeros((len(planes), size, size), np.float32)
    for place, plane in zip(framed, planes, strict=True):
        place[: plane.shape[0], : plane.shape[1]] = plane
    return np.asarray(np.fft.rfft2(framed) * _band(size), np.complex64)


def _mirror(spectrum: Spectra) -> Spectra:
    """The spectra of a plane as it is, with its columns mirrored, its rows mirrored, and both."""
    rows = spectrum[-np.arange(len(spectrum)) % len(spectrum)]
    return np.stack([spectrum, rows.conj(), rows, spectrum.conj()])


@lru_cache(maxsize=8)
def _band(size: int) -> Plane:
    """How much of each frequency counts: more of the finer ones, which tell pictures apart."""
    square = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None] ** 2
    fine, wide = (np.exp(-2 * (np.pi * deviation) ** 2 * square) for deviation in (_FINEST, _WIDEST))
    return np.asarray(fine * (1 - wide) * np.sqrt(square), np.float32)


@lru_cache(maxsize=8)
def _multiplicity(size: int) -> Plane:
    """How often each column of half a spectrum stands in the whole one; `size` is even."""
    counts = np.full(size // 2 + 1, 2, np.float32)
    counts[[0, -1]] = 1
    return counts


@lru_cache(maxsize=512)
def _smoothing(length: int, deviation: float) -> Plane:
    """The matrix (length, length) that smooths by a Gaussian, at the ends over what is there."""
    apart = np.arange(length)[:, None] - np.arange(length)
    weights = np.exp(-0.5 * (apart / max(deviation, 0.1)) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
