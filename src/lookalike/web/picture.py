"""The large view of one picture: its facts, its lookalikes, the hits around it, and what it matches.

/pictures/17                          a picture
/pictures/17?like=3                   a picture among the hits of a search, whose other parameters are those of Find
/pictures/17?like=3&view=compare      beside the picture that was searched for
/pictures/17?like=3&view=heat         where the two match
/dropped/NAME/large                   a picture that was dropped
/pictures/17/folder                   POST: open its folder in the file manager, for a client on this machine
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from lookalike.images.paths import is_remote
from lookalike.images.viewer import find_viewer, open_file
from lookalike.web import texts
from lookalike.web.asking import read_count
from lookalike.web.asking import show as show_to
from lookalike.web.handlers import base_of, read_fields, write_command
from lookalike.web.problems import Problem
from lookalike.web.rendering import show
from lookalike.web.safety import is_local
from lookalike.web.state import Part, State, read_state
from lookalike.web.tiles import Tile, find_shape, make_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lookalike.search.explain import Inspection
    from lookalike.search.hits import Hits
    from lookalike.web.served_gallery import ServedGallery

    Listing = Callable[[ServedGallery, State], tuple[list[int], int, Hits | None]]

__all__ = ["picture_routes"]

_STRIP = 18  # lookalikes beside a picture
_REMEMBERED = 16  # heat maps
_MOST_ID = 2**63 - 1
_VIEWS = ("compare", "heat")
_PARTS = {
    "middle": "25,25,50,50",
    "left": "0,0,50,100",
    "right": "50,0,50,100",
    "top": "0,0,100,50",
    "bottom": "0,50,100,50",
}


def picture_routes(served: ServedGallery, list_ids: Listing) -> list[Route]:
    """The large views of pictures, and heat maps. list_ids: gives the hits of a state."""
    view = _View(served, list_ids)

    async def picture(request: Request) -> Response:
        return await served.searches.run(request, view.show, request)

    async def dropped(request: Request) -> Response:
        return await served.searches.run(request, view.show_dropped, request)

    async def folder(request: Request) -> Response:
        await read_fields(request)
        await served.pictures.run(request, view.open_folder, request)
        return Response(status_code=204)  # with which a browser stays where it is

    async def heat(request: Request) -> Response:
        data = await served.uploads.run(request, view.draw_heat, request)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    return [
        Route("/pictures/{id}", picture, name="picture"),
        Route("/pictures/{id}/folder", folder, methods=["POST"], name="folder"),
        Route("/dropped/{name}/large", dropped, name="dropped-large"),
        Route("/heat/{id}/{side}", heat, name="heat"),
    ]


class _View:
    def __init__(self, served: ServedGallery, list_ids: Listing) -> None:
        self._served, self._list_ids = served, list_ids
        self._heats: OrderedDict[tuple[int, Part], Inspection] = OrderedDict()
        self._lock = threading.Lock()

    def show(self, request: Request) -> Response:
        """The page of a picture of the collection."""
        id_ = read_count(request.path_params["id"], most=_MOST_ID)
        state, mode = read_state(request.query_params), request.query_params.get("view", "")
        record, base = self._served.record(id_), base_of(request, self._served)
        asked = next(iter(state.wanted), None)
        ids, hits = self._find_around(state)
        (tile,) = make_tiles(self._served, [id_], {id_: record}, base, hits or ())
        page = {
            "record": record,
            "path": show_to(record.path, base)["display"],
            "is_there": (is_there := self._served.is_there(record)),
            "seen": "" if is_there else self._served.find_seen(record),
            "command": write_command(request, self._served, "index"),
            "may_open": is_there and _may_open(request) and not is_remote(record.path),
            "large": f"/thumbnails/{id_}/large?v={tile.version}",
            "asked": _address(asked, "large") if asked is not None else "",
            "mode": mode if mode in _VIEWS and asked is not None else "",
            "modes": {name: _with_view(state, id_, name) for name in ("", *_VIEWS)},
            "around": _find_neighbours(state, ids, id_, mode),
            "copies": self._count_copies(id_),
            "heat": f"/heat/{id_}/{{}}?{state.parameters}",
        }
        return self._answer(request, Part(str(id_)), tile, state, page)

    def show_dropped(self, request: Request) -> Response:
        """The page of a picture that was dropped."""
        name = request.path_params["name"]
        picture, label = self._served.dropped(name), texts.TEXTS["your_picture"]
        width, height = picture.width, picture.height
        tile = Tile(0, label[:1].upper() + label[1:], "", width, height, find_shape(width, height), "#8a8a86", "")
        page: dict[str, Any] = {
            "record": None,
            "path": "",
            "is_there": True,
            "may_open": False,
            "large": f"/dropped/{name}?size=large",
            "asked": "",
            "mode": "",
            "modes": {},
            "around": {},
            "copies": 0,
            "heat": "",
        }
        return self._answer(request, Part(name, is_dropped=True), tile, State(), page)

    def open_folder(self, request: Request) -> None:
        """Open the folder of a picture. Raises Problem, UsageError."""
        if not is_local(request.scope):
            raise Problem(403, "not_here", texts.PROBLEMS["not_here"])
        if find_viewer() is None:
            raise Problem(422, "no_screen", texts.PROBLEMS["no_screen"])
        open_file(self._served.find_folder(read_count(request.path_params["id"], most=_MOST_ID)))

    def _answer(self, request: Request, part: Part, tile: Tile, state: State, page: dict[str, Any]) -> Response:
        hits = self._served.gallery.search(part.query(self._served), _STRIP)
        records = self._served.gallery.store.get([hit.id for hit in hits])
        tiles = make_tiles(self._served, [hit.id for hit in hits], records, base_of(request, self._served), hits)
        key, name = part.pair
        parts = [(texts.PARTS[side], f"/?{key}={name}@{crop}") for side, crop in _PARTS.items()]
        shared = {
            "title": tile.name,
            "section": "find",
            "state": state,
            "picture": tile,
            "tiles": tiles,
            "parts": parts,
        }
        return show("picture.html", self._served, shared | page | {"part": f"/?{key}={name}", "strip": State()})

    def _find_around(self, state: State) -> tuple[list[int], Hits | None]:
        """The pictures among which this one was opened."""
        if not state.pairs:
            return [], None
        ids, _, hits = self._list_ids(self._served, state)
        return ids, hits

    def _count_copies(self, id_: int) -> int:
        """How many copies a picture has, if these have been looked for."""
        found = self._served.surveys.duplicates.peek()
        groups = found.groups if found is not None else ()
        return sum(
            len(group.pictures) - 1
            for group in groups
            if group.kind != "same scene" and any(one.id == id_ for one in group.pictures)
        )

    def draw_heat(self, request: Request) -> bytes:
        """A picture with the parts in red that match: side "query", or side "hit"."""
        id_ = read_count(request.path_params["id"], most=_MOST_ID)
        state, side = read_state(request.query_params), request.path_params["side"]
        if side not in {"query", "hit"} or not state.wanted:
            raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
        self._served.record(id_)
        drawn = self._inspect(id_, state.wanted[0]).draw_parts()
        memory = io.BytesIO()
        drawn[side == "hit"].save(memory, "JPEG", quality=88)
        return memory.getvalue()

    def _inspect(self, id_: int, part: Part) -> Inspection:
        """Where two pictures match, remembered for the last few: 2 s of work."""
        with self._lock:
            if (id_, part) not in self._heats:
                dropped = part.name if part.is_dropped else ""
                self._heats[id_, part] = self._served.inspect(id_, like=part.id, dropped=dropped)
            self._heats.move_to_end((id_, part))
            while len(self._heats) > _REMEMBERED:
                self._heats.popitem(last=False)
            return self._heats[id_, part]


def _may_open(request: Request) -> bool:
    """Whether a folder can be opened for a client: it sits at this machine, and a window would be seen."""
    return is_local(request.scope) and find_viewer() is not None


def _address(part: Part, size: str) -> str:
    return f"/dropped/{part.name}?size={size}" if part.is_dropped else f"/thumbnails/{part.id}/{size}"


def _with_view(state: State, id_: int, mode: str) -> str:
    return state.picture_url(id_) + (f"&view={mode}" if mode else "")


def _find_neighbours(state: State, ids: list[int], id_: int, mode: str) -> dict[str, Any]:
    """The addresses of the hits before and after a picture, and which of how many it is."""
    if id_ not in ids:
        return {}
    index = ids.index(id_)
    kept = mode if mode in _VIEWS and state.wanted else ""
    before = _with_view(state, ids[index - 1], kept) if index else ""
    after = _with_view(state, ids[index + 1], kept) if index + 1 < len(ids) else ""
    return {"before": before, "after": after, "number": index + 1, "total": len(ids)}
