"""Several encoders as one, each with a weight: structure and colour, say. Their embeddings are concatenated.

Each part is scaled to the square root of its share, so that the dot product of two rows is the weighted mean of the
parts' cosine similarities. A search may use other shares: `balance` gives the factor for each part, to be applied
to rows and query alike.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from lookalike.errors import UsageError
from lookalike.images.decode import View, fit
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.vectors.metric import Metric

__all__ = ["HybridEncoder", "Part", "balance", "parse_hybrid", "parts_of"]

_VERSION = 1
_PREFIX = "hybrid:"


@dataclass(frozen=True, slots=True)
class Part:
    """One encoder of a hybrid: its name, its dimensions, and its share of the similarity, in (0, 1]."""

    name: str
    dim: int
    share: float


class HybridEncoder:
    """Encoders whose embeddings are concatenated in the order of `parts`; see `lookalike.encoders.Encoder`.

    All parts get the same square picture, large enough for each of them, and crop their own view from it. All are
    compared by cosine, whatever their own metric is.
    """

    metric: Final[Metric] = "cosine"

    def __init__(self, encoders: Sequence[Encoder], weights: Sequence[float]) -> None:
        """weights: one above 0 for each encoder; only their ratios matter."""
        crop = max(encoder.view.crop for encoder in encoders)
        pixels = max(math.ceil(encoder.view.size * crop / encoder.view.crop) for encoder in encoders)
        self.view = View(pixels, crop)
        self.parts = tuple(
            Part(encoder.name, encoder.dim, weight / math.fsum(weights))
            for encoder, weight in zip(encoders, weights, strict=True)
        )
        self.name = _PREFIX + "+".join(part.name for part in self.parts)
        self.dim = sum(part.dim for part in self.parts)
        self.trained_on = ", ".join(sorted({encoder.trained_on for encoder in encoders} - {""}))
        known = [_VERSION, *((e.fingerprint, part.share) for e, part in zip(encoders, self.parts, strict=True))]
        self.fingerprint = hashlib.sha256(json.dumps(known).encode()).hexdigest()
        self.encoders = tuple(encoders)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, view.size, view.size, 3) in, float32 (n, dim) out, rows of length 1."""
        rows = [
            np.float32(part.share**0.5) * unit(encoder.encode(self._crop_for(encoder, images)))
            for encoder, part in zip(self.encoders, self.parts, strict=True)
        ]
        return np.concatenate(rows, axis=1)

    def _crop_for(self, encoder: Encoder, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        view = View(encoder.view.size, encoder.view.crop / self.view.crop)
        seen = np.empty((len(images), view.size, view.size, 3), np.uint8)
        for image, own in zip(images, seen, strict=True):
            own[:] = (
                image if own.shape == image.shape and view.crop == 1 else np.asarray(fit(Image.fromarray(image), view))
            )
        return seen


def parts_of(encoder: Encoder) -> tuple[Part, ...]:
    """The parts of a hybrid; empty for any other encoder."""
    return encoder.parts if isinstance(encoder, HybridEncoder) else ()


def parse_hybrid(name: str) -> list[tuple[str, float]]:
    """Parse `hybrid:NAME[=WEIGHT]+NAME[=WEIGHT]` into names and weights; an empty list for any other name.

    Raises UsageError for fewer than two parts, a part that is named twice, and an invalid weight.
    """
    if not name.startswith(_PREFIX):
        return []
    parts = [_parse_part(text) for text in name.removeprefix(_PREFIX).split("+")]
    if len({part for part, _ in parts}) < max(2, len(parts)):
        raise UsageError(
            f"a hybrid needs at least two different parts: {name!r}",
            hint="hybrid:efficientnet-lite0-int8=0.7+histogram=0.3",
        )
    return parts


def balance(parts: Sequence[Part], wanted: Mapping[str, float]) -> list[float]:
    """Return the factor for each part that gives it the share that is wanted.

    Parts that are not named divide the rest in the same ratio as before. Raises UsageError for an unknown name, and
    for shares that are negative or add up to more than 1.
    """
    names = [part.name for part in parts]
    if not parts:
        raise UsageError(
            "only a hybrid encoder has weights", hint="-e hybrid:efficientnet-lite0-int8=0.7+histogram=0.3"
        )
    for name in wanted:
        if name not in names:
            raise UsageError(f"the gallery has no part {name!r}", hint=f"one of {', '.join(names)}")
    named = math.fsum(wanted.values())
    others = math.fsum(part.share for part in parts if part.name not in wanted)
    rest = 1 - named if others else 0.0
    if not (all(share >= 0 for share in wanted.values()) and rest >= 0 and 0 < named + rest < math.inf):
        given = ", ".join(f"{share:g}" for share in wanted.values())
        raise UsageError(f"weights {given}: each must be at least 0, and their sum at most 1")
    shares = [wanted.get(part.name, part.share / (others or 1) * rest) / (named + rest) for part in parts]
    return [math.sqrt(share / part.share) for share, part in zip(shares, parts, strict=True)]


def _parse_part(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        share = float(weight or 1)
    except ValueError:
        share = math.nan
    if not name or not 0 < share < math.inf:
        raise UsageError(
            f"{text!r} is not a part of a hybrid", hint="a name, or a name and a weight above 0: histogram=0.3"
        )
    return name, share
