"""Small stores to test with: items, embeddings and the answer that a search must give."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store import Item, Space, Store
from lookalike.vectors.metric import Metric, distances

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.adaptation.projection import Projection
    from lookalike.store.sqlite.column_cache import Coded, Facts

DIM = 8


def space(metric: Metric = "cosine", dim: int = DIM) -> Space:
    return Space("test", "test-1", dim, metric, "test")


def digest(content: int) -> bytes:
    return b"digest %025d" % content


def embedding(content: int, dim: int = DIM) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Of small whole numbers, which every store keeps exactly."""
    return np.random.default_rng(content).integers(-50, 50, dim).astype(np.float32)


def item(key: bytes, content: int | None = None, stamp: str = "1:1") -> Item:
    info = {"reason": "not an image"} if content is None else {"width": 3, "format": "PNG"}
    return Item(key, stamp, None if content is None else digest(content), info)


def put(store: Store, contents: dict[bytes, int | None], stamp: str = "1:1") -> None:
    """One batch: every key with its content."""
    numbers = {content for content in contents.values() if content is not None}
    known = store.known(map(digest, numbers))
    new = {digest(number): embedding(number) for number in numbers if digest(number) not in known}
    store.put([item(key, content, stamp) for key, content in contents.items()], new)


def expected(
    rows: dict[int, int],
    query: np.ndarray[tuple[int], np.dtype[np.float32]],
    k: int,
    *,
    metric: Metric = "cosine",
    projection: Projection | None = None,
) -> list[tuple[int, float]]:
    """By brute force: ids and distances of the k nearest of {id: content}."""
    if not rows:
        return []
    ids = sorted(rows)
    matrix = np.stack([embedding(rows[id_]) for id_ in ids])
    if projection is not None:
        matrix, query = projection.apply(matrix), projection.apply(query[None])[0]
    found = zip(ids, distances(query, matrix, metric).tolist(), strict=True)
    return sorted(found, key=lambda pair: (pair[1], pair[0]))[:k]


def assert_same_answer(got: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> None:
    """The same distances at every rank, and the same ids wherever the distances leave no choice."""
    assert len(got) == len(wanted)
    np.testing.assert_allclose([d for _, d in got], [d for _, d in wanted], atol=1e-5)
    nearest = [d for _, d in wanted]
    for rank, (one, other) in enumerate(zip(got, wanted, strict=True)):
        alone = all(abs(nearest[rank] - d) > 1e-5 for d in nearest[:rank] + nearest[rank + 1 :])
        if alone and rank < len(nearest) - 1:
            assert one[0] == other[0]


def told(parts: Iterable[Facts]) -> dict[int, tuple[Any, ...]]:
    """What facts say of each item that counts, by its id: folder, name, size, second, information."""
    found: dict[int, tuple[Any, ...]] = {}
    for part in parts:
        folders, names = decoded(part.folders), part.split_names()
        fields = {field: decoded(column) for field, column in part.information.items()}
        for n, id_ in enumerate(part.ids.tolist()):
            if part.alive is None or part.alive[n]:
                assert id_ not in found
                info = {field: values[n] for field, values in fields.items() if part.information[field].codes[n]}
                numbers = (None if np.isnan(one[n]) else float(one[n]) for one in (part.sizes, part.moments))
                found[id_] = folders[n], names[n], *numbers, json.dumps(info, sort_keys=True)
    return found


def decoded(column: Coded) -> list[Any]:
    return [column.values[code - 1] if code else None for code in column.codes.tolist()]


def wanted_facts(store: Store) -> dict[int, tuple[Any, ...]]:
    """What `told` must give, from the items themselves."""
    found = {}
    for known in store.items():
        if known.digest is not None:
            size, _, moment = known.stamp.partition(":")
            numbers = (float(size), float(round(int(moment) / 1e9))) if moment else (None, None)
            folder, _, name = os.fsdecode(known.key).rpartition("/")
            found[known.id] = folder, name, *numbers, json.dumps(dict(known.info), sort_keys=True)
    return found
