"""Whether what a search found is near: by the distances of the gallery's own pictures to their nearest others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.store import JUDGED

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from numpy.typing import NDArray

    from lookalike.store import Record, Store
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
    query: NDArray[np.float32] | bytes,
    near: Mapping[int, Record],
    own: Container[int] = (),
) -> Verdict:
    """Judge what was found. query: as for `Store.raw_distances`. near: the records found, nearest first, by id.

    own: the ids of the query's own pictures, which do not count as something good. Call it in the transaction of the
    search.
    """
    digests = {id_: record.digest for id_, record in near.items() if record.digest is not None}
    measured = store.raw_distances(query, digests.values())
    ids = [id_ for id_, digest in digests.items() if digest in measured]
    if not ids:
        return UNKNOWN
    distances = np.array([measured[digests[id_]] for id_ in ids])
    found = zip(
        calibration.find_chances(distances).tolist(), calibration.find_expected(distances).tolist(), strict=True
    )
    hits = dict(zip(ids, found, strict=True))
    others = [chance for id_, (chance, _) in hits.items() if id_ not in own][:JUDGED]
    return Verdict(hits, max(others) < FAR if others else None)
