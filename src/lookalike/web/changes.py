"""The part of the API that changes something, for a server that was started with `--allow-write`; and its events.

Such a server has a token, which every request needs (`safety`). Files are never deleted: copies are moved into the
trash folder, from which they can be brought back.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lookalike.explore.duplicates.keep import KEEP, Keep
from lookalike.web.asking import read_json
from lookalike.web.collection import answer_working
from lookalike.web.documents import WORKING, Event, Job, Moved
from lookalike.web.events import Events, read_state
from lookalike.web.handlers import base_of
from lookalike.web.problems import Problem
from lookalike.web.safety import is_local

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.explore.duplicates.groups import Duplicates
    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.settings import Settings

__all__ = ["add_changes"]

_MOST_JSON = 256 << 10
_MOST_PATHS = 64
_MOST_ID = 2**63 - 1
_WAIT = 5.0  # seconds for another writer
_BUSY: dict[int | str, dict[str, Any]] = {
    409: {"description": "The collection has changed since it was looked at, or another process is changing it."}
}


def _body(properties: dict[str, Any], required: list[str], example: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


_ID = {"type": "integer", "minimum": 1}
_PAIR = _body({"ids": {"type": "array", "items": _ID, "minItems": 2, "maxItems": 2}}, ["ids"], {"ids": [1, 2]})
_APPLY = _body(
    {
        "mark": {"type": "string"},
        "keep": {"type": "string", "enum": list(get_args(Keep))},
        "groups": {"type": "array", "items": _ID},
        "choices": {"type": "object", "additionalProperties": _ID},
    },
    ["mark"],
    {"mark": "7", "keep": "largest", "groups": [1], "choices": {"1": 17}},
)
_PATHS = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_PATHS}
_INDEX = _body({"paths": _PATHS, "retry": {"type": "boolean"}, "refresh": {"type": "boolean"}}, [], {"retry": False})


def add_changes(api: FastAPI, served: ServedGallery, settings: Settings) -> None:
    """Add what changes the collection, and how to learn of changes."""
    _add_index(api, served, settings)
    _add_duplicates(api, served, settings)
    events = Events(served)

    @api.get(
        "/api/v1/events",
        tags=["collection"],
        name="events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def listen(request: Request) -> Response:
        """Send the state of the collection now, and whenever it changes: server-sent events named `state`.

        Their data is the document of `/api/v1/state`. Runs of `index` that were started elsewhere are seen too.
        """
        lines = await events.stream(request)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})

    @api.get("/api/v1/state", response_model=Event, tags=["collection"], name="state")
    async def state(request: Request) -> Response:
        """Say how many pictures there are, and what is in progress."""
        return JSONResponse(await served.searches.run(request, read_state, served))


def _add_index(api: FastAPI, served: ServedGallery, settings: Settings) -> None:
    @api.get("/api/v1/index", response_model=Job, tags=["changes"], name="index-state")
    async def look() -> Response:
        """Say how far the run of `index` that was last started here has come."""
        return JSONResponse(served.index.to_dict())

    @api.post(
        "/api/v1/index",
        status_code=202,
        response_model=Job,
        openapi_extra=_INDEX,
        responses=_BUSY,
        tags=["changes"],
        name="index",
    )
    async def index(request: Request) -> Response:
        """Bring the collection up to date in the background: all that was indexed before, or some folders.

        Other folders than those can be added only by a client on this machine.
        """
        fields = await _read_change(request, settings, {"paths", "retry", "refresh"})
        paths = _read_paths(fields.get("paths", []))
        flags = {name: _read_flag(fields, name) for name in ("retry", "refresh")}
        await served.searches.run(request, _start_index, served, paths, flags, request)
        return JSONResponse(served.index.to_dict(), 202)

    @api.delete("/api/v1/index", response_model=Job, tags=["changes"], name="index-cancel")
    async def cancel() -> Response:
        """Stop the run of `index` after the current batch; all pictures up to there stay indexed."""
        _check_allowed(settings)
        served.index.cancel()
        return JSONResponse(served.index.to_dict())


def _start_index(served: ServedGallery, paths: list[bytes], flags: dict[str, bool], request: Request) -> None:
    if not is_local(request.scope):
        roots = [os.path.realpath(root.path) for root in served.gallery.roots]
        for path in map(os.path.realpath, paths):
            if not any(path == root or path.startswith(root.rstrip(b"/") + b"/") for root in roots):
                raise Problem(403, "outside", "folders can be added only on the machine itself")
    served.index.start(paths, **flags)


def _add_duplicates(api: FastAPI, served: ServedGallery, settings: Settings) -> None:
    @api.post(
        "/api/v1/duplicates/distinct",
        response_model=dict[str, list[int]],
        openapi_extra=_PAIR,
        tags=["changes"],
        name="distinct",
    )
    async def distinct(request: Request) -> Response:
        """Remember that two pictures are not duplicates of each other."""
        fields = await _read_change(request, settings, {"ids"})
        ids = fields.get("ids")
        if not isinstance(ids, list) or len(ids) != 2 or not all(map(_is_id, ids)) or ids[0] == ids[1]:
            raise Problem(422, "invalid_request", "ids must be those of two pictures")
        await served.searches.run(request, _mark_distinct, served, ids)
        return JSONResponse({"distinct": ids})

    @api.post(
        "/api/v1/duplicates/apply",
        response_model=Moved,
        openapi_extra=_APPLY,
        responses={**WORKING, **_BUSY},
        tags=["changes"],
        name="apply",
    )
    async def apply(request: Request) -> Response:
        """Move copies into the trash folder, of all groups or of some: only those proven against what is kept.

        mark: that of the duplicates that were looked at. choices: the id of the picture to keep, by group number.
        """
        fields = await _read_change(request, settings, {"mark", "keep", "groups", "choices"})
        keep, groups = fields.get("keep", "largest"), _read_groups(fields.get("groups"))
        if keep not in KEEP:
            raise Problem(422, "invalid_request", f"keep must be one of: {', '.join(KEEP)}")
        choices = _read_choices(fields.get("choices", {}))
        found = await served.searches.run(request, served.surveys.duplicates.find)
        if found is None:
            return answer_working(served.surveys.duplicates)
        if fields.get("mark") != str(found.generation):
            raise Problem(409, "changed", "other duplicates have been found since; look at them again")
        some = _choose(found.value, groups, choices)
        document = await served.uploads.run(request, _move, served, some, cast("str", keep))
        return JSONResponse(_hide_paths(document, base_of(request, served)))

    @api.post(
        "/api/v1/duplicates/undo", response_model=Moved, openapi_extra=_body({}, [], {}), tags=["changes"], name="undo"
    )
    async def undo(request: Request) -> Response:
        """Bring back the files that were moved into the trash folder, and index them again."""
        await _read_change(request, settings, set())
        document = await served.uploads.run(request, lambda: served.gallery.undo_moves().to_dict())
        return JSONResponse(_hide_paths(document, base_of(request, served)))


def _mark_distinct(served: ServedGallery, ids: list[int]) -> None:
    one, other = (served.record(id_) for id_ in ids)
    served.surveys.mark_distinct(one, other, wait=_WAIT)


def _move(served: ServedGallery, some: Duplicates, keep: str) -> dict[str, Any]:
    plan = served.gallery.plan_moves(some, keep)
    return served.gallery.move_duplicates(plan, wait=_WAIT).to_dict()


def _choose(duplicates: Duplicates, groups: set[int] | None, choices: Mapping[int, int]) -> Duplicates:
    """Some groups of the duplicates, with the pictures that were chosen to be kept as what others are compared against.

    Raises Problem for a group or a picture that is not there.
    """
    wanted = range(1, len(duplicates.groups) + 1) if groups is None else sorted(groups)
    if wanted and not 1 <= min(wanted) <= max(wanted) <= len(duplicates.groups):
        raise Problem(422, "invalid_request", f"the numbers of groups are from 1 to {len(duplicates.groups)}")
    if not set(choices) <= set(wanted):
        raise Problem(422, "invalid_request", "choices are only for groups from which copies are moved")
    chosen = []
    for number in wanted:
        group, kept = duplicates.groups[number - 1], choices.get(number)
        if kept is not None and kept not in {one.id for one in group.pictures}:
            raise Problem(422, "invalid_request", f"group {number} has no picture with the id {kept}")
        pictures = tuple(replace(one, is_reference=one.id == kept) for one in group.pictures)
        chosen.append(replace(group, pictures=pictures))
    return replace(duplicates, groups=tuple(chosen))


def _hide_paths(document: dict[str, Any], base: bytes) -> dict[str, Any]:
    """What was moved, with the names alone for a client elsewhere."""
    if not base:
        return document
    short = {"path", "display", "to"}
    return {
        name: [{key: os.path.basename(text) if key in short else text for key, text in one.items()} for one in some]
        for name, some in document.items()
    }


def _check_allowed(settings: Settings) -> None:
    if not settings.allow_write:
        raise Problem(
            403,
            "read_only",
            "this server does not allow changes",
            hint="LOOKALIKE_TOKEN=$(openssl rand -hex 16) lookalike serve ... --allow-write",
        )


async def _read_change(request: Request, settings: Settings, known: set[str]) -> dict[str, Any]:
    """The document of a request that changes something; nothing counts as an empty one. Raises Problem."""
    _check_allowed(settings)
    content = await request.body()
    if len(content) > _MOST_JSON:
        raise Problem(413, "too_large", f"a JSON document may have at most {_MOST_JSON >> 10} KiB")
    fields = read_json(content or b"{}")
    if not fields.keys() <= known:
        raise Problem(
            422, "invalid_request", f"the document may have only these fields: {', '.join(sorted(known)) or 'none'}"
        )
    return fields


def _read_flag(fields: Mapping[str, Any], name: str) -> bool:
    flag = fields.get(name, False)
    if not isinstance(flag, bool):
        raise Problem(422, "invalid_request", f"{name} must be true or false")
    return flag


def _read_paths(given: object) -> list[bytes]:
    if not isinstance(given, list) or len(given) > _MOST_PATHS:
        raise Problem(422, "invalid_request", f"paths must be a list of at most {_MOST_PATHS} paths")
    paths = []
    for one in given:
        if not isinstance(one, str) or not one.startswith("/") or "\0" in one:
            raise Problem(422, "invalid_request", "each path must be absolute")
        try:
            paths.append(os.fsencode(one))
        except UnicodeEncodeError:
            raise Problem(422, "invalid_request", "a path is not valid Unicode") from None
    return paths


def _read_groups(given: object) -> set[int] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(map(_is_id, given)):
        raise Problem(422, "invalid_request", "groups must be a list of the groups' numbers")
    return set(given)


def _read_choices(given: object) -> dict[int, int]:
    if not isinstance(given, dict) or not all(map(_is_id, given.values())):
        raise Problem(422, "invalid_request", "choices must be ids of pictures by the number of their group")
    if not all(key.isascii() and key.isdigit() and len(key) < 10 for key in given):
        raise Problem(422, "invalid_request", "choices must be by the number of the group")
    return {int(key): id_ for key, id_ in given.items()}


def _is_id(value: object) -> bool:
    return type(value) is int and 0 < value <= _MOST_ID
