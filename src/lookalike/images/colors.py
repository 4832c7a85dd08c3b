"""How much of each colour a picture has, as a histogram over 256 anchors, and how far apart two colours look.

Each pixel counts for the four anchors nearest to it, the nearer the more (a soft histogram: Puzicha et al. 1999).
Nearness is measured in DIN99o (DIN 6176), where equally long ways look about equally long. The anchors are centres of
k-means in that space over all colours that a screen can show, those without much chroma counted up to four times:
there most pictures have most of their pixels. docs/decisions.md compares the histogram with exact pixels.
"""

from __future__ import annotations

import base64
import math
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageColor

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

__all__ = [
    "ANCHORS",
    "HISTOGRAM_SIZE",
    "anchor_lab",
    "ciede2000",
    "count_colors",
    "find_near",
    "find_share",
    "mean_color",
    "nearness",
    "parse_color",
    "shares",
    "to_din99o",
    "to_lab",
]

_BITS = 5  # of each channel that decide which anchors a pixel counts for
_LEVELS = 1 << _BITS
_SHARED = 4  # anchors that a pixel counts for
_WIDTH = 5.0  # of the Gaussian by which they share it, in DIN99o, where neighbouring anchors are 10 apart
_SCALE = 255
_REACH = 20.0
_CLOSE = math.exp(-((15 / _REACH) ** 2))  # white and pink are 17 apart, red and brown 13
_BLOCK = 1024
_D65 = (0.95047, 1.0, 1.08883)
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)

ANCHORS = (
    "ACEEIwRhBGMEZgSHCAAICAglCMUIxwxADEMMaQyiDMwM6g0CDQgQJBBBEE4QhBClEUcRixSBFPAVURVtFYMV6hgjGGUYpBioGOcZBhl3"
    "GZEZzxn6GgUaOBwnHFkcpBzlHQIdFx1KHhMeTB5QHoggQiCCIMEgyCEsIvcjMSNJJHEk7CUIJUslZCZ0Jrkm9Ce4KKUpBSlIKYsq5Sse"
    "KzwsRSxILGwtEC0rLUotjC2OLeMuvTEiMU0xfDGDMakx7TH9MmUzvTPKM9M0QjTCNNw07DUHNas1tDYTNiw2sDkKOWg50ToQOjA6tDyU"
    "Pa09zz3nQVNBhEGOQe9CDkJYQp5C7kRuRIpEp0VDRdNF7kYxRjJGZkaTRpdJL0lLSYpJ8UoMSm1Kc0qxStdLB0tXTIJOBU42TjxOcU89"
    "T1pPx1C0UNxRvFHvUlBSl1MWU5FTnlV2VcRV1VYvVlNWZVaVVvdXHVfYWMxZRFmxWrJbVVzHXYxd6l5WXtZe3V7oXvlfel+JYLNiHGJt"
    "YqxitGMxY1ljfWYwZkRmdGadZthm9Gc3Z95rGWvXa9tsvG6ybv1vWm9eb31wwnDMcNFxfXH3cgRyNHO9dRd1KXWSdaZ17HZtdod25nb2"
    "d0Z3UXdZd1p3xnfRd9p33nnQej16k3q5erx7Entde3d7vHu9e7571nvce98="
)
"""The anchors' colours, five bits of red, green and blue in 16: `benchmarks/colors.py --anchors` finds them."""

HISTOGRAM_SIZE = 256  # bytes


