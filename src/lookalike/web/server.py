"""Serve a gallery with uvicorn until a signal ends it."""

from __future__ import annotations

import errno
import gc
import socket
import threading
import webbrowser
from typing import TYPE_CHECKING

import uvicorn

from lookalike.errors import LookalikeError, UsageError
from lookalike.web.app import create_app
from lookalike.web.guard import GuardedProtocol
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.gallery import Gallery
    from lookalike.web.settings import Settings

__all__ = ["configure", "serve"]

_BACKLOG = 512
_HEADER_BYTES = 16 << 10
_IDLE = 5  # seconds that a connection may wait between two requests


def serve(
    gallery: Gallery, settings: Settings, *, on_address: Callable[[str], None], open_browser: bool = False
) -> None:
    """Serve a gallery until SIGINT or SIGTERM. on_address: called with the page's address once it can be opened.

    Raises UsageError when the address is taken or is not this machine's.
    """
    with _bind(settings) as listening:
        served = ServedGallery(gallery)
        try:
            server = _Server(
                configure(served, settings), served, lambda: _announce(listening, settings, on_address, open_browser)
            )
            served.when_ready.append(gc.freeze)  # what all requests use is not looked through again and again
            served.start()
            server.run([listening])
        finally:
            served.close()


class _Server(uvicorn.Server):
    """A server that says when it can be reached, and ends what would last for ever before it waits for the rest."""

    def __init__(self, config: uvicorn.Config, served: ServedGallery, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._served, self._on_start = served, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams of events, then wait for the other answers."""
        for stop in self._served.when_stopping:
            stop()
        await super().shutdown(sockets)


def configure(served: ServedGallery, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs: with a guard on every connection, and trusting no header of a proxy."""
    return uvicorn.Config(
        create_app(served, settings),
        loop="asyncio",
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # a client's mistakes are in its answers, not in the log
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=3,
    )


def _bind(settings: Settings) -> socket.socket:
    """A socket at the address that is asked for. Raises UsageError."""
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise UsageError(f"{settings.host} is not an address of this machine: {error.strerror}") from None
    except OSError as error:
        place = f"{settings.host}, port {settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"{place} is in use by another program", hint="use a free port: --port 0") from None
        if error.errno in {errno.EADDRNOTAVAIL, errno.EACCES}:
            raise UsageError(f"{place} cannot be used: {error.strerror}") from None
        raise LookalikeError(f"{place} cannot be used: {error.strerror or error}") from None


def _announce(
    listening: socket.socket,
    settings: Settings,
    on_address: Callable[[str], None],
    open_browser: bool,  # noqa: FBT001
) -> None:
    host, port = settings.host, listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    on_address(address)
    if open_browser and is_loopback(host):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
