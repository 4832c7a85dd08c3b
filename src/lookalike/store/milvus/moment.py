"""One moment of a gallery: everything read in it belongs together, whatever others write."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lookalike.errors import StoreError
from lookalike.store.milvus.schema import State, read_state

if TYPE_CHECKING:
    from lookalike.store.milvus.client import Client
    from lookalike.store.milvus.schema import Names

__all__ = ["GRACE", "Moment"]

GRACE = 600.0
"""Seconds for which rows are kept after they were replaced, for readers of an earlier moment."""
_SURE = GRACE / 2  # up to which a reader need not ask whether they are


class Moment:
    """A generation: the rows that were born by then and died later. It needs no connection, and survives any."""

    def __init__(self, client: Client, names: Names, state: State | None = None) -> None:
        """state: what counts, if it is known that it does. Raises StoreError."""
        self._client, self._names = client, names
        self._began = time.monotonic()
        self.state = read_state(client, names) if state is None else state

    @property
    def items(self) -> str:
        """The collection of records with their vectors."""
        return self._names.items(self.state.epoch)

    @property
    def contents(self) -> str:
        """The collection of embeddings, descriptions and entries."""
        return self._names.contents

    def query(self, name: str, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        """The rows of a collection that a condition selects. Raises StoreError or a subclass."""
        found = self._client.query(name, f"({condition}) and {self._lives}", fields, **self._options())
        self._check()
        return found

    def search(self, vector: list[float], limit: int, condition: str, metric: str) -> list[dict[str, Any]]:
        """The items nearest to a vector, of those with an embedding that a condition selects, with their vectors."""
        where = f"{self._lives} and embedded == true" + (f" and ({condition})" if condition else "")
        options = {**self._options(), "param": {"metric_type": metric, "params": {}}}
        found = self._client.search(self.items, vector, limit, expr=where, output_fields=["id", "vector"], **options)
        self._check()
        return found

    @property
    def _lives(self) -> str:
        return f"born <= {self.state.generation} and died > {self.state.generation}"

    def _options(self) -> dict[str, Any]:
        # Session consistency with the writer's session: the server waits until it has seen the last write of this
        # moment, 2 ms where that is long ago; Strong waits for everyone's, 200 ms.
        return {"consistency_level": "Customized", "guarantee_timestamp": max(1, self.state.seen)}

    def _check(self) -> None:
        if time.monotonic() - self._began < _SURE:
            return
        if read_state(self._client, self._names).horizon > self.state.generation:
            raise StoreError(
                f"{self._client.address.location}: the gallery has changed since this began, more than "
                f"{GRACE / 60:g} minutes ago",
                hint="run it again",
            )