class _Table:
    """The anchors of each colour of 15 bits and their shares, which sum to 1; each colour's when it is first met.

    All at once would take 0.1 s, which a process that reads a single picture would have to wait for.
    """

    def __init__(self) -> None:
        self._anchors = np.zeros((_LEVELS**3, _SHARED), np.uint8)
        self._shares = np.zeros((_LEVELS**3, _SHARED), np.float32)
        self._known = np.zeros(_LEVELS**3, bool)
        self._own = to_din99o(anchor_lab())

    def find(self, codes: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The anchors uint8 (n, 4) and the shares float32 (n, 4) of these colours."""
        new = codes[~self._known[codes]]
        if len(new):
            self._anchors[new], self._shares[new] = self._compute(to_din99o(_code_lab(new)))
            self._known[new] = True
        return self._anchors[codes], self._shares[codes]

    def _compute(self, colors: Numbers) -> tuple[NDArray[np.intp], Numbers]:
        squares = (colors**2).sum(axis=1)[:, None] - 2 * colors @ self._own.T + (self._own**2).sum(axis=1)
        near = np.argpartition(squares, _SHARED, axis=1)[:, :_SHARED]
        found = np.take_along_axis(squares, near, axis=1)
        weights = np.exp((found.min(axis=1, keepdims=True) - found) / (2 * _WIDTH**2))
        return near, weights / weights.sum(axis=1, keepdims=True)


def count_colors(samples: Sequence[bytes]) -> list[bytes]:
    """The histogram of each sample, which is RGB pixels: the root of the share of each anchor, as 256 bytes.

    The root, because a picture may be searched by a colour of which it has very little.
    """
    return [_count(np.frombuffer(sample, np.uint8).reshape(-1, 3)) for sample in samples]


def shares(histograms: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The share of each anchor, float32 (..., 256) or less, from the bytes of histograms or of a part of them."""
    return _decoded()[histograms]


@cache
def anchor_lab() -> Numbers:
    """The anchors in CIELAB, float64 (256, 3)."""
    codes = np.frombuffer(base64.b64decode("".join(ANCHORS)), ">u2").astype(np.intp)
    return _code_lab(codes)


def mean_color(histogram: bytes) -> str:
    """The mean colour of a picture by its histogram, as `#rrggbb`."""
    shares = np.frombuffer(histogram, np.uint8).astype(np.float64) ** 2
    codes = np.frombuffer(base64.b64decode("".join(ANCHORS)), ">u2").astype(np.intp)
    red, green, blue = shares @ _code_levels(codes) / max(shares.sum(), 1.0)
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"


def parse_color(text: str) -> str:
    """A colour as `#rrggbb`, from a name of CSS, `#ff8800`, `#f80`, `rgb(255, 136, 0)` or `hsl(32, 100%, 50%)`.

    Raises UsageError, with names that are spelt alike.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text.strip())
        return f"#{min(red, 255):02x}{min(green, 255):02x}{min(blue, 255):02x}"
    except (ValueError, AttributeError):
        close = get_close_matches(str(text).lower(), ImageColor.colormap, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "write a name such as orange, or #ff8800"
        raise UsageError(f"{text!r:.60} is not a colour", hint=hint) from None


@lru_cache(64)
def nearness(color: str) -> NDArray[np.float32]:
    """How near each anchor is to a colour, `#rrggbb`: float32 (256,), exp(-(CIEDE2000 / 20)^2). A half is 17 away."""
    rgb = np.frombuffer(bytes.fromhex(color[1:]), np.uint8).astype(np.float64)
    return np.exp(-np.square(ciede2000(to_lab(rgb), anchor_lab()) / _REACH)).astype(np.float32)


def find_near(histograms: NDArray[np.uint8], color: str) -> NDArray[np.float32]:
    """How much of each picture is near a colour, float32 (n,) from 0 to 1: the mean of how near its pixels are.

    histograms: uint8 (n, 256). color: `#rrggbb`.
    """
    return _weigh(histograms, nearness(color))


def find_share(histograms: NDArray[np.uint8], color: str) -> NDArray[np.float32]:
    """The share of each picture that is within CIEDE2000 15 of a colour, float32 (n,) from 0 to 1; as `find_near`.

    Pixels farther away do not count, so that a large part of another colour never stands for a little of this one.
    """
    return _weigh(histograms, (nearness(color) >= _CLOSE).astype(np.float32))


def to_lab(rgb: Numbers) -> Numbers:
    """Colours of sRGB, float64 (..., 3) from 0 to 255, in CIELAB by D65."""
    levels = rgb / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(_TO_XYZ).T / np.array(_D65)
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def to_din99o(lab: Numbers) -> Numbers:
    """Colours of CIELAB, float64 (..., 3), in DIN99o."""
    lightness, a, b = np.moveaxis(lab, -1, 0)
    turn = np.radians(26)
    e, f = a * np.cos(turn) + b * np.sin(turn), 0.83 * (b * np.cos(turn) - a * np.sin(turn))
    chroma, hue = np.log(1 + 0.075 * np.hypot(e, f)) / 0.0435, np.arctan2(f, e) + turn
    return np.stack([303.67 * np.log(1 + 0.0039 * lightness), chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)


def ciede2000(one: Numbers, other: Numbers) -> Numbers:
    """How different colours of CIELAB look, float64 (..., 3), 1 being just visible (Sharma et al. 2005)."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    stretch = 1 + 0.5 * (1 - _saturate((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1, h2 = (np.arctan2(b, a * stretch) % (2 * np.pi) for a, b in ((a1, b1), (a2, b2)))
    turn = np.where(c1 * c2 == 0, 0.0, (h2 - h1 + np.pi) % (2 * np.pi) - np.pi)
    hue = np.where(c1 * c2 == 0, h1 + h2, h1 + turn / 2)
    chroma, lightness = (c1 + c2) / 2, (l1 + l2) / 2
    by_hue = (
        (1 - 0.17 * np.cos(hue - np.radians(30)) + 0.24 * np.cos(2 * hue))
        + (0.32 * np.cos(3 * hue + np.radians(6)) - 0.20 * np.cos(4 * hue - np.radians(63)))
    )  # fmt: skip
    light = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    strong = (c2 - c1) / (1 + 0.045 * chroma)
    turned = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * by_hue)
    blue = np.radians(60) * np.exp(-(((np.degrees(hue) % 360 - 275) / 25) ** 2))
    mixed = -np.sin(blue) * 2 * _saturate(chroma) * strong * turned
    return np.asarray(np.sqrt(np.maximum(light**2 + strong**2 + turned**2 + mixed, 0)))


