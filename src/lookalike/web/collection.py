"""The part of the API about the whole collection: its map, its groups, its duplicates, and what can be filtered.

All of these but the filters are computed in the background (`surveys`): until one is there, the answer is 202 and says
how far it is.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lookalike.web.asking import MOST_TERMS, Options, show
from lookalike.web.documents import WORKING, Clusters, Duplicates, Filters, Group, Map
from lookalike.web.facets import FACETS, count_values
from lookalike.web.handlers import base_of
from lookalike.web.maps import BINARY, pack
from lookalike.web.parameters import After, Count, Keep, Limit, Where
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.explore.clusters import Cluster
    from lookalike.explore.collection import Picture
    from lookalike.explore.duplicates.groups import Group as Copies
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.survey_cache import Places
    from lookalike.web.surveys import Found, Planned, Survey

__all__ = ["add_collection", "answer_working"]

_PLACES = 4  # digits of a place on the map: a tenth of a pixel on a screen of 4K
_LIST = {"schema": {"type": "string", "format": "binary"}}
_UNREADABLE = 100

_Pictures = Annotated[Count, Query(ge=0, le=24, description="How many pictures of each group to list.")]


def add_collection(api: FastAPI, served: ServedGallery) -> None:
    """Add what the API says of the whole collection."""
    _add_map(api, served)
    _add_clusters(api, served)
    _add_duplicates(api, served)

    @api.get("/api/v1/filters", response_model=Filters, tags=["collection"], name="filters")
    async def filters(
        request: Request,
        where: Where = [],  # noqa: B006  (never changed)
        limit: Annotated[Count, Query(ge=1, le=MOST_TERMS, description="Values of each field.")] = 8,
    ) -> Response:
        """Count the values of each field among the pictures that match, each with the filter that selects them."""
        terms = Options(1, tuple(where)).where
        return JSONResponse(await served.searches.run(request, _count, served, terms, limit, request))


def _count(served: ServedGallery, where: tuple[str, ...], limit: int, request: Request) -> dict[str, Any]:
    ids, base = served.gallery.select(where), base_of(request, served)
    records = served.gallery.store.get(ids[:FACETS].tolist()).values()
    return {"filters": count_values(records, limit, base), "total": len(ids)}


def _add_map(api: FastAPI, served: ServedGallery) -> None:
    @api.get(
        "/api/v1/map",
        response_model=Map,
        responses={**WORKING, 200: {"content": {BINARY: _LIST}}, 304: {"description": "Unchanged."}},
        tags=["collection"],
        name="map",
    )
    async def map_(
        request: Request,
        where: Where = [],  # noqa: B006
        format: Literal["json", "binary"] = "json",  # noqa: A002  (its name in the address)
    ) -> Response:
        """Place every picture in two dimensions, near those that are like it, with the names of the groups.

        binary: the eight bytes `LKMAP1`, 0, 0; the length of a header as uint32; the header, JSON as below without the
        columns, padded with spaces to a multiple of 8; then the columns, little-endian: ids float64, x and y int16 in
        steps of 1/32767, group uint16.
        """
        terms = Options(1, tuple(where)).where
        found = await served.searches.run(request, served.surveys.map.find)
        if found is None:
            return answer_working(served.surveys.map)
        etag = f'"{found.generation}-{int(found.is_current)}-{format}"'
        if not terms and etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": etag})
        data = await served.pictures.run(request, _write_map, served, found, terms, format)
        kind = BINARY if format == "binary" else "application/json"
        return Response(data, media_type=kind, headers={} if terms else {"etag": etag})


def answer_working(survey: Survey[Any]) -> Response:
    """The answer while something is being computed."""
    done, total = survey.progress
    document = {"status": "working", "what": survey.name, "done": done, "total": total}
    return JSONResponse(document, 202, headers={"retry-after": "1", "cache-control": "no-store"})


def _write_map(served: ServedGallery, found: Found[Places], where: tuple[str, ...], kind: str) -> bytes:
    places = found.value
    chosen = np.isin(places.ids, served.gallery.select(where)) if where else np.ones(len(places.ids), bool)
    ids, group = places.ids[chosen], places.group[chosen]
    counts = np.bincount(group, minlength=len(places.names)).tolist()
    middles = np.round(places.middles.astype(np.float64), _PLACES).tolist()
    groups = [
        {"name": name, "count": count, "x": x, "y": y}
        for name, count, (x, y) in zip(places.names, counts, middles, strict=True)
    ]
    head = {"groups": groups, "count": len(ids), "generation": found.generation, "is_current": found.is_current}
    if kind == "binary":
        return pack(head, ids, (places.x[chosen], places.y[chosen]), group)
    x, y = (np.round(column[chosen].astype(np.float64), _PLACES).tolist() for column in (places.x, places.y))
    columns = {"ids": ids.tolist(), "x": x, "y": y, "group": group.tolist()}
    return json.dumps(columns | head, separators=(",", ":"), ensure_ascii=False).encode()


def _add_clusters(api: FastAPI, served: ServedGallery) -> None:
    @api.get("/api/v1/clusters", response_model=Clusters, responses=WORKING, tags=["collection"], name="clusters")
    async def clusters(request: Request, limit: Limit = 100, after: After = 0, pictures: _Pictures = 4) -> Response:
        """List the groups of pictures that are alike, the largest first, each with its most typical pictures."""
        found = await served.searches.run(request, served.surveys.clusters.find)
        if found is None:
            return answer_working(served.surveys.clusters)
        base, every = base_of(request, served), found.value
        some = [
            _describe_cluster(after + number, each, pictures, base)
            for number, each in enumerate(every[after : after + limit])
        ]
        return JSONResponse({"clusters": some, **_page(len(every), after + limit), **_state(found)})

    @api.get("/api/v1/clusters/{number}", response_model=Group, responses=WORKING, tags=["collection"], name="cluster")
    async def cluster(request: Request, number: Count, limit: Limit = 100, after: After = 0) -> Response:
        """List the pictures of one group, the most typical first. number: from 0, the largest."""
        found = await served.searches.run(request, served.surveys.clusters.find)
        if found is None:
            return answer_working(served.surveys.clusters)
        if number >= len(found.value):
            raise Problem(404, "unknown_group", "the collection has no group with this number")
        each = found.value[number]
        some = _name(each.pictures[after : after + limit], base_of(request, served))
        page = _page(len(each.pictures), after + limit)
        return JSONResponse({"number": number, "name": each.name, "pictures": some, **page, **_state(found)})


def _describe_cluster(number: int, each: Cluster, pictures: int, base: bytes) -> dict[str, Any]:
    some = _name(each.pictures[:pictures], base)
    return {"number": number, "name": each.name, "count": len(each.pictures), "pictures": some}


def _name(pictures: Iterable[Picture], base: bytes) -> list[dict[str, Any]]:
    return [{"id": picture.id, **show(picture.path, base)} for picture in pictures]


def _page(total: int, end: int) -> dict[str, Any]:
    return {"total": total, "next": end if end < total else None}


def _state(found: Found[Any]) -> dict[str, Any]:
    return {"generation": found.generation, "is_current": found.is_current}


def _add_duplicates(api: FastAPI, served: ServedGallery) -> None:
    @api.get("/api/v1/duplicates", response_model=Duplicates, responses=WORKING, tags=["collection"], name="duplicates")
    async def duplicates(request: Request, keep: Keep = "largest", limit: Limit = 100, after: After = 0) -> Response:
        """List the pictures that are here more than once, with the evidence, and what a rule would keep and move."""
        found = await served.searches.run(request, _find_plan, served, keep)
        if found is None:
            return answer_working(served.surveys.duplicates)
        base = base_of(request, served)
        return JSONResponse(await served.searches.run(request, _list_duplicates, found, (limit, after), base))

    @api.get(
        "/api/v1/duplicates/plan",
        responses={**WORKING, 200: {"content": {"text/csv": _LIST, "application/x-sh": _LIST}}},
        response_class=Response,
        tags=["collection"],
        name="plan",
    )
    async def plan(request: Request, keep: Keep = "largest", format: Literal["csv", "sh"] = "csv") -> Response:  # noqa: A002
        """Write down what a rule would move: a table, or a shell script. Only for clients on this machine."""
        if base_of(request, served):
            raise Problem(403, "elsewhere", "a plan names folders of this machine, and is written for it alone")
        found = await served.searches.run(request, _find_plan, served, keep)
        if found is None:
            return answer_working(served.surveys.duplicates)
        data = await served.searches.run(request, _write_plan, served, found.value, format)
        headers = {"content-disposition": f'attachment; filename="duplicates.{format}"'}
        return Response(data, media_type="text/csv" if format == "csv" else "application/x-sh", headers=headers)


def _find_plan(served: ServedGallery, keep: str) -> Found[Planned] | None:
    """The duplicates, and what would be moved by a rule; None while either is being computed."""
    found = served.surveys.duplicates.find()
    return served.surveys.plan(keep).find() if found is not None else None


def _list_duplicates(found: Found[Planned], page: tuple[int, int], base: bytes) -> dict[str, Any]:
    (limit, after), (every, plan, generation) = page, found.value
    some = every.groups[after : after + limit]
    unreadable = [{**show(path, base), "reason": reason} for path, reason in every.unreadable[:_UNREADABLE]]
    return {
        "groups": [_describe_copies(number, each, plan, base) for number, each in enumerate(some, after + 1)],
        **_page(len(every.groups), after + limit),
        "moves": len(plan.moves),
        "bytes": sum(move.copy.size or 0 for move in plan.moves),
        **{name: getattr(every, name) for name in ("compared", "left", "undescribed")},
        "unreadable": unreadable,
        "mark": str(generation),
        "is_current": found.is_current,
    }


def _describe_copies(number: int, group: Copies, plan: Plan, base: bytes) -> dict[str, Any]:
    kept = plan.kept.get(number)
    moves = {move.copy.id for move in plan.moves if move.group == number}
    reasons = {left.picture.id: left.reason for left in plan.left if left.group == number}
    pictures = [
        {
            "id": one.id,
            **show(one.path, base),
            **{name: getattr(one, name) for name in ("width", "height", "size")},
            "action": "keep" if one == kept else "move" if one.id in moves else "",
            "found": group.explain(one, kept),
            "reason": reasons.get(one.id, ""),
        }
        for one in group.pictures
    ]
    pairs = [pair.to_dict() for pair in group.pairs]
    return {"number": number, "kind": group.kind, "proven": group.proven, "pictures": pictures, "pairs": pairs}


def _write_plan(served: ServedGallery, planned: Planned, kind: str) -> bytes:
    from lookalike.explore.duplicates.actions import find_trash  # noqa: PLC0415  (only with a plan)
    from lookalike.explore.duplicates.plans import as_csv, as_script  # noqa: PLC0415

    if kind == "csv":
        return as_csv(planned.duplicates, planned.plan).encode("utf-8", "surrogateescape")
    return as_script(planned.plan, find_trash(os.fspath(served.gallery.location)))
