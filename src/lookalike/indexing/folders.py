"""The folders that a gallery looks after, each with the rules by which it is walked."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lookalike.images.walk import Root, Rules
from lookalike.store.keys import absolute, is_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lookalike.store import Store

__all__ = ["known_roots", "named_roots", "remember"]


def named_roots(paths: Iterable[str | bytes | os.PathLike[str]], rules: Rules) -> list[Root]:
    """Roots of these paths without those that lie within another of them."""
    return _outermost(Root(path, rules) for path in sorted(map(absolute, paths)))


def known_roots(store: Store) -> list[Root]:
    """The roots that were indexed into a store, by path."""
    return [Root(path, _rules(info)) for path, info in sorted(store.roots.items())]


def remember(store: Store, roots: Sequence[Root]) -> None:
    """Keep the roots that exist with those that are known; the newest rules for a folder hold."""
    known = known_roots(store)
    newest = {root.path: root for root in (*known, *(root for root in roots if os.path.lexists(root.path)))}
    kept = _outermost(newest[path] for path in sorted(newest))
    if kept != known:
        store.set_roots({root.path: asdict(root.rules) for root in kept})


def _outermost(ordered: Iterable[Root]) -> list[Root]:
    kept: list[Root] = []
    for root in ordered:
        if not any(is_within(root.path, other.path) for other in kept):
            kept.append(root)
    return kept


def _rules(info: Mapping[str, Any]) -> Rules:
    return Rules(**{**info, "exclude": tuple(info.get("exclude", ()))})
