"""The view of the whole collection as a map, and its twin, a list of groups, for keyboards and screen readers.

The map itself is drawn by the browser from `/map/points`; without a script the list is all there is, and it leads to
the same pictures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lookalike.web import texts
from lookalike.web.asking import read_count
from lookalike.web.handlers import base_of
from lookalike.web.problems import Problem
from lookalike.web.rendering import show
from lookalike.web.state import FIRST, State
from lookalike.web.tiles import make_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.requests import Request

    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.survey_cache import Places
    from lookalike.web.surveys import Found

__all__ = ["BINARY", "map_routes", "pack"]

BINARY = "application/octet-stream"
_STEPS = 32767  # of a coordinate in the binary map
_SIGNATURE = b"LKMAP1\0\0"

_PATIENCE = 0.5  # seconds that a page waits for the map before it shows how far that is
_EXAMPLES = 6  # pictures of a group in the list
_PICTURED = 60  # groups of the list that show pictures, the largest: those of a thousand delay the map by 2 s
_MOST = 1000  # pictures of a lasso


@dataclass(frozen=True, slots=True)
class Island:
    """A group of the list: its name, its size, its address, and some of its pictures."""

    name: str
    size: int
    url: str
    ids: tuple[int, ...]


def map_routes(served: ServedGallery) -> list[Route]:
    """The map, its points, and the pictures of a part of it."""
    view = _View(served)

    async def page(request: Request) -> Response:
        return await served.searches.run(request, view.show, request)

    async def points(request: Request) -> Response:
        return await served.searches.run(request, view.points, is_binary=request.query_params.get("format") == "binary")

    return [Route("/map", page, name="map"), Route("/map/points", points, name="points")]


class _View:
    def __init__(self, served: ServedGallery) -> None:
        self._served = served
        self._laid_out: tuple[Places, _Ordered] | None = None

    def show(self, request: Request) -> Response:
        """The page: the map and its list, one group of it, or the pictures around which a line was drawn."""
        base: dict[str, Any] = {"title": texts.TEXTS["map"], "section": "map", "state": State()}
        survey = self._served.surveys.map
        if (found := survey.find_within(_PATIENCE)) is None:
            page = {"progress": survey.progress, "what": texts.TEXTS["map_drawing"]}
            return show("waiting.html", self._served, base | page)
        if "group" in request.query_params:
            return self._show_some(request, base, *_find_group(found.value, request.query_params["group"]))
        if "lasso" in request.query_params:
            ids = _read_ids(request.query_params["lasso"])
            return self._show_some(request, base, texts.TEXTS["lasso_found"], ids)
        places = self._lay_out(found)
        return show("map.html", self._served, base | {"islands": places.islands, "total": len(places.order)})

    def _show_some(self, request: Request, page: dict[str, Any], name: str, ids: list[int]) -> Response:
        k = read_count(request.query_params.get("k", str(FIRST)), least=1)
        records = self._served.gallery.store.get(ids[:k])
        tiles = make_tiles(self._served, ids[:k], records, base_of(request, self._served))
        pairs = [(key, value) for key, value in request.query_params.multi_items() if key != "k"]
        more = f"/map?{urlencode([*pairs, ('k', k + FIRST)])}" if k < len(ids) and k + FIRST <= _MOST else ""
        return show("some.html", self._served, page | {"name": name, "tiles": tiles, "total": len(ids), "more": more})

    def points(self, *, is_binary: bool) -> Response:
        """What the browser draws: columns with an entry for each picture, and the groups."""
        found = self._served.surveys.map.find()
        if found is None:
            raise Problem(503, "busy", texts.TEXTS["map_drawing"], headers={"retry-after": "2"})
        places = self._lay_out(found)
        if is_binary:
            return Response(places.packed, media_type=BINARY)
        return JSONResponse(_collect(places.places, places.order))

    def _lay_out(self, found: Found[Places]) -> _Ordered:
        """The map as it is sent, which is put in order once: 0.4 s for 10^5 pictures."""
        known = self._laid_out
        if known is None or known[0] is not found.value or not found.is_current:
            known = found.value, _Ordered(self._present(found))
            self._laid_out = known if found.is_current else None
        return known[1]

    def _present(self, found: Found[Places]) -> Places:
        """The map without the pictures that were removed since it was drawn."""
        if found.is_current:
            return found.value
        places = found.value
        there = np.isin(places.ids, self._served.gallery.store.ids())
        columns = {name: getattr(places, name)[there] for name in ("ids", "x", "y", "group")}
        return replace(places, **columns)


class _Ordered:
    """A map in the order in which it is drawn: one picture of each group after the other, the middle ones first.

    So whatever there is room for shows something of every group.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        turn = np.zeros(len(places.ids), np.int64)
        islands = []
        for number, name in enumerate(places.names):
            rows = _order(places, number)
            turn[rows] = np.arange(len(rows))
            islands.append(_describe(places, name, rows, _EXAMPLES if number < _PICTURED else 0))
        self.order = np.lexsort((places.group, turn))
        self.islands = [one for one in islands if one.size]

    @cached_property
    def packed(self) -> bytes:
        """The map as `pack` writes it."""
        places, order = self.places, self.order
        columns = places.x[order], places.y[order]
        return pack({"groups": _list_groups(places)}, places.ids[order], columns, places.group[order])


