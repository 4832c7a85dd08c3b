"""Templates, and the files that pages are made of."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from lookalike.web import texts
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    import jinja2
    from starlette.requests import Request

    from lookalike.web.served_gallery import ServedGallery

__all__ = ["render", "send_static", "show"]

_HERE = Path(__file__).parent
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def show(template: str, served: ServedGallery, page: dict[str, Any]) -> Response:
    """A page as the answer to a request."""
    return HTMLResponse(render(template, served, page))


def render(template: str, served: ServedGallery, page: dict[str, Any]) -> str:
    """A page. It has at least a title and a state."""
    shared = {
        "t": SimpleNamespace(**texts.TEXTS),
        "knows_words": served.knows_words,
        "count": texts.count_pictures,
        "static": _static_url,
        "problems": texts.PROBLEMS,
        "section": "",
    }
    return _templates().get_template(template).render(shared | page)


async def send_static(request: Request) -> Response:
    """A file that pages are made of, which a browser may keep for ever."""
    name = request.path_params["name"]
    if name not in _static_files():
        raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
    data, version = _static_files()[name]
    headers = {
        "etag": f'"{version}"',
        "cache-control": "private, max-age=31536000, immutable",
        "vary": "accept-encoding",
    }
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        data, headers = _compress(name), headers | {"etag": f'"{version}-gzip"', "content-encoding": "gzip"}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=_KINDS[Path(name).suffix], headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Whether a client takes a compressed answer, as every browser does."""
    return any(one.strip().lower() == "gzip" for one in accepted.split(","))


@lru_cache(64)
def _compress(name: str) -> bytes:
    return gzip.compress(_static_files()[name][0], 9, mtime=0)


@lru_cache(1)
def _templates() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415  (40 ms, in which a browser starts)

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
