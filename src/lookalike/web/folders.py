"""The view of the collection: its folders, what could not be read, and bringing it up to date.

/collection          the view
/collection/index    POST: look for changes in all folders, or, with the field `folder`, add the pictures of that one
/collection/stop     POST: stop the run of `index` after the current batch

Both POSTs are refused unless the server may write, and the client is on this machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lookalike.web import texts
from lookalike.web.asking import show as show_to
from lookalike.web.handlers import base_of, read_fields, write_command
from lookalike.web.problems import Problem
from lookalike.web.rendering import show
from lookalike.web.safety import is_local
from lookalike.web.state import State

if TYPE_CHECKING:
    from starlette.requests import Request

    from lookalike.web.served_gallery import ServedGallery

__all__ = ["explain_index", "folder_routes", "may_write"]

_SKIPPED = 200


def folder_routes(served: ServedGallery, *, allow_write: bool) -> list[Route]:
    """The view of the collection and what it leads to."""

    async def collection(request: Request) -> Response:
        return await served.searches.run(request, _show, served, request, allow_write)

    async def index(request: Request) -> Response:
        fields = await read_fields(request)
        _check_writing(request, allow_write)
        await served.searches.run(request, _start, served, fields.get("folder"))
        return RedirectResponse("/collection" if served.gallery.roots else "/", 303)

    async def stop(request: Request) -> Response:
        await read_fields(request)
        _check_writing(request, allow_write)
        served.index.cancel()
        return RedirectResponse("/collection", 303)

    return [
        Route("/collection", collection, name="collection"),
        Route("/collection/index", index, methods=["POST"], name="index"),
        Route("/collection/stop", stop, methods=["POST"], name="stop"),
    ]


def may_write(request: Request, allow_write: bool) -> bool:  # noqa: FBT001
    """Whether a page may change the collection: the server allows it, and the client sits at this machine."""
    return allow_write and is_local(request.scope)


def explain_index(served: ServedGallery) -> dict[str, Any]:
    """What the page says of the run of `index` that was started here last.

    is_running; progress; sentence: how the last one ended; hint: the command that fixes it.
    """
    job = served.index.to_dict()
    report, error = job["report"], job["error"]
    sentence, hint = "", ""
    if error is not None:
        message = error["message"]
        sentence, hint = f"{texts.TEXTS['add_failed']} {message}.", error.get("hint", "")
    elif report is not None:
        added = report["added"] + report["changed"]
        sentence = (
            texts.TEXTS["added"].format(count=texts.count_pictures(added)) if added else texts.TEXTS["added_none"]
        )
    progress = {"done": job["done"], "total": job["total"]}
    return {"is_running": job["state"] == "running", "progress": progress, "sentence": sentence, "hint": hint}


def _show(served: ServedGallery, request: Request, allow_write: bool) -> Response:  # noqa: FBT001
    base, gallery = base_of(request, served), served.gallery
    skipped = gallery.skipped()
    page: dict[str, Any] = {
        "title": texts.TEXTS["collection"],
        "section": "collection",
        "state": State(),
        "info": gallery.info(),
        "encoder": texts.explain_encoder(gallery.store.space.encoder),
        "words": texts.TEXTS["words_known" if served.knows_words else "words_unknown"],
        "roots": [(show_to(root.path, base)["display"], root.rules.exclude) for root in gallery.roots],
        "skipped": [(show_to(path, base)["display"], reason) for path, reason in skipped[:_SKIPPED]],
        "skipped_total": len(skipped),
        "command": write_command(request, served, "skipped"),
        "add_command": write_command(request, served, "index FOLDER"),
        "may_write": may_write(request, allow_write),
        "index": explain_index(served),
    }
    return show("collection.html", served, page)


def _start(served: ServedGallery, text: str | None) -> None:
    """Begin to index a folder, or all that was indexed before. Raises Problem."""
    served.index.start([] if text is None else [_read_folder(text)])


def _read_folder(text: str) -> bytes:
    path = os.path.expanduser(text.strip())
    is_there = path.startswith("/") and "\0" not in path
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        is_there, name = False, b""
    if not is_there or not os.path.isdir(name):
        raise Problem(422, "no_folder", texts.TEXTS["no_folder"].format(path=text.strip() or "“”"))
    return name


def _check_writing(request: Request, allow_write: bool) -> None:  # noqa: FBT001
    if not may_write(request, allow_write):
        raise Problem(403, "read_only", texts.PROBLEMS["read_only"])
