"""The two requests that come most often, answered without a framework: pictures like one, and thumbnails.

FastAPI and Starlette take 0.5 ms for what a search takes 1 ms for. Only the plain form of a request is answered here;
every other one, and every one that fails, is left to the application behind, which explains what is wrong.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError
from lookalike.search.query import Query
from lookalike.web.asking import Options, find_base, present
from lookalike.web.handlers import describe_thumbnail
from lookalike.web.problems import Problem
from lookalike.web.safety import is_local
from lookalike.web.settings import MOST_HITS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lookalike.web.desk import Desk

__all__ = ["Quick"]

_SIMILAR = re.compile(r"/api/v1/images/([1-9][0-9]{0,17})/similar", re.ASCII)
_THUMBNAIL = re.compile(r"/thumbnails/([1-9][0-9]{0,17})/(small|large)", re.ASCII)
_K = re.compile(rb"k=([1-9][0-9]{0,3})")
_VERSION = re.compile(rb"(v=[0-9A-Za-z]{0,64})?(&?optional)?")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Quick:
    """Answers what it can of a desk's requests, and sends the rest to another application."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["method"] != "GET" or not await self._answers(scope, receive, send):
            await self._app(scope, receive, send)

    async def _answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether a request could be answered; then it was. Raises Problem where there is too much to do."""
        path, query = scope["path"], scope["query_string"]
        try:
            if (found := _SIMILAR.fullmatch(path)) and (k := _read_k(query)):
                await self._send_similar(scope, receive, send, (int(found[1]), k))
                return True
            if (found := _THUMBNAIL.fullmatch(path)) and _VERSION.fullmatch(query):
                await self._send_thumbnail(scope, receive, send, (int(found[1]), found[2]))
                return True
        except LookalikeError:
            return False  # it is found again behind, and explained
        except Problem as problem:
            if problem.status == 503:
                raise
        return False

    async def _send_similar(self, scope: Scope, receive: Receive, send: Send, wanted: tuple[int, int]) -> None:
        lane = self._desk.searches
        data = await lane.run(_Client(receive), self._search, wanted, is_here=is_local(scope))
        await _send(send, 200, [(b"content-type", b"application/json")], data)

    def _search(self, wanted: tuple[int, int], *, is_here: bool) -> bytes:
        id_, k = wanted
        gallery = self._desk.gallery
        hits = Options(k).search(gallery, Query.stored(id_))
        return _encode(present(hits, find_base(gallery, is_local=is_here))).encode()

    async def _send_thumbnail(self, scope: Scope, receive: Receive, send: Send, wanted: tuple[int, str]) -> None:
        found = await self._desk.pictures.run(_Client(receive), self._desk.thumbnail, *wanted)
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        headers = describe_thumbnail(found, is_versioned=scope["query_string"].startswith(b"v="))
        is_known = found.etag.encode() in known
        kind = [] if is_known else [(b"content-type", b"image/jpeg")]
        pairs = [*kind, *((name.encode(), value.encode()) for name, value in headers.items())]
        await _send(send, 304 if is_known else 200, pairs, b"" if is_known else found.data)


class _Client:
    """Says when a client has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    @property
    def receive(self) -> Receive:
        """What gives the next message of the client."""
        return self._receive


def _read_k(query: bytes) -> int:
    """How many hits are asked for; 0 for a query string that asks for anything else."""
    if not query:
        return 10
    found = _K.fullmatch(query)
    return int(found[1]) if found and int(found[1]) <= MOST_HITS else 0


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], data: bytes) -> None:
    length = [(b"content-length", b"%d" % len(data))] if status != 304 else []
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": data})
