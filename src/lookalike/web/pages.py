"""The pages, written on the server: they work without a script, which only makes them quicker."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lookalike.errors import LookalikeError
from lookalike.images.colors import mean_color
from lookalike.images.description import COLORS
from lookalike.images.paths import show_path
from lookalike.search.filters import split_filter
from lookalike.search.query import Query
from lookalike.store.location import name_command
from lookalike.web import texts
from lookalike.web.asking import read_count, show
from lookalike.web.desk import SIZES
from lookalike.web.handlers import answer_problem, base_of, read_file, send_thumbnail
from lookalike.web.problems import Problem
from lookalike.web.state import FIRST, State, read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request

    from lookalike.search.hits import Hit, Hits
    from lookalike.store import Record
    from lookalike.web.desk import Desk

__all__ = ["page_routes", "show_problem"]

_HERE = Path(__file__).parent
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_NEUTRAL = "#8a8a86"
_GOLDEN = (5**0.5 - 1) / 2
_STRIP = 24  # lookalikes beside a picture
_FACETS = 8  # values of each filter
_SKIPPED = 200
_SUGGESTED, _LIKENESS = 8, 0.5  # words, and how much they are spelt like the one that is not known
_NARROWEST, _WIDEST, _STEP = 30, 400, 5  # hundredths: the proportions that the style sheet knows


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture in the grid. shape: its proportions, for the style sheet."""

    id: int
    name: str
    place: str
    width: int
    height: int
    shape: int
    color: str
    version: str
    words: str = ""
    numbers: str = ""
    date: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A part of what is searched for, and the address without it."""

    label: str
    without: str
    picture: str = ""
    is_minus: bool = False
    color: str = ""


def page_routes(desk: Desk) -> list[Route]:
    """The pages, what they are made of, and the thumbnails."""

    async def find(request: Request) -> Response:
        return await desk.searches.run(request, _show_find, desk, request)

    async def drop(request: Request) -> Response:
        content = await read_file(request)
        name = await desk.uploads.run(request, lambda: desk.drop(desk.read_upload(content)))
        return RedirectResponse(State(dropped=name).url, 303)

    async def dropped(request: Request) -> Response:
        data = await desk.pictures.run(request, desk.draw_dropped, request.path_params["name"])
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def picture(request: Request) -> Response:
        return await desk.searches.run(request, _show_picture, desk, request)

    async def collection(request: Request) -> Response:
        return await desk.searches.run(request, _show_collection, desk, request)

    async def thumbnail(request: Request) -> Response:
        id_, size = read_count(request.path_params["id"], most=2**63 - 1), request.path_params["size"]
        if size not in SIZES:
            raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
        return await send_thumbnail(request, desk, id_, size)

    return [
        Route("/", find, name="find"),
        Route("/find", drop, methods=["POST"], name="drop"),
        Route("/dropped/{name}", dropped, name="dropped"),
        Route("/pictures/{id}", picture, name="picture"),
        Route("/collection", collection, name="collection"),
        Route("/thumbnails/{id}/{size}", thumbnail, name="thumbnails"),
        Route("/static/{name}", _send_static, name="static"),
    ]


def show_problem(desk: Desk, request: Request, problem: Problem) -> Response:
    """The page that tells a person what went wrong; the API's document for a program."""
    if "text/html" not in request.headers.get("accept", "") or problem.status in {304, 401}:
        return answer_problem(problem)
    text = request.query_params.get("text", "") if problem.code in {"unknown_word", "no_words"} else ""
    page = {
        "problem": problem,
        "title": texts.TEXTS["problem"],
        "state": State(text=text),
        "message": _explain(problem, text),
        "suggested": [(word, State(text=word).url) for word in _suggest(desk, text)] if text else [],
    }
    return HTMLResponse(_render("problem.html", desk, page), problem.status, headers=problem.headers)


def _explain(problem: Problem, text: str) -> str:
    """A problem in a sentence."""
    if problem.code in texts.PROBLEMS:
        return texts.PROBLEMS[problem.code].format(text=text)
    message = problem.message[:1].upper() + problem.message[1:]
    return message if message.endswith((".", "?")) else f"{message}."


def _suggest(desk: Desk, text: str) -> list[str]:
    """Words that are known and spelt like a text."""
    try:
        return difflib.get_close_matches(text, [str(word) for word in desk.gallery.words()], _SUGGESTED, _LIKENESS)
    except LookalikeError:
        return []


def _show_find(desk: Desk, request: Request) -> Response:
    state = read_state(request.query_params)
    query = state.query(desk)
    base = base_of(request, desk)
    hits: Hits | None = None
    if query is not None:
        hits = state.options.search(desk.gallery, query)
        ids, total = [hit.id for hit in hits], len(desk.gallery)
    else:
        selected = desk.gallery.select(state.options.where)
        total = len(selected)
        ids = _spread(selected.tolist(), state.k)
    records = desk.gallery.store.get(ids)
    explained = desk.gallery.explain_filters(state.where, has_hits=bool(ids)) if state.where else []
    page = {
        "title": texts.TEXTS["find"],
        "state": state,
        "tiles": _make_tiles(desk, ids, records, base, hits or ()),
        "chips": _make_chips(desk, state),
        "facets": _count_facets(state, records.values()),
        "total": total,
        "hits": hits,
        "explained": explained,
        "has_more": len(ids) >= state.k and state.k + FIRST <= 1000 and len(ids) < total,
        "command": name_command("index FOLDER", desk.gallery.location) if not base else "lookalike index FOLDER",
    }
    return HTMLResponse(_render("find.html", desk, page))


