"""The one writer of a gallery, and changes that happen once: rows of the next generation first, the state last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.store.milvus.encoding import listing
from lookalike.store.milvus.lease import Lease
from lookalike.store.milvus.moment import GRACE, Moment
from lookalike.store.milvus.schema import ALIVE, Names, State, create_items, read_state, to_property
from lookalike.store.milvus.tables import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.store import Space
    from lookalike.store.milvus.client import Client

    Found = dict[str, Any]

__all__ = ["Change", "Writer"]

T = TypeVar("T")

_NOTED = 60_000  # milliseconds between two generations whose time is remembered


class Change:
    """A change that is being made. It reads what was before, and leads to `state`."""

    def __init__(self, client: Client, names: Names, lease: Lease, before: State) -> None:
        self._client, self._names, self._lease = client, names, lease
        self.moment = Moment(client, names, before)
        self.state = before._replace(generation=before.generation + 1)
        self.has_written = False

    def add_items(self, rows: Sequence[Found]) -> None:
        """Add items."""
        self._add(self._names.items(self.state.epoch), rows)

    def add_contents(self, rows: Sequence[Found]) -> None:
        """Add embeddings or entries."""
        self._add(self._names.contents, rows)

    def end_items(self, rows: Sequence[Found]) -> None:
        """Let items, as the server has them, count no longer."""
        self._end(self._names.items(self.state.epoch), rows)

    def end_contents(self, rows: Sequence[Found]) -> None:
        """Let embeddings or entries, as the server has them, count no longer."""
        self._end(self._names.contents, rows)

    def begin_epoch(self, width: int, space: Space) -> None:
        """Give the items of this change a new collection, for vectors of another adaptation."""
        epoch = self.state.epoch + 1
        self._client.drop(self._names.items(epoch))  # of a writer that did not get to the end
        create_items(self._client, self._names.items(epoch), width, space)
        self._client.wait_until_loaded(self._names.items(epoch))
        self.state = self.state._replace(epoch=epoch, width=width)

    def _add(self, name: str, rows: Sequence[Found]) -> None:
        first = self.state.next_row
        self.state = self.state._replace(next_row=first + len(rows))
        life = {"born": self.state.generation, "died": ALIVE}
        self._write(name, [{**row, **life, "row": first + n} for n, row in enumerate(rows)], is_new=True)

    def _end(self, name: str, rows: Sequence[Found]) -> None:
        self._write(name, [{**row, "died": self.state.generation} for row in rows], is_new=False)

    def _write(self, name: str, rows: list[Found], *, is_new: bool) -> None:
        self.has_written = self.has_written or bool(rows)
        time = self._client.write(name, rows, self._lease.check, is_new=is_new)
        self.state = self.state._replace(seen=max(self.state.seen, time))


class Writer:
    """Makes changes, as long as it has the right to."""

    def __init__(self, client: Client, names: Names, wait: float) -> None:
        """Raises StoreBusy if another writer has the right to write for longer than `wait` seconds."""
        self._client, self._names = client, names
        self._lease = Lease(client, names, wait)
        self._is_sound = self._lease.is_clean
        try:
            self.state = read_state(client, names)
            self._mend()
            self.purge()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others write."""
        self._lease.release(is_clean=self._is_sound)

    def change(self, make: Callable[[Change], T]) -> T:
        """Make one change as a whole, on the server's disk when this returns; return what `make` does."""
        self._mend()
        change = Change(self._client, self._names, self._lease, self.state)
        try:
            done = make(change)
            self._commit(self._noted(change.state))
        except BaseException:
            self._is_sound = not change.has_written
            raise
        return done

    def compact(self) -> None:
        """Delete what was replaced, or left by killed processes, more than ten minutes ago."""
        self.purge()
        self._lease.purge()  # what processes have left that were killed while they waited to write

    def purge(self) -> None:
        """Delete rows that were replaced so long ago that no reader can need them."""
        limit = self._lease.now - 1000 * GRACE
        old = [some for some in self.state.history if some[1] <= limit]
        if not old or old[-1][0] <= self.state.horizon:
            return
        horizon, _, epoch = old[-1]
        history = tuple(some for some in self.state.history if some[0] >= horizon)
        self._commit(self.state._replace(horizon=horizon, history=history))
        for name in self._collections():
            self._delete(name, f"died <= {horizon}")
        for name in self._client.list_collections():
            if 0 < self._names.epoch(name) < epoch:
                self._client.drop(name)

    def _commit(self, state: State) -> None:
        """Let a state count, for everyone at once."""
        self._lease.check()
        self._client.set_properties(self._names.gallery, {"lookalike.state": to_property(state)})
        self.state = state

    def _mend(self) -> None:
        """Take back what a change has written that did not get to its end, if there may be one."""
        if self._is_sound:
            return
        self.state = read_state(self._client, self._names)  # which may have arrived although no answer did
        generation = self.state.generation
        for name in self._collections():
            self._delete(name, f"born > {generation}")
            for row in self._read(name, f"died > {generation} and died < {ALIVE}", ["*"]):
                self._write(name, [{**row, "died": ALIVE}])
        self._is_sound = True

    def _noted(self, state: State) -> State:
        now, history = self._lease.now, state.history
        if history and now - history[-1][1] < _NOTED:
            return state
        return state._replace(history=(*history, (state.generation, now, state.epoch)))

    def _collections(self) -> tuple[str, str]:
        return self._names.items(self.state.epoch), self._names.contents

    def _delete(self, name: str, condition: str) -> None:
        rows = [row["row"] for row in self._read(name, condition, ["row"])]
        for some in split(rows) if rows else ():
            time = self._client.delete(name, f"row in {listing(some)}", self._lease.check)
            self.state = self.state._replace(seen=max(self.state.seen, time))

    def _read(self, name: str, condition: str, fields: list[str]) -> list[Found]:
        return self._client.query(name, condition, fields, consistency_level="Strong")

    def _write(self, name: str, rows: list[Found]) -> None:
        time = self._client.write(name, rows, self._lease.check)
        self.state = self.state._replace(seen=max(self.state.seen, time))