def _weigh(histograms: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted sum of the shares of each histogram, float32 (n,); as many at once as fit into a cache."""
    found = np.empty(len(histograms), np.float32)
    for start in range(0, len(histograms), _BLOCK):
        part = histograms[start : start + _BLOCK].astype(np.float32)
        part *= part  # bytes are roots
        found[start : start + _BLOCK] = part @ weights
    found /= np.float32(_SCALE**2)
    return found


def _saturate(chroma: Numbers) -> Numbers:
    return np.asarray(np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))


def _count(pixels: NDArray[np.uint8]) -> bytes:
    red, green, blue = (pixels[:, channel].astype(np.intp) >> (8 - _BITS) for channel in range(3))
    counts = np.bincount((red << 2 * _BITS) | (green << _BITS) | blue, minlength=_LEVELS**3)
    met = np.nonzero(counts)[0]
    anchors, weights = _table().find(met)
    weighted = weights * (counts[met] / len(pixels))[:, None]
    found = np.bincount(anchors.ravel(), weighted.ravel(), HISTOGRAM_SIZE)
    return bytes(np.rint(_SCALE * np.sqrt(found)).astype(np.uint8))


@cache
def _table() -> _Table:
    return _Table()


def _code_lab(codes: NDArray[np.intp]) -> Numbers:
    """Colours of 15 bits in CIELAB, float64 (n, 3)."""
    return to_lab(_code_levels(codes))


def _code_levels(codes: NDArray[np.intp]) -> Numbers:
    """Colours of 15 bits as red, green and blue up to 255, float64 (n, 3)."""
    levels = np.stack([codes >> 2 * _BITS, codes >> _BITS, codes], axis=-1) & (_LEVELS - 1)
    return levels.astype(np.float64) * (256 / _LEVELS) + (128 / _LEVELS - 0.5)


@cache
def _decoded() -> NDArray[np.float32]:
    return np.square(np.arange(_SCALE + 1, dtype=np.float32) / _SCALE)
