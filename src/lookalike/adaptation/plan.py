"""How a gallery is adapted to its pictures: what is fitted, and how many dimensions are kept.

Vectors are *blended* (`lookalike.adaptation.expansion`) where that was measured to help: for pretrained features of
many dimensions that are compared by cosine. Hand-made features, and encoders that were learned from the gallery's own
pictures, are projected only (docs/decisions.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lookalike.adaptation.projection import fit_blends, fit_parts, fit_projection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.vectors.metric import Metric

__all__ = ["Plan", "adapts_at", "fit_plan", "is_blended"]

_PROJECTED = 64  # dimensions of a vector that is projected only: see docs/decisions.md for 8 to 256
_BLENDED = 256  # dimensions of a vector that is blended
_SMOOTHED = 32  # of them, and never more than a quarter, are smoothed; the others are whitened (docs/decisions.md)
_ENOUGH = 50  # pictures from which on adapting helped in every gallery that was tried (docs/decisions.md)
_GROWN = 2  # a gallery is adapted again when it has grown by this factor
_MANY = 256  # dimensions of an embedding from which on it is blended


class Plan(NamedTuple):
    """What to fit for each part of an encoder: its dimension, its share, and whether it is blended.

    most: dimensions to keep of each part, at most; None for as many as are best.
    """

    dims: list[int]
    shares: list[float]
    blend: list[bool]
    most: list[int | None]

    @property
    def smoothed(self) -> list[int]:
        """Dimensions of each part that are smoothed if it is blended."""
        return [max(1, min(_SMOOTHED, (most or _BLENDED) // 4)) for most in self.most]

    @property
    def whitened(self) -> list[int]:
        """Dimensions of each part that are whitened if it is blended."""
        return [(most or _BLENDED) - smoothed for most, smoothed in zip(self.most, self.smoothed, strict=True)]

    @property
    def cuts(self) -> list[int]:
        """Directions to keep of each part, at most."""
        blended = [max(pair) for pair in zip(self.smoothed, self.whitened, strict=True)]
        return [
            widest if blend else most or _PROJECTED
            for widest, blend, most in zip(blended, self.blend, self.most, strict=True)
        ]


def adapts_at(projection: Projection | None) -> int:
    """The number of pictures at which a gallery with this projection is adapted again; None: not adapted yet."""
    return max(_ENOUGH, _GROWN * projection.fitted_on) if projection else _ENOUGH


def is_blended(dim: int, metric: Metric, trained_on: str) -> bool:
    """Whether blending was measured to help for embeddings of this kind. trained_on: empty for hand-made features."""
    return bool(trained_on) and metric == "cosine" and dim >= _MANY


def fit_plan(plan: Plan, chunks: Callable[[], Iterable[NDArray[np.float32]]]) -> Projection:
    """Fit a projection to embeddings; `chunks` gives float32 (n, dim) matrices and is called more than once.

    Raises ValueError when there are fewer than two embeddings, or all are the same.
    """
    if plan.shares:
        projection = fit_parts(chunks, plan.dims, plan.shares, plan.cuts)
    else:
        projection = fit_projection(chunks(), plan.dims[0], plan.cuts[0])
    if not any(plan.blend):
        return projection
    return fit_blends(projection, chunks(), plan.blend, smoothed=plan.smoothed, whitened=plan.whitened)
