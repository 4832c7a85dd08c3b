"""The pages, written on the server: they work without a script, which only makes them quicker."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lookalike.errors import LookalikeError
from lookalike.search.filters import split_filter
from lookalike.web import texts
from lookalike.web.asking import read_count
from lookalike.web.copies import copies_routes
from lookalike.web.facets import quote_value
from lookalike.web.folders import explain_index, folder_routes, may_write
from lookalike.web.handlers import answer_problem, base_of, read_file, send_thumbnail, write_command
from lookalike.web.maps import map_routes
from lookalike.web.picture import picture_routes
from lookalike.web.problems import Problem
from lookalike.web.rendering import render, send_static, show
from lookalike.web.served_gallery import SIZES
from lookalike.web.state import FIRST, Part, State, read_state
from lookalike.web.tiles import count_facets, make_chips, make_tiles, name_filter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from lookalike.search.hits import Hits
    from lookalike.store import Record
    from lookalike.web.served_gallery import ServedGallery

__all__ = ["page_routes", "show_problem"]

_GOLDEN = (5**0.5 - 1) / 2
_COUNTED = 10_000  # pictures whose values are counted where nothing is searched for: 40 ms; beyond, those shown
_MISSING = {404, 410, 422}  # a picture that was removed, whose file is gone, or cannot be read any more
_UNAVAILABLE = {"collection_damaged", "collection_unavailable", "encoder_unavailable"}
_FILTERS = 4  # that are looked at to see which one leaves nothing


def page_routes(served: ServedGallery, *, allow_write: bool = False) -> list[Route]:
    """The pages, what they are made of, and the thumbnails. allow_write: whether they may change the collection."""

    async def find(request: Request) -> Response:
        return await served.searches.run(request, _show_find, served, request, allow_write)

    async def drop(request: Request) -> Response:
        state = read_state(request.query_params)
        content = await read_file(request)
        name = await served.uploads.run(request, served.accept, content)
        return RedirectResponse(state.adding(Part(name, is_dropped=True)).url, 303)

    async def dropped(request: Request) -> Response:
        size = request.query_params.get("size", "")
        size = size if size in SIZES else ""
        data = await served.pictures.run(request, served.draw_dropped, request.path_params["name"], size)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def thumbnail(request: Request) -> Response:
        id_, size = read_count(request.path_params["id"], most=2**63 - 1), request.path_params["size"]
        if size not in SIZES:
            raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
        try:
            return await send_thumbnail(request, served, id_, size)
        except Problem as problem:
            if problem.status not in _MISSING or "optional" not in request.query_params:
                raise
            return Response(status_code=204)

    return [
        Route("/", find, name="find"),
        Route("/find", drop, methods=["POST"], name="drop"),
        Route("/dropped/{name}", dropped, name="dropped"),
        Route("/thumbnails/{id}/{size}", thumbnail, name="thumbnails"),
        Route("/static/{name}", send_static, name="static"),
        *picture_routes(served, list_ids),
        *copies_routes(served, allow_write=allow_write),
        *folder_routes(served, allow_write=allow_write),
        *map_routes(served),
    ]


def show_problem(served: ServedGallery, request: Request, problem: Problem) -> Response:
    """The page that tells a person what went wrong; the API's document for a program."""
    if "text/html" not in request.headers.get("accept", "") or problem.status == 304:
        return answer_problem(problem)
    if problem.status == 401:  # what pages are made of needs the token too, so this one has no style
        content = render("token.html", served, {"title": texts.TEXTS["token"]})
        return HTMLResponse(content, problem.status, headers=problem.headers)
    text = request.query_params.get("text", "") if problem.code in {"unknown_word", "no_words"} else ""
    page = {
        "problem": problem,
        "title": texts.TEXTS["problem"],
        "state": State(text=text),
        "message": _explain(problem, text),
        # The reason and this command are for clients on this machine; others get an id to ask about.
        "repair_command": problem.hint.partition(": ")[2] if problem.code == "collection_damaged" else "",
        "teach_command": write_command(request, served, "teach NAME IMAGES") if text else "",
        "reason": problem.message if problem.code in _UNAVAILABLE and not problem.id else "",
        "suggested": [(word, State(text=word).url) for word in _suggest(served, text)] if text else [],
    }
    return HTMLResponse(render("problem.html", served, page), problem.status, headers=problem.headers)


