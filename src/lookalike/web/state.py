"""What the Find page shows, as its address says it: every state is a URL.

/?like=17&like=-4        like one picture, and less like another
/?like=17*2              a picture that counts twice; up to three times
/?like=17@10,20,50,50    a part of a picture: left, top, width and height in percent
/?dropped=NAME           a picture that was dropped, which the server remembers for a while; with `*` and `@` as above
/?text=boat              words
/?color=%23ff8800        a colour
/?good=8&bad=9           hits that were marked, after which the others are ranked again
/?mix=40                 how much the colours of the pictures count, in percent; the rest is what they show
/?where=folder:beach     only some pictures; repeatable, with any of the above or alone
/?k=120                  how many
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lookalike.search.feedback import mark_query
from lookalike.search.query import Query
from lookalike.web.asking import Options, read_count
from lookalike.web.problems import Problem

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from lookalike.web.served_gallery import ServedGallery

__all__ = ["FIRST", "HEAVIEST", "Part", "State", "read_state"]

FIRST = 60
"""Pictures that are shown at first, and added each time."""

HEAVIEST = 3
"""The largest weight of a picture."""

_MOST_ID = 2**63 - 1
_MOST_LIKE = 20
_LONGEST = 500  # characters of words
_UNLIKE = 0.5  # of the weight of a picture that hits should not be like
_PART = re.compile(r"(?P<name>-?[A-Za-z0-9_-]{1,64})(\*(?P<weight>-?[0-9]{1,2}))?(@(?P<crop>[0-9.,]{7,40}))?", re.ASCII)
_MANY = ("good", "bad", "where")


@dataclass(frozen=True, slots=True)
class Part:
    """A picture that is searched for. name: its id, or the name of one that was dropped.

    weight: 1 to 3, negative for less like it. crop: "left,top,width,height" in percent of its sides, or "".
    """

    name: str
    is_dropped: bool = False
    weight: int = 1
    crop: str = ""

    @property
    def id(self) -> int:
        """The id of a picture of the collection; 0 for one that was dropped."""
        return 0 if self.is_dropped else int(self.name)

    @property
    def pair(self) -> tuple[str, str]:
        """The name and the value in the address."""
        crop = f"@{self.crop}" if self.crop else ""
        if self.is_dropped:
            return "dropped", self.name + (f"*{self.weight}" if self.weight != 1 else "") + crop
        times = f"*{abs(self.weight)}" if abs(self.weight) != 1 else ""
        return "like", f"{'-' if self.weight < 0 else ''}{self.name}{times}{crop}"

    def query(self, served: ServedGallery) -> Query:
        """The query for it alone. Raises Problem when it was dropped and is no longer remembered."""
        crop = ",".join(f"{side}%" for side in self.crop.split(",")) if self.crop else ""
        if self.is_dropped:
            return served.query(self.name, crop)
        return Query.picture(served.read_stored(self.id, crop)) if crop else Query.stored(self.id)


@dataclass(frozen=True, slots=True)
class State:
    """What is searched for. good, bad: ids of marked hits. mix: percent that the colours of the pictures count."""

    pictures: tuple[Part, ...] = ()
    text: str = ""
    color: str = ""
    good: tuple[int, ...] = ()
    bad: tuple[int, ...] = ()
    mix: int = 0
    where: tuple[str, ...] = ()
    k: int = FIRST

    @property
    def is_search(self) -> bool:
        """Whether anything is searched for, rather than only filtered."""
        return bool(self.pictures or self.text or self.color)

    @property
    def wanted(self) -> tuple[Part, ...]:
        """The pictures that hits should be like."""
        return tuple(part for part in self.pictures if part.weight > 0)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The names and values in the address."""
        pairs = [part.pair for part in self.pictures]
        pairs += [(name, value) for name in ("text", "color") if (value := getattr(self, name))]
        pairs += [(name, str(value)) for name in _MANY for value in getattr(self, name)]
        pairs += [("mix", str(self.mix))] if self.mix else []
        return pairs + ([("k", str(self.k))] if self.k != FIRST else [])

    @property
    def parameters(self) -> str:
        """The address after its question mark."""
        return urlencode(self.pairs, safe="*@,:")

    @property
    def url(self) -> str:
        """The address of this state."""
        return f"/?{self.parameters}" if self.pairs else "/"

    @property
    def options(self) -> Options:
        """The options of the search."""
        return Options(self.k, self.where)

    def picture_url(self, id_: int) -> str:
        """The address of the large view of a picture among the hits of this state."""
        return f"/pictures/{id_}?{self.parameters}" if self.pairs else f"/pictures/{id_}"

    def query(self, served: ServedGallery) -> Query | None:
        """The query; None if nothing is searched for. Raises Problem, UsageError."""
        if not self.is_search:
            return None
        wanted = self._content(served)
        if not wanted:
            raise Problem(422, "invalid_request", "say what to look for as well, not only what to leave out")
        unwanted = [_UNLIKE * part.weight * part.query(served) for part in self.pictures if part.weight < 0]
        total = _add([*wanted, *(unwanted if self.mix < 100 else [])])
        marked = [[Query.stored(id_) for id_ in ids] for ids in (self.good, self.bad)]
        return mark_query(total, *marked)

    def _content(self, served: ServedGallery) -> list[Query]:
        """What hits should be like: pictures by what they show and by their colours, words, and a colour."""
        pictures = [(part.weight, part.query(served)) for part in self.wanted]
        share = self.mix / 100 if pictures else 0.0
        found = [weight * query if weight != 1 else query for weight, query in pictures]
        found += [Query.text(self.text)] if self.text else []
        found += [Query.color(self.color)] if self.color else []
        if share <= 0:
            return found
        colors = [share * weight * Query.palette(query) for weight, query in pictures]
        return [*((1 - share) * one for one in found if share < 1), *colors]

    def only(self, id_: int) -> State:
        """More like one picture, with the same filters."""
        return State((Part(str(id_)),), where=self.where)

    def marking(self, id_: int, *, is_good: bool) -> State:
        """The state with one more hit that was marked."""
        marks = {"good": self.good, "bad": self.bad}
        kept: dict[str, Any] = {name: tuple(one for one in ids if one != id_) for name, ids in marks.items()}
        name = "good" if is_good else "bad"
        kept[name] = (*kept[name], id_)[-_MOST_LIKE:]
        return replace(self, **kept, k=FIRST)

    def changing(self, part: Part, new: Part | None) -> State:
        """The state with one of its pictures changed; None takes it away."""
        pictures = tuple(one for old in self.pictures if (one := new if old == part else old) is not None)
        return replace(self, pictures=pictures, k=FIRST) if pictures else self.without("pictures")

    def adding(self, part: Part) -> State:
        """The state with one more picture."""
        rest = tuple(one for one in self.pictures if one != part)
        return replace(self, pictures=(*rest, part)[-_MOST_LIKE:], k=FIRST)

    def without(self, part: str, value: object = None) -> State:
        """The state without one of its parts; marks go with the last thing that is searched for."""
        kept = getattr(self, part)
        many = tuple(one for one in kept if value is not None and one != value) if isinstance(kept, tuple) else ""
        less: Any = 0 if part == "mix" else many
        state = replace(self, **{part: less, "k": FIRST})
        return state if state.is_search else replace(state, good=(), bad=(), mix=0)

    def filtered(self, term: str) -> State:
        """The state with one more filter."""
        return replace(self, where=(*(one for one in self.where if one != term), term), k=FIRST)

    def larger(self) -> State:
        """The state with more pictures."""
        return replace(self, k=self.k + FIRST)


