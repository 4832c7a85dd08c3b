"""Look after a gallery: read skipped files again, forget pictures, follow a folder that was moved, repair damage."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.images.paths import show_path
from lookalike.images.walk import Root
from lookalike.indexing.adapt import adapt_if_grown
from lookalike.indexing.folders import known_roots
from lookalike.indexing.update import IndexOptions, Report, update
from lookalike.store.keys import is_within, moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lookalike.encoders import Encoder
    from lookalike.indexing.update import Progress
    from lookalike.store import Record, Store

__all__ = ["below", "index_lost", "relocate", "remove", "retry", "skipped"]


def below(store: Store, path: bytes) -> Iterator[Record]:
    """The records at `path` or below it."""
    return (record for record in store.scan(path) if is_within(record.path, path))


def skipped(store: Store) -> list[tuple[bytes, str]]:
    """The files that were met but could not be indexed, with the reason, by path."""
    return [(record.path, record.skipped_because or "") for record in store.scan() if record.digest is None]


def retry(  # noqa: PLR0913  (by name, all but three)
    store: Store,
    encoder: Encoder,
    path: bytes,
    *,
    options: IndexOptions | None = None,
    progress: Progress | None = None,
    wait: float = 0.0,
) -> Report:
    """Read the skipped files at `path` or below it again, although they have not changed.

    Those that are gone are left to `update`. Raises StoreBusy; UsageError when nothing was skipped there.
    """
    options = replace(options or IndexOptions(), retry=True)
    found = [key for key, _ in skipped(store) if is_within(key, path) and os.path.lexists(key)]
    if not found:
        raise UsageError(f"no skipped file is in {show_path(path)}", hint="lookalike skipped")
    with store.writing(wait=wait):
        return update(store, encoder, [Root(key, options.rules) for key in found], options=options, progress=progress)


def remove(store: Store, path: bytes, *, wait: float = 0.0) -> int:
    """Take the pictures at `path` or below it out of a gallery; how many records there were.

    A folder that was indexed itself is no longer looked after. Raises UsageError if there is nothing to remove.
    """
    with store.writing(wait=wait):
        found = [record.id for record in below(store, path)]
        kept = {root: rules for root, rules in store.roots.items() if not is_within(root, path)}
        if not found and len(kept) == len(store.roots):
            raise UsageError(f"{show_path(path)} is not in the gallery")
        if len(kept) < len(store.roots):
            store.set_roots(kept)
        return store.remove(found)


def relocate(store: Store, old: bytes, new: bytes, *, dry_run: bool = False) -> int:
    """Let pictures that were moved from the folder `old` to `new` keep their embeddings; how many files they are.

    Paths are rewritten, all or none; no file is looked at. Raises StoreBusy; UsageError when none is known in `old`, or
    one in its new place as well.
    """
    found = [record.path for record in below(store, old)]
    if not found:
        raise UsageError(f"the gallery knows no picture in {show_path(old)}", hint="lookalike info")
    there = {moved(path, old, new) for path in found}
    if taken := sorted(store.find(there - set(found))):
        raise UsageError(
            f"{len(taken)} pictures are known in the new place as well, such as {show_path(taken[0])}",
            hint=f"forget one of the two folders: lookalike remove {show_path(new)}",
        )
    if dry_run:
        return len(found)
    with store.writing():
        return store.rename(old, new)


def index_lost(
    store: Store,
    encoder: Encoder,
    lost: Iterable[bytes],
    *,
    options: IndexOptions | None = None,
    progress: Progress | None = None,
) -> Report:
    """Index again what a repair could not save: every known folder, and the lost files outside of them."""
    roots = known_roots(store)
    found = [path for path in lost if not any(is_within(path, root.path) for root in roots)]
    with store.writing():
        again = [*roots, *(Root(path) for path in found if os.path.lexists(path))]
        report = update(store, encoder, again, options=options, progress=progress)
        adapt_if_grown(store, encoder)
    return report
