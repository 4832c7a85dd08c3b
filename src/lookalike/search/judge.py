"""Whether what a search found is near: by the distances of the gallery's own pictures to their nearest others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from numpy.typing import NDArray

    from lookalike.store import Near, Store
    from lookalike.store.calibration import Calibration

__all__ = ["FAR", "UNKNOWN", "Verdict", "find_calibration", "judge"]

FAR = 0.05  # the share of the gallery's own pictures whose nearest is farther, below which a hit is not near


class Verdict(NamedTuple):
    """What is known of the hits of a search: `Hit.chance` and `Hit.expected` by id, and `Hits.nothing_good`."""

    hits: Mapping[int, tuple[float, float]]
    nothing_good: bool | None


UNKNOWN = Verdict({}, None)


def find_calibration(store: Store) -> Calibration | None:
    """The calibration of a gallery; None if there is none, or if it has too few pictures to say anything."""
    found = store.calibration
    return found if found is not None and len(found.nearest) else None


def judge(
    store: Store,
    calibration: Calibration,
    query: NDArray[np.float32] | int,
    near: Near,
    own: Container[int] = (),
) -> Verdict:
    """Judge what was found. query: the embeddings of its views, float32 (v, dim), or the id of a stored picture.

    own: the ids of the query's own pictures, which do not count as something good. Call it in the transaction of the
    search.
    """
    ids = [id_ for id_, _ in near]
    if not ids:
        return UNKNOWN
    asked = [*ids, query] if isinstance(query, int) and query not in ids else ids
    chunks = list(store.embeddings(asked))
    found, rows = chunks[0] if len(chunks) == 1 else tuple(map(np.concatenate, zip(*chunks, strict=True)))
    rows = unit(rows)
    views = rows[found == query] if isinstance(query, int) else unit(query)
    distances = np.maximum(1.0 - (rows @ views.T).max(axis=1), 0.0).astype(np.float64)
    chances, expected = calibration.find_chances(distances), calibration.find_expected(distances)
    hits = dict(zip(found.tolist(), zip(chances.tolist(), expected.tolist(), strict=True), strict=True))
    others = [hits[id_][0] for id_ in ids if id_ not in own]
    return Verdict(hits, max(others) < FAR if others else None)
