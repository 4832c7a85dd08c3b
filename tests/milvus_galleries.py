"""Galleries in Milvus that tests use one after another: a new one takes 2 s to load, an emptied one a tenth of that.

The server looks only once a second whether a collection is loaded, which no option of it changes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING

import numpy as np

from lookalike.store.milvus.address import read_address
from lookalike.store.milvus.client import Client
from lookalike.store.milvus.encoding import listing
from lookalike.store.milvus.schema import Names, State, read_state, to_property
from lookalike.store.milvus.store import MilvusStore
from lookalike.store.milvus.tables import split
from lookalike.store.server.vectors import adapt
from tests.engines import gallery_name

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.store import Space
    from tests.engines import Milvus

__all__ = ["Galleries", "galleries"]


class Galleries:
    """The galleries of a server, each of which stands in for a folder until all are given back."""

    def __init__(self, server: Milvus) -> None:
        self._server = server
        self._free: dict[Space, list[str]] = {}
        self._taken: dict[Path, tuple[Space, str]] = {}
        self._numbers = itertools.count()

    def open(self, folder: Path, create: Space | None, *, options: str = "") -> MilvusStore:
        """The store that stands in for a folder; with a space, an empty one if none does yet."""
        return MilvusStore(self.url(folder, create, options=options), create=create)

    def url(self, folder: Path, create: Space | None = None, *, options: str = "") -> str:
        """The URL of that store, which nothing is at if none stands in for the folder and no space is given."""
        if folder not in self._taken and create is not None:
            free = self._free.setdefault(create, [])
            self._taken[folder] = create, free.pop() if free else self._make(create)
        name = self._taken[folder][1] if folder in self._taken else gallery_name(folder)
        return self._server.url(name, options=options)

    def give_back(self) -> None:
        """Empty all that were taken, for the next test."""
        while self._taken:
            _, (space, name) = self._taken.popitem()
            _empty(self._server.url(name), space)
            self._free[space].append(name)

    def _make(self, space: Space) -> str:
        name = f"p{next(self._numbers)}"
        MilvusStore(self._server.url(name), create=space).close()
        return name


@functools.cache
def galleries(server: Milvus) -> Galleries:
    """The galleries of a server."""
    return Galleries(server)


def _empty(url: str, space: Space) -> None:
    """Bring a gallery back to what it was when it was made, with the same two collections, whatever was done to it."""
    address = read_address(url)
    client, names = Client(address), Names(address.name)
    with contextlib.closing(client):
        for other in client.list_collections():
            if other.startswith(names.lock) or names.epoch(other) > 1:
                _drop(client, other)
        seen = max(_delete_rows(client, one) for one in (names.items(1), names.contents))
        before = read_state(client, names)
        width = adapt(np.zeros((1, space.dim), np.float32), None, space).shape[1]
        state = State(0, 1, width, 1, before.next_row, 0, 0, 0, max(seen, before.seen), 0, ())
        client.set_properties(names.gallery, {"lookalike.state": to_property(state), "lookalike.lock": "0"})


def _drop(client: Client, name: str) -> None:
    for alias in (client.describe(name) or {}).get("aliases", ()):
        client.drop_alias(alias)
    client.drop(name)


def _delete_rows(client: Client, name: str) -> int:
    """Delete all rows of a collection; return the server's time of it."""
    rows = [one["row"] for one in client.query(name, "row >= 0", ["row"], consistency_level="Strong")]
    times = [client.delete(name, f"row in {listing(some)}", lambda: None) for some in split(rows)] if rows else []
    return max(times, default=0)
