"""The HTTP API, version 1: the same documents as `--json` prints, over HTTP. Its OpenAPI is at /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import lookalike
from lookalike.errors import LookalikeError
from lookalike.search.query import Query as Wanted
from lookalike.web.asking import Options, describe, present, read_count, read_document, show
from lookalike.web.handlers import answer_problem, base_of, read_file, send_thumbnail, to_answerable
from lookalike.web.problems import Problem
from lookalike.web.settings import MOST_HITS

if TYPE_CHECKING:
    from lookalike.web.desk import Desk

__all__ = ["create_api"]

_MOST_JSON = 256 << 10
_MOST_ID = 2**63 - 1
_LISTED = 500
_FORM = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
}
_RAW = {"schema": {"type": "string", "format": "binary"}}
_EXAMPLES: dict[str, Any] = {
    "more like a picture": {"value": {"query": {"id": 1}, "k": 20}},
    "words": {"value": {"query": {"text": "boat"}}},
    "a colour": {"value": {"query": {"colors": [{"color": "#ff8800", "weight": 1}]}}},
    "like one, and less like another": {
        "value": {"query": {"sum": [{"weight": 2, "id": 1}, {"weight": -1, "id": 2}]}, "where": ["folder:beach"]}
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _FORM,
            "image/*": _RAW,
            "application/json": {"schema": {"type": "object"}, "examples": _EXAMPLES},
        },
    }
}


def _as_count(value: object) -> object:
    return read_count(value, least=0, most=_MOST_ID) if isinstance(value, str) else value


_Count = Annotated[int, BeforeValidator(_as_count)]
_K = Annotated[_Count, Query(ge=1, le=MOST_HITS, description="How many hits to return.", examples=[10])]
_Where = Annotated[
    list[str], Query(description="Only pictures that match, as `field:value`. Repeatable.", examples=[["folder:beach"]])
]
_Order = Annotated[Literal["distance", "diffusion"], Query(description="Nearest first, or re-ranked.")]
_Id = Annotated[_Count, Path(ge=1, le=_MOST_ID, description="A picture's id.", examples=[1])]
_Flag = Annotated[bool, Query()]


class Hit(BaseModel):
    """One picture that was found."""

    rank: int
    path: str
    display: str
    distance: float
    id: int
    chance: float | None = None
    expected: float | None = None
    missing: bool = False


class Found(BaseModel):
    """A search: the document of `lookalike search --json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "query": {"id": 1},
                "hits": [{"rank": 1, "path": "/p/b.jpg", "display": "/p/b.jpg", "distance": 0.21, "id": 2}],
                "encoder": "efficientnet-lite0-int8",
            }
        }
    )
    query: dict[str, Any]
    hits: list[Hit]
    encoder: str
    nothing_good: bool | None = None
    undescribed: int = 0


class Picture(BaseModel):
    """A picture of the collection."""

    id: int
    path: str
    display: str
    width: int | None
    height: int | None
    format: str | None
    size: int | None
    camera: str | None
    taken_at: str | None


class Pictures(BaseModel):
    """Some pictures by id, how many there are, and where to continue."""

    images: list[Picture]
    total: int
    next: int | None = Field(description="The value of `after` for the next page.")


class Skipped(BaseModel):
    """A file that was found but could not be read."""

    path: str
    display: str
    reason: str


class SkippedFiles(BaseModel):
    """Files that could not be read, how many there are, and where to continue."""

    skipped: list[Skipped]
    total: int
    next: int | None


class Details(BaseModel):
    """What is wrong. id: also in the server's log."""

    code: str
    message: str
    hint: str = ""
    id: str = ""


class Failure(BaseModel):
    """The answer to every request that cannot be fulfilled."""

    error: Details


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        400: "Not a request that can be read.",
        401: "The token is missing or wrong.",
        403: "A page of another site has asked.",
        404: "There is no such picture.",
        413: "The picture is too large.",
        415: "Neither a picture nor JSON.",
        422: "The request asks for something impossible, or the picture cannot be read.",
        503: "Too much to do, or not ready; try again after `Retry-After` seconds.",
    }.items()
}


def create_api(desk: Desk) -> FastAPI:
    """The API for one gallery."""
    api = FastAPI(
        title="Lookalike",
        version=lookalike.__version__,
        description="Find the pictures of one collection that look alike.",
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
        dependencies=[Depends(_check_parameters)],
    )
    for kind in (Problem, LookalikeError, HTTPException, RequestValidationError, Exception):
        api.add_exception_handler(kind, _answer_error)
    _add_search(api, desk)
    _add_pictures(api, desk)
    _add_facts(api, desk)
    return api


def _add_search(api: FastAPI, desk: Desk) -> None:
    @api.post("/api/v1/search", response_model=Found, openapi_extra=_BODY, tags=["search"], name="search")
    async def search(  # noqa: PLR0913  (the parameters of a search)
        request: Request,
        k: _K = 10,
        where: _Where = [],  # noqa: B006  (never changed)
        order: _Order = "distance",
        exact: _Flag = False,
        unique: _Flag = False,
    ) -> Response:
        """Find the pictures most like a picture that is sent (as the form field `file`, or as the body), or a query.

        A query is JSON: `{"query": {"id": 17}}`, `{"text": "boat"}`, `{"colors": [...]}`, or a weighted `sum` of such.
        """
        options = Options(k, tuple(where), order, exact, unique)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            query, options = read_document(await _read_body(request, _MOST_JSON), options)
            hits = await desk.searches.run(request, options.search, desk.gallery, query)
        else:
            content = await _read_picture(request, kind)
            hits = await desk.uploads.run(request, _search_upload, desk, content, options)
        return JSONResponse(await desk.searches.run(request, present, hits, base_of(request, desk)))

    @api.get("/api/v1/images/{id}/similar", response_model=Found, tags=["search"], name="similar")
    async def similar(  # noqa: PLR0913  (as above)
        request: Request,
        id: _Id,  # noqa: A002  (its name in the address)
        k: _K = 10,
        where: _Where = [],  # noqa: B006
        order: _Order = "distance",
        exact: _Flag = False,
        unique: _Flag = False,
    ) -> Response:
        """Find the pictures most like one of the collection."""
        options = Options(k, tuple(where), order, exact, unique)
        return JSONResponse(await desk.searches.run(request, _search_similar, desk, id, options, request))


def _search_upload(desk: Desk, content: bytes, options: Options) -> Any:  # noqa: ANN401  (Hits)
    return options.search(desk.gallery, Wanted.picture(desk.read_upload(content)))


def _search_similar(desk: Desk, id_: int, options: Options, request: Request) -> dict[str, Any]:
    desk.record(id_)
    return present(options.search(desk.gallery, Wanted.stored(id_)), base_of(request, desk))


def _add_pictures(api: FastAPI, desk: Desk) -> None:
    @api.get("/api/v1/images", response_model=Pictures, tags=["pictures"], name="images")
    async def images(
        request: Request,
        where: _Where = [],  # noqa: B006
        limit: Annotated[_Count, Query(ge=1, le=_LISTED)] = 100,
        after: Annotated[_Count, Query(ge=0, le=_MOST_ID, description="The id after which to continue.")] = 0,
    ) -> Response:
        """List pictures by id: all, or those that match the filters."""
        terms = Options(1, tuple(where)).where
        return JSONResponse(await desk.searches.run(request, _list, desk, terms, (limit, after), request))

    @api.get("/api/v1/images/{id}", response_model=Picture, tags=["pictures"], name="image")
    async def image(request: Request, id: _Id) -> Response:  # noqa: A002
        """Say what is known of a picture."""
        record = await desk.searches.run(request, desk.record, id)
        return JSONResponse(describe(record, base_of(request, desk)))

    @api.get(
        "/api/v1/images/{id}/thumbnail",
        tags=["pictures"],
        name="thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": _RAW}}, 304: {"description": "Unchanged."}, 410: _PROBLEMS[404]},
    )
    async def thumbnail(
        request: Request,
        id: _Id,  # noqa: A002
        size: Literal["small", "large"] = "small",
        v: Annotated[str, Query(max_length=64, description="Anything; the answer may then be kept for ever.")] = "",  # noqa: ARG001
    ) -> Response:
        """Show a picture as a JPEG with sides of at most 400 pixels, or 1,600 for `large`."""
        return await send_thumbnail(request, desk, id, size)


def _list(desk: Desk, where: tuple[str, ...], page: tuple[int, int], request: Request) -> dict[str, Any]:
    limit, after = page
    ids = desk.gallery.select(where)
    chosen = ids[ids > after][: limit + 1].tolist()
    records, base = desk.gallery.store.get(chosen[:limit]), base_of(request, desk)
    images = [describe(records[id_], base) for id_ in chosen[:limit] if id_ in records]
    return {"images": images, "total": len(ids), "next": chosen[limit - 1] if len(chosen) > limit else None}


def _add_facts(api: FastAPI, desk: Desk) -> None:
    @api.get("/api/v1/info", tags=["collection"], name="info")
    async def info(request: Request) -> Response:
        """Facts about the collection: the document of `lookalike info --json`."""
        return JSONResponse(await desk.searches.run(request, desk.gallery.info))

    @api.get("/api/v1/skipped", response_model=SkippedFiles, tags=["collection"], name="skipped")
    async def skipped(
        request: Request,
        limit: Annotated[_Count, Query(ge=1, le=_LISTED)] = 100,
        after: Annotated[_Count, Query(ge=0, le=_MOST_ID, description="How many to pass over.")] = 0,
    ) -> Response:
        """List the files that were found but could not be read, with the reasons."""
        found = await desk.searches.run(request, desk.gallery.skipped)
        base, end = base_of(request, desk), after + limit
        some = [{**show(path, base), "reason": reason} for path, reason in found[after:end]]
        return JSONResponse({"skipped": some, "total": len(found), "next": end if end < len(found) else None})


def _check_parameters(request: Request) -> None:
    """Refuse parameters that are unknown or, but for filters, repeated: they would be ignored without a word."""
    route = request.scope.get("route")
    known = {field.alias for field in route.dependant.query_params} if route is not None else set()
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise Problem(422, "invalid_request", f"there is no parameter {name!r:.60}")
        if name != "where" and names.count(name) > 1:
            raise Problem(422, "invalid_request", f"the parameter {name!r:.60} is given more than once")


async def _read_body(request: Request, most: int) -> bytes:
    content = await request.body()
    if len(content) > most:
        raise Problem(413, "too_large", f"a document may have {most >> 10} KiB")
    return content


async def _read_picture(request: Request, kind: str) -> bytes:
    """The picture in a request, as a form or as it is. Raises Problem."""
    if kind == "multipart/form-data":
        return await read_file(request)
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise Problem(
            415,
            "wrong_type",
            "the body is neither a picture nor JSON",
            hint="send the form field `file`, or a Content-Type of image/jpeg or application/json",
        )
    return await request.body()


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return answer_problem(_explain(error))
    return answer_problem(to_answerable(request, error))


def _explain(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return Problem(422, "invalid_request", f"{name}: {first['msg']}")
