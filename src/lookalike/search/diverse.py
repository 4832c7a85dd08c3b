"""Hits that differ from each other: maximal marginal relevance (Carbonell & Goldstein 1998)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import UsageError
from lookalike.search.query import is_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.store import Near, Store

__all__ = ["CANDIDATES", "USUAL", "check_strength", "select_diverse"]

CANDIDATES = 200
"""The nearest pictures among which hits are chosen; a fixed number, so that pages do not overlap."""

USUAL = 0.5
"""How much it counts that a hit differs from those before it, unless another strength is asked for."""


def check_strength(given: object) -> float:
    """The strength of `diverse`, in [0, 1]; True asks for the usual one. Raises UsageError."""
    if isinstance(given, bool | np.bool_):
        return USUAL if given else 0.0
    if not is_number(given, int, float, np.number) or not 0 <= float(given) <= 1:  # type: ignore[arg-type]
        raise UsageError(f"the strength of diverse is {given!r:.60}; it must be a number from 0 to 1")
    return float(given)  # type: ignore[arg-type]


def select_diverse(store: Store, near: Near, k: int, strength: float) -> Near:
    """Choose k of the pictures that were found, each near to the query and unlike those chosen before it.

    near: nearest first; the first stays first. Both distances are scaled to [0, 1] among the candidates. Call it inside
    the `store.reading()` of the search.
    """
    if len(near) < 3 or not strength:
        return near[:k]
    rows = store.vectors([id_ for id_, _ in near])
    order = _choose(rows, np.array([distance for _, distance in near]), min(k, len(near)), strength)
    return [near[index] for index in order]


def _choose(rows: NDArray[np.float32], distances: NDArray[np.float64], k: int, strength: float) -> list[int]:
    """The indices of the rows (n, w) that are chosen, in this order. distances: to the query, (n,)."""
    far = _scale(distances)
    squares = np.einsum("ij,ij->i", rows, rows)
    apart = np.full(len(rows), math.inf, np.float32)
    widest = float(np.sqrt(max(2 * squares.max(), 1e-12)))
    chosen, last = [0], 0
    far[0] = math.inf  # it is not chosen twice
    while len(chosen) < k:
        to_last = squares + squares[last] - 2 * (rows @ rows[last])
        apart = np.minimum(apart, np.sqrt(np.maximum(to_last, 0)))
        last = int(
            np.argmin(
                (1 - strength) * far - strength * np.minimum(apart / widest, 1) if strength < 1 else _only(apart, far)
            )
        )
        far[last] = math.inf
        chosen.append(last)
    return chosen


def _only(apart: NDArray[np.float32], far: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cost of each row where nearness to the query does not count."""
    return np.where(np.isinf(far), math.inf, -apart.astype(np.float64))


def _scale(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    least, most = distances.min(), distances.max()
    return (distances - least) / (most - least) if most > least else np.zeros(len(distances))
