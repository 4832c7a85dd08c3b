"""Query expansion for gallery and queries alike: vectors drawn towards their neighbours, beside whitened ones.

The neighbours of a picture mostly show what it shows, so their mean describes it more steadily than its own vector
(Turcot & Lowe 2009 for the gallery's side; Arandjelovic & Zisserman 2012 and Radenovic et al. 2018 for the query's,
the weights a power of the similarity). What is gained for the kind of a picture is lost for the single picture: a crop
no longer finds its original, and in a gallery of small classes the first hit gets worse. So the smoothed vectors are
compared beside whitened ones, in which unrelated pictures have a similarity of nearly 0 and copies a high one
(Jegou & Chum 2012 for the whitening). docs/decisions.md has the measurements of both.

Neighbours are searched for among *anchors*: vectors that are kept when the gallery is adapted, all of a small gallery
and a sample of a large one. So a vector depends on its own embedding and on the anchors, and on nothing that is added
later.

Arrays in, arrays out. Vectors are compared by cosine; apart from one block of products, no array is larger than the
vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

__all__ = ["Blend", "concat", "expand", "fit_blend", "whiten"]

_ANCHORS = 4096  # at most; with an eighth of the gallery, P@10 is a hundredth lower (docs/decisions.md)
_NEIGHBOURS = 20
_POWER = 5.0
_SHARE = 0.33  # of the whitened vectors in the similarity
_LEAST = 4  # vectors for each direction that is whitened: with fewer, the deviation of narrow ones is not known
_SPARE = 8  # more vectors than are wanted are measured again: rounding may have put a near one behind the last
_PRODUCTS = 1 << 22  # elements of one block of products: 16 MiB


@dataclass(frozen=True, slots=True)
class Blend:
    """Makes the vectors that are compared from projected embeddings: centred, the widest directions first.

    anchors: float32 (a, c), different vectors of length 1, of the first c directions. deviations: float32 (w,), the
    standard deviations of the first w directions.
    """

    anchors: Rows
    deviations: Rows

    @property
    def width(self) -> int:
        """Dimensions of a vector that is compared."""
        return int(self.anchors.shape[1]) + len(self.deviations)

    @property
    def needs(self) -> int:
        """Dimensions of a projected embedding that are used."""
        return max(int(self.anchors.shape[1]), len(self.deviations))

    def apply(self, projected: Rows) -> Rows:
        """Vectors of length 1, float32 (n, width), from projected embeddings, float32 (n, d), d >= needs.

        The same for the gallery and for queries. Equal embeddings become exactly equal vectors, whatever their
        positions.
        """
        steady = expand(projected[:, : self.anchors.shape[1]], self.anchors)
        if not len(self.deviations):
            return steady
        return concat(steady, whiten(projected[:, : len(self.deviations)], self.deviations), share=_SHARE)


def fit_blend(projected: Rows, *, smoothed: int, whitened: int) -> Blend:
    """Fit a blend to the projected embeddings of a gallery, float32 (n, d), n >= 1.

    smoothed, whitened: directions that are smoothed and whitened, at most; no more than n / 4 are whitened.
    """
    anchors = np.unique(unit(projected[:, :smoothed]), axis=0)
    chosen = np.linspace(0, len(anchors) - 1, min(len(anchors), _ANCHORS)).round().astype(np.intp)
    wide = projected[:, : min(whitened, max(1, len(projected) // _LEAST))]
    deviations = wide.std(axis=0, dtype=np.float64).astype(np.float32)
    return Blend(anchors[chosen], deviations[: np.count_nonzero(deviations)])


def expand(queries: Rows, rows: Rows, *, k: int = _NEIGHBOURS, power: float = _POWER) -> Rows:
    """Expand queries (m, d) to the weighted means of their k nearest `rows` (n, d): float32 (m, d), of length 1.

    rows: of length 1. The weights are the similarities relative to the second nearest row's, from 0 to 1, to the
    `power`. A query that is similar to no row becomes 0. With k = 1 a query becomes the row it is nearest to.
    """
    own, means = unit(queries), np.zeros(queries.shape)
    size = _choose_block(max(len(rows), min(k + _SPARE, len(rows)) * own.shape[1]))
    for start in range(0, len(own), size):
        part = slice(start, start + size)
        near, similarity = _find_nearest(own[part], rows, k)
        means[part] = np.einsum("mkd,mk->md", near, _weigh(similarity) ** power)
    return unit(means.astype(np.float32))


def _weigh(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each similarity (m, k), nearest first, as a fraction of the second one: the first may be the row itself.

    In a gallery of small classes few rows are about as near as the second; in one of large classes many are.
    """
    second = np.maximum(similarity[:, min(1, similarity.shape[1] - 1), None], 1e-6)
    return np.asarray(np.clip(similarity / second, 0.0, 1.0))


def whiten(rows: Rows, deviations: Rows) -> Rows:
    """Divide centred vectors (n, d) by the `deviations` (d,) of their directions, then scale them to length 1.

    A direction without deviation becomes 0.
    """
    scale = np.divide(1.0, deviations, out=np.zeros(len(deviations)), where=deviations > 0)
    return unit(np.asarray(rows * scale, np.float32))


def concat(first: Rows, second: Rows, *, share: float) -> Rows:
    """Concatenate vectors (n, a) and (n, b) of length 1 to (n, a + b), of length 1.

    The product of two of them is the weighted mean of both similarities; `share`, in [0, 1], is the second's.
    """
    return np.concatenate([np.float32((1 - share) ** 0.5) * first, np.float32(share**0.5) * second], axis=1)


def _find_nearest(queries: Rows, rows: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The k nearest rows to each query, float64 (m, k, d), and their similarities, float64 (m, k); nearest first.

    Measured in float64 row by row: a product of matrices rounds by a row's position, and equal queries must get equal
    means.
    """
    products = queries @ rows.T
    found = min(k + _SPARE, len(rows))
    indices = np.argpartition(products, len(rows) - found, axis=1)[:, len(rows) - found :]
    near = rows[indices].astype(np.float64)
    similarity = np.einsum("mkd,md->mk", near, queries.astype(np.float64))
    order = np.lexsort((indices, -similarity))[:, :k]
    return np.take_along_axis(near, order[..., None], axis=1), np.take_along_axis(similarity, order, axis=1)


def _choose_block(width: int) -> int:
    """How many rows of this many elements are worked on at once."""
    return max(1, _PRODUCTS // max(1, width))
