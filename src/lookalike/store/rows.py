"""From projected embeddings to what is searched: the one place where rows and queries are made to match each other.

Every row depends on its own embedding and on the projection alone: `lookalike.store.cache` makes the rows of new
pictures only, and all of them for another projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.distance import Metric, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VERSION", "search_queries", "search_rows"]

VERSION = 1  # of what is below: rows of another version are made anew


def search_rows(projected: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """float32 (n, d) in, the rows that are searched, float32 (n, w) out: of length 1 for cosine.

    w is a multiple of 8, as whole words of bytes are scanned; the numbers added are 0.
    """
    rows = unit(projected) if metric == "cosine" else projected
    missing = -rows.shape[1] % 8
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def search_queries(projected: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Queries (m, d), projected like the gallery, as they are compared with the rows: of length 1 for cosine."""
    return search_rows(projected, metric)
