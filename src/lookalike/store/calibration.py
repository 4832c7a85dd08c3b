"""How far apart the pictures of a gallery are, by which a distance is judged.

Pictures are ranked by their adapted vectors, and judged by the cosine distance of their embeddings as they were put:
adaptation looks for what tells a gallery's own pictures apart, and drops what tells a stranger (docs/decisions.md).
Both are measured on the gallery's own pictures, each against the others, as a search finds them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

__all__ = ["Calibration", "from_json", "to_json"]

_STEPS = 256  # quantiles of the distance to the nearest
_COUNTS = np.geomspace(1e-3, 8, 96)  # numbers of pictures that are expected within a distance
_DIGITS = 6  # of a distance


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured, and in which state of the gallery.

    pictures: how many there were. adapted: how they were adapted. nearest: quantiles of the distance of a picture to
    its nearest other, float64 (q,), from the least to the largest; empty if there were too few pictures to say.
    around: the distances within which a picture has on average as many others as `counts` says, both float64 (c,).
    """

    pictures: int
    adapted: str
    nearest: Numbers
    around: Numbers
    counts: Numbers

    @classmethod
    def measure(cls, pictures: int, adapted: str, distances: Numbers) -> Calibration:
        """The calibration by the distances of some pictures to their nearest others, (m, j), infinite where missing."""
        if not len(distances):
            return cls(pictures, adapted, *(np.empty(0),) * 3)
        nearest = np.quantile(distances.min(axis=1), np.linspace(0, 1, _STEPS))
        every = np.sort(distances[np.isfinite(distances)])
        at = np.ceil(_COUNTS * len(distances)).astype(int) - 1
        fits = (at < len(every)) & (len(distances) * _COUNTS >= 1)
        return cls(pictures, adapted, nearest.round(_DIGITS), every[at[fits]].round(_DIGITS), _COUNTS[fits])

    def find_chances(self, distances: Numbers) -> Numbers:
        """The share of the gallery's own pictures whose nearest is farther, for each distance, from 0 to 1."""
        return np.asarray(1 - np.interp(distances, self.nearest, self._levels, left=0.0, right=1.0))

    def find_expected(self, distances: Numbers) -> Numbers:
        """How many others a picture of the gallery has within each distance, on average, up to 8."""
        return np.asarray(np.interp(distances, *self._steps))

    # Computed once, as a gallery is judged by the same calibration again and again: 0.02 ms each time.

    @cached_property
    def _levels(self) -> Numbers:
        return np.linspace(0, 1, len(self.nearest))

    @cached_property
    def _steps(self) -> tuple[Numbers, Numbers]:
        return np.append(0.0, self.around), np.append(0.0, self.counts)


def to_json(calibration: Calibration | None) -> bytes:
    """A calibration as JSON, 3 KB."""
    if calibration is None:
        return b"null"
    arrays = {name: getattr(calibration, name).tolist() for name in ("nearest", "around", "counts")}
    return json.dumps({"pictures": calibration.pictures, "adapted": calibration.adapted, **arrays}).encode()


@lru_cache(16)
def from_json(content: bytes) -> Calibration | None:
    """The calibration that `to_json` wrote. Raises TypeError, ValueError."""
    fields: dict[str, Any] | None = json.loads(content)
    if fields is None:
        return None
    arrays = {name: np.array(fields[name], np.float64) for name in ("nearest", "around", "counts")}
    if any(not np.isfinite(some).all() or (np.diff(some) < 0).any() or some.ndim != 1 for some in arrays.values()):
        raise ValueError("not quantiles")
    if len(arrays["around"]) != len(arrays["counts"]):
        raise ValueError("counts and distances do not fit")
    return Calibration(int(fields["pictures"]), str(fields["adapted"]), **arrays)
