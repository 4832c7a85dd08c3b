"""Find damage: check every row against its checksum, the tally, and the vectors against the embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.errors import StoreError
from lookalike.store.float16 import from_blobs
from lookalike.store.rows import DIGEST, ID, Tally
from lookalike.store.server import adapt, are_close

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Space
    from lookalike.store.milvus.moment import Moment
    from lookalike.store.milvus.tables import Reader

__all__ = ["problems"]


def problems(
    moment: Moment, reader: Reader, space: Space, projection: Callable[[Moment], Projection | None]
) -> Iterator[str]:
    """The problems found in a gallery at one moment, one line each."""
    looks: list[Callable[[], Iterator[str]]] = [
        lambda: _check_items(moment, reader),
        lambda: _check_entries(reader),
        lambda: _check_vectors(reader, space, projection(moment)),
    ]
    for look in looks:
        try:
            yield from look()
        except StoreError as error:
            yield str(error)


def _check_items(moment: Moment, reader: Reader) -> Iterator[str]:
    tally = Tally()
    for rows in (*reader.with_digest(), *reader.skipped()):
        tally = tally.plus(rows)
        reader.descriptions({row[DIGEST] for row in rows if row[DIGEST] is not None})
    expected = moment.state.records, moment.state.embedded, moment.state.checksums
    if tuple(tally) != expected:
        yield f"{tally.records:,} items found, but {expected[0]:,} were written, or others"


def _check_entries(reader: Reader) -> Iterator[str]:
    for key in reader.names(""):
        reader.meta(key)
    yield from ()


def _check_vectors(reader: Reader, space: Space, fitted: Projection | None) -> Iterator[str]:
    for rows, blobs in reader.embedded():
        ids, found = reader.vectors([row[ID] for row in rows])
        expected = adapt(from_blobs(blobs, space.dim), fitted, space)
        if ids.tolist() != [row[ID] for row in rows] or not are_close(found, expected):
            yield f"vectors of items {rows[0][ID]} to {rows[-1][ID]} are missing or do not fit their embeddings"