def _show_picture(desk: Desk, request: Request) -> Response:
    id_ = read_count(request.path_params["id"], most=2**63 - 1)
    record, base = desk.record(id_), base_of(request, desk)
    hits = desk.gallery.search(Query.stored(id_), _STRIP)
    records = desk.gallery.store.get([hit.id for hit in hits])
    (tile,) = _make_tiles(desk, [id_], {id_: record}, base, ())
    page = {
        "title": tile.name,
        "state": State(),
        "picture": tile,
        "record": record,
        "path": show(record.path, base)["display"],
        "is_there": os.path.isfile(record.path),
        "tiles": _make_tiles(desk, [hit.id for hit in hits], records, base, hits),
    }
    return HTMLResponse(_render("picture.html", desk, page))


def _show_collection(desk: Desk, request: Request) -> Response:
    base, gallery = base_of(request, desk), desk.gallery
    skipped = gallery.skipped()
    page = {
        "title": texts.TEXTS["collection"],
        "state": State(),
        "info": gallery.info(),
        "encoder": texts.explain_encoder(gallery.store.space.encoder),
        "roots": [(show(root.path, base)["display"], root.rules.exclude) for root in gallery.roots],
        "skipped": [(show(path, base)["display"], reason) for path, reason in skipped[:_SKIPPED]],
        "skipped_total": len(skipped),
        "command": name_command("skipped", gallery.location) if not base else "lookalike skipped",
    }
    return HTMLResponse(_render("collection.html", desk, page))


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


def _make_tiles(
    desk: Desk, ids: Sequence[int], records: dict[int, Record], base: bytes, hits: Iterable[Hit]
) -> list[Tile]:
    described, by_id = desk.gallery.store.descriptions(ids), {hit.id: hit for hit in hits}
    tiles = []
    for id_ in ids:
        if (record := records.get(id_)) is None:
            continue
        hit, histogram = by_id.get(id_), described.get(id_, b"")[COLORS]
        words = (texts.closeness(hit), texts.numbers(hit)) if hit is not None else ("", "")
        date = record.taken_at.strftime("%d %B %Y").lstrip("0") if record.taken_at else ""
        width, height = record.width or 4, record.height or 3
        tiles.append(
            Tile(
                id_,
                show_path(os.path.basename(record.path)),
                os.path.dirname(show(record.path, base)["display"]),
                width,
                height,
                _find_shape(width, height),
                mean_color(histogram) if histogram else _NEUTRAL,
                (record.digest or b"").hex()[:12],
                *words,
                date,
                texts.show_size(record.size),
            )
        )
    return tiles


def _find_shape(width: int, height: int) -> int:
    return min(max(round(100 * width / height / _STEP) * _STEP, _NARROWEST), _WIDEST)


def _make_chips(desk: Desk, state: State) -> list[Chip]:
    words = texts.TEXTS
    chips = []
    if state.dropped:
        chips.append(Chip(words["your_picture"], state.without("dropped").url, f"/dropped/{state.dropped}"))
    records = desk.gallery.store.get([abs(id_) for id_ in state.like])
    for id_ in state.like:
        name = show_path(os.path.basename(records[abs(id_)].path)) if abs(id_) in records else str(abs(id_))
        small = f"/thumbnails/{abs(id_)}/small"
        chips.append(Chip(name, state.without("like", id_).url, small, id_ < 0))
    if state.text:
        chips.append(Chip(f"“{state.text}”", state.without("text").url))
    if state.color:
        chips.append(Chip(state.color, state.without("color").url, color=state.color))
    return [*chips, *(Chip(_name_filter(term), state.without("where", term).url) for term in state.where)]


def _name_filter(term: str) -> str:
    """A filter in words: `label:forest` is "Folder: forest"."""
    is_not, field, values = split_filter(term)
    name = texts.FIELDS.get(field, field.capitalize())
    return f"{texts.TEXTS['not'] if is_not else ''}{name}: {', '.join(values)}"


def _count_facets(state: State, records: Iterable[Record]) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """The values that filters could keep, each with how many of the pictures shown have it, and the address."""
    counts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in ("folder", "year", "camera", "format")}
    for record in records:
        label = show_path(os.path.basename(os.path.dirname(record.path)))
        counts["folder"][label, "label"] += 1
        if record.taken_at:
            counts["year"][str(record.taken_at.year), "date"] += 1
        for field in ("camera", "format"):
            if value := getattr(record, field):
                counts[field][value, field] += 1
    facets = []
    for name, counter in counts.items():
        if len(counter) > 1:
            values = [
                (value, count, state.filtered(f"{field}:{_quote(value)}").url)
                for (value, field), count in counter.most_common(_FACETS)
            ]
            facets.append((texts.TEXTS[name], values))
    return facets


def _quote(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if {*value} & {*',":'} or value != value.strip() else value


def _render(template: str, desk: Desk, page: dict[str, Any]) -> str:
    shared = {
        "t": SimpleNamespace(**texts.TEXTS),
        "knows_words": desk.knows_words,
        "count": texts.count_pictures,
        "static": _static_url,
        "problems": texts.PROBLEMS,
    }
    return _templates().get_template(template).render(shared | page)


@lru_cache(1)
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@lru_cache(1)
def _static_files() -> dict[str, tuple[bytes, str]]:
    """What pages are made of: the content and a version of each file, by name."""
    files = {path.name: path.read_bytes() for path in (_HERE / "static").iterdir() if path.suffix in _KINDS}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in files.items()}


def _static_url(name: str) -> str:
    return f"/static/{name}?v={_static_files()[name][1]}"


async def _send_static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _static_files():
        raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
    data, version = _static_files()[name]
    headers = {"etag": f'"{version}"', "cache-control": "private, max-age=31536000, immutable"}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=_KINDS[Path(name).suffix], headers=headers)
