"""Adapt a gallery to the pictures that it holds, without labels: by their principal directions, and by one another.

Rows are *blended* (`lookalike.neighbours`) where that was measured to help: for pretrained features of many numbers
that are compared by cosine. Hand-made features, and encoders that were learned from the gallery's own pictures, are
projected only (docs/decisions.md).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from lookalike.encoders.hybrid import HybridEncoder, parts_of
from lookalike.errors import UsageError
from lookalike.store.projection import blended, fit_parts, fit_projection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.store import Store
    from lookalike.store.projection import Projection

__all__ = ["Plan", "adapt", "adapt_if_grown", "adapts_at", "fit", "plan_for"]

_PROJECTED = 64  # numbers of a picture that is projected only: see docs/decisions.md for 8 to 256
_BLENDED = 256  # of one that is blended
_SMOOTHED = 8  # one number in so many is smoothed, the others are whitened (docs/decisions.md)
_ENOUGH = 50  # pictures from which on adapting helped in every gallery that was tried (docs/decisions.md)
_GROWN = 2  # adapted again when it has grown by this factor
_SAMPLE = 32768  # embeddings that a projection is fitted on, at most, spread evenly over the gallery
_MANY = 256  # numbers of an embedding from which on it is blended


def adapts_at(projection: Projection | None) -> int:
    """From how many pictures on a gallery with this projection is adapted by itself."""
    return max(_ENOUGH, _GROWN * projection.fitted_on) if projection else _ENOUGH


def adapt_if_grown(store: Store, encoder: Encoder) -> None:
    """Adapt a gallery that has grown enough; not one that is adapted to labels, as those of what came are not known."""
    projection = store.projection
    if projection is not None and projection.classes:
        return
    if store.count()[0] >= adapts_at(projection):
        with contextlib.suppress(UsageError):  # copies of one picture have no direction to keep
            adapt(store, encoder)


def adapt(store: Store, encoder: Encoder, *, numbers: int | None = None, blend: bool | None = None) -> int:
    """Fit the projection of a store that is being written to anew; how many numbers a picture is compared by.

    numbers: of each part of the encoder, at most. blend: whether rows are blended; None: as they were, at first as the
    encoder needs it. Raises UsageError.
    """
    plan = plan_for(store, encoder, numbers, blend=blend)
    try:
        projection = fit(plan, lambda: _sample(store))
    except ValueError as error:
        raise UsageError(f"the gallery cannot be adapted: {error}") from None
    # Counted in pictures, not in the sample: or else a large gallery would have grown since in every run.
    projection = replace(projection, fitted_on=store.count()[0])
    store.project(projection)
    return sum(projection.widths)


class Plan(NamedTuple):
    """How a projection is fitted: of each part of the encoder its dimension, its share, and whether it is blended.

    numbers: of a picture by each part, at most; None as many as are best.
    """

    dims: list[int]
    shares: list[float]
    blend: list[bool]
    numbers: int | None

    @property
    def smoothed(self) -> int:
        """Numbers of a blended part that are smoothed."""
        return max(1, (self.numbers or _BLENDED) // _SMOOTHED)

    @property
    def whitened(self) -> int:
        """Numbers of a blended part that are whitened."""
        return (self.numbers or _BLENDED) - self.smoothed

    @property
    def cuts(self) -> list[int]:
        """Directions of each part that are kept, at most."""
        widest = max(self.smoothed, self.whitened)
        return [widest if blend else self.numbers or _PROJECTED for blend in self.blend]


def plan_for(store: Store, encoder: Encoder, numbers: int | None = None, *, blend: bool | None = None) -> Plan:
    """How `adapt` would fit the projection of this store."""
    parts = encoder.encoders if isinstance(encoder, HybridEncoder) else (encoder,)
    shares = [part.share for part in parts_of(encoder)]
    return Plan([part.dim for part in parts], shares, _blends(store, parts, blend=blend), numbers)


def fit(plan: Plan, chunks: Callable[[], Iterable[NDArray[np.float32]]]) -> Projection:
    """A projection of embeddings, float32 (n, dim) matrices; the stream is read more than once.

    Raises ValueError when there are fewer than two, or all the same.
    """
    if plan.shares:
        projection = fit_parts(chunks, plan.dims, plan.shares, plan.cuts)
    else:
        projection = fit_projection(chunks(), plan.dims[0], plan.cuts[0])
    if not any(plan.blend):
        return projection
    return blended(projection, chunks(), plan.blend, smoothed=plan.smoothed, whitened=plan.whitened)


def _blends(store: Store, parts: Sequence[Encoder], *, blend: bool | None) -> list[bool]:
    if blend is not None:
        return [blend] * len(parts)
    known = store.projection
    if known is not None and not known.classes:
        return [bool(each) for each in known.blends] or [False] * len(parts)
    return [bool(part.trained_on) and part.metric == "cosine" and part.dim >= _MANY for part in parts]


def _sample(store: Store) -> Iterator[NDArray[np.float32]]:
    """Embeddings that are spread evenly over the gallery, at most _SAMPLE, in chunks."""
    ids = store.ids()
    step = -(-len(ids) // _SAMPLE)
    # A twentieth of a gallery of 700,000 is read by its ids; the others are not even looked at.
    return (rows for _, rows in store.embeddings(ids[::step].tolist() if step > 1 else None))
