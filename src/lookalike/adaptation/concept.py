"""A concept as a direction: a discriminant between a few examples and all that a gallery holds.

A linear discriminant needs the mean of the examples and how all pictures vary, which the gallery tells without labels
(Hariharan, Malik & Ramanan 2012). The variation within the concept is not known from a few examples, so the covariance
is shrunk towards a multiple of the identity, the more the fewer there are: with one example the direction is nearly the
example itself, seen from the gallery's mean. All constants were chosen by cross-validation over eight collections, with
1, 2, 3, 5 and 10 examples (docs/decisions.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Exact = NDArray[np.float64]

__all__ = ["Direction", "fit_direction"]

_SHRINKAGE = 30.0  # times the mean variance of a dimension, for one example; a quarter for two, a ninth for three
_LEAST_SHRINKAGE = 0.3  # reached with ten examples
_AGAINST = 2.0  # unlike examples count 1 / (2 + n) of the n like ones
_CARRIES = 0.75  # of the way from the gallery's mean to the examples, each seen by the others
_CARRIES_ALONE = 0.3  # of the way to the only example
_NARROW = 1e-9  # of the largest variance: less is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """How a concept is found: a vector is the nearer the larger the cosine of its angle to `vector` is.

    vector: float32 (w,), of length 1. threshold: the cosine from which on a vector belongs to the concept.
    """

    vector: Rows
    threshold: float


def fit_direction(like: Rows, unlike: Rows, background: Rows) -> Direction:
    """The direction of examples, float32 (n, w), n >= 1, against unlike ones (m, w) and pictures of all kinds (b, w).

    All have length 1. The same arrays give the same direction.
    """
    mean = background.mean(axis=0, dtype=np.float64) if len(background) else np.zeros(like.shape[1])
    shrinkage = max(_SHRINKAGE / len(like) ** 2, _LEAST_SHRINKAGE)
    solve = _Solver(background - mean, shrinkage)
    away = (unlike - mean).mean(axis=0) / (_AGAINST + len(like)) if len(unlike) else np.zeros(like.shape[1])
    centred = like - mean
    solved, against = solve(centred), solve(away[None])[0]
    direction = _direction(solved.mean(axis=0) - against, like)
    return Direction(direction.astype(np.float32), _find_threshold(like, unlike, solved - against, direction, mean))


def _direction(wanted: Exact, like: Rows) -> Exact:
    """A direction of length 1; the mean of the examples where nothing tells them from the gallery."""
    return unit(wanted if np.linalg.norm(wanted) > _NARROW else like.mean(axis=0, dtype=np.float64))


def _find_threshold(like: Rows, unlike: Rows, solved: Exact, direction: Exact, mean: Exact) -> float:
    """The least cosine of a picture of the concept: every example reaches it and, if possible, no unlike one.

    It is calibrated by how near each example is to the direction of the others: its own direction is too near.
    """
    usual, own = float(mean @ direction), float((like @ direction).min())
    if len(like) > 1:
        others = unit((solved.sum(axis=0) - solved) / (len(like) - 1))
        threshold = usual + _CARRIES * (float(np.einsum("ij,ij->i", like, others).mean()) - usual)
    else:
        threshold = usual + _CARRIES_ALONE * (own - usual)
    if len(unlike):
        threshold = max(threshold, (own + float((unlike @ direction).max())) / 2)
    return min(threshold, own)


class _Solver:
    """Multiplies by the inverse of a shrunken covariance, through the directions in which the background varies."""

    def __init__(self, centred: Exact, shrinkage: float) -> None:
        count, width = centred.shape
        is_wide = count < width
        products = centred @ centred.T if is_wide else centred.T @ centred
        variances, vectors = np.linalg.eigh(products / max(1, count)) if count else (np.zeros(0), np.zeros((0, 0)))
        varies = variances > _NARROW * variances.max(initial=0)
        self._variances = variances[varies]
        found = vectors[:, varies]
        self._components = unit((centred.T @ found).T).T if is_wide else found
        self._added = shrinkage * (self._variances.mean() if len(self._variances) else 1.0)

    def __call__(self, rows: Exact) -> Exact:
        """The products of the inverse with rows float64 (n, w), up to a common factor."""
        inside = rows @ self._components
        shares = self._variances / (self._variances + self._added)
        return np.asarray(rows - (inside * shares) @ self._components.T)
