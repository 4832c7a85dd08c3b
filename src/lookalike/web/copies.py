"""The view of copies: groups with the evidence in words, which picture of each is kept, and a plan.

/copies?keep=oldest          a rule for all groups
/copies?pick=17&leave=40     keep picture 17 of its group, and leave the group of picture 40 alone; repeatable
/copies?from=20              groups from there on
/copies/plan.csv, plan.sh    the plan, with the same parameters

Looking at this page changes nothing. Moving files into a trash folder and remembering that two pictures are not
copies of each other are POSTs, which are refused unless the server may write; so is bringing the files back.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lookalike.images.paths import show_path
from lookalike.store import is_folder
from lookalike.web import texts
from lookalike.web.asking import read_count
from lookalike.web.asking import show as show_to
from lookalike.web.handlers import base_of, read_fields
from lookalike.web.problems import Problem
from lookalike.web.rendering import show
from lookalike.web.safety import is_local
from lookalike.web.state import State
from lookalike.web.tiles import find_shape

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from lookalike.explore.duplicates.groups import Duplicates, Group, Picture
    from lookalike.explore.duplicates.keep import Plan
    from lookalike.explore.duplicates.trash import Moved
    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.surveys import Found

__all__ = ["copies_routes"]

_SHOWN = 20  # groups of a page
_MOST = 400  # groups in which a person has chosen
_PATIENCE = 0.5  # seconds that a page waits for the search before it shows how far that is
_ANYWHERE = 2**63 - 1
_REMEMBERED = 4  # plans
_RULES = tuple(texts.KEEP)
_PAGE: dict[str, Any] = {"title": texts.TEXTS["copies"], "section": "copies", "state": State()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept. keep: a rule. pick: ids of pictures to keep. leave: ids in groups that are left alone."""

    keep: str = _RULES[0]
    pick: tuple[int, ...] = ()
    leave: tuple[int, ...] = ()
    start: int = 0

    @property
    def parameters(self) -> str:
        """The address after its question mark, without the page."""
        pairs: list[tuple[str, object]] = [("keep", self.keep)] if self.keep != _RULES[0] else []
        pairs += [(name, id_) for name in ("pick", "leave") for id_ in getattr(self, name)]
        return urlencode(pairs)

    @property
    def url(self) -> str:
        """The address of the page."""
        pairs = [self.parameters, f"from={self.start}" if self.start else ""]
        return "/copies?" + "&".join(filter(None, pairs)) if any(pairs) else "/copies"

    def apply(self, found: Duplicates) -> Duplicates:
        """The groups as they are planned: what a person picked counts as a reference, which is kept."""
        return replace(found, groups=tuple(self._apply(group) for group in found.groups))

    def _apply(self, group: Group) -> Group:
        ids = {picture.id for picture in group.pictures}
        if ids & set(self.leave):
            return replace(group, pictures=tuple(replace(one, is_reference=True) for one in group.pictures))
        if ids & set(self.pick):
            pictures = tuple(replace(one, is_reference=one.id in self.pick) for one in group.pictures)
            return replace(group, pictures=pictures)
        return group

    def picking(self, group: Group, id_: int) -> Choice:
        """Keep this picture of a group."""
        ids = {one.id for one in group.pictures}
        pick, leave = (tuple(one for one in some if one not in ids) for some in (self.pick, self.leave))
        return replace(self, pick=(*pick, id_), leave=leave)

    def leaving(self, group: Group) -> Choice:
        """Leave a group alone."""
        ids = {one.id for one in group.pictures}
        pick, leave = (tuple(one for one in some if one not in ids) for some in (self.pick, self.leave))
        return replace(self, pick=pick, leave=(*leave, group.pictures[0].id))


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture of a group as the page shows it. note: what was done to make it, or what is better about it."""

    id: int
    name: str
    place: str
    facts: str
    shape: int
    version: str
    note: str
    is_kept: bool
    is_moved: bool
    pick: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A group as the page shows it."""

    number: int
    kind: str
    copies: tuple[Copy, ...]
    leave: str
    is_left: bool
    ids: tuple[int, ...]


def copies_routes(served: ServedGallery, *, allow_write: bool) -> list[Route]:
    """The view of copies and what it leads to."""
    view = _View(served, allow_write=allow_write)

    async def page(request: Request) -> Response:
        return await served.searches.run(request, view.show, request)

    async def plan(request: Request) -> Response:
        return await served.searches.run(request, view.export, request, request.path_params["ending"])

    async def move(request: Request) -> Response:
        fields = await _read_form(request)
        return await served.searches.run(request, view.move, request, fields)

    async def undo(request: Request) -> Response:
        await read_fields(request)
        return await served.uploads.run(request, view.undo, request)

    async def distinct(request: Request) -> Response:
        fields = await _read_form(request)
        return await served.searches.run(request, view.mark_distinct, request, fields)

    return [
        Route("/copies", page, name="copies"),
        Route("/copies/plan.{ending}", plan, name="plan"),
        Route("/copies/move", move, methods=["POST"], name="move"),
        Route("/copies/undo", undo, methods=["POST"], name="undo"),
        Route("/copies/distinct", distinct, methods=["POST"], name="distinct"),
    ]


