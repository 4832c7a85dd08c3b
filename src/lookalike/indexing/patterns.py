"""Patterns that a person types after `--exclude`: what each means in an ignore file inside the folder to index.

A shell completes paths, so that `P/cache`, `./P/cache/`, `../P/cache` and `/home/me/P/cache` all mean the folder
`cache` in P. Everything else means what it means in a `.lookalikeignore` in P.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from lookalike.store.keys import absolute, is_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.images.walk import Rules

__all__ = ["localize", "localize_rules"]

_WILD = re.compile(r"[*?\[\\]")


def localize_rules(rules: Rules, root: bytes) -> Rules:
    """The rules whose patterns a person typed, as rules for the folder `root`."""
    return replace(rules, exclude=tuple(localize(pattern, root) for pattern in rules.exclude))


def localize(pattern: str, root: bytes) -> str:
    """The pattern with the same meaning for an ignore file in the folder `root`, whose path is absolute."""
    sign, text = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    if text.startswith("~/"):
        text = os.path.expanduser(text)
    return sign + (_as_path(text, root) or _as_pattern(text, root))


def _as_path(text: str, root: bytes) -> str | None:
    """The pattern for a path that leads below `root` from the current folder; None for anything else."""
    if "/" not in text.rstrip("/") or _WILD.search(text.split("/", maxsplit=1)[0]):
        return None
    is_there = os.path.lexists(text) or os.path.lexists(_literal(text))
    if not is_there and not os.path.isabs(text):
        return None
    for path in _spellings(text):
        for folder in (root, os.path.realpath(root)):
            if path != folder and is_within(path, folder):
                below = os.fsdecode(os.path.relpath(path, folder))
                return "/" + _literally(below, os.path.lexists(text)) + text[len(text.rstrip("/")) :][:1]
    return None


def _as_pattern(text: str, root: bytes) -> str:
    if text.startswith("./"):
        text = "/" + text.lstrip("./")
    return _literally(text, os.path.lexists(os.path.join(root, os.fsencode(text.strip("/")))))


def _literal(text: str) -> str:
    """The folder in which the first name with a wildcard is looked for."""
    return "/".join(takewhile(lambda name: not _WILD.search(name), text.split("/"))) or "/"


def _spellings(text: str) -> Iterator[bytes]:
    """The absolute path, as it is and with the links in its folders resolved."""
    yield absolute(text)
    known = _literal(text)
    if known == text:
        known = os.path.dirname(text.rstrip("/")) or "."
    rest = os.fsencode(text[len(known) :].strip("/") if known != "." else text)
    yield os.path.normpath(os.path.join(os.path.realpath(os.fsencode(known)), rest))


def _literally(text: str, is_name: bool) -> str:  # noqa: FBT001  (private, and read at both calls)
    """Escape the wildcards in what is the name of something that exists."""
    return _WILD.sub(lambda found: "\\" + found[0], text) if is_name else text
