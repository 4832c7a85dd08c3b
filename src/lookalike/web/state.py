"""What the Find page shows, as its address says it: every state is a URL.

/?like=17&like=-4        like one picture, and less like another
/?text=boat              words
/?color=%23ff8800        a colour
/?dropped=NAME           a picture that was dropped, which the server remembers for a while
/?where=folder:beach     only some pictures; repeatable, with any of the above or alone
/?k=120                  how many
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lookalike.search.query import Query
from lookalike.web.asking import Options, read_count
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from lookalike.web.desk import Desk

__all__ = ["FIRST", "State", "read_state"]

FIRST = 60
"""Pictures that are shown at first, and added each time."""

_MOST_ID = 2**63 - 1
_MOST_LIKE = 20
_LONGEST = 500  # characters of words


@dataclass(frozen=True, slots=True)
class State:
    """What is searched for. like: ids, negative for less like it."""

    like: tuple[int, ...] = ()
    text: str = ""
    color: str = ""
    dropped: str = ""
    where: tuple[str, ...] = ()
    k: int = FIRST

    @property
    def is_search(self) -> bool:
        """Whether anything is searched for, rather than only filtered."""
        return bool(self.like or self.text or self.color or self.dropped)

    @property
    def url(self) -> str:
        """The address of this state."""
        pairs: list[tuple[str, object]] = [("like", id_) for id_ in self.like]
        pairs += [(name, value) for name in ("text", "color", "dropped") if (value := getattr(self, name))]
        pairs += [("where", term) for term in self.where]
        pairs += [("k", self.k)] if self.k != FIRST else []
        return f"/?{urlencode(pairs)}" if pairs else "/"

    @property
    def options(self) -> Options:
        """The options of the search."""
        return Options(self.k, self.where)

    def query(self, desk: Desk) -> Query | None:
        """The query; None if nothing is searched for. Raises Problem, UsageError."""
        wanted = [Query.stored(id_) for id_ in self.like if id_ > 0]
        wanted += [desk.query(self.dropped)] if self.dropped else []
        wanted += [Query.text(self.text)] if self.text else []
        wanted += [Query.color(self.color)] if self.color else []
        parts = [*wanted, *(-0.5 * Query.stored(-id_) for id_ in self.like if id_ < 0)]
        if not parts:
            return None
        if not wanted:
            raise Problem(422, "invalid_request", "say what to look for as well, not only what to leave out")
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def only(self, id_: int) -> State:
        """More like one picture, with the same filters."""
        return State(like=(id_,), where=self.where)

    def adding(self, id_: int) -> State:
        """One more picture that the hits should be like, or with a minus unlike."""
        rest = tuple(one for one in self.like if abs(one) != abs(id_))
        return replace(self, like=(*rest, id_)[-_MOST_LIKE:], k=FIRST)

    def without(self, part: str, value: object = None) -> State:
        """The state without one of its parts."""
        kept = getattr(self, part)
        less: Any = tuple(one for one in kept if one != value) if isinstance(kept, tuple) else ""
        return replace(self, **{part: less, "k": FIRST})

    def filtered(self, term: str) -> State:
        """The state with one more filter."""
        return replace(self, where=(*(one for one in self.where if one != term), term), k=FIRST)

    def larger(self) -> State:
        """The state with more pictures."""
        return replace(self, k=self.k + FIRST)


def read_state(parameters: QueryParams) -> State:
    """The state that an address says. Raises Problem."""
    like = tuple(_read_like(text) for text in parameters.getlist("like"))
    if len(like) > _MOST_LIKE:
        raise Problem(422, "invalid_request", f"at most {_MOST_LIKE} pictures can be combined")
    where = tuple(term for term in parameters.getlist("where") if term)
    text, color = parameters.get("text", "").strip(), parameters.get("color", "").strip()
    if len(text) > _LONGEST:
        raise Problem(422, "invalid_request", f"at most {_LONGEST} characters of words can be searched for")
    k = read_count(parameters["k"], least=1) if "k" in parameters else FIRST
    return State(like, text, color, parameters.get("dropped", ""), where, k)


def _read_like(text: str) -> int:
    number = read_count(text.removeprefix("-"), least=1, most=_MOST_ID)
    return -number if text.startswith("-") else number
