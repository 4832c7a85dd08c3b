"""Let the pictures of a gallery vouch for each other: smoothing of the gallery, expansion of the query.

A picture's neighbours mostly show what it shows, so the mean of them is a steadier description than the picture's
own (Turcot & Lowe 2009 for the gallery's side; Arandjelovic & Zisserman 2012 and Radenovic et al. 2018 for the
query's, the weights a power of the similarity). What is gained for pictures of a kind is lost for the one picture:
a crop no longer finds its original, and the first hit of a gallery of small classes gets worse. So the smoothed rows
are searched beside whitened ones, in which unrelated pictures have a similarity of nearly 0 and copies a high one
(Jegou & Chum 2012 for the whitening). docs/decisions.md has the measurements of both.

Arrays in, arrays out. Rows are compared by cosine; nothing is larger than the rows but for one block of products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.distance import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

__all__ = ["Blend", "beside", "expand", "nearest", "smooth", "whiten"]

_PRODUCTS = 1 << 22  # numbers of one block of products: 16 MiB


class Blend:
    """A gallery's search matrix: its rows smoothed, and whitened beside it; and queries made to match.

    rows: float32 (n, numbers + w), of length 1, from `projected`, float32 (n, d): centred, the widest directions
    first, as a projection on principal components gives them. The first `numbers` are smoothed; w of them, at most
    a quarter of n because the spread of the narrow ones is otherwise not known, are whitened.
    """

    def __init__(self, projected: Rows, *, numbers: int = 64, k: int = 20, share: float = 0.5) -> None:
        self._numbers, self._k, self._share = numbers, k, share
        self._deviations = projected[:, : max(1, len(projected) // 4)].std(axis=0, dtype=np.float64)
        self._rows = unit(projected[:, :numbers])
        self.rows = self._join(smooth(self._rows, k=k), projected)

    def query(self, projected: Rows) -> Rows:
        """Queries (m, d), projected like the gallery, as rows (m, numbers + w); one of the gallery gets its own row."""
        return self._join(expand(projected[:, : self._numbers], self._rows, k=self._k), projected)

    def _join(self, steady: Rows, projected: Rows) -> Rows:
        exact = whiten(projected[:, : len(self._deviations)], self._deviations)
        return beside(steady, exact, share=self._share)


def smooth(rows: Rows, *, k: int = 20, power: float = 3.0) -> Rows:
    """Every row as the weighted mean of its k nearest, itself among them: float32 (n, d), rows of length 1.

    Weights are the similarity, if above 0, to the `power`. Equal rows stay equal, whatever their places; a row of
    length 0 stays 0. k = 1 only scales the rows. Time is that of n * n products of length d.
    """
    distinct, places = np.unique(rows, axis=0, return_inverse=True)
    return expand(distinct, rows, k=k, power=power)[places.reshape(-1)]


def expand(queries: Rows, rows: Rows, *, k: int = 20, power: float = 3.0) -> Rows:
    """Queries (m, d) as the weighted means of their k nearest rows: float32 (m, d), of length 1.

    Weights as in `smooth`, so that a query equal to a row becomes what that row is smoothed to. A query that is
    like no row becomes 0.
    """
    own, others = unit(queries), unit(rows)
    means = np.zeros(own.shape)
    size = _block(min(k, len(others)) * own.shape[1])
    for start in range(0, len(own), size):
        part = slice(start, start + size)
        near = others[nearest(own[part], others, k)].astype(np.float64)
        # Again in float64, of the few: so that rounding, which depends on a row's place, is not in the weights.
        likeness = np.einsum("mkd,md->mk", near, own[part].astype(np.float64))
        means[part] = np.einsum("mkd,mk->md", near, np.maximum(likeness, 0.0) ** power)
    return unit(means.astype(np.float32))


def nearest(queries: Rows, rows: Rows, k: int) -> NDArray[np.intp]:
    """Where the k rows (n, d) of the largest product with each query (m, d) are: (m, min(k, n)), in no order."""
    k = min(k, len(rows))
    found = np.empty((len(queries), k), np.intp)
    size = _block(len(rows))
    for start in range(0, len(queries) if k > 0 else 0, size):
        products = queries[start : start + size] @ rows.T
        found[start : start + size] = np.argpartition(products, len(rows) - k, axis=1)[:, len(rows) - k :]
    return found


def whiten(rows: Rows, deviations: NDArray[np.float64]) -> Rows:
    """Centred rows (n, d) with all directions equally wide: divided by `deviations` (d,), then scaled to length 1.

    A direction without deviation says nothing and becomes 0.
    """
    scale = np.divide(1.0, deviations, out=np.zeros(len(deviations)), where=deviations > 0)
    return unit(np.asarray(rows * scale, np.float32))


def beside(first: Rows, second: Rows, *, share: float) -> Rows:
    """Two descriptions (n, a), (n, b) of length 1 as one: (n, a + b), of length 1.

    The product of two such rows is the weighted mean of the two similarities; `share` in [0, 1] is the second's.
    """
    return np.concatenate([np.float32((1 - share) ** 0.5) * first, np.float32(share**0.5) * second], axis=1)


def _block(numbers: int) -> int:
    """How many rows of so many numbers are worked on at once."""
    return max(1, _PRODUCTS // max(1, numbers))