def read_state(parameters: QueryParams) -> State:
    """The state that an address says. Raises Problem."""
    pictures = tuple(_read_part(name, text) for name, text in parameters.multi_items() if name in {"like", "dropped"})
    good, bad = (tuple(_read_id(text) for text in parameters.getlist(name)) for name in ("good", "bad"))
    if max(map(len, (pictures, good, bad))) > _MOST_LIKE:
        raise Problem(422, "invalid_request", f"at most {_MOST_LIKE} pictures can be combined")
    where = tuple(term for term in parameters.getlist("where") if term)
    text, color = parameters.get("text", "").strip(), parameters.get("color", "").strip()
    if len(text) > _LONGEST:
        raise Problem(422, "invalid_request", f"at most {_LONGEST} characters of words can be searched for")
    mix = read_count(parameters["mix"], most=100) if "mix" in parameters else 0
    k = read_count(parameters["k"], least=1) if "k" in parameters else FIRST
    return State(pictures, text, color, good, bad, mix, where, k)


def _read_id(text: str) -> int:
    return read_count(text, least=1, most=_MOST_ID)


def _read_part(kind: str, text: str) -> Part:
    found = _PART.fullmatch(text)
    if found is None:
        raise Problem(404 if kind == "dropped" else 422, *_unknown(kind, text))
    name, weight, crop = found["name"], int(found["weight"] or 1), found["crop"] or ""
    if kind == "like":
        weight = -weight if name.startswith("-") else weight
        name = str(_read_id(name.removeprefix("-")))
    if not 1 <= abs(weight) <= HEAVIEST:
        raise Problem(422, "invalid_request", f"a picture counts once to {HEAVIEST} times")
    return Part(name, kind == "dropped", weight, crop)


def _unknown(kind: str, text: str) -> tuple[str, str]:
    if kind == "dropped":
        return "forgotten", "this picture is no longer remembered"
    return "invalid_request", f"{text!r:.40} is not a picture"


def _add(parts: list[Query]) -> Query:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