class _View:
    def __init__(self, served: ServedGallery, *, allow_write: bool) -> None:
        self._served, self._search, self._allow_write = served, served.surveys.duplicates, allow_write
        self._plans: OrderedDict[tuple[int, Choice], tuple[Duplicates, Plan]] = OrderedDict()

    def show(self, request: Request) -> Response:
        """The page."""
        choice, local = _read_choice(request.query_params), is_local(request.scope)
        base = _PAGE | {"choice": choice, "rules": _RULES}
        if (survey := self._search.find_within(_PATIENCE)) is None:
            waiting = {"progress": self._search.progress, "what": texts.TEXTS["copies_looking"]}
            return show("waiting.html", self._served, base | waiting)
        found, plan = self._plan(survey, choice)
        shown = found.groups[choice.start : choice.start + _SHOWN]
        page = base | {
            "groups": [
                self._show_group(found, plan, number, choice, request) for number in self._numbers(choice, found)
            ],
            "total": len(found.groups),
            "moves": len(plan.moves),
            "saved": texts.show_size(sum(move.copy.size or 0 for move in plan.moves)),
            "rule_urls": [(rule, texts.KEEP[rule], replace(choice, keep=rule, start=0).url) for rule in _RULES],
            "earlier": replace(choice, start=max(0, choice.start - _SHOWN)).url if choice.start else "",
            "later": replace(choice, start=choice.start + _SHOWN).url
            if choice.start + len(shown) < len(found.groups)
            else "",
            "trash": self._show_trash() if local else "",
            "in_trash": self._count_moved() if self._may_write(request) else 0,
            "may_export": local,
            "may_write": self._may_write(request),
            "left": found.left,
            "is_empty": not len(self._served.gallery),
        }
        return show("copies.html", self._served, page)

    @staticmethod
    def _numbers(choice: Choice, found: Duplicates) -> range:
        return range(choice.start, min(choice.start + _SHOWN, len(found.groups)))

    def _plan(self, survey: Found[Duplicates], choice: Choice) -> tuple[Duplicates, Plan]:
        """The groups as a person has chosen, and what would be moved; remembered, as it may compare pictures."""
        key = survey.generation, replace(choice, start=0)
        if key not in self._plans:
            chosen = choice.apply(survey.value)
            self._plans[key] = chosen, self._served.gallery.plan_moves(chosen, choice.keep)
        while len(self._plans) > _REMEMBERED:
            self._plans.popitem(last=False)
        return self._plans[key]

    def _forget(self) -> None:
        self._plans.clear()
        self._search.forget()

    def _show_group(self, found: Duplicates, plan: Plan, index: int, choice: Choice, request: Request) -> Shown:
        group, base = found.groups[index], base_of(request, self._served)
        moved = {move.copy.id for move in plan.moves if move.group == index + 1}
        kept = plan.kept.get(index + 1)
        copies = tuple(_show_copy(group, one, (kept, moved), choice, base) for one in group.pictures)
        ids = tuple(one.id for one in group.pictures)
        kind = texts.KINDS_OF_COPIES[group.kind if group.proven else "guess"]
        is_left = bool(set(ids) & set(choice.leave))
        return Shown(index + 1, kind, copies, choice.leaving(group).url if moved else "", is_left, ids)

    def export(self, request: Request, ending: str) -> Response:
        """The plan as a file. Raises Problem unless it is for this machine, as it names whole paths."""
        from lookalike.explore.duplicates.actions import find_trash  # noqa: PLC0415  (with all below, 15 ms of the start)
        from lookalike.explore.duplicates.plans import as_csv, as_script  # noqa: PLC0415

        found, plan = self._read_plan(request, _read_choice(request.query_params))
        if ending == "csv":
            data, kind = as_csv(found, plan).encode("utf-8", "surrogateescape"), "text/csv; charset=utf-8"
        elif ending == "sh":
            data, kind = as_script(plan, find_trash(self._served.gallery.location)), "application/x-sh"
        else:
            raise Problem(404, "not_found", texts.PROBLEMS["not_found"])
        return Response(
            data, media_type=kind, headers={"content-disposition": f'attachment; filename="copies.{ending}"'}
        )

    def move(self, request: Request, fields: dict[str, Any]) -> Response:
        """Move the copies of the plan into the trash folder, if the page that was looked at said how many they are."""
        self._check_writing(request)
        choice = _read_choice(fields["choice"])
        _, plan = self._read_plan(request, choice)
        if str(len(plan.moves)) != fields["moves"]:
            raise Problem(409, "plan_changed", texts.PROBLEMS["plan_changed"])
        done = self._served.gallery.move_duplicates(plan)
        self._forget()
        return self._tell("moved", done)

    def undo(self, request: Request) -> Response:
        """Bring back everything that lies in the trash folder."""
        self._check_writing(request)
        done = self._served.gallery.undo_moves()
        self._forget()
        return self._tell("back", done)

    def _tell(self, what: str, done: Moved) -> Response:
        """The page that says what was moved, or brought back."""
        failed = [(show_path(os.fsencode(path)), reason) for path, reason in done.failed]
        page = {"what": what, "count_done": len(done.done), "failed": failed, "trash": self._show_trash()}
        return show("moved.html", self._served, _PAGE | page)

    def mark_distinct(self, request: Request, fields: dict[str, Any]) -> Response:
        """Remember that the pictures of a group are not copies of each other."""
        self._check_writing(request)
        first, *others = [self._served.record(id_) for id_ in fields["ids"]]
        for other in others:
            self._served.surveys.mark_distinct(first, other)
        self._plans.clear()
        return RedirectResponse(_read_choice(fields["choice"]).url, 303)

    def _read_plan(self, request: Request, choice: Choice) -> tuple[Duplicates, Plan]:
        if not is_local(request.scope):
            raise Problem(403, "not_here", texts.PROBLEMS["not_here"])
        survey = self._search.find()
        if survey is None:
            raise Problem(503, "busy", texts.TEXTS["copies_looking"], headers={"retry-after": "5"})
        return self._plan(survey, choice)

    @property
    def _trash(self) -> Path | None:
        """The trash folder; None for a collection on a server, which has no folder for it."""
        from lookalike.explore.duplicates.actions import find_trash  # noqa: PLC0415  (see `export`)

        location = self._served.gallery.location
        return find_trash(location) if is_folder(location) else None

    def _count_moved(self) -> int:
        """How many files lie in the trash folder."""
        from lookalike.explore.duplicates.trash import count_moved  # noqa: PLC0415  (see `export`)

        return count_moved(self._trash) if self._trash else 0

    def _show_trash(self) -> str:
        return show_path(os.fsencode(self._trash)) if self._trash else ""

    def _may_write(self, request: Request) -> bool:
        return self._allow_write and is_local(request.scope)

    def _check_writing(self, request: Request) -> None:
        if not self._may_write(request):
            raise Problem(403, "read_only", texts.PROBLEMS["read_only"])


