"""Code that the page and the API share: reading requests, searching, and answering with a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.datastructures import QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from lookalike.store.location import name_command
from lookalike.web.asking import find_base
from lookalike.web.problems import Problem, to_problem
from lookalike.web.safety import is_local

if TYPE_CHECKING:
    from starlette.requests import Request

    from lookalike.web.served_gallery import ServedGallery, Thumbnail

__all__ = [
    "answer_problem",
    "base_of",
    "describe_thumbnail",
    "read_fields",
    "read_file",
    "read_form",
    "send_thumbnail",
    "to_answerable",
    "write_command",
]

_MOST_FORM = 16 << 10
_MOST_FIELDS = 400
_SHORT = "private, max-age=60"
_FOREVER = "private, max-age=31536000, immutable"


def answer_problem(problem: Problem) -> Response:
    """The answer of the API to a request that cannot be fulfilled."""
    return JSONResponse(problem.to_dict(), problem.status, headers=problem.headers)


def to_answerable(request: Request, error: Exception) -> Problem:
    """The problem that an error of any kind is to a client."""
    if isinstance(error, ClientDisconnect):
        return Problem(400, "gone", "the client closed the connection before its request was complete")
    if isinstance(error, HTTPException):
        codes = {404: "not_found", 405: "wrong_method"}
        headers = dict(error.headers or {})
        return Problem(
            error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail), headers=headers
        )
    return to_problem(error, is_local=is_local(request.scope))


def base_of(request: Request, served: ServedGallery) -> bytes:
    """The folder that paths are shown relative to in the answer to a request."""
    return find_base(served.gallery, is_local=is_local(request.scope))


def write_command(request: Request, served: ServedGallery, words: str) -> str:
    """A command to show: with the gallery's location to clients on this machine, without it to others."""
    return name_command(words, served.gallery.location) if is_local(request.scope) else f"lookalike {words}"


async def read_fields(request: Request) -> QueryParams:
    """The fields of a small form without files. Raises Problem."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise Problem(413, "too_large", "the form is too large")
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem(422, "invalid_request", f"a form may have at most {_MOST_FIELDS} fields") from None
    return QueryParams(pairs)


async def read_file(request: Request) -> bytes:
    """The picture in a form with one field, `file`. Raises Problem."""
    content, crop = await read_form(request)
    if crop:
        raise _no_file()
    return content


async def read_form(request: Request) -> tuple[bytes, str]:
    """The picture in a form with the field `file` and perhaps `crop`, and the latter's text. Raises Problem."""
    async with request.form(max_files=1, max_fields=1) as form:
        files = [value for name, value in form.multi_items() if name == "file" and isinstance(value, UploadFile)]
        crops = [value for name, value in form.multi_items() if name == "crop" and isinstance(value, str)]
        if len(files) != 1 or len(form.multi_items()) != 1 + len(crops):
            raise _no_file()
        return await files[0].read(), "".join(crops)


def _no_file() -> Problem:
    return Problem(400, "no_file", "send one picture as the field `file`, and nothing else but a `crop`")


def describe_thumbnail(found: Thumbnail, *, is_versioned: bool) -> dict[str, str]:
    """The headers of a thumbnail. is_versioned: whether its address changes with its content."""
    return {"etag": found.etag, "cache-control": _FOREVER if found.is_lasting and is_versioned else _SHORT}


async def send_thumbnail(request: Request, served: ServedGallery, id_: int, size: str) -> Response:
    """The thumbnail of a picture; 304 if the client has it already."""
    found = await served.pictures.run(request, served.thumbnail, id_, size)
    headers = describe_thumbnail(found, is_versioned="v" in request.query_params)
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.data, media_type="image/jpeg", headers=headers)
