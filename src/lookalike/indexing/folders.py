"""The folders that a gallery indexes: how each is spelled, by which rules it is walked, and where it may have moved.

A folder that can be reached by a symbolic link and by its real path is one folder. The gallery knows it by one of the
two spellings, and `canonical_path` finds that spelling for every path that a person gives.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from lookalike.images.origins import may_exist
from lookalike.images.paths import is_remote
from lookalike.images.walk import Root, Rules, is_excluded, is_passed_over
from lookalike.indexing.patterns import localize_rules
from lookalike.paths import NATIVE
from lookalike.store import is_folder
from lookalike.store.keys import absolute, is_within, moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lookalike.store import Record, Store

    AnyPath = str | bytes | os.PathLike[str]
    Identity = tuple[int, int]
    """Device and inode."""

__all__ = [
    "canonical_path",
    "find_moved",
    "known_roots",
    "merge_roots",
    "named_roots",
    "plan_roots",
    "remember",
    "with_parents",
]

_SAMPLED = 16  # files of a missing folder that are searched for
_ENOUGH = 2  # a folder with at least this many of them, and at least half, is taken for the one that was moved
_SCANNED = 4096  # records that the sample is spread over
_SIBLINGS = 1000  # folders beside a missing one that are searched


def canonical_path(path: AnyPath, store: Store, *, also: Iterable[bytes] = ()) -> bytes:
    """The absolute path by which a gallery knows, or would know, the file or folder that a person calls `path`.

    The known roots, the folder that contains the gallery and the paths in `also` are anchors: a path that leads into
    one of them, through any links, is spelled as a path below it. Any other path stays as it was given. A link to a
    file stays a link.
    """
    return _respell(absolute(path), _anchors(store, also))


def named_roots(store: Store, paths: Iterable[AnyPath], rules: Rules | None) -> list[Root]:
    """The roots for the paths that a person gave, as the gallery spells them, without those inside another of them.

    rules: None for the rules by which the gallery knows each path already, or knows the folder around it.
    """
    found: list[bytes] = []
    for path in sorted(map(absolute, paths), key=_depth):  # so that the outer of two can be an anchor for the inner
        found.append(canonical_path(path, store, also=found))
    known = known_roots(store)
    return _outermost(_with_rules(path, rules, known) for path in sorted(set(found)))


def _with_rules(path: bytes, rules: Rules | None, known: Sequence[Root]) -> Root:
    if rules is not None:
        return Root(path, localize_rules(rules, path))
    around = [root for root in known if root.path == path or _covers(root, Root(path))]
    nearest = max(around, key=lambda root: len(root.path), default=Root(path))
    return Root(path, nearest.rules, nearest.path)


def known_roots(store: Store) -> list[Root]:
    """The roots that were indexed into a store, ordered by path."""
    return [Root(path, _rules(info)) for path, info in sorted(store.roots.items())]


def plan_roots(store: Store, roots: Sequence[Root], rules: Rules | None = None) -> tuple[list[Root], list[Root]]:
    """The roots to remember after these have been named, and the roots to walk now, both ordered by path.

    rules: those that were given with them, if any. A folder within a known one is a separate root only if its rules
    differ, or if a walk of the other never reaches it. It stays one when the folder around it is named, unless rules
    are given: with those that exclude nothing, it loses its own, and one that excludes nothing gets the new ones.
    """
    named = {root.path: root for root in roots}
    kept = {
        root.path: root
        for root in known_roots(store)
        if not (
            rules is not None
            and Rules() in {rules, root.rules}
            and any(_covers(other, root) for other in roots if other.path != root.path)
        )
    }
    kept |= {path: replace(root, base=b"") for path, root in named.items() if may_exist(path)}
    kept = {path: kept[path] for path in sorted(kept) if not _is_part(kept[path], kept.values())}
    within = [root for path, root in kept.items() if any(is_within(path, other) for other in named)]
    walked = {root.path: root for root in (*within, *roots)}
    return [*kept.values()], [walked[path] for path in sorted(walked)]


def remember(store: Store, roots: Sequence[Root]) -> None:
    """Replace the roots of a store by these, if they differ."""
    if [*roots] != known_roots(store):
        store.set_roots({root.path: asdict(root.rules) for root in roots})


def merge_roots(store: Store, roots: Sequence[Root]) -> list[Root]:
    """Merge the records of folders that are known by two spellings; return `roots` in the spelling that remains.

    Two spellings arise when a folder was indexed through a link before the real folder around it, and in galleries of
    versions that did not compare folders.
    """
    anchors: dict[bytes, Identity | None] = {}
    merged: dict[bytes, Root] = {}
    named = {root.path: root for root in roots}
    known = store.roots
    for old in sorted({**named, **known}, key=_depth):
        new = _respell(old, anchors)
        if new != old and old in known:
            _rename(store, old, new)
        anchors.setdefault(new, _identity(new))
        if old in named:
            base = _respell(named[old].base, anchors) if named[old].base else b""
            merged.setdefault(new, replace(named[old], path=new, base=base))
    return [merged[path] for path in sorted(merged)]


def find_moved(store: Store, missing: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Where the missing folders seem to be now, as pairs (old, new).

    Several of their files are searched for by name and size: in the folders beside them, in case one was renamed or a
    drive was mounted elsewhere, and in the other roots and the folders directly inside those.
    """
    roots = [root.path for root in known_roots(store)]
    pairs = ((old, _seek(old, _sample(store, old), roots)) for old in missing if not is_remote(old))
    return [(old, canonical_path(new, store)) for old, new in pairs if new is not None]