def _order(places: Places, number: int) -> NDArray[np.int64]:
    """The rows of a group, those nearest to its middle first."""
    rows = np.nonzero(places.group == number)[0]
    x, y = places.middles[number]
    return rows[np.argsort((places.x[rows] - x) ** 2 + (places.y[rows] - y) ** 2, kind="stable")]


def _describe(places: Places, name: str, rows: NDArray[np.int64], examples: int) -> Island:
    return Island(name, len(rows), f"/map?{urlencode({'group': name})}", tuple(places.ids[rows[:examples]].tolist()))


def _find_group(places: Places, name: str) -> tuple[str, list[int]]:
    if name not in places.names:
        raise Problem(404, "not_found", texts.PROBLEMS["no_group"])
    return name, places.ids[_order(places, places.names.index(name))].tolist()


def _read_ids(text: str) -> list[int]:
    """Ids as a lasso writes them: in base 36, each the difference to the one before it. Raises Problem."""
    ids, last = [], 0
    for word in text.split(".")[:_MOST]:
        if not (word.isascii() and word.isalnum() and len(word) <= 12):
            raise Problem(422, "invalid_request", "these are not pictures of the map")
        last += int(word, 36)
        ids.append(last)
    if last >= 2**63:
        raise Problem(422, "invalid_request", "these are not pictures of the map")
    return ids


def _collect(places: Places, order: NDArray[np.int64]) -> dict[str, Any]:
    """The map as JSON-compatible values."""
    return {
        "ids": places.ids[order].tolist(),
        "x": places.x[order].astype(np.float64).round(4).tolist(),
        "y": places.y[order].astype(np.float64).round(4).tolist(),
        "group": places.group[order].tolist(),
        "groups": _list_groups(places),
    }


def _list_groups(places: Places) -> list[dict[str, Any]]:
    sizes = np.bincount(places.group, minlength=len(places.names)).tolist()
    middles = places.middles.astype(np.float64).round(4).tolist()
    return [
        {"name": name, "x": x, "y": y, "size": size}
        for name, (x, y), size in zip(places.names, middles, sizes, strict=True)
    ]


def pack(
    head: dict[str, Any],
    ids: NDArray[np.int64],
    places: tuple[NDArray[np.float32], NDArray[np.float32]],
    group: NDArray[np.int64],
) -> bytes:
    """A map as bytes: see the end point `/api/v1/map` for their order."""
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 8)
    columns = [np.rint(np.clip(column, -1, 1) * _STEPS).astype("<i2").tobytes() for column in places]
    parts = [_SIGNATURE, len(text).to_bytes(4, "little"), text, ids.astype("<f8").tobytes(), *columns]
    return b"".join([*parts, group.astype("<u2").tobytes()])
