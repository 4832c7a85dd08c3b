"""Whether two pictures are the same picture: which of their details agree once one is laid on the other.

Where both overlap, 8 x 8 blocks are correlated at 192 pixels, each by itself, after what is finer than the less sharp
of the two and what is wider than a block has been taken away. Copies agree in nearly all blocks, whatever their tones;
frames of one scene only in some of them; other pictures in hardly any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from lookalike.explore.duplicates.align import FINE, Alignment, Coarse, align, correlate, orient, sample, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Evidence", "Kind", "Prepared", "prove"]

Kind = Literal["identical", "same picture", "same scene"]

_LEAST_PEAK = 0.36  # at 32 pixels: 1% of the copies have less, and 85% of the nearest others
_BLOCKS = 8  # along a side
_WIDE = 6.0  # pixels: the deviation of what is too wide for a block
_SOFT = 0.72  # pixels of a picture's own: the deviation of what is too fine, the noise of compression
_PLAIN = 4.0  # levels of 255: blocks whose details deviate less say nothing
_AGREES = 0.6  # the correlation from which a block agrees
_LEAST_BLOCKS = 6  # with details, to say anything
_CORNER, _LEAST_CORNERS = 1.0, 5  # levels a pixel; agreeing blocks with corners: horizons have none
_TONED = 0.85  # of the variance that tone curves explain: 98% of copies have more, half of other pairs alike do not
_STRETCHED = 0.02  # by which the scales of both directions of a copy differ
_NARROW = 24  # pixels: an overlap that is narrower than this says nothing
_MANY_BLOCKS, _SAME_OF_FEW = 24, 0.95  # two horizons agree in 14 of 16 blocks
_SAME_MEDIAN = 0.88  # of the correlations of blocks: a full drawing has 0.8 to a striped one, copies 0.96 or more
_SAME = 0.85  # the share of the blocks that agree in the same picture
_SCENE = 0.5  # and in the same scene, strips included: a stereo pair has 0.6, two beaches hardly ever
_CONTAINED = 0.9  # of the smaller picture's area: a copy shows nothing that the original does not show
_CROPPED = 0.95  # of the area: less is left by a crop, not by a strip of text that shifts the alignment a little
_BAND = 2  # of the eight rows or columns that a strip of text or a border may cover
_SPOILT = 0.5  # the share of its blocks that agree in a row under a strip, at most
_VIVID = 12.0  # levels by which the colours of 1% of the pixels differ in a picture that is not grey
_FAINT, _TINTED = 2.0, 1.8  # levels; by how much more a tint may spread one colour than another
_LEAST_TINT = 0.1  # green and purple drawings have -0.5 to -0.1; of 396 copies in colour, one has less than 0.7: 0.24
_COLOURLESS = 1.0  # levels by which colours differ from grey: less says nothing
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)
_TONES, _NOISE = 8, 4.0  # levels of a step of a tone curve; variance, in levels, that says nothing
_GREY, _COLOURED = 3.0, 6.0  # levels by which the colours of a grey picture, and of one in colour, differ on average
_TURNS = (
    "upright",
    "mirrored",
    "mirrored top to bottom",
    "turned upside down",
    "mirrored and turned left",
    "turned right",
    "turned left",
    "mirrored and turned right",
)


_UNDONE = {"grey": "in colour", "in colour": "grey", _TURNS[5]: _TURNS[6], _TURNS[6]: _TURNS[5]}
_MADE_BY = [0, 1, 2, 3, 4, 6, 5, 7]  # the orientation that undoes each: what was done is undone to compare


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of two pictures, and how sure it is.

    found: what was done to the first to make the second, in words. orientation: of the second, in words. scale: pixels
    of the second for each pixel of the first, in their files. crop: which part of the larger view the other shows, as
    fractions (left, top, right, bottom). gain, offset: the brightness of the second against the first, offset in levels
    of 255. agreement: the share of the compared blocks that agree. blocks: how many were compared. correlation: of the
    median block. sure: from 0 to 1. reason: why it is not proven, or "".
    """

    found: tuple[str, ...] = ()
    orientation: str = _TURNS[0]
    scale: float | None = None
    crop: tuple[float, float, float, float] | None = None
    gain: float | None = None
    offset: float | None = None
    agreement: float | None = None
    blocks: int = 0
    correlation: float | None = None
    sure: float = 0.0
    reason: str = ""

    @property
    def undone(self) -> tuple[str, ...]:
        """What would have to be done to the second picture to make the first, in words."""
        return tuple(_UNDONE.get(word, word) for word in self.found)

    def to_dict(self) -> dict[str, Any]:
        """The evidence as JSON-compatible values; what was not measured is left out."""
        values = {name: getattr(self, name) for name in self.__slots__}
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
        crop = {} if self.crop is None else {"crop": [round(side, 3) for side in self.crop]}
        return {name: value for name, value in rounded.items() if value not in (None, "", 0)} | {
            "found": list(self.found),
            "sure": round(self.sure, 4),
            **crop,
        }


