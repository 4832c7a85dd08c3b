"""Find damage: check every row against its checksum, the tally, and the vectors against the embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import StoreError
from lookalike.store.float16 import from_blobs
from lookalike.store.rows import DIGEST, ID, Tally
from lookalike.store.server import adapt, are_close

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Space
    from lookalike.store.postgresql.moment import Moment
    from lookalike.store.postgresql.tables import Reader

__all__ = ["problems"]


def problems(
    moment: Moment, reader: Reader, space: Space, projection: Callable[[Moment], Projection | None]
) -> Iterator[str]:
    """The problems found in a gallery at one moment, one line each."""
    looks: list[Callable[[], Iterator[str]]] = [
        lambda: _check_items(moment, reader),
        lambda: _check_entries(moment, reader),
        lambda: _check_vectors(moment, reader, space, projection(moment)),
    ]
    for look in looks:
        try:
            yield from look()
        except StoreError as error:
            yield str(error)


def _check_items(moment: Moment, reader: Reader) -> Iterator[str]:
    tally, last = Tally(), 0
    while rows := reader.rows("WHERE i.id > %s ORDER BY i.id LIMIT 4096", [last]):
        tally, last = tally.plus(rows), rows[-1][ID]
        reader.descriptions({row[DIGEST] for row in rows if row[DIGEST] is not None})
    expected = moment.state.records, moment.state.embedded, moment.state.checksums
    if tuple(tally) != expected:
        yield f"{tally.records:,} items found, but {expected[0]:,} were written, or others"


def _check_entries(moment: Moment, reader: Reader) -> Iterator[str]:
    for (key,) in moment.fetch("SELECT key FROM meta ORDER BY key"):
        reader.meta(key)
    yield from ()


def _check_vectors(moment: Moment, reader: Reader, space: Space, fitted: Projection | None) -> Iterator[str]:
    met = 0
    for rows, blobs in reader.embedded():
        ids, found = reader.vectors(moment.state.epoch, moment.state.width, [row[ID] for row in rows])
        met += len(ids)
        expected = adapt(from_blobs(blobs, space.dim), fitted, space)
        order = np.argsort(ids)
        if len(ids) != len(rows) or not are_close(found[order], expected):
            yield f"vectors of items {rows[0][ID]} to {rows[-1][ID]} are missing or do not fit their embeddings"
    ((count,),) = moment.fetch(f"SELECT count(*) FROM vector_{moment.state.epoch}")
    if count != met:
        yield f"{count:,} vectors found for {met:,} embeddings"
