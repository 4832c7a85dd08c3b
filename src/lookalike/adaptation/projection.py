"""Adapt embeddings to one gallery: subtract its mean, keep its principal directions, and blend them if asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.adaptation.expansion import fit_blend
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.expansion import Blend

__all__ = ["Projection", "fit_blends", "fit_parts", "fit_projection"]

_FEW = 8  # rows of a query: its views
_ONE_THREAD = 9216  # numbers of a matrix: with fewer, OpenBLAS multiplies a vector with it in one thread


@dataclass(frozen=True)
class Projection:
    """A mean and the principal directions around it, and how vectors are made of them.

    mean: float32 (dim,).
    components: float32 (dim, cut), orthonormal columns, the widest spread first.
    fitted_on: how many embeddings the gallery had when it was fitted, to them or to a sample of them.
    shares: for a hybrid, the weight of each group of columns in the similarity; together 1.
    groups: how many columns each group has; empty for groups of equal width.
    classes: the biases of the first columns, which with them are the log odds of classes; then there are two shares, of
    the classes and of the other columns.
    blends: for each group, or for all columns, how its vectors are made; None for a group that is not blended.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    fitted_on: int
    shares: tuple[float, ...] = ()
    classes: tuple[float, ...] = ()
    blends: tuple[Blend | None, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the columns can be divided as shares, groups, classes and blends say."""
        columns = self.components.shape[1]
        if self.classes:
            return len(self.shares) == 2 and len(self.classes) < columns and not self.blends and not self.groups
        parts = max(1, len(self.shares))
        if len(self._columns) != parts or min(self._columns) < 1 or sum(self._columns) != columns:
            return False
        fits = [blend is None or blend.needs <= own for blend, own in zip(self.blends, self._columns, strict=False)]
        return len(self.blends) in {0, parts} and all(fits)

    @property
    def _columns(self) -> list[int]:
        """How many columns each group has."""
        columns = self.components.shape[1]
        if self.classes:
            return [len(self.classes), columns - len(self.classes)]
        parts = max(1, len(self.shares))
        return list(self.groups or [columns // parts] * parts)

    @property
    def widths(self) -> list[int]:
        """How many dimensions of a vector each group has."""
        blends = self.blends or (None,) * len(self._columns)
        return [blend.width if blend else columns for blend, columns in zip(blends, self._columns, strict=True)]

    def apply(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors of embeddings float32 (n, dim): float32 (n, w), w the sum of `widths`."""
        return np.concatenate(self._weigh_groups(self.project(embeddings)), axis=1, dtype=np.float32)

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """The coordinates of embeddings float32 (n, dim) in all directions, float64 (n, cut)."""
        # In float64, because a product of float32 rounds a row by its position in the matrix: equal embeddings
        # would get unequal distances, and a picture would not find itself at 0.
        centred = np.subtract(embeddings, self.mean, dtype=np.float64)
        return _multiply(centred, self._exact)

    @cached_property
    def _exact(self) -> NDArray[np.float64]:
        """The components in float64; converting them for each query took a fifth of a search's time."""
        return self.components.astype(np.float64)

    def split(self, coordinates: NDArray[Any]) -> list[NDArray[Any]]:
        """Divide coordinates (n, cut) into the columns of each group."""
        return np.split(coordinates, np.cumsum(self._columns)[:-1], axis=1)

    def _weigh_groups(self, coordinates: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The groups' vectors, each as long as the root of its share: products are weighted means of similarities."""
        groups = self.split(coordinates)
        if self.classes:
            groups = [_to_root_probabilities(groups[0] + np.array(self.classes)), unit(groups[1])]
        else:
            groups = self._blend(groups)
        return [group * share**0.5 for group, share in zip(groups, self.shares or (1.0,), strict=True)]

    def _blend(self, groups: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        if not self.shares and not self.blends:
            return groups
        return [
            blend.apply(group.astype(np.float32)).astype(np.float64) if blend else unit(group)
            for group, blend in zip(groups, self.blends or (None,) * len(groups), strict=True)
        ]


def _multiply(rows: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of rows (n, dim) and a matrix (dim, w); of a few rows in parts that OpenBLAS gives to one thread.

    Two threads share such a product, and each waits until the other has had its turn: 2 x 1,963 by 280 takes 0.2 ms in
    parts, and between 0.1 and 63 ms at once where other programs want the cores too.
    """
    step = max(1, _ONE_THREAD // max(1, matrix.shape[1]))
    if len(rows) > _FEW or len(matrix) <= step:
        return np.asarray(rows @ matrix)
    product = np.zeros((len(rows), matrix.shape[1]))
    for start in range(0, len(matrix), step):
        product += rows[:, start : start + step] @ matrix[start : start + step]
    return product


def _to_root_probabilities(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square roots of the probabilities with these log odds, (n, classes): vectors of length 1."""
    likely = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(np.sqrt(likely / likely.sum(axis=1, keepdims=True)))


def fit_projection(chunks: Iterable[NDArray[np.float32]], dim: int, cut: int) -> Projection:
    """Principal component analysis of a stream of float32 (n, dim) matrices, in memory for dim x dim float64.

    cut: components to keep, at most; never more than the rank of the covariance, and fewer than there are embeddings.
    Raises ValueError for fewer than two embeddings, and where all are the same.
    """
    count, first, total, product = 0, np.zeros(dim, np.float32), np.zeros(dim), np.zeros((dim, dim))
    for chunk in chunks:
        if count == 0 and len(chunk):
            first = chunk[0].copy()
        # Relative to one of them, so that small differences are not lost in rounding.
        apart = chunk - first
        count += len(chunk)
        total += apart.sum(axis=0, dtype=np.float64)
        product += apart.T @ apart  # float32 products of at most some thousand rows, summed in float64
    if count < 2:
        raise ValueError("a projection needs at least two embeddings")
    mean = total / count
    covariance = product / count - np.outer(mean, mean)
    if covariance.trace() <= 1e-12:
        raise ValueError("all embeddings are the same: there is no direction to keep")
    spread, directions = np.linalg.eigh(covariance)
    rank = int((spread > spread[-1] * 1e-6).sum())
    widest = directions[:, ::-1][:, : min(cut, rank, count - 1)]
    return Projection((mean + first).astype(np.float32), _fix_signs(widest).astype(np.float32), count)


def fit_parts(
    chunks: Callable[[], Iterable[NDArray[np.float32]]],
    dims: Sequence[int],
    shares: Sequence[float],
    cuts: Sequence[int],
) -> Projection:
    """A projection of concatenated embeddings, of `dims` dimensions each, with principal directions of their own.

    chunks: called for each of them. shares: their weights. cuts: components to keep of each, at most. A group that is
    the same for all pictures becomes one column of zeros. Raises ValueError where all of them are, and for fewer than
    two embeddings.
    """
    ends = np.cumsum(dims)
    fitted = [_fit_group(chunks, slice(end - dim, end), cut) for dim, end, cut in zip(dims, ends, cuts, strict=True)]
    if not any(part.components.any() for part in fitted):
        raise ValueError("all embeddings are the same: there is no direction to keep")
    widths = [part.components.shape[1] for part in fitted]
    components = np.zeros((ends[-1], sum(widths)), np.float32)
    for part, dim, end, last in zip(fitted, dims, ends, np.cumsum(widths), strict=True):
        components[end - dim : end, last - part.components.shape[1] : last] = part.components
    mean = np.concatenate([part.mean for part in fitted])
    return Projection(mean, components, fitted[0].fitted_on, tuple(shares), groups=tuple(widths))


def _fit_group(chunks: Callable[[], Iterable[NDArray[np.float32]]], columns: slice, cut: int) -> Projection:
    dim = columns.stop - columns.start
    try:
        return fit_projection((chunk[:, columns] for chunk in chunks()), dim, cut)
    except ValueError:
        counts = [len(chunk) for chunk in chunks()]
        if sum(counts) < 2:
            raise
        first = next(chunk[0, columns] for chunk in chunks() if len(chunk))
        return Projection(first.copy(), np.zeros((dim, 1), np.float32), sum(counts))


def fit_blends(
    projection: Projection,
    chunks: Iterable[NDArray[np.float32]],
    wanted: Sequence[bool],
    *,
    smoothed: Sequence[int],
    whitened: Sequence[int],
) -> Projection:
    """Fit blends for the `wanted` groups of a projection to a stream of float32 (n, dim) matrices.

    smoothed, whitened: dimensions of each group, at most, as for `lookalike.adaptation.expansion.fit_blend`.
    """
    coordinates = np.concatenate([projection.project(chunk).astype(np.float32) for chunk in chunks])
    blends = tuple(
        fit_blend(part, smoothed=least, whitened=rest) if is_wanted else None
        for part, is_wanted, least, rest in zip(projection.split(coordinates), wanted, smoothed, whitened, strict=True)
    )
    return replace(projection, blends=blends if any(wanted) else ())


def _fix_signs(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn every column so that its largest entry is positive: eigenvectors come with any sign."""
    largest = np.abs(components).argmax(axis=0)
    signs: NDArray[np.float64] = np.sign(components[largest, np.arange(components.shape[1])])
    return components * signs
