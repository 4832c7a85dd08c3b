"""The HTTP API, version 1: the same documents as `--json` prints, over HTTP. Its OpenAPI is at /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

import lookalike
from lookalike.errors import LookalikeError
from lookalike.images.crop import read_crop
from lookalike.search.feedback import mark_query
from lookalike.search.query import Query as Query_
from lookalike.web.asking import MOST_TERMS, Options, Wanted, describe, present, read_document, read_json, show
from lookalike.web.changes import add_changes
from lookalike.web.collection import add_collection
from lookalike.web.documents import PROBLEMS, Dropped, Found, Picture, Pictures, SkippedFiles
from lookalike.web.handlers import answer_problem, base_of, read_form, send_thumbnail, to_answerable
from lookalike.web.parameters import LISTED, MOST_ID, After, Asked, Count, Crop, Id, Limit, Where, check_parameters
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from lookalike.search.query import Query as AnyQuery
    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.settings import Settings

__all__ = ["create_api"]

_MOST_JSON = 256 << 10
_RAW = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "crop": {"type": "string", "description": "A part of it: `x,y,width,height` in pixels or percent."},
        },
    }
}
_EXAMPLES: dict[str, Any] = {
    "more like a picture": {"value": {"query": {"id": 1}, "k": 20}},
    "a part of a picture": {"value": {"query": {"id": 1, "crop": "10%,10%,50%,50%"}}},
    "words": {"value": {"query": {"text": "boat"}}},
    "a colour": {"value": {"query": {"colors": [{"color": "#ff8800", "weight": 1}]}}},
    "like one, and less like another": {
        "value": {"query": {"sum": [{"weight": 2, "id": 1}, {"weight": -1, "id": 2}]}, "where": ["folder:beach"]}
    },
}
_QUERY = {"application/json": {"schema": {"type": "object"}, "examples": _EXAMPLES}}
_PICTURE = {"multipart/form-data": _FORM, "image/*": _RAW}
_BODY = {"requestBody": {"required": True, "content": {**_PICTURE, **_QUERY}}}
_UPLOAD = {"requestBody": {"required": True, "content": _PICTURE}}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": MOST_TERMS}
_MARKS: dict[str, Any] = {
    "type": "object",
    "required": ["query"],
    "properties": {"query": {"type": "object"}, "good": _IDS, "bad": _IDS},
}
_MARKED = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _MARKS, "example": {"query": {"id": 1}, "good": [2], "bad": [3], "k": 20}}
        },
    }
}
_SOME = {"type": "object", "required": ["ids"], "properties": {"ids": {**_IDS, "maxItems": LISTED}}}
_LISTED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _SOME, "example": {"ids": [1, 2]}}}}
}


def create_api(served: ServedGallery, settings: Settings) -> FastAPI:
    """The API for one gallery."""
    api = FastAPI(
        title="Lookalike",
        version=lookalike.__version__,
        description="Find the pictures of one collection that look alike.",
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        dependencies=[Depends(check_parameters)],
    )
    for kind in (Problem, LookalikeError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        api.add_exception_handler(kind, _answer_error)
    _add_search(api, served)
    _add_similar(api, served)
    _add_pictures(api, served)
    _add_facts(api, served)
    add_collection(api, served)
    add_changes(api, served, settings)
    return api


def _add_search(api: FastAPI, served: ServedGallery) -> None:
    @api.post("/api/v1/search", response_model=Found, openapi_extra=_BODY, tags=["search"], name="search")
    async def search(request: Request, asked: Annotated[Asked, Depends()], crop: Crop = "") -> Response:
        """Find the pictures most like a picture that is sent (as the form field `file`, or as the body), or a query.

        A query is JSON: `{"query": {"id": 17}}`, `{"text": "boat"}`, `{"colors": [...]}`, `{"dropped": NAME}`, or a
        weighted `sum` of such. crop: a part of a picture that is sent; in a query it stands beside the id.
        """
        if _kind_of(request) == "application/json":
            if crop:
                raise Problem(422, "invalid_request", "in a query the crop stands beside the picture's id")
            wanted, options = read_document(read_json(await _read_body(request)), asked.options)
            return await _search(request, served, wanted, options)
        content, part = await _read_picture(request, crop)
        hits = await served.uploads.run(request, _search_upload, served, (content, part), asked.options)
        return JSONResponse(await served.searches.run(request, present, hits, base_of(request, served)))

    @api.post("/api/v1/feedback", response_model=Found, openapi_extra=_MARKED, tags=["search"], name="feedback")
    async def feedback(request: Request) -> Response:
        """Search again with pictures that were marked as good or bad, by id. Options stand beside the query.

        The server remembers nothing: send all marks each time. Marked pictures are not shown again, unless
        `include_self` is set.
        """
        fields = read_json(await _read_body(request))
        marks = [_read_ids(fields.pop(name, []), name) for name in ("good", "bad")]
        wanted, options = read_document(fields, Options())
        return await _search(request, served, wanted, options, marks)

    @api.post("/api/v1/dropped", response_model=Dropped, openapi_extra=_UPLOAD, tags=["search"], name="drop-picture")
    async def drop(request: Request) -> Response:
        """Remember a picture for some later queries `{"dropped": NAME}`, which may be of parts of it."""
        content, part = await _read_picture(request, "")
        if part:
            raise Problem(422, "invalid_request", "the crop belongs to the query")
        return JSONResponse(await served.uploads.run(request, _drop, served, content))


def _add_similar(api: FastAPI, served: ServedGallery) -> None:
    @api.get("/api/v1/images/{id}/similar", response_model=Found, tags=["search"], name="similar")
    async def similar(
        request: Request,
        id: Id,  # noqa: A002  (its name in the address)
        asked: Annotated[Asked, Depends()],
        crop: Crop = "",
    ) -> Response:
        """Find the pictures most like one of the collection, or most like a part of it."""
        if crop:
            wanted, options = read_document({"query": {"id": id, "crop": crop}}, asked.options)
            return await _search(request, served, wanted, options)
        return JSONResponse(await served.searches.run(request, _search_similar, served, id, asked.options, request))

    @api.get(
        "/api/v1/images/{id}/explain",
        tags=["search"],
        name="explain",
        response_class=Response,
        responses={200: {"content": {"image/png": _RAW}}},
    )
    async def explain(
        request: Request,
        id: Id,  # noqa: A002
        like: Annotated[Count, Query(ge=0, le=MOST_ID, description="The id of the query's picture.")] = 0,
        dropped: Annotated[str, Query(max_length=64, description="The query, if it is a dropped picture.")] = "",
    ) -> Response:
        """Draw where a hit and the query's picture match: a heat map on each of the two."""
        if bool(like) == bool(dropped):
            raise Problem(422, "invalid_request", "name the query's picture, either by `like` or by `dropped`")
        data = await served.uploads.run(request, served.explain, id, like=like, dropped=dropped)
        return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


