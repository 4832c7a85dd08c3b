"""A part of a picture: a rectangle in pixels or in percent of the picture's sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lookalike.errors import UsageError

__all__ = ["Crop", "read_crop"]

_HOW = "give x,y,width,height of the upright picture, in pixels or percent: 10%,10%,50%,50%"
_SIDES = ("x", "y", "width", "height")


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of an upright picture: left, top, width and height, each a text such as `120` or `12.5%`."""

    sides: tuple[str, str, str, str]

    def __str__(self) -> str:
        return ",".join(self.sides)

    def find_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The rectangle in pixels: left, top, right, bottom, at least one pixel wide and high.

        size: width and height of the picture. Raises UsageError if the rectangle does not lie within it.
        """
        left, top, wide, high = (_scale(text, size[number % 2]) for number, text in enumerate(self.sides))
        tolerance = 0.5  # percentages are rounded to whole pixels
        if left + wide > size[0] + tolerance or top + high > size[1] + tolerance or left >= size[0] or top >= size[1]:
            raise UsageError(
                f"the part {self} is not within the picture, which has {size[0]} x {size[1]} pixels", hint=_HOW
            )
        right, bottom = min(size[0], round(left + wide)), min(size[1], round(top + high))
        x, y = min(math.floor(left + tolerance), right - 1), min(math.floor(top + tolerance), bottom - 1)
        return max(0, x), max(0, y), max(1, right), max(1, bottom)


def read_crop(given: object) -> Crop:
    """A crop from a text such as `10%,10%,50%,50%`, or from four numbers in pixels. Raises UsageError."""
    if isinstance(given, Crop):
        return given
    if not isinstance(given, str | tuple | list):
        raise UsageError(f"{given!r:.60} is not a part of a picture", hint=_HOW)
    texts = [str(side).strip() for side in (given.split(",") if isinstance(given, str) else given)]
    if len(texts) != len(_SIDES):
        raise UsageError(f"{given!r:.60} is not a part of a picture", hint=_HOW)
    for name, text in zip(_SIDES, texts, strict=True):
        _check(name, text)
    return Crop((texts[0], texts[1], texts[2], texts[3]))


def _check(name: str, text: str) -> None:
    least = "0 or more" if name in {"x", "y"} else "more than 0"
    number = _number(text.removesuffix("%"))
    if not 0 <= number < math.inf or (number == 0 and name in {"width", "height"}):
        raise UsageError(f"the {name} of a part is {text!r:.60}; it must be a number, {least}", hint=_HOW)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _scale(text: str, side: int) -> float:
    return float(text[:-1]) / 100 * side if text.endswith("%") else float(text)
