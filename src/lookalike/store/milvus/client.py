"""Requests to one server, each with a limit on how long it may take, repeated while the server is away."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pymilvus import MilvusClient
from pymilvus.client.prepare import Prepare
from pymilvus.client.types import get_consistency_level
from pymilvus.client.utils import check_status

from lookalike.errors import StoreError
from lookalike.store.milvus.errors import FAILURES, is_lost, is_missing, is_there, translate
from lookalike.store.server.client import ServerClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.store.milvus.address import Address

__all__ = ["Client"]

T = TypeVar("T")

_CONNECT = 10.0  # seconds for the first answer of a server
_INSERTED = 4096  # rows in one request, at most
_SENT = 24 << 20  # bytes of vectors in one: the server refuses requests beyond 64 MB


class Client(ServerClient):
    """Requests to the server at one address. Any number of threads may send them."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.location)
        self.address = address
        self._milvus: MilvusClient | None = None
        self._lock = threading.Lock()
        self._schemas: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        if self._milvus is not None and os.getpid() == self._process:
            with contextlib.suppress(*FAILURES):
                self._milvus.close()

    def connect(self) -> None:
        """Check that the server answers; give up at once if it does not. Raises StoreError."""
        with self.named_errors():
            self._connected()

    def describe(self, name: str) -> dict[str, Any] | None:
        """What the server knows of a collection, by its name or an alias; None if it is not there."""
        try:
            return dict(self._call(lambda milvus, limit: milvus.describe_collection(name, timeout=limit)))
        except FAILURES as error:
            if is_missing(error):
                return None
            raise translate(error, self.address.location) from error

    def list_collections(self) -> list[str]:
        """The names of all collections."""
        with self.named_errors():
            return list(self._call(lambda milvus, limit: milvus.list_collections(timeout=limit)))

    def create(self, name: str, schema: Any, properties: dict[str, str] | None = None) -> None:  # noqa: ANN401
        """Make a collection; do nothing if the same is there."""
        options = {"num_shards": 1, "properties": properties or {}}
        with self.named_errors():
            self._call(lambda milvus, limit: milvus.create_collection(name, schema=schema, timeout=limit, **options))

    def load(self, name: str, index: dict[str, Any]) -> None:
        """Index the vectors of a collection, and begin to load it: `wait_until_loaded` does the rest."""
        with self.named_errors():
            self._call(
                lambda milvus, limit: _handler(milvus).create_index(  # else it sleeps 0.5 s
                    name, "vector", index, timeout=limit, sync=False, context=_context(milvus)
                )
            )
            self._call(
                lambda milvus, limit: _handler(milvus).load_collection(
                    name, timeout=limit, _async=True, context=_context(milvus)
                )
            )

    def wait_until_loaded(self, name: str) -> None:
        """Return when a collection can be searched. Raises StoreError if that takes too long."""
        ends = time.monotonic() + self.address.timeout + self.address.patience
        while time.monotonic() < ends:
            with self.named_errors():
                found = self._call(lambda milvus, limit: milvus.get_load_state(name, timeout=limit))
            if getattr(found.get("state"), "name", "") == "Loaded":
                return
            time.sleep(0.05)
        raise StoreError(f"{self.address.location}: the server does not load {name}", hint="see the server's log")

    def drop(self, name: str) -> None:
        """Drop a collection, if it is there."""
        self._schemas.pop(name, None)
        with self.named_errors():
            self._call(lambda milvus, limit: milvus.drop_collection(name, timeout=limit))

    def set_properties(self, name: str, properties: dict[str, str]) -> None:
        """Set some properties of a collection, in one step for all clients."""
        with self.named_errors():
            self._call(lambda milvus, limit: milvus.alter_collection_properties(name, properties, timeout=limit))

    def take_alias(self, alias: str, name: str) -> bool:
        """Give a collection an alias; False if another collection has it already."""
        try:
            self._call(lambda milvus, limit: milvus.create_alias(name, alias, timeout=limit))
        except FAILURES as error:
            if is_there(error):
                return False
            raise translate(error, self.address.location) from error
        return True

    def drop_alias(self, alias: str) -> None:
        """Take an alias away, if it is there."""
        with self.named_errors():
            self._call(lambda milvus, limit: milvus.drop_alias(alias, timeout=limit))

    def write(self, name: str, rows: list[dict[str, Any]], check: Callable[[], None], *, is_new: bool = False) -> int:
        """Write rows, in place of those with the same numbers; return the server's time of it.

        check: called before every attempt. is_new: whether there are none with these numbers, unless an attempt to
        write them failed.
        """
        size = min(_INSERTED, max(1, _SENT // (4 * len(rows[0]["vector"]) + 1000))) if rows else 1
        times = [self._write(name, rows[n : n + size], check, is_new=is_new) for n in range(0, len(rows), size)]
        return max(times, default=0)

    def delete(self, name: str, condition: str, check: Callable[[], None]) -> int:
        """Delete the rows that a condition selects; return the server's time of it."""

        def delete(milvus: MilvusClient, limit: float) -> int:
            check()
            return int(_handler(milvus).delete(name, condition, timeout=limit, context=_context(milvus)).timestamp)

        with self.named_errors():
            return self._call(delete)

    def query(self, name: str, condition: str, fields: list[str], **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The rows that a condition selects. options: for the server, such as its time to have seen."""

        def query(milvus: MilvusClient, limit: float) -> list[Any]:
            context = _context(milvus).to_grpc_metadata()
            answer = _handler(milvus)._stub.Query(request, timeout=limit, metadata=context)  # noqa: SLF001
            check_status(answer.status)
            return list(answer.fields_data)

        request = Prepare.query_request(name, condition, fields, [], **_with_level(options))
        with self.named_errors():
            return _to_rows(self._call(query))

    def search(self, name: str, vector: list[float], limit: int, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The rows nearest to a vector, each with its distance as the server computes it.

        options: of `Prepare.search_requests_with_expr`.
        """

        def search(milvus: MilvusClient, wait: float) -> Any:  # noqa: ANN401  (a message of protobuf)
            context = _context(milvus).to_grpc_metadata()
            answer = _handler(milvus)._stub.Search(request, timeout=wait, metadata=context)  # noqa: SLF001
            check_status(answer.status)
            return answer.results

        request = Prepare.search_requests_with_expr(
            name, anns_field="vector", data=[vector], limit=limit, **_with_level(options)
        )
        with self.named_errors():
            found = self._call(search)
        return [{**row, "distance": far} for row, far in zip(_to_rows(found.fields_data), found.scores, strict=True)]

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Turn the errors of Milvus inside the context into StoreError or a subclass."""
        try:
            yield
        except FAILURES as error:
            raise translate(error, self.address.location) from error

    def _write(self, name: str, rows: list[dict[str, Any]], check: Callable[[], None], *, is_new: bool) -> int:
        attempts = 0

        def write(milvus: MilvusClient, limit: float) -> int:
            nonlocal attempts
            check()
            attempts += 1
            handler = _handler(milvus)
            send = handler.batch_insert if is_new and attempts == 1 else handler.upsert
            return int(send(name, columns, timeout=limit, schema=fields, context=_context(milvus)).timestamp)

        with self.named_errors():
            fields = self._fields(name)
            columns = _to_columns(rows, fields["fields"])
            return self._call(write)

    def _fields(self, name: str) -> dict[str, Any]:
        """The schema of a collection, which is asked for once."""
        if name not in self._schemas:
            self._schemas[name] = self.describe(name) or {"fields": []}
        return self._schemas[name]

    def _connected(self) -> MilvusClient:
        self.check()
        with self._lock:
            if self._milvus is None:
                limit = min(_CONNECT, self.address.timeout)
                self._milvus = MilvusClient(**self.address.parameters, timeout=limit)
            return self._milvus

    def _call(self, ask: Callable[[MilvusClient, float], T]) -> T:
        """The answer to a request, repeated with growing pauses while the server is away."""
        ends, pause = time.monotonic() + self.address.patience, 0.05
        while True:
            self.check()
            try:
                return ask(self._connected(), self.address.timeout)
            except FAILURES as error:
                if not is_lost(error) or time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def _to_columns(rows: list[dict[str, Any]], fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as Milvus takes them fastest: ten times as fast as row by row."""
    values = {field["name"]: [row[field["name"]] for row in rows] for field in fields}
    values["vector"] = [one.tolist() if isinstance(one, np.ndarray) else one for one in values["vector"]]
    return [{"name": field["name"], "type": field["type"], "values": values[field["name"]]} for field in fields]


def _to_rows(columns: list[Any]) -> list[dict[str, Any]]:
    """An answer as rows: pymilvus takes half the time of a copy to make them one by one."""
    names = [column.field_name for column in columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*map(_values, columns), strict=True)]


def _values(column: Any) -> list[Any]:  # noqa: ANN401  (a message of protobuf)
    if column.WhichOneof("field") == "scalars":
        kind = column.scalars.WhichOneof("data")
        return list(getattr(column.scalars, kind).data) if kind else []
    vectors = column.vectors
    if vectors.WhichOneof("data") == "binary_vector":
        size, content = vectors.dim // 8, vectors.binary_vector
        return [content[start : start + size] for start in range(0, len(content), size)]
    # Protobuf packs them as they are in memory, behind a tag and their size: ten times as fast as one by one.
    size = 4 * len(vectors.float_vector.data)
    packed = vectors.float_vector.SerializeToString()
    return list(np.frombuffer(packed, "<f4", offset=len(packed) - size).reshape(-1, vectors.dim))


def _with_level(options: dict[str, Any]) -> dict[str, Any]:
    level = get_consistency_level(options["consistency_level"])
    return {**options, "consistency_level": level, "use_default_consistency": False}


def _handler(milvus: MilvusClient) -> Any:  # noqa: ANN401
    """What sends requests for a client: its answers have the server's times, which the client leaves out."""
    return milvus._get_connection()  # noqa: SLF001


def _context(milvus: MilvusClient) -> Any:  # noqa: ANN401
    """What goes with each request: the database."""
    return milvus._generate_call_context()  # noqa: SLF001