async def _search(
    request: Request, served: ServedGallery, wanted: Wanted, options: Options, marks: list[list[int]] | None = None
) -> Response:
    workers = served.uploads if wanted.needs_decoding else served.searches
    hits = await workers.run(request, _search_wanted, served, wanted, options, marks)
    document = await served.searches.run(request, present, hits, base_of(request, served))
    return JSONResponse(document if marks else wanted.show(document))


def _search_wanted(served: ServedGallery, wanted: Wanted, options: Options, marks: list[list[int]] | None) -> Any:  # noqa: ANN401
    query: AnyQuery = wanted.build(served)
    if marks is not None:
        good, bad = ([Query_.stored(id_) for id_ in some] for some in marks)
        query = mark_query(query, good, bad)
    return options.search(served.gallery, query)


def _search_upload(served: ServedGallery, picture: tuple[bytes, str], options: Options) -> Any:  # noqa: ANN401  (Hits)
    return options.search(served.gallery, Query_.picture(served.read_upload(*picture)))


def _search_similar(served: ServedGallery, id_: int, options: Options, request: Request) -> dict[str, Any]:
    served.record(id_)
    return present(options.search(served.gallery, Query_.stored(id_)), base_of(request, served))


def _drop(served: ServedGallery, content: bytes) -> dict[str, Any]:
    name = served.accept(content)
    picture = served.dropped(name)
    return {"dropped": name, "width": picture.width, "height": picture.height}


def _read_ids(given: object, name: str) -> list[int]:
    """Ids in a document. Raises Problem."""
    most = LISTED if name == "ids" else MOST_TERMS
    if not isinstance(given, list) or len(given) > most or not all(type(one) is int for one in given):
        raise Problem(422, "invalid_request", f"{name} is not a list of at most {most} ids")
    if not all(0 < one <= MOST_ID for one in given):
        raise Problem(422, "invalid_request", f"{name} has a number that is not an id")
    return list(dict.fromkeys(given))


