"""Filters as data: a frozen tree of conditions that every store can evaluate or translate.

    Condition("width", ">", 1000.0)
    Not(Condition("folder", "=", "2024/beach"))
    Any((Condition("label", "=", "coast"), Condition("label", "=", "forest")))

`lookalike.search.filters` parses what people write into such a tree, and `lookalike.store.evaluate` evaluates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FIELDS", "All", "Among", "Any", "Condition", "Filter", "Not", "Operator"]

Operator = Literal["=", "<", "<=", ">", ">="]

FIELDS = ("folder", "label", "name", "date", "size", "width", "height", "format", "camera", "color")
"""The fields that a condition can test.

folder    text: consecutive folders above the picture, or the absolute path of one of them; only "="
label     text: the name of the folder that directly contains the picture; only "="
name      text: a shell pattern for the file name; only "="
date      text, `2024`, `2024-05` or `2024-05-17`: when the picture was taken, by the camera's clock, or otherwise when
          the file was last written, in local time; only as much of a date is compared as the value has
size, width, height   a number: bytes for size, pixels for the others
format, camera        text: a shell pattern, compared without regard to case; only "="
color     text, `#rrggbb`: a tenth of the picture or more is near this colour (`images.colors.find_share`); only "="

Folders, labels and names match whether their accents are composed or decomposed.
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. A record that lacks the field does not meet it."""

    field: str
    operator: Operator
    value: str | float


@dataclass(frozen=True, slots=True)
class All:
    """Met if every part is met; with no parts, always met."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Met if at least one part is met; with no parts, never met."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Met if the part is not met, including by records that lack its field."""

    part: Filter


@dataclass(frozen=True, slots=True)
class Among:
    """Met by the records with these ids, which are in ascending order."""

    ids: tuple[int, ...]


Filter = Condition | All | Any | Not | Among
