"""The parameters of the API's requests, with their limits, as FastAPI reads and documents them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator
from starlette.requests import Request

from lookalike.web.asking import Options, read_count
from lookalike.web.problems import Problem
from lookalike.web.settings import MOST_HITS, MOST_OFFSET

__all__ = [
    "LISTED",
    "MOST_ID",
    "After",
    "Asked",
    "Count",
    "Crop",
    "Flag",
    "Id",
    "K",
    "Keep",
    "Limit",
    "Where",
    "check_parameters",
]

LISTED = 500
"""The most entries on a page of a list."""

MOST_ID = 2**63 - 1
"""The largest id that a gallery can give."""

_REPEATABLE = {"where"}


def _as_count(value: object) -> object:
    return read_count(value, least=0, most=MOST_ID) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_as_count)]
K = Annotated[Count, Query(ge=1, le=MOST_HITS, description="How many hits to return.", examples=[10])]
Where = Annotated[
    list[str], Query(description="Only pictures that match, as `field:value`. Repeatable.", examples=[["folder:beach"]])
]
Order = Annotated[Literal["distance", "diffusion"], Query(description="Nearest first, or re-ranked.")]
Id = Annotated[Count, Path(ge=1, le=MOST_ID, description="A picture's id.", examples=[1])]
Flag = Annotated[bool, Query()]
Crop = Annotated[str, Query(max_length=100, description="A part: `x,y,width,height` in pixels or percent.")]
Limit = Annotated[Count, Query(ge=1, le=LISTED, description="How many to list.", examples=[100])]
After = Annotated[Count, Query(ge=0, le=MOST_ID, description="The `next` of the page before.")]
Keep = Annotated[
    Literal["largest", "oldest", "path order", "most metadata"],
    Query(description="Which picture of a group of copies is kept."),
]


class Asked:
    """The options of a search in its address, as on the command line."""

    def __init__(  # noqa: PLR0913  (the parameters of a search)
        self,
        k: K = 10,
        where: Where = [],  # noqa: B006  (never changed)
        order: Order = "distance",
        exact: Flag = False,
        unique: Flag = False,
        offset: Annotated[
            Count, Query(ge=0, le=MOST_OFFSET, description="How many hits to skip, for a later page.")
        ] = 0,
        diverse: Annotated[float, Query(ge=0, le=1, description="How much the hits should differ.")] = 0.0,
        least: Annotated[bool, Query(description="The least similar pictures, farthest first.")] = False,
        max_false_match: Annotated[
            float | None,
            Query(ge=0, le=1e9, description="Only hits so near that at most this many are expected there by chance."),
        ] = None,
        threshold: Annotated[float | None, Query(ge=0, le=1e9, description="Only hits within this distance.")] = None,
    ) -> None:
        self.options = Options(
            k,
            tuple(where),
            order,
            exact,
            unique,
            offset=offset,
            diverse=diverse,
            least=least,
            max_false_match=max_false_match,
            threshold=threshold,
        )


def check_parameters(request: Request) -> None:
    """Refuse parameters that are unknown or, except filters, repeated: they would be ignored silently."""
    route = request.scope.get("route")
    known = _known(route) if route is not None else frozenset()
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise Problem(422, "invalid_request", f"there is no parameter {name!r:.60}")
        if name not in _REPEATABLE and names.count(name) > 1:
            raise Problem(422, "invalid_request", f"the parameter {name!r:.60} is given more than once")


def _known(route: Any) -> frozenset[str]:  # noqa: ANN401  (FastAPI's)
    """The parameters of a route and of what it depends on, looked up once."""
    if (known := _KNOWN.get(id(route))) is None:
        every = [route.dependant, *route.dependant.dependencies]
        known = frozenset(field.alias for one in every for field in one.query_params)
        _KNOWN[id(route)] = known
    return known


_KNOWN: dict[int, frozenset[str]] = {}
