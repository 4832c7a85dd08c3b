"""Collections in memory, whose embeddings are points around a few centres."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.store import Record, Space, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.store import Store
    from lookalike.vectors.metric import Metric

    MakeStore = Callable[..., Store]

DIM = 16


@pytest.fixture
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Make a store of `sizes` pictures around as many centres, each in a folder of its own."""

    def make(
        sizes: Sequence[int], *, spread: float = 0.1, metric: Metric = "cosine", folders: Sequence[str] = ()
    ) -> Store:
        random = np.random.default_rng(0)
        store = open_store("memory:", create=Space("test", "test", DIM, metric, "test"))
        request.addfinalizer(store.close)
        records, embeddings = [], {}
        for number, size in enumerate(sizes):
            centre, folder = random.normal(size=DIM), folders[number] if folders else f"group{number}"
            for index in range(size):
                path = f"/photos/{folder}/{number}-{index:03d}.jpg".encode()
                digest = hashlib.sha256(path).digest()
                records.append(Record(path, size=1, digest=digest))
                embeddings[digest] = (centre + spread * random.normal(size=DIM)).astype(np.float32)
        with store.writing():
            store.put(records, embeddings)
        return store

    return make