def _show_copy(
    group: Group, picture: Picture, outcome: tuple[Picture | None, set[int]], choice: Choice, base: bytes
) -> Copy:
    """A picture of a group. outcome: the one that is kept, and the ids of those that are moved."""
    kept, moved = outcome
    place = show_to(picture.path, base)["display"]
    width, height = picture.width or 4, picture.height or 3
    sides = texts.write_sides(picture.width, picture.height)
    facts = " · ".join(filter(None, (sides, texts.show_size(picture.size))))
    return Copy(
        picture.id,
        os.path.basename(place),
        os.path.dirname(place),
        facts,
        find_shape(width, height),
        picture.digest.hex()[:12],
        group.explain(picture, kept),
        kept is not None and kept.id == picture.id,
        picture.id in moved,
        choice.picking(group, picture.id).url,
    )


def _read_choice(parameters: QueryParams) -> Choice:
    """What an address says is kept. Raises Problem."""
    keep = parameters.get("keep", _RULES[0])
    if keep not in _RULES:
        raise Problem(422, "invalid_request", f"what to keep must be one of: {', '.join(_RULES)}")
    ids = {
        name: tuple(read_count(text, least=1, most=_ANYWHERE) for text in parameters.getlist(name))
        for name in ("pick", "leave")
    }
    if sum(map(len, ids.values())) > _MOST:
        raise Problem(422, "invalid_request", f"at most {_MOST} groups can be chosen in; make a plan of these first")
    return Choice(keep, ids["pick"], ids["leave"], read_count(parameters.get("from", "0"), most=_ANYWHERE))


async def _read_form(request: Request) -> dict[str, Any]:
    """The fields of a form: `choice` as parameters, `moves`, and `picture`, repeatable. Raises Problem."""
    fields = await read_fields(request)
    ids = [read_count(text, least=1, most=_ANYWHERE) for text in fields.getlist("picture")]
    return {"choice": QueryParams(fields.get("choice", "")), "moves": fields.get("moves", ""), "ids": ids}
