"""The right to write: a chain of locks, the last of which counts, built on what Milvus does in one step for all.

A lock is an empty collection of its own. It becomes the last of the chain by an alias that says which lock it comes
after, which only one lock can get. Its holder renews it every few seconds; one that was not renewed in time, or
that was released, may be followed by another. Times are the server's, so that clocks of clients need not agree.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from lookalike.errors import StoreBusy, StoreError
from lookalike.store.milvus.schema import Names, empty_schema

if TYPE_CHECKING:
    from lookalike.store.milvus.client import Client

__all__ = ["FORGOTTEN", "TTL", "Lease"]

TTL = 12.0
"""Seconds for which a lock holds without being renewed."""
_RENEWED = TTL / 4
FORGOTTEN = 600.0
"""Seconds after which the lock of a process that never became the writer, and was killed, is removed."""
_POLL = 0.05  # seconds between two attempts to become the writer
_FIRST = "0"  # what the first lock comes after


class Lease:
    """The right of this process to write a gallery, until `release`."""

    def __init__(self, client: Client, names: Names, wait: float) -> None:
        """Raises StoreBusy if another writer has the right for longer than `wait` seconds."""
        self._client, self._names = client, names
        self._token = os.urandom(8).hex()
        self._lock = names.lock + self._token
        self._done = threading.Event()
        self.is_clean = True  # whether the writer before this one came to its end
        holder = f"{os.getpid()} on {socket.gethostname()}"
        client.create(self._lock, empty_schema(), {"lookalike.holder": holder})
        try:
            self._created = _created(client.describe(self._lock) or {})
            self._began = self._renewed = time.monotonic()
            self._acquire(wait)
        except BaseException:
            with contextlib.suppress(StoreError):
                client.drop(self._lock)
            raise
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def now(self) -> int:
        """The server's time in milliseconds since 1970."""
        return self._created + int(1000 * (time.monotonic() - self._began))

    def check(self) -> None:
        """Check that this process still has the right to write: called before each write. Raises StoreError."""
        if time.monotonic() - self._renewed < TTL / 2:
            return
        self._renew()
        if self._follower(self._token) is not None:
            raise StoreError(
                f"{self._client.address.location}: the right to write was lost to another process after "
                f"{TTL:g} seconds without an answer from the server",
                hint="run it again",
            )

    def release(self, *, is_clean: bool) -> None:
        """Let others write. is_clean: whether no change was left half made."""
        self._done.set()
        self._thread.join()
        with contextlib.suppress(StoreError):
            self._client.set_properties(self._lock, {"lookalike.released": "1" if is_clean else "0"})

    def purge(self) -> None:
        """Remove the locks of processes that were killed before it was their turn."""
        for name in self._client.list_collections():
            if name.startswith(self._names.lock) and name != self._lock:
                found = self._client.describe(name) or {}
                beat = int(found.get("properties", {}).get("lookalike.beat", 0)) or _created(found)
                if self.now - beat > 1000 * FORGOTTEN:
                    self._client.drop(name)

    def _acquire(self, wait: float) -> None:
        ends = time.monotonic() + wait
        while True:
            first, last = self._find_last()
            found = self._properties(last)
            if self._is_free(found) and self._follow(first, last, found):
                return
            if time.monotonic() >= ends:
                raise self._busy(found)
            if time.monotonic() - self._renewed > _RENEWED:
                self._renew()  # so that it is not mistaken for the lock of a killed process
            time.sleep(_POLL)

    def _follow(self, first: str, last: str, found: dict[str, str]) -> bool:
        """Become the last of the chain; False if someone else was faster, or the holder has returned."""
        self._renew()
        alias = self._names.after + last
        if not self._client.take_alias(alias, self._lock):
            return False
        if self._first() != first or self._properties(last).get("lookalike.beat") != found.get("lookalike.beat"):
            self._client.drop_alias(alias)
            return False
        self.is_clean = found.get("lookalike.released") == "1"
        self._client.set_properties(self._names.gallery, {"lookalike.lock": self._token})
        self._client.drop_alias(alias)  # no lock can follow one that the chain no longer begins with
        if last != _FIRST:
            self._client.drop(self._names.lock + last)
        return True

    def _find_last(self) -> tuple[str, str]:
        """The tokens of the first lock of the chain and of the last."""
        first = last = self._first()
        while (token := self._follower(last)) is not None:
            last = token
        return first, last

    def _first(self) -> str:
        found = self._client.describe(self._names.gallery) or {"properties": {}}
        return str(found["properties"].get("lookalike.lock", _FIRST))

    def _follower(self, token: str) -> str | None:
        found = self._client.describe(self._names.after + token)
        return None if found is None else str(found["properties"]["lookalike.token"])

    def _properties(self, token: str) -> dict[str, str]:
        found = self._client.describe(self._names.lock + token)
        if found is None:
            return {"lookalike.released": "1" if token == _FIRST else "0"}
        return dict(found["properties"])

    def _is_free(self, found: dict[str, str]) -> bool:
        return "lookalike.released" in found or self.now - int(found.get("lookalike.beat", "0")) > 1000 * TTL

    def _renew(self) -> None:
        began = time.monotonic()
        self._client.set_properties(self._lock, {"lookalike.beat": str(self.now), "lookalike.token": self._token})
        self._renewed = began

    def _keep(self) -> None:
        while not self._done.wait(_RENEWED):
            with contextlib.suppress(StoreError):
                self._renew()

    def _busy(self, found: dict[str, str]) -> StoreBusy:
        holder = f"process {found['lookalike.holder']}" if "lookalike.holder" in found else "another process"
        hint = "try again when it is done; index, retry, remove, relocate, adapt and compact take --wait SECONDS"
        return StoreBusy(f"{self._client.address.location} is being written by {holder}", hint=hint)


def _created(found: dict[str, Any]) -> int:
    """When a collection was made. Time stamps of Milvus are milliseconds since 1970, and 18 bits that count."""
    return int(found.get("created_timestamp", 0)) >> 18
