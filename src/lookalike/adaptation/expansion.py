"""Let the pictures of a gallery vouch for each other: rows drawn to their neighbours, beside rows that stand apart.

A picture's neighbours mostly show what it shows, so the mean of them is a steadier description than the picture's
own (Turcot & Lowe 2009 for the gallery's side; Arandjelovic & Zisserman 2012 and Radenovic et al. 2018 for the
query's, the weights a power of the similarity). What is gained for pictures of a kind is lost for the one picture:
a crop no longer finds its original, and the first hit of a gallery of small classes gets worse. So the smoothed rows
are searched beside whitened ones, in which unrelated pictures have a similarity of nearly 0 and copies a high one
(Jegou & Chum 2012 for the whitening). docs/decisions.md has the measurements of both.

The neighbours are looked for among *anchors*: rows that were kept when the gallery was adapted, all of a small gallery
and some of a large one. So a row depends on its own embedding and on what was kept, and on nothing that comes later.

Arrays in, arrays out. Rows are compared by cosine; nothing is larger than the rows but for one block of products.
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

_ANCHORS = 4096  # rows kept, at most: with an eighth of the gallery's P@10 is a hundredth lower (docs/decisions.md)
_NEIGHBOURS = 20
_POWER = 3.0
_SHARE = 0.5  # of the whitened rows in the similarity
_LEAST = 4  # rows for each direction that is whitened: the spread of the narrow ones is otherwise not known
_SPARE = 8  # more rows than are wanted are measured again: rounding may have put a near one behind the last
_PRODUCTS = 1 << 22  # numbers of one block of products: 16 MiB


@dataclass(frozen=True, slots=True)
class Blend:
    """Makes the rows that are searched from projected embeddings: centred, the widest directions first.

    anchors: float32 (a, c), different rows of length 1, of the first c directions. deviations: float32 (w,), how wide
    the first w directions are.
    """

    anchors: Rows
    deviations: Rows

    @property
    def width(self) -> int:
        """Numbers of a row that is searched."""
        return int(self.anchors.shape[1]) + len(self.deviations)

    @property
    def needs(self) -> int:
        """Numbers of a projected embedding that are used."""
        return max(int(self.anchors.shape[1]), len(self.deviations))

    def apply(self, projected: Rows) -> Rows:
        """float32 (n, d) in, float32 (n, width) out, of length 1: for the gallery and for queries alike.

        Equal embeddings become exactly equal rows, whatever their places.
        """
        steady = expand(projected[:, : self.anchors.shape[1]], self.anchors)
        if not len(self.deviations):
            return steady
        return concat(steady, whiten(projected[:, : len(self.deviations)], self.deviations), share=_SHARE)


def fit_blend(projected: Rows, *, smoothed: int, whitened: int) -> Blend:
    """A blend from projected embeddings float32 (n, d) of a gallery; n >= 1.

    smoothed, whitened: how many directions are, at most; the latter no more than a quarter of n.
    """
    anchors = np.unique(unit(projected[:, :smoothed]), axis=0)
    chosen = np.linspace(0, len(anchors) - 1, min(len(anchors), _ANCHORS)).round().astype(np.intp)
    wide = projected[:, : min(whitened, max(1, len(projected) // _LEAST))]
    deviations = wide.std(axis=0, dtype=np.float64).astype(np.float32)
    return Blend(anchors[chosen], deviations[: np.count_nonzero(deviations)])


def expand(queries: Rows, rows: Rows, *, k: int = _NEIGHBOURS, power: float = _POWER) -> Rows:
    """Queries (m, d) as the weighted means of their k nearest `rows` (n, d), of length 1: float32 (m, d), of length 1.

    Weights are the similarity, if above 0, to the `power`. A query that is like no row becomes 0. With k = 1 a query
    becomes the row it is nearest to.
    """
    own, means = unit(queries), np.zeros(queries.shape)
    size = _block(max(len(rows), min(k + _SPARE, len(rows)) * own.shape[1]))
    for start in range(0, len(own), size):
        part = slice(start, start + size)
        near, similarity = _nearest(own[part], rows, k)
        means[part] = np.einsum("mkd,mk->md", near, np.maximum(similarity, 0.0) ** power)
    return unit(means.astype(np.float32))


def whiten(rows: Rows, deviations: Rows) -> Rows:
    """Centred rows (n, d) with all directions equally wide: divided by `deviations` (d,), then scaled to length 1.

    A direction without deviation says nothing and becomes 0.
    """
    scale = np.divide(1.0, deviations, out=np.zeros(len(deviations)), where=deviations > 0)
    return unit(np.asarray(rows * scale, np.float32))


def concat(first: Rows, second: Rows, *, share: float) -> Rows:
    """Two descriptions (n, a), (n, b) of length 1 as one: (n, a + b), of length 1.

    The product of two such rows is the weighted mean of the two similarities; `share` in [0, 1] is the second's.
    """
    return np.concatenate([np.float32((1 - share) ** 0.5) * first, np.float32(share**0.5) * second], axis=1)


def _nearest(queries: Rows, rows: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The k nearest rows to each query, float64 (m, k, d), and their similarities, float64 (m, k); nearest first.

    Measured in float64 row by row: a product of matrices rounds by a row's place, and equal queries must get equal
    means.
    """
    products = queries @ rows.T
    found = min(k + _SPARE, len(rows))
    places = np.argpartition(products, len(rows) - found, axis=1)[:, len(rows) - found :]
    near = rows[places].astype(np.float64)
    similarity = np.einsum("mkd,md->mk", near, queries.astype(np.float64))
    order = np.lexsort((places, -similarity))[:, :k]
    return np.take_along_axis(near, order[..., None], axis=1), np.take_along_axis(similarity, order, axis=1)


def _block(numbers: int) -> int:
    """How many rows of so many numbers are worked on at once."""
    return max(1, _PRODUCTS // max(1, numbers))
