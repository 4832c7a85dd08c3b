"""Filters as data: which records qualify, as a frozen tree that every store can evaluate or translate.

    Condition("width", ">", 1000.0)
    Not(Condition("folder", "=", "2024/beach"))
    Any((Condition("label", "=", "coast"), Condition("label", "=", "forest")))

`lookalike.search.filters` parses what people write into such a tree; `lookalike.store.evaluate` decides with numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FIELDS", "All", "Any", "Condition", "Filter", "Not", "Operator"]

Operator = Literal["=", "<", "<=", ">", ">="]

FIELDS = ("folder", "label", "name", "date", "size", "width", "height", "format", "camera")
"""What a condition can be about.

folder    text: consecutive folders above the picture, or an absolute path down to one; only "="
label     text: the folder that the picture lies in; only "="
name      text: a shell pattern for the name of the file; only "="
date      text, `2024`, `2024-05` or `2024-05-17`: when it was taken by the camera's clock, else the file's local time;
          as much of a date is compared as the value has
size, width, height   a number: bytes, pixels
format, camera        text: a shell pattern, compared without regard to case; only "="
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. A record that lacks the field does not meet it."""

    field: str
    operator: Operator
    value: str | float


@dataclass(frozen=True, slots=True)
class All:
    """Met where every part is; without parts everywhere."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Met where one part is; without parts nowhere."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Met where the part is not, also by records that lack its field."""

    part: Filter


Filter = Condition | All | Any | Not