def _add_pictures(api: FastAPI, served: ServedGallery) -> None:
    @api.get("/api/v1/images", response_model=Pictures, tags=["pictures"], name="images")
    async def images(
        request: Request,
        where: Where = [],  # noqa: B006  (never changed)
        limit: Limit = 100,
        after: After = 0,
    ) -> Response:
        """List pictures by id: all, or those that match the filters."""
        terms = Options(1, tuple(where)).where
        return JSONResponse(await served.searches.run(request, _list, served, terms, (limit, after), request))

    @api.post("/api/v1/images", response_model=Pictures, openapi_extra=_LISTED, tags=["pictures"], name="images-by-id")
    async def some(request: Request) -> Response:
        """Say what is known of some pictures, by id, in the order that they are asked for; unknown ids are left out."""
        fields = read_json(await _read_body(request))
        if fields.keys() != {"ids"}:
            raise Problem(422, "invalid_request", "the document must have exactly one field, ids")
        ids = _read_ids(fields["ids"], "ids")
        return JSONResponse(await served.searches.run(request, _describe_some, served, ids, request))

    @api.get("/api/v1/images/{id}", response_model=Picture, tags=["pictures"], name="image")
    async def image(request: Request, id: Id) -> Response:  # noqa: A002
        """Say what is known of a picture."""
        record = await served.searches.run(request, served.record, id)
        return JSONResponse(describe(record, base_of(request, served)))

    @api.get(
        "/api/v1/images/{id}/thumbnail",
        tags=["pictures"],
        name="thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": _RAW}}, 304: {"description": "Unchanged."}, 410: PROBLEMS[404]},
    )
    async def thumbnail(
        request: Request,
        id: Id,  # noqa: A002
        size: Literal["small", "large"] = "small",
        v: Annotated[  # noqa: ARG001
            str, Query(max_length=64, description="Any text; if it is given, the answer may be cached for ever.")
        ] = "",
    ) -> Response:
        """Show a picture as a JPEG with sides of at most 400 pixels, or 1,600 for `large`."""
        return await send_thumbnail(request, served, id, size)


def _list(served: ServedGallery, where: tuple[str, ...], page: tuple[int, int], request: Request) -> dict[str, Any]:
    limit, after = page
    ids = served.gallery.select(where)
    chosen = ids[ids > after][: limit + 1].tolist()
    records, base = served.gallery.store.get(chosen[:limit]), base_of(request, served)
    images = [describe(records[id_], base) for id_ in chosen[:limit] if id_ in records]
    return {"images": images, "total": len(ids), "next": chosen[limit - 1] if len(chosen) > limit else None}


def _describe_some(served: ServedGallery, ids: list[int], request: Request) -> dict[str, Any]:
    records, base = served.gallery.store.get(ids), base_of(request, served)
    known = [records[id_] for id_ in ids if id_ in records and records[id_].digest is not None]
    return {"images": [describe(record, base) for record in known], "total": len(known), "next": None}


def _add_facts(api: FastAPI, served: ServedGallery) -> None:
    @api.get("/api/v1/info", response_model=dict[str, Any], tags=["collection"], name="info")
    async def info(request: Request) -> Response:
        """Facts about the collection: the document of `lookalike info --json`."""
        return JSONResponse(await served.searches.run(request, served.gallery.info))

    @api.get("/api/v1/skipped", response_model=SkippedFiles, tags=["collection"], name="skipped")
    async def skipped(
        request: Request,
        limit: Limit = 100,
        after: After = 0,
    ) -> Response:
        """List the files that were found but could not be read, with the reasons."""
        found = await served.searches.run(request, served.gallery.skipped)
        base, end = base_of(request, served), after + limit
        some = [{**show(path, base), "reason": reason} for path, reason in found[after:end]]
        return JSONResponse({"skipped": some, "total": len(found), "next": end if end < len(found) else None})


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_body(request: Request) -> bytes:
    content = await request.body()
    if len(content) > _MOST_JSON:
        raise Problem(413, "too_large", f"a JSON document may have at most {_MOST_JSON >> 10} KiB")
    return content


async def _read_picture(request: Request, crop: str) -> tuple[bytes, str]:
    """The picture in a request, as a form or as it is, and the part of it that is meant. Raises Problem, UsageError."""
    kind = _kind_of(request)
    if kind == "multipart/form-data":
        content, part = await read_form(request)
        if part and crop:
            raise Problem(422, "invalid_request", "the crop is given more than once")
        crop = part or crop
    elif kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise Problem(
            415,
            "wrong_type",
            "the body is neither a picture nor JSON",
            hint="send the form field `file`, or a Content-Type of image/jpeg or application/json",
        )
    else:
        content = await request.body()
    return content, str(read_crop(crop)) if crop else ""


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return answer_problem(_explain(error))
    return answer_problem(to_answerable(request, error))


def _explain(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return Problem(422, "invalid_request", f"{name}: {first['msg']}")
