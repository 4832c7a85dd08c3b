"""Health and metrics for those who look after a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lookalike.web.handlers import answer_problem, to_answerable
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from lookalike.web.counters import Counters
    from lookalike.web.served_gallery import ServedGallery

__all__ = ["health_routes"]


def health_routes(served: ServedGallery, counters: Counters) -> list[Route]:
    """`/healthz`, which answers 200 once pictures can be searched with, and `/metrics` for Prometheus."""

    async def healthz(request: Request) -> Response:
        if served.is_ready:
            return JSONResponse({"status": "ok"})
        if served.failure is not None:
            return answer_problem(to_answerable(request, served.failure))
        return answer_problem(Problem(503, "starting", "the search is being prepared", headers={"retry-after": "1"}))

    async def metrics(request: Request) -> Response:
        text = await served.searches.run(request, counters.write, served)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return [Route("/healthz", healthz, name="healthz"), Route("/metrics", metrics, name="metrics")]