def list_ids(served: ServedGallery, state: State) -> tuple[list[int], int, Hits | None]:
    """The ids of the pictures that a state shows, how many there could be, and the hits if it is a search."""
    query = state.query(served)
    if query is not None:
        hits = state.options.search(served.gallery, query)
        return [hit.id for hit in hits], len(served.gallery), hits
    selected = served.gallery.select(state.options.where)
    return _spread(selected.tolist(), state.k), len(selected), None


def _explain(problem: Problem, text: str) -> str:
    """A problem in a sentence."""
    if problem.code in texts.PROBLEMS:
        return texts.PROBLEMS[problem.code].format(text=text)
    message = problem.message[:1].upper() + problem.message[1:]
    return message if message.endswith((".", "?")) else f"{message}."


def _suggest(served: ServedGallery, text: str) -> list[str]:
    """The words that may have been meant."""
    try:
        return served.gallery.suggest_words(text)
    except LookalikeError:
        return []


def _show_find(served: ServedGallery, request: Request, allow_write: bool) -> Response:  # noqa: FBT001
    state, base = read_state(request.query_params), base_of(request, served)
    ids, total, hits = list_ids(served, state)
    index = explain_index(served)
    if not ids and not state.pairs and index["is_running"]:
        waiting = {"title": texts.TEXTS["find"], "section": "find", "state": state, "what": texts.TEXTS["adding"]}
        return show("waiting.html", served, waiting | {"progress": index["progress"]})
    records = served.gallery.store.get(ids)
    explained = _explain_filters(served, state, has_hits=bool(ids)) if state.where else []
    page = {
        "title": texts.TEXTS["find"],
        "section": "find",
        "state": state,
        "tiles": make_tiles(served, ids, records, base, hits or ()),
        "chips": make_chips(served, state),
        "facets": count_facets(state, _find_counted(served, state, records, total), base),
        "total": total,
        "hits": hits,
        "asked": _find_asked(state),
        "explained": explained,
        "culprits": _find_culprits(served, state) if state.where and not ids else [],
        "has_more": len(ids) >= state.k and state.k + FIRST <= 1000 and len(ids) < total,
        "command": write_command(request, served, "index FOLDER"),
        "may_write": may_write(request, allow_write),
        "index": index,
    }
    return show("find.html", served, page)


def _explain_filters(served: ServedGallery, state: State, *, has_hits: bool) -> list[str]:
    """Why the filters leave nothing, each called as its chip is."""
    found = served.gallery.explain_filters(state.where, has_hits=has_hits)
    for _, field, values in map(split_filter, state.where):
        for value in values:
            name = f"“{name_filter(f'{field}:{quote_value(value)}')}”"
            found = [sentence.replace(f"{field}:{value}", name) for sentence in found]
    return found


def _find_counted(served: ServedGallery, state: State, shown: dict[int, Record], total: int) -> Iterable[Record]:
    """The records whose values are counted: the hits, or all pictures that pass the filters."""
    if state.is_search or total > _COUNTED or len(shown) == total:
        return shown.values()
    return served.gallery.store.get(served.gallery.select(state.options.where).tolist()).values()


def _find_asked(state: State) -> str:
    """The address of the picture that is searched for, to be shown beside a hit."""
    for part in state.wanted:
        return f"/dropped/{part.name}" if part.is_dropped else f"/thumbnails/{part.id}/small"
    return ""


def _find_culprits(served: ServedGallery, state: State) -> list[tuple[str, str, int]]:
    """The filters without which something would be left: each in words, the address without it, and how much."""
    found = []
    for chip, term in zip(make_chips(served, State(where=state.where)), state.where[:_FILTERS], strict=False):
        rest = state.without("where", term)
        if count := len(served.gallery.select(rest.options.where)):
            found.append((chip.label, rest.url, count))
    return found


def _spread(ids: list[int], count: int) -> list[int]:
    """The first of some ids in an order that jumps through them by the golden ratio, so that any beginning is spread.

    A collection then shows more than its first folder, and more pictures are added to those already shown. Few ids stay
    in their order.
    """
    if len(ids) <= FIRST:
        return ids
    step = round(len(ids) * _GOLDEN)
    while math.gcd(step, len(ids)) > 1:
        step += 1
    return [ids[number * step % len(ids)] for number in range(min(count, len(ids)))]
