"""Adapt embeddings to labels: which class a picture belongs to, and beside it what it looks like.

Linear discriminant analysis of the embeddings, with the covariance shrunk towards a multiple of the identity (Friedman
1989, Ledoit & Wolf 2004). A vector holds the square roots of the class probabilities, so that the product of two is
their Bhattacharyya coefficient, and beside them the plain projection: of two pictures of a class, the one that looks
more alike is nearer. How much the covariance is shrunk and how soft the probabilities are is chosen by
cross-validation.

Arrays in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike.adaptation.projection import Projection, fit_projection
from lookalike.metrics import measure_retrieval
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Labels = NDArray[np.str_]

__all__ = ["MIN_PER_CLASS", "Validation", "cross_validate", "fit_classes"]

MIN_PER_CLASS = 5  # pictures of a class: one for each fold
_FOLDS = 5
_SHRINKAGE = (0.01, 0.1, 0.3)
_SOFTNESS = (0.1, 0.3, 1.0)  # factors of the log odds, which are overconfident with a thousand dimensions
_SHARE = 0.7  # of the classes in the similarity; the rest is the plain projection (docs/decisions.md)
_JITTER = 1e-9  # of the mean variance: a covariance that is not shrunk may be singular


@dataclass(frozen=True, slots=True)
class Validation:
    """How much labels help: figures with and without them (`lookalike.metrics.measure_retrieval`), cross-validated.

    shrinkage and softness, in (0, 1], are those that were best with labels.
    """

    with_labels: dict[str, float]
    without: dict[str, float]
    shrinkage: float
    softness: float

    @property
    def is_better(self) -> bool:
        """Whether pictures of a class are found better with labels: a higher mAP."""
        return self.with_labels["mAP"] > self.without["mAP"]


def cross_validate(rows: Rows, labels: Labels, *, dim: int, without: Callable[[Rows], Projection]) -> Validation:
    """Measure embeddings float32 (n, d) adapted with their labels (n,) and without, in five folds.

    Queries are neither in the gallery that is searched nor in what is fitted. There are at least two classes with
    MIN_PER_CLASS pictures or more each. dim: dimensions of the plain projection beside the classes. without: fits the
    projection without labels. Raises ValueError when all embeddings are the same.
    """
    fold = _assign_folds(labels)
    tried: dict[tuple[float, float], list[dict[str, float]]] = {}
    unlabelled = []
    for train in (fold != number for number in range(_FOLDS)):
        plain = fit_projection([rows[train]], rows.shape[1], dim)
        unlabelled.append(_measure(without(rows[train]), rows, labels, train))
        for shrinkage, softness, projection in _fit_all(rows[train], labels[train], plain):
            tried.setdefault((shrinkage, softness), []).append(_measure(projection, rows, labels, train))
    means = {key: _mean(figures) for key, figures in tried.items()}
    best = max(means, key=lambda key: means[key]["mAP"])
    return Validation(means[best], _mean(unlabelled), *best)


def fit_classes(rows: Rows, labels: Labels, plain: Projection, validation: Validation) -> Projection:
    """Fit a discriminant to embeddings float32 (n, d) and put it beside a plain projection, as was validated best."""
    return next(_soften(_Discriminant(rows, labels), plain, validation.shrinkage, (validation.softness,)))[2]


def _fit_all(rows: Rows, labels: Labels, plain: Projection) -> Iterator[tuple[float, float, Projection]]:
    discriminant = _Discriminant(rows, labels)
    for shrinkage in _SHRINKAGE:
        yield from _soften(discriminant, plain, shrinkage, _SOFTNESS)


def _soften(
    discriminant: _Discriminant, plain: Projection, shrinkage: float, softness: tuple[float, ...]
) -> Iterator[tuple[float, float, Projection]]:
    weights, biases = discriminant.solve(shrinkage)
    for factor in softness:
        # One mean serves both halves: the difference in the log odds goes into their biases.
        shift = biases + (plain.mean.astype(np.float64) - discriminant.mean) @ weights
        yield shrinkage, factor, _put_beside(plain, weights * factor, shift * factor)


def _put_beside(plain: Projection, weights: NDArray[np.float64], biases: NDArray[np.float64]) -> Projection:
    components = np.concatenate([weights.astype(np.float32), plain.components], axis=1)
    return replace(
        plain,
        components=components,
        shares=(_SHARE, 1 - _SHARE),
        classes=tuple(float(bias) for bias in biases - biases.max()),
    )


class _Discriminant:
    """What all shrinkages share: the means of the classes, their frequencies, and the covariance within them."""

    def __init__(self, rows: Rows, labels: Labels) -> None:
        classes, members = np.unique(labels, return_inverse=True)
        self.mean = rows.mean(axis=0, dtype=np.float64)
        self.frequencies = np.bincount(members) / len(members)
        own = np.stack([rows[members == label].mean(axis=0, dtype=np.float64) for label in range(len(classes))])
        within = rows - own[members].astype(np.float32)
        self.spread = (within.T @ within).astype(np.float64) / len(rows)
        self.means = own - self.mean

    def solve(self, shrinkage: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (d, classes) and biases (classes,) of the log odds of centred rows."""
        level = self.spread.trace() / len(self.spread)
        shrunk = (1 - shrinkage) * self.spread
        shrunk[np.diag_indices_from(shrunk)] += shrinkage * level + _JITTER * max(level, _JITTER)
        weights = np.linalg.solve(shrunk, self.means.T)
        biases = np.log(self.frequencies) - np.einsum("cd,dc->c", self.means, weights) / 2
        return weights, biases


def _assign_folds(labels: Labels) -> NDArray[np.intp]:
    """A fold for each row, with every class spread evenly over the folds."""
    order = np.lexsort((np.random.default_rng(0).permutation(len(labels)), labels))
    folds = np.empty(len(labels), np.intp)
    folds[order] = np.arange(len(labels)) % _FOLDS
    return folds


def _measure(projection: Projection, rows: Rows, labels: Labels, train: NDArray[np.bool_]) -> dict[str, float]:
    vectors = unit(projection.apply(rows))
    order = np.argsort(-(vectors[~train] @ vectors[train].T), axis=1, kind="stable")
    return measure_retrieval(labels[train][order] == labels[~train][:, None])


def _mean(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}
