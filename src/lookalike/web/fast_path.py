"""The two requests that come most often, answered without a framework: pictures like one, and thumbnails.

FastAPI and Starlette take 0.5 ms for what a search takes 1 ms for. Only the plain form of a request is answered here;
every other one, and every one that fails, is left to the application behind, which explains what is wrong.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from lookalike.errors import LookalikeError
from lookalike.search.query import Query
from lookalike.store import is_folder
from lookalike.web.asking import find_base, present
from lookalike.web.bounded_threads import Together
from lookalike.web.handlers import describe_thumbnail
from lookalike.web.problems import Problem
from lookalike.web.safety import is_local
from lookalike.web.settings import MOST_HITS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lookalike.web.served_gallery import ServedGallery

__all__ = ["FastPath"]

_SIMILAR = re.compile(r"/api/v1/images/([1-9][0-9]{0,17})/similar", re.ASCII)
_THUMBNAIL = re.compile(r"/thumbnails/([1-9][0-9]{0,17})/(small|large)", re.ASCII)
_K = re.compile(rb"k=([1-9][0-9]{0,3})")
_VERSION = re.compile(rb"(v=[0-9A-Za-z]{0,64})?(&?optional)?")

_CORES = os.cpu_count() or 1

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class FastPath:
    """Answers what it can of the requests, and sends the rest to another application."""

    def __init__(self, app: ASGIApp, served: ServedGallery) -> None:
        self._app, self._served = app, served
        # In a gallery's own files, one search at a time: two only take the interpreter from each other.
        threads = 1 if is_folder(served.gallery.location) else _CORES
        self._searches = Together(served.searches, self._search, threads=threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["method"] != "GET" or not await self._answers(scope, receive, send):
            await self._app(scope, receive, send)

    async def _answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether a request could be answered; then it was. Raises Problem where there is too much to do."""
        path, query = scope["path"], scope["query_string"]
        try:
            if (found := _SIMILAR.fullmatch(path)) and (k := _read_k(query)):
                return await self._send_similar(scope, receive, send, (int(found[1]), k))
            if (found := _THUMBNAIL.fullmatch(path)) and _VERSION.fullmatch(query):
                await self._send_thumbnail(scope, receive, send, (int(found[1]), found[2]))
                return True
        except LookalikeError:
            return False  # it is found again behind, and explained
        except Problem as problem:
            if problem.status == 503:
                raise
        return False

    async def _send_similar(self, scope: Scope, receive: Receive, send: Send, wanted: tuple[int, int]) -> bool:
        data = await self._searches.run(_Client(receive), _Wanted(*wanted, is_local(scope)))
        if data is not None:
            await _send(send, 200, [(b"content-type", b"application/json")], data)
        return data is not None

    def _search(self, every: list[_Wanted]) -> list[bytes | None]:
        """The answers to some requests, which are searched for together; None for one that fails."""
        found: dict[_Wanted, bytes | None] = {}
        for k in dict.fromkeys(one.k for one in every):
            some = list(dict.fromkeys(one for one in every if one.k == k))
            found |= zip(some, self._search_some(some, k), strict=True)
        return [found[one] for one in every]

    def _search_some(self, some: list[_Wanted], k: int) -> list[bytes | None]:
        gallery = self._served.gallery
        try:
            searches = gallery.search_many([Query.stored(one.id) for one in some], k)
        except LookalikeError:
            return [None] if len(some) == 1 else [data for one in some for data in self._search_some([one], k)]
        bases = {is_here: find_base(gallery, is_local=is_here) for is_here in {one.is_here for one in some}}
        return [_encode(present(hits, bases[one.is_here])).encode() for hits, one in zip(searches, some, strict=True)]

    async def _send_thumbnail(self, scope: Scope, receive: Receive, send: Send, wanted: tuple[int, str]) -> None:
        found = await self._served.pictures.run(_Client(receive), self._served.thumbnail, *wanted)
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        headers = describe_thumbnail(found, is_versioned=scope["query_string"].startswith(b"v="))
        is_known = found.etag.encode() in known
        kind = [] if is_known else [(b"content-type", b"image/jpeg")]
        pairs = [*kind, *((name.encode(), value.encode()) for name, value in headers.items())]
        await _send(send, 304 if is_known else 200, pairs, b"" if is_known else found.data)


class _Wanted(NamedTuple):
    """What is asked for: the pictures like one. is_here: whether the client is on this machine."""

    id: int
    k: int
    is_here: bool


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
