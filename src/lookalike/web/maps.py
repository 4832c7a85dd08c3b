"""The view of the whole collection as a map, and its twin, a list of groups, for keyboards and screen readers.

The map itself is drawn by the browser from `/map/points`; without a script the list is all there is, and it leads to
the same pictures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lookalike.images.paths import show_path
from lookalike.web import texts
from lookalike.web.asking import read_count
from lookalike.web.background import Background
from lookalike.web.handlers import base_of
from lookalike.web.problems import Problem
from lookalike.web.rendering import show
from lookalike.web.state import FIRST, State
from lookalike.web.tiles import make_tiles

if TYPE_CHECKING:
    from starlette.requests import Request

    from lookalike.explore.map import Map, Point
    from lookalike.web.desk import Desk

__all__ = ["make_map", "map_routes"]

_PATIENCE = 0.5  # seconds that a page waits for the map before it shows how far that is
_EXAMPLES = 6  # pictures of a group in the list
_MOST = 1000  # pictures of a lasso


@dataclass(frozen=True, slots=True)
class Island:
    """A group of the list: its name, its size, its address, and some of its pictures."""

    name: str
    size: int
    url: str
    ids: tuple[int, ...]


def make_map(desk: Desk) -> Background[Map]:
    """The map, which is made in the background once it is asked for."""
    return Background(lambda on_progress: desk.gallery.map(on_progress=on_progress))


def map_routes(desk: Desk, making: Background[Map]) -> list[Route]:
    """The map, its points, and the pictures of a part of it."""
    view = _View(desk, making)

    async def page(request: Request) -> Response:
        return await desk.searches.run(request, view.show, request)

    async def points(request: Request) -> Response:
        return await desk.searches.run(request, view.points)

    async def progress(request: Request) -> Response:
        job = await desk.searches.run(request, view.ask)
        return JSONResponse({"done": job.done, "total": job.total, "has_ended": job.has_ended})

    return [
        Route("/map", page, name="map"),
        Route("/map/points", points, name="points"),
        Route("/map/progress", progress, name="map-progress"),
    ]


class _View:
    def __init__(self, desk: Desk, making: Background[Map]) -> None:
        self._desk, self._making = desk, making

    def ask(self) -> Any:  # noqa: ANN401  (a job)
        """The map, begun unless it was already."""
        return self._making.ask(self._desk.gallery.store.generation, patience=_PATIENCE)

    def show(self, request: Request) -> Response:
        """The page: the map and its list, one group of it, or the pictures around which a line was drawn."""
        base: dict[str, Any] = {"title": texts.TEXTS["map"], "section": "map", "state": State()}
        job = self.ask()
        if job.error is not None:
            self._making.forget()
            raise job.error
        if job.result is None:
            return show("waiting.html", self._desk, base | {"job": job, "what": texts.TEXTS["map_drawing"]})
        islands = _group(job.result)
        if "group" in request.query_params:
            return self._show_some(request, base, *_find_island(islands, request.query_params["group"]))
        if "lasso" in request.query_params:
            ids = _read_ids(request.query_params["lasso"])
            return self._show_some(request, base, texts.TEXTS["lasso_found"], ids)
        shown = [
            Island(name, len(some), f"/map?{urlencode({'group': name})}", tuple(point.id for point in some[:_EXAMPLES]))
            for name, some in islands.items()
        ]
        return show("map.html", self._desk, base | {"islands": shown, "total": len(job.result)})

    def _show_some(self, request: Request, page: dict[str, Any], name: str, ids: list[int]) -> Response:
        k = read_count(request.query_params.get("k", str(FIRST)), least=1)
        records = self._desk.gallery.store.get(ids[:k])
        tiles = make_tiles(self._desk, ids[:k], records, base_of(request, self._desk))
        pairs = [(key, value) for key, value in request.query_params.multi_items() if key != "k"]
        more = f"/map?{urlencode([*pairs, ('k', k + FIRST)])}" if k < len(ids) and k + FIRST <= _MOST else ""
        return show("some.html", self._desk, page | {"name": name, "tiles": tiles, "total": len(ids), "more": more})

    def points(self) -> Response:
        """What the browser draws: columns with an entry for each picture, and the groups."""
        job = self.ask()
        if job.result is None:
            raise Problem(503, "busy", texts.TEXTS["map_drawing"], headers={"retry-after": "2"})
        return JSONResponse(_collect(job.result))


def _group(map_: Map) -> dict[str, list[Point]]:
    """The points of each group, the largest group first, and in each those nearest to its middle first."""
    groups: dict[str, list[Point]] = {}
    for point in map_:
        groups.setdefault(point.cluster, []).append(point)
    ordered = {}
    for name, some in sorted(groups.items(), key=lambda item: -len(item[1])):
        x, y = (sorted(getattr(point, axis) for point in some)[len(some) // 2] for axis in "xy")
        ordered[name] = sorted(some, key=lambda point: ((point.x - x) ** 2 + (point.y - y) ** 2, point.id))
    return ordered


def _find_island(islands: dict[str, list[Point]], name: str) -> tuple[str, list[int]]:
    if name not in islands:
        raise Problem(404, "not_found", texts.PROBLEMS["no_group"])
    return name, [point.id for point in islands[name]]


def _read_ids(text: str) -> list[int]:
    """Ids as a lasso writes them: in base 36, each the difference to the one before it. Raises Problem."""
    ids, last = [], 0
    for word in text.split(".")[:_MOST]:
        if not (word.isascii() and word.isalnum() and len(word) <= 13):
            raise Problem(422, "invalid_request", "these are no pictures of the map")
        last += int(word, 36)
        ids.append(last)
    if last >= 2**63:
        raise Problem(422, "invalid_request", "these are no pictures of the map")
    return ids


def _collect(map_: Map) -> dict[str, Any]:
    groups = _group(map_)
    names = list(groups)
    points = [point for some in _take_turns(list(groups.values())) for point in some]
    number = {name: index for index, name in enumerate(names)}
    return {
        "ids": [point.id for point in points],
        "names": [show_path(os.fsencode(point.path.name)) for point in points],
        "x": [round(point.x, 4) for point in points],
        "y": [round(point.y, 4) for point in points],
        "group": [number[point.cluster] for point in points],
        "groups": [
            {"name": name, "x": round(some[0].x, 4), "y": round(some[0].y, 4), "size": len(some)}
            for name, some in groups.items()
        ],
    }


def _take_turns(groups: list[list[Point]]) -> list[list[Point]]:
    """The points, one of each group after the other: whatever there is room for shows something of every group."""
    longest = max(map(len, groups), default=0)
    return [[some[index] for some in groups if index < len(some)] for index in range(longest)]
