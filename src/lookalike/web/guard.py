"""uvicorn's HTTP protocol with deadlines for everything that a client sends, and for the answers that it takes.

uvicorn limits only how long a connection may be idle, so 400 sockets that send a byte now and then stay for ever. Here
all headers of a request have 5 s from their first byte, or from the connection's beginning; its body has 20 s; and an
answer has 20 s in which the client takes nothing of it. Then the connection is cut.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

__all__ = ["BODY", "HEADERS", "MOST_CONNECTIONS", "STUCK", "GuardedProtocol"]

HEADERS = 5.0
BODY = 20.0
STUCK = 20.0
_LARGE = 1 << 16  # bytes that are sent at once, so that a client that takes nothing is noticed
MOST_CONNECTIONS = 600
"""Connections at once; beyond it, the one that has waited longest for its headers gives way to a new one."""


class GuardedProtocol(H11Protocol):
    """A connection that is cut at its deadlines."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  (uvicorn's)
        super().__init__(*arguments, **named)
        self.born = self.loop.time()
        self._phase = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its deadline."""
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]
        connection = transport.get_extra_info("socket")
        if connection is not None:  # without this, a body waits 40 ms for the client to acknowledge its headers
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._enter("headers", HEADERS)
        if len(self.connections) > MOST_CONNECTIONS:
            _drop_one(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._enter("", 0)
        self._set_stuck(0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begin again, with what is left of the answer to be taken by the client in time."""
        self._enter("", 0)
        super().on_response_complete()
        self._look()
        if self.transport.get_write_buffer_size():
            self._set_stuck(STUCK)

    def pause_writing(self) -> None:
        """Wait for a client that takes nothing, but not for ever."""
        super().pause_writing()
        self._set_stuck(STUCK)

    def resume_writing(self) -> None:
        """The client has taken something."""
        super().resume_writing()
        self._set_stuck(0)

    @property
    def is_waiting(self) -> bool:
        """Whether the connection has no request under way."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever its type says
        return self._phase == "headers" or (cycle is not None and cycle.response_complete)

    def _look(self) -> None:
        """Enter the phase that the connection is in now."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._enter("body", BODY)
        elif state is h11.IDLE and (self.conn.trailing_data[0] or self.cycle is None):
            self._enter("headers", HEADERS)
        else:
            self._enter("", 0)

    def _enter(self, phase: str, seconds: float) -> None:
        """Start the clock of a phase, unless it is the same one still."""
        if phase == self._phase:
            return
        self._phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._cut) if phase else None

    def _set_stuck(self, seconds: float) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        self._stuck = self.loop.call_later(seconds, self._cut_if_stuck) if seconds else None

    def _cut_if_stuck(self) -> None:
        if self.transport.get_write_buffer_size():
            self._cut()

    def _cut(self) -> None:
        self.transport.abort()


class _Joining:
    """A transport that sends what is written within one turn of the event loop together.

    uvicorn writes the headers of an answer and then its body: two system calls, of 0.1 ms each where the client wakes.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever else a transport can do)
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, in the next turn of the loop at the latest."""
        if not data:
            return
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)
        if len(data) > _LARGE:
            self._flush()

    def get_write_buffer_size(self) -> int:
        """Bytes that are still to be sent."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._written))

    def close(self) -> None:
        """End the connection once all is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))


def _drop_one(newest: GuardedProtocol) -> None:
    """Cut the oldest connection without a request under way; the newest itself if all others have one."""
    waiting = [one for one in newest.connections if isinstance(one, GuardedProtocol) and one.is_waiting]
    oldest = min(waiting, key=lambda one: one.born, default=newest)
    oldest.transport.abort()