class Prepared:
    """A picture made ready to be compared: grey at 192 pixels, and what is derived when it is first needed.

    pixels: uint8 (h, w, 3) RGB with a long side of 192. colour, vivid: by how many levels its colours differ on
    average, and in 1% of the pixels at least. size: the width and height of the upright picture in its file.
    """

    def __init__(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
        self.pixels, self.size = pixels, size
        self.grey = np.asarray(Image.fromarray(pixels).convert("L"))
        apart = pixels.max(2).astype(np.int16) - pixels.min(2)
        self.colour, self.vivid = float(apart.mean()), float(np.percentile(apart, 99))

    @cached_property
    def coarse(self) -> Coarse:
        """The spectra at 32 pixels."""
        return Coarse(self.grey)

    @property
    def softness(self) -> float:
        """How many of the 192 pixels one pixel of the file covers, at least 1.2."""
        return max(1.2, FINE / max(self.size))


class _Blocks(NamedTuple):
    """What was compared where two pictures overlap, block by block: (8, 8) arrays.

    tone: how far the tones of either picture are a function of those of the other, in [0, 1].
    detailed: whether there are details at all. cornered: whether they vary in both directions, unlike a horizon.
    """

    correlations: NDArray[np.float64]
    detailed: NDArray[np.bool_]
    cornered: NDArray[np.bool_]
    gain: float
    offset: float
    tone: float = 1.0


def prove(one: Prepared, other: Prepared) -> tuple[Kind | None, Evidence]:
    """What two pictures are to each other, or None if nothing shows that they are more than alike; and why."""
    peaks = correlate(one.coarse, other.coarse)
    if peaks.max() < _LEAST_PEAK:
        return None, Evidence(reason="their details do not agree")
    alignment = align(one.grey, other.grey, peaks)
    overlap = None if alignment is None else _find_overlap(one, other, alignment)
    if alignment is None or overlap is None:
        return None, Evidence(reason="their details do not agree")
    blocks = _compare(one, other, alignment, overlap)
    return _judge(one, other, alignment, blocks._replace(tone=_measure_tone(one, other, alignment, overlap, blocks)))


def _find_overlap(one: Prepared, other: Prepared, alignment: Alignment) -> tuple[slice, slice] | None:
    """The rows and columns of the first picture that the second covers; None if they are too few."""
    shape = orient(other.grey, alignment.orientation).shape
    found = []
    for axis in (0, 1):
        length, own = one.grey.shape[axis], shape[axis] / max(shape)
        start = max(0.0, -alignment.shift[axis] / alignment.scale[axis])
        stop = (own - alignment.shift[axis]) / alignment.scale[axis]
        found.append(slice(int(np.ceil(start * FINE - 0.25)), min(length, int(np.floor(stop * FINE + 0.25)))))
    wide_enough = all(part.stop - part.start >= _NARROW for part in found)
    return (found[0], found[1]) if wide_enough else None


def _compare(one: Prepared, other: Prepared, alignment: Alignment, overlap: tuple[slice, slice]) -> _Blocks:
    """Correlate the blocks of the overlap."""
    scale = max(alignment.scale)
    soft = _SOFT * max(one.softness, other.softness / scale)
    turned = orient(other.grey, alignment.orientation).astype(np.float32)
    first = smooth(one.grey.astype(np.float32), soft)[overlap]
    second = sample(smooth(turned, soft * scale), one.grey.shape, alignment)[0][overlap]
    details = [plane - smooth(plane, max(_WIDE, 2 * soft)) for plane in (first, second)]
    moments = [_average(product) for product in (details[0] ** 2, details[1] ** 2, details[0] * details[1])]
    means = [_average(plane) for plane in details]
    variances = [moments[0] - means[0] ** 2, moments[1] - means[1] ** 2]
    covariance = moments[2] - means[0] * means[1]
    correlations = covariance / np.sqrt(np.maximum(variances[0] * variances[1], 1e-9))
    detailed = np.sqrt(np.maximum(*variances)) >= _PLAIN
    gain = float(second.std() / max(float(first.std()), 1e-3))
    cornered = np.minimum(*map(_measure_corners, details)) >= _CORNER
    return _Blocks(correlations, detailed, cornered, gain, float(second.mean() - first.mean()))


def _measure_tone(
    one: Prepared, other: Prepared, alignment: Alignment, overlap: tuple[slice, slice], blocks: _Blocks
) -> float:
    """The share of the variance that a tone curve explains, of the channel and direction in which it is least.

    A copy, however toned, has curves; two photographs of one thing, or a red and a green drawing, have none.
    """
    first, second = _overlay(one, other, alignment, overlap, blocks)
    if not len(first) or _correlate_tints(first, second) < _LEAST_TINT:
        return 0.0
    if min(one.vivid, other.vivid) < _VIVID:
        first, second = first @ _LUMA, second @ _LUMA
    both = [(first[:, channel], second[:, channel]) for channel in range(first.shape[1])]
    gains = [(float(after.std()) + _FAINT) / (float(before.std()) + _FAINT) for before, after in both]
    explained = [min(_explain(before, after), _explain(after, before)) for before, after in both]
    return min(explained) if max(gains) <= _TINTED * min(gains) else 0.0


def _overlay(
    one: Prepared, other: Prepared, alignment: Alignment, overlap: tuple[slice, slice], blocks: _Blocks
) -> tuple[Plane, Plane]:
    """The smoothed pixels of both pictures in the blocks that agree, float32 (n, 3) each."""
    agree = blocks.correlations >= _AGREES
    counted = _spread(blocks.detailed & agree & ~_find_band(agree, blocks.detailed), one.grey[overlap].shape)
    scale = max(alignment.scale)
    soft = 2 * _SOFT * max(one.softness, other.softness / scale)
    turned = orient(other.pixels, alignment.orientation)
    first, second = [], []
    for channel in range(3):
        first.append(smooth(one.pixels[:, :, channel].astype(np.float32), soft)[overlap][counted])
        plane = smooth(turned[:, :, channel].astype(np.float32), soft * scale)
        second.append(sample(plane, one.grey.shape, alignment)[0][overlap][counted])
    return np.stack(first, axis=1), np.stack(second, axis=1)


def _correlate_tints(first: Plane, second: Plane) -> float:
    """The correlation of what differs from grey in two pictures, in [-1, 1]; 1 if either has hardly any colour."""
    tints = [each - each.mean(0) for each in (first, second)]
    tints = [each - each.mean(1, keepdims=True) for each in tints]
    spread = [float(np.sqrt((each * each).mean())) for each in tints]
    return 1.0 if min(spread) < _COLOURLESS else float((tints[0] * tints[1]).mean()) / (spread[0] * spread[1])


def _spread(blocks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A value of each block at each of its pixels."""
    edges = [np.linspace(0, length, _BLOCKS + 1).astype(int) for length in shape]
    return np.asarray(np.repeat(np.repeat(blocks, np.diff(edges[0]), axis=0), np.diff(edges[1]), axis=1))


def _explain(tones: Plane, result: Plane) -> float:
    """The share of the variance of one picture's pixels that the tones of the other explain; noise counts nothing."""
    bins = np.clip(tones / _TONES, 0, 255 // _TONES).astype(np.intp)
    counts = np.maximum(np.bincount(bins), 1)
    curve = np.bincount(bins, result) / counts
    left = float(np.mean((result - curve[bins]) ** 2))
    return 1 - max(0.0, left - _NOISE) / max(float(result.var()), _NOISE)


def _average(plane: Plane) -> NDArray[np.float64]:
    """The mean of each of 8 x 8 blocks, float64 (8, 8)."""
    edges = [np.linspace(0, length, _BLOCKS + 1).astype(int) for length in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(plane.astype(np.float64), edges[0][:-1], axis=0), edges[1][:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(edges[0]), np.diff(edges[1])))


def _measure_corners(plane: Plane) -> NDArray[np.float64]:
    """How much each block varies in the direction in which it varies least: root mean square slope, float64 (8, 8)."""
    down, across = (np.asarray(slope, np.float32) for slope in np.gradient(plane))
    one, other, mixed = _average(across * across), _average(down * down), _average(across * down)
    least = (one + other) / 2 - np.sqrt(((one - other) / 2) ** 2 + mixed**2)
    return np.asarray(np.sqrt(np.maximum(least, 0)))


def _judge(one: Prepared, other: Prepared, alignment: Alignment, blocks: _Blocks) -> tuple[Kind | None, Evidence]:
    """The kind of a pair by its blocks, and the evidence."""
    agree = blocks.correlations >= _AGREES
    band = _find_band(agree, blocks.detailed)
    counted = blocks.detailed & ~band
    number = int(counted.sum())
    share = _share(agree, counted)
    correlation = float(np.median(blocks.correlations[counted])) if number else 0.0
    found, crop, contained = _describe(one, other, alignment, blocks)
    if band.any():
        found = (*found, "with text or a border")
    evidence = Evidence(
        found=found,
        orientation=_TURNS[_MADE_BY[alignment.orientation]],
        scale=_scale_in_files(one, other, alignment),
        crop=crop,
        gain=blocks.gain,
        offset=blocks.offset,
        agreement=share,
        blocks=number,
        correlation=correlation,
        sure=share * min(1.0, number / _LEAST_BLOCKS / 2),
    )
    is_toned = blocks.tone >= _TONED
    is_firm = int((blocks.cornered & counted & agree).sum()) >= _LEAST_CORNERS or _is_exact(alignment)
    whole = _share(agree, blocks.detailed)
    return _name_kind(evidence, contained, whole=whole, is_firm=is_firm, is_toned=is_toned)


def _is_exact(alignment: Alignment) -> bool:
    """Whether a picture lies on another as copies do: not stretched, and alike as a whole."""
    stretched = abs(np.log(alignment.scale[0] / alignment.scale[1]))
    return bool(stretched <= _STRETCHED and alignment.agreement >= _AGREES)


def _name_kind(
    evidence: Evidence, contained: float, *, whole: float, is_firm: bool, is_toned: bool
) -> tuple[Kind | None, Evidence]:
    """The kind of a pair. contained: how much of the smaller picture is in the larger. whole: of all blocks, agree."""
    number, share = evidence.blocks, evidence.agreement or 0.0
    if number < _LEAST_BLOCKS or not is_firm:
        return None, replace(evidence, reason="too plain to be compared")
    least = _SAME if number >= _MANY_BLOCKS else _SAME_OF_FEW
    are_details_same = share >= least and (evidence.correlation or 0.0) >= _SAME_MEDIAN
    if are_details_same and contained >= _CONTAINED and is_toned:
        return "same picture", evidence
    if whole >= _SCENE:
        differ = "their tones differ by more than a curve" if are_details_same else "some details differ"
        reason = "each shows something that the other does not" if are_details_same and is_toned else differ
        return "same scene", replace(evidence, reason=reason)
    return None, replace(evidence, reason="their details do not agree")


def _find_band(agree: NDArray[np.bool_], detailed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which blocks a strip along one or two opposite sides covers, in which hardly anything agrees: bool (8, 8)."""
    across, along = np.zeros(agree.shape, bool), np.zeros(agree.shape, bool)
    across[_find_rows(agree, detailed)] = True
    along[:, _find_rows(agree.T, detailed.T)] = True
    return max((across, along), key=lambda strip: _share(agree, detailed & ~strip))


def _share(agree: NDArray[np.bool_], counted: NDArray[np.bool_]) -> float:
    """The share of the counted blocks that agree; 0 without any."""
    return float(agree[counted].mean()) if counted.any() else 0.0


def _find_rows(agree: NDArray[np.bool_], detailed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows, at most two from the first or the last one on, hardly agree at all: bool (8,)."""
    spoilt = [bool(row.any()) and float(ok[row].mean()) <= _SPOILT for ok, row in zip(agree, detailed, strict=True)]
    found = np.zeros(_BLOCKS, bool)
    for rows in (range(_BAND), range(_BLOCKS - 1, _BLOCKS - 1 - _BAND, -1)):
        for row in rows:
            if not spoilt[row]:
                break
            found[row] = True
    return found if found.sum() <= _BAND else np.zeros(_BLOCKS, bool)


def _describe(
    one: Prepared, other: Prepared, alignment: Alignment, blocks: _Blocks
) -> tuple[tuple[str, ...], tuple[float, float, float, float] | None, float]:
    """What was done, in words; the part of the larger view that the other shows; how much of the smaller is in it."""
    shapes = one.grey.shape, orient(other.grey, alignment.orientation).shape
    sizes = [[length / max(shape) for length in shape] for shape in shapes]
    inside = []
    for axis in (0, 1):
        start = -alignment.shift[axis] / alignment.scale[axis] / sizes[0][axis]
        length = sizes[1][axis] / alignment.scale[axis] / sizes[0][axis]
        inside.append((start, start + length))
    (top, bottom), (left, right) = inside
    area = (bottom - top) * (right - left)
    shared = np.prod([max(0.0, min(1.0, stop) - max(0.0, start)) for start, stop in inside])
    contained = float(shared / min(1.0, area))
    box = (left, top, right, bottom)
    if area > 1:  # the first picture is a part of the second
        box = (-left / (right - left), -top / (bottom - top), (1 - left) / (right - left), (1 - top) / (bottom - top))
    words = []
    if alignment.orientation:
        words.append(_TURNS[_MADE_BY[alignment.orientation]])
    is_cropped = min(area, 1 / area) < _CROPPED
    if is_cropped:
        words.append("cropped")
    if abs(np.log(_scale_in_files(one, other, alignment))) > 0.02:
        words.append("resized")
    if (one.colour < _GREY) != (other.colour < _GREY) and max(one.colour, other.colour) > _COLOURED:
        words.append("grey" if other.colour < _GREY else "in colour")
    if abs(blocks.gain - 1) > 0.08 or abs(blocks.offset) > 6:
        words.append("toned")
    clipped = tuple(float(np.clip(side, 0, 1)) for side in box)
    return (
        tuple(words or ["recompressed"]),
        (clipped[0], clipped[1], clipped[2], clipped[3]) if is_cropped else None,
        contained,
    )


def _scale_in_files(one: Prepared, other: Prepared, alignment: Alignment) -> float:
    """Pixels of the second picture's file for each pixel of the first's."""
    return float(np.sqrt(alignment.scale[0] * alignment.scale[1]) * max(other.size) / max(one.size))
