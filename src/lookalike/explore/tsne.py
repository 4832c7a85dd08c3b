"""A finer map, by t-SNE as openTSNE computes it: more neighbours stay together, in some twenty times the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import MissingExtra, how_to_install
from lookalike.explore.layout import begin, scale
from lookalike.vectors.graph import build_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

    Rows = NDArray[np.float32]

__all__ = ["check_tsne", "lay_out_finely"]

_PERPLEXITY = 30
_PER_PERPLEXITY = 3  # neighbours, as is usual
_LEAST = 10  # points; fewer have nothing to gain
_BEGIN = 1e-4  # the deviation with which the points begin (Kobak & Berens 2019)


def check_tsne() -> None:
    """Raise MissingExtra unless openTSNE is installed."""
    try:
        import openTSNE  # noqa: F401, PLC0415  (an extra; scipy and scikit-learn, a second)
    except ImportError as error:
        raise MissingExtra("the finer map needs openTSNE", hint=how_to_install("lookalike[maps]")) from error


def lay_out_finely(rows: Rows, metric: Metric, *, seed: int = 0) -> Rows | None:
    """The points of vectors (n, d), float32 (n, 2), as `layout.lay_out` gives them; None for very few vectors.

    Raises MissingExtra.
    """
    check_tsne()
    from openTSNE import TSNE  # noqa: PLC0415  (as above)
    from openTSNE.affinity import PerplexityBasedNN  # noqa: PLC0415
    from openTSNE.nearest_neighbors import PrecomputedNeighbors  # noqa: PLC0415

    if len(rows) < _LEAST:
        return None
    graph = build_graph(rows, _PER_PERPLEXITY * _PERPLEXITY, metric)
    perplexity = min(_PERPLEXITY, graph.indices.shape[1] / _PER_PERPLEXITY)
    near = PrecomputedNeighbors(graph.indices, graph.distances.astype(np.float64))
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=near)
    first = begin(rows, seed).astype(np.float64)
    first *= _BEGIN / max(first[:, 0].std(), 1e-12)
    fitted = TSNE(random_state=seed, n_jobs=1).fit(affinities=affinities, initialization=first)
    return scale(np.asarray(fitted, np.float32))
