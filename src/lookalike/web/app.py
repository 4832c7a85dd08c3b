"""The whole application: the page, and the API, which is imported when it is first needed."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from lookalike.errors import LookalikeError
from lookalike.web.counters import Counters
from lookalike.web.fast_path import FastPath
from lookalike.web.handlers import answer_problem, to_answerable
from lookalike.web.health import health_routes
from lookalike.web.pages import page_routes, show_problem
from lookalike.web.problems import Problem
from lookalike.web.safety import Safety

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.settings import Settings

__all__ = ["create_app"]

_API = ("/api/", "/openapi.json")
_ROUTES = ("api", "static", "thumbnails", "healthz", "metrics")  # counted apart


def create_app(served: ServedGallery, settings: Settings) -> ASGIApp:
    """The application that serves a gallery."""
    counters = Counters()

    async def answer_error(request: Request, error: Exception) -> Response:
        return show_problem(served, request, to_answerable(request, error))

    def answer(scope: Scope, problem: Problem) -> ASGIApp:
        if scope["path"].startswith(_API):
            return answer_problem(problem)
        return show_problem(served, Request(scope), problem)

    kinds: tuple[type[Exception], ...] = (Problem, LookalikeError, HTTPException, ClientDisconnect, Exception)
    pages = Starlette(
        routes=[*health_routes(served, counters), *page_routes(served, allow_write=settings.allow_write)],
        exception_handlers=dict.fromkeys(kinds, answer_error),
    )
    api = _Api(served, settings)
    served.when_ready.append(api.load)
    return _Counted(Safety(FastPath(_Divided(pages, api), served), settings, answer), counters)


class _Divided:
    """Sends what is for the API there, and the rest to the pages."""

    def __init__(self, pages: ASGIApp, api: ASGIApp) -> None:
        self._pages, self._api = pages, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._api if scope["path"].startswith(_API) else self._pages
        await app(scope, receive, send)


class _Api:
    """The API, imported (FastAPI: 0.3 s) once searching is possible, or by its first request."""

    def __init__(self, served: ServedGallery, settings: Settings) -> None:
        self._served, self._settings = served, settings
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    def load(self) -> ASGIApp:
        """Import it, once."""
        with self._lock:
            app = self._app
            if app is None:
                from lookalike.web.api import create_api  # noqa: PLC0415  (see above)

                self._app = app = create_api(self._served, self._settings)
            return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self._app is not None else await asyncio.to_thread(self.load)
        await app(scope, receive, send)


class _Counted:
    """Counts requests. An error that was answered and logged ends here, although Starlette raises it again."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app, self._counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, began = 0, time.monotonic()

        async def watch(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if not status:
                raise
        finally:
            first = scope["path"].split("/")[1:2]
            route = first[0] if first and first[0] in _ROUTES else "page"
            self._counters.count(route, status, time.monotonic() - began)