def _rename(store: Store, old: bytes, new: bytes) -> None:
    """Rename records, dropping those whose new path is already known, as older versions left them."""
    there = {moved(record.path, old, new): record.id for record in below(store, old)}
    if twice := store.find(there):
        store.remove(there[path] for path in twice)
    store.rename(old, new)


def _anchors(store: Store, also: Iterable[bytes]) -> dict[bytes, Identity | None]:
    paths = [*store.roots, *also]
    if is_folder(store.location):
        paths.append(os.path.dirname(absolute(store.location)))
    return {path: _identity(path) for path in paths}


def _respell(path: bytes, anchors: Mapping[bytes, Identity | None]) -> bytes:
    """Spell a path as one below the innermost anchor that it really leads into; return any other path unchanged."""
    if is_remote(path):
        return path
    spellings = {identity: anchor for anchor, identity in reversed([*anchors.items()]) if identity is not None}
    real = os.path.realpath(path) if os.path.isdir(path) else _real_name(path)
    for folder in with_parents(real):
        identity = _identity(folder)
        if identity in spellings:
            return moved(real, folder, spellings[identity])
    return path


def _real_name(path: bytes) -> bytes:
    """The path of a file with its folder's links resolved, but not its own."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def with_parents(path: bytes) -> Iterator[bytes]:
    """Yield a path and all folders above it, innermost first."""
    yield path
    while (parent := os.path.dirname(path)) != path:
        path = parent
        yield path


def _identity(path: bytes) -> Identity | None:
    """The device and inode of the file or folder at a path; None if nothing is there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _depth(path: bytes) -> int:
    return len(NATIVE.split(NATIVE.below(os.path.realpath(path)))) - 1


def _covers(outer: Root, inner: Root) -> bool:
    """Whether a walk of `outer` reaches `inner`, as far as names and links determine it."""
    if not is_within(inner.path, outer.path):
        return False
    below = os.path.relpath(inner.path, outer.path)
    if is_passed_over(below, outer) or is_excluded(inner.path, outer):
        return False
    between = [folder for folder in with_parents(inner.path) if folder != outer.path and is_within(folder, outer.path)]
    return not any(os.path.islink(folder) for folder in between)


def _is_part(root: Root, roots: Iterable[Root]) -> bool:
    """Whether a walk of another root with the same rules reaches this one."""
    around = [other for other in roots if other.path != root.path and is_within(root.path, other.path)]
    nearest = max(around, key=lambda other: len(other.path), default=None)
    return nearest is not None and nearest.rules == root.rules and _covers(nearest, root)


def _outermost(ordered: Iterable[Root]) -> list[Root]:
    kept: list[Root] = []
    for root in ordered:
        if not any(_covers(other, root) for other in kept):
            kept.append(root)
    return kept


def _rules(info: Mapping[str, Any]) -> Rules:
    return Rules(**{**info, "exclude": tuple(info.get("exclude", ()))})


def below(store: Store, path: bytes) -> Iterator[Record]:
    """The records at `path` or below it."""
    return (record for record in store.scan(path) if is_within(record.path, path))


def _sample(store: Store, folder: bytes) -> list[tuple[bytes, int]]:
    """The names, relative to a folder, and the sizes of some of its files."""
    records = (record for record in below(store, folder) if record.size is not None and record.path != folder)
    some = list(islice(records, _SCANNED))
    step = -(-len(some) // _SAMPLED) or 1
    return [(os.path.relpath(record.path, folder), record.size or 0) for record in some[::step]]


def _seek(old: bytes, sample: Sequence[tuple[bytes, int]], roots: Sequence[bytes]) -> bytes | None:
    """The first candidate folder that contains enough of the sampled files; None if there is no such folder."""
    wanted = max(_ENOUGH, -(-len(sample) // 2))
    if len(sample) < wanted:
        return None
    for folder in _candidates(old, roots):
        if sum(_size(os.path.join(folder, name)) == size for name, size in sample) >= wanted:
            return folder
    return None


def _candidates(old: bytes, roots: Sequence[bytes]) -> Iterator[bytes]:
    """Yield folders that a missing one may have become, the most likely first."""
    there = next(folder for folder in with_parents(os.path.dirname(old)) if os.path.isdir(folder))
    tail = os.path.relpath(old, there).partition(NATIVE.separator)[2]  # in case a folder above it was renamed instead
    yield from (os.path.join(folder, tail) if tail else folder for folder in _folders_in(there))
    for root in roots:
        if root != old and not is_within(root, old) and os.path.isdir(root):
            yield root
            yield from _folders_in(root)


def _folders_in(folder: bytes) -> list[bytes]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(entry.path for entry in islice(entries, _SIBLINGS) if entry.is_dir())
    return []


def _size(path: bytes) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
