"""A concept as a direction: a discriminant between a few examples and all that a gallery holds.

A linear discriminant needs the mean of the examples and how all pictures vary, which the gallery shows without labels
(Hariharan, Malik & Ramanan 2012). The variation within the concept is not known from a few examples, so the covariance
is shrunk towards a multiple of the identity, and shrunk more when there are fewer: with one example the direction is
nearly the example itself, seen from the gallery's mean. All constants were chosen by cross-validation over eight
collections, with 1, 2, 3, 5 and 10 examples (docs/decisions.md).
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

__all__ = ["Background", "Direction", "fit_direction"]

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


class Background:
    """How the vectors of a gallery vary: their mean, and the variances along the directions in which they do."""

    def __init__(self, rows: Rows) -> None:
        """rows: float32 (b, w), all vectors or a sample of them, of length 1."""
        count, width = rows.shape
        self.mean = rows.mean(axis=0, dtype=np.float64) if count else np.zeros(width)
        centred = rows - self.mean
        is_wide = count < width
        products = centred @ centred.T if is_wide else centred.T @ centred
        variances, vectors = np.linalg.eigh(products / max(1, count)) if count else (np.zeros(0), np.zeros((0, 0)))
        varies = variances > _NARROW * variances.max(initial=0)
        self._variances, found = variances[varies], vectors[:, varies]
        self._components = unit((centred.T @ found).T).T if is_wide else found

    def solve(self, rows: Exact, shrinkage: float) -> Exact:
        """The products of rows, float64 (n, w), and the inverse of the shrunken covariance, up to a common factor.

        shrinkage: what is added to all variances, in units of their mean.
        """
        added = shrinkage * (self._variances.mean() if len(self._variances) else 1.0)
        shares = self._variances / (self._variances + added)
        return np.asarray(rows - ((rows @ self._components) * shares) @ self._components.T)


def fit_direction(like: Rows, unlike: Rows, background: Background) -> Direction:
    """The direction of examples, float32 (n, w), n >= 1, against unlike ones, (m, w), and pictures of all kinds.

    All have length 1. The same arrays give the same direction.
    """
    shrinkage = max(_SHRINKAGE / len(like) ** 2, _LEAST_SHRINKAGE)
    solved = background.solve(like - background.mean, shrinkage)
    if len(unlike):
        away = (unlike - background.mean).mean(axis=0, keepdims=True) / (_AGAINST + len(like))
        solved = solved - background.solve(away, shrinkage)
    direction = _direction(solved.mean(axis=0), like)
    return Direction(direction.astype(np.float32), _find_threshold(like, unlike, solved, direction, background.mean))


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
