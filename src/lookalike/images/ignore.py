"""`.lookalikeignore`: patterns as in git's `.gitignore`, which leave files out of a folder and of all below it.

The parser is our own because the files may come from anyone: with `pathspec` 1.1 one pattern of eight stars takes
minutes on one long name. Here the time grows with the product of both lengths and no faster.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Patterns = tuple["Layer", ...]
    """The patterns of the ignore files that hold for a folder, the outermost file first."""

__all__ = [
    "MOST",
    "NAME",
    "Layer",
    "Pattern",
    "add_patterns",
    "is_left_out",
    "parse_patterns",
    "read_patterns",
    "read_patterns_above",
    "split",
]

NAME = b".lookalikeignore"
MOST = 1 << 16  # bytes; what is longer was not written by hand, and each pattern costs time at each file
_ESCAPED = re.compile(r"\\(?:([*?[])|(.))")
_ANY_FOLDERS = None  # two stars: they stand for any number of names


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: names to be matched one after the other, anywhere if there is one and `is_anchored` is not set.

    text: the line as it was written.
    """

    text: str
    names: tuple[re.Pattern[str] | None, ...]
    is_anchored: bool
    is_negated: bool
    only_folders: bool

    def fits(self, names: list[str], *, is_folder: bool) -> bool:
        """Whether it matches the path that these names make below the folder of its file."""
        if self.only_folders and not is_folder:
            return False
        return self._fits_all(names if self.is_anchored else names[-1:])

    def _fits_all(self, names: list[str]) -> bool:
        reached = self._with_skipped({0})
        for name in names:
            reached = self._with_skipped({after for at in reached for after in self._next(at, name)})
        return len(self.names) in reached

    def _next(self, at: int, name: str) -> Iterator[int]:
        """The positions in the pattern that one more name of the path may lead to."""
        if at == len(self.names):
            return
        wanted = self.names[at]
        if wanted is _ANY_FOLDERS:
            yield at
        if wanted is _ANY_FOLDERS or wanted.match(name):
            yield at + 1

    def _with_skipped(self, reached: set[int]) -> set[int]:
        """Two stars may stand for no folder at all, but not at the end: `a/**` is what is inside `a`."""
        last = len(self.names) - 1
        return reached | {at + 1 for at in reached if at < last and self.names[at] is _ANY_FOLDERS}


@dataclass(frozen=True, slots=True)
class Layer:
    """The patterns of one ignore file; `base` is its folder with a slash behind it."""

    base: str
    patterns: tuple[Pattern, ...]


def read_patterns(folder: bytes, patterns: Patterns = ()) -> Patterns:
    """The patterns that hold inside `folder`: `patterns`, and those of its own ignore file if it has one.

    Raises OSError for an ignore file that cannot be read, because the files that it leaves out must not be indexed.
    """
    try:
        content = _read(os.path.join(folder, NAME))
    except (FileNotFoundError, NotADirectoryError):
        return patterns
    return add_patterns(content, folder, patterns)


def add_patterns(content: bytes, folder: bytes, patterns: Patterns = ()) -> Patterns:
    """The patterns that hold inside `folder`: `patterns`, and those of the content of its ignore file.

    Raises OSError for content that is too long.
    """
    if len(content) > MOST:
        raise OSError(errno.EFBIG, f"its {NAME.decode()} is larger than {MOST >> 10} KiB", folder)
    lines = [line for line in os.fsdecode(content).splitlines() if not line.startswith("#")]
    return (*patterns, parse_patterns(lines, folder))


def parse_patterns(lines: Iterable[str], folder: bytes) -> Layer:
    """The patterns of these lines, none of them a comment, which hold inside `folder`."""
    return Layer(os.path.join(os.fsdecode(folder), ""), tuple(filter(None, map(_parse, lines))))


def read_patterns_above(path: bytes) -> Patterns | None:
    """The patterns of the ignore files of all folders above `path`; None if they leave it out. Raises OSError."""
    patterns: Patterns = ()
    for folder in reversed([*_parents(path)]):
        if is_left_out(folder, patterns, is_folder=True):
            return None
        patterns = read_patterns(folder, patterns)
    return None if is_left_out(path, patterns, is_folder=os.path.isdir(path)) else patterns


def is_left_out(path: bytes, patterns: Patterns, *, is_folder: bool) -> bool:
    """Whether `patterns`, those of its folder, leave `path` out: the last, innermost pattern that fits decides."""
    text = os.fsdecode(path)
    for layer in reversed(patterns):
        names = split(text.removeprefix(layer.base))
        for pattern in reversed(layer.patterns):
            if pattern.fits(names, is_folder=is_folder):
                return not pattern.is_negated
    return False


def split(path: str) -> list[str]:
    """The names that make a path, composed: a Mac writes an accent as a character of its own."""
    return (path if path.isascii() else unicodedata.normalize("NFC", path)).replace(os.sep, "/").split("/")


def _parents(path: bytes) -> Iterator[bytes]:
    """The folders above a path, the innermost first."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder


def _read(path: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe of this name has nothing to say
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, f"its {NAME.decode()} is not a regular file", path)
        return file.read(MOST + 1)


def _parse(line: str) -> Pattern | None:
    """Parse a line as gitignore(5) describes it; None for a line without a pattern."""
    text = re.sub(r"(?<!\\)\s+$", "", line)
    if not text:
        return None
    is_negated = text.startswith("!")
    only_folders = text.endswith("/")
    text = text.removeprefix("!").removesuffix("/")
    names = text.removeprefix("/").split("/")
    if "" in names:
        return None
    compiled = tuple(_ANY_FOLDERS if name == "**" and "/" in text else _compile(name) for name in names)
    return Pattern(line, compiled, "/" in text, is_negated, only_folders)


def _compile(name: str) -> re.Pattern[str]:
    """Compile the pattern of one name. fnmatch lacks the backslash, and knows `[!` but not `[^`."""
    literal = _ESCAPED.sub(lambda found: f"[{found[1]}]" if found[1] else found[2], name)
    return re.compile(translate(unicodedata.normalize("NFC", literal.replace("[^", "[!"))))
