"""Queries as they are written on a command line: `a.jpg + 2:b.jpg - c.jpg`.

A part is the path of a picture, `id:17` for a picture of the gallery, `text:a red boat`, `color:orange`, or `-` for the
picture on standard input; `2:` before it is its weight. A file that has such a name wins: `2:a.jpg` is the file of that
name if there is one, and `./` before a name always makes it a path.

`+` and `-` stand between parts, as words of their own. Where a part is expected, `-` is standard input if it is the
last word or if `+` or `-` follows; otherwise it is the sign of the part that follows.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING

from lookalike.errors import UsageError, name_in_errors
from lookalike.files import expand_home
from lookalike.search.query import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["STDIN", "read_expression", "read_part"]

STDIN = "-"
_MOST_DIGITS = 4000  # of an id: Python reads no more
_SIGNS = {"+": 1.0, "-": -1.0}
# Whatever Python reads as a number, so that an error is about the weight and not about a file of that name.
_WEIGHT = re.compile(r"([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)):(.*)", re.DOTALL | re.IGNORECASE | re.ASCII)
_HOW = "for example: lookalike search a.jpg + 2:b.jpg - c.jpg"


def read_expression(words: Sequence[str], read_stdin: Callable[[], Query]) -> list[tuple[float, Query]]:
    """The parts of a query, each with its weight, below 0 for what is not wanted. Raises UsageError for bad grammar.

    read_stdin: the query for `-`; it is called once at most.
    """
    parts: list[tuple[float, Query]] = []
    split = _split(words)
    for number, (sign, word) in enumerate(split, 1):
        with name_in_errors(f"part {number} of the query") if len(split) > 1 else nullcontext():
            weight, part = read_part(word, read_stdin)
        parts.append((sign * weight, part))
    return parts


def read_part(word: str, read_stdin: Callable[[], Query]) -> tuple[float, Query]:
    """One part, such as `2:a.jpg`, with its weight."""
    found = _WEIGHT.fullmatch(word)
    if found is None or _is_file(word):
        return 1.0, _read(word, read_stdin)
    weight, part = float(found[1]), found[2]
    if not 0 < weight < math.inf:
        raise UsageError(f"the weight of {word!r:.80} must be a number above 0", hint=f"to have less of it: - {part}")
    if not part:
        raise UsageError(f"nothing follows the weight in {word!r:.80}", hint=_HOW)
    return weight, _read(part, read_stdin)


def _split(words: Sequence[str]) -> list[tuple[float, str]]:
    """Each part with its sign."""
    parts: list[tuple[float, str]] = []
    index = 0
    while index < len(words):
        sign = 1.0
        if words[index] in _SIGNS and not _is_stdin(words, index):
            sign, index = _SIGNS[words[index]], index + 1
        elif parts:
            raise UsageError(f"there is no + or - before {words[index]!r:.80}", hint=_HOW)
        if index == len(words):
            raise UsageError(f"the query ends with {words[-1]}: a picture must follow it", hint=_HOW)
        if words[index] in _SIGNS and not _is_stdin(words, index, is_signed=True):
            raise UsageError(
                f"{words[index - 1]} {words[index]} in the query: a picture must be between them", hint=_HOW
            )
        parts.append((sign, words[index]))
        index += 1
    return parts


def _is_stdin(words: Sequence[str], index: int, *, is_signed: bool = False) -> bool:
    """Whether a word is standard input, where a part is expected: at the beginning, or behind a sign."""
    if words[index] != STDIN or (index and not is_signed):
        return False
    return index + 1 == len(words) or words[index + 1] in _SIGNS


def _read(word: str, read_stdin: Callable[[], Query]) -> Query:
    if not word:
        raise UsageError("an empty word is given as a picture", hint="is a variable of the shell empty?")
    if word == STDIN:
        return read_stdin()
    kind, colon, rest = word.partition(":")
    if not colon or kind not in {"id", "text", "color"} or _is_file(word):
        return Query.picture(expand_home(word))
    if kind == "text":
        return Query.text(rest)
    if kind == "color":
        return Query.color(rest)
    if not (rest.isascii() and rest.isdigit() and len(rest) < _MOST_DIGITS):
        raise UsageError(f"{word!r:.80}: an id is a whole number", hint="lookalike search ... --json shows the ids")
    return Query.stored(int(rest))


def _is_file(word: str) -> bool:
    try:
        return os.path.lexists(expand_home(word))
    except ValueError:  # a zero byte, or a surrogate that stands for no byte
        return False
