"""Operations on a whole gallery: index it, retry skipped files, remove and relocate pictures, and index after a repair.

Each operation is a function of a store; those that read pictures also take an encoder.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lookalike.encoders import load_encoder
from lookalike.errors import DiskFull, StoreError, UsageError
from lookalike.files import MARK
from lookalike.images.origins import exists
from lookalike.images.paths import show_path, to_bytes
from lookalike.images.walk import Root, Rules
from lookalike.indexing.adapt import adapt_if_grown
from lookalike.indexing.calibrate import calibrate_if_grown
from lookalike.indexing.encode import LocalEmbedder
from lookalike.indexing.folders import (
    below,
    canonical_path,
    find_moved,
    known_roots,
    merge_roots,
    named_roots,
    plan_roots,
    remember,
)
from lookalike.indexing.update import IndexOptions, Report, is_lost_file, update
from lookalike.store import Maintained, is_folder
from lookalike.store.filter import Condition
from lookalike.store.keys import is_within, moved
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.encoders import Encoder
    from lookalike.images.pool import OnProgress
    from lookalike.indexing.encode import Embedder
    from lookalike.indexing.folders import AnyPath
    from lookalike.store import Record, Store

__all__ = [
    "below",
    "index_lost",
    "index_paths",
    "knows_file",
    "local_embedder",
    "relocate",
    "remove",
    "retry",
    "skipped",
]


_ALL = b"/"


def local_embedder(encoder: Encoder, dim: int, options: IndexOptions) -> LocalEmbedder:
    """An embedder on this machine with the limits, worker processes and batch size of `options`."""
    return LocalEmbedder(encoder, dim, limits=options.limits, workers=options.workers, batch_size=options.batch_size)


def _embedder(store: Store, encoder: Encoder, options: IndexOptions) -> Embedder:
    """The embedder that the options ask for."""
    if options.ray is None:
        return local_embedder(encoder, store.space.dim, options)
    ray = importlib.import_module("lookalike.indexing.ray")  # late: only for --ray
    folder = Path(store.location).absolute() if is_folder(store.location) else None
    return cast(
        "Embedder",
        ray.RayEmbedder(
            partial(load_encoder, store.space.source, folder),
            encoder,
            store.space.dim,
            address=options.ray,
            limits=options.limits,
            batch_size=options.batch_size,
        ),
    )


def index_paths(  # noqa: PLR0913  (by name, all but three)
    store: Store,
    encoder: Encoder,
    paths: Sequence[AnyPath] = (),
    *,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
    wait: float = 0.0,
    embedder: Embedder | None = None,
) -> Report:
    """Bring a store up to date with these folders and files, and adapt it when it has grown enough.

    The paths and their rules are remembered, and single files are forgotten when they vanish from their folders;
    without paths, everything indexed before is brought up to date.
    embedder: by default that of this machine. Raises UsageError when none of the paths exists or none is known;
    StoreBusy; DiskFull, which says how many pictures are safe.
    """
    options = options or IndexOptions()
    embedder = embedder or _embedder(store, encoder, options)
    roots = named_roots(store, paths, options.rules) if paths else known_roots(store)
    _check_roots(store, roots)
    rules = options.rules if paths else None
    if options.dry_run:
        report = _update(store, embedder, plan_roots(store, roots, rules)[1], options, on_progress)
        report.without_effect = _without_effect(report, roots, rules)
        return report
    try:
        with store.writing(wait=wait):
            kept, walked = plan_roots(store, merge_roots(store, roots), rules)
            remember(store, kept)
            lost = {root.path for root in kept if is_lost_file(store, root.path)}
            report = _update(store, embedder, walked, options, on_progress)
            remember(store, [root for root in kept if root.path not in lost or exists(root.path)])
            adapt_if_grown(store, encoder)
            calibrate_if_grown(store)
    except DiskFull as error:
        safe = store.count()[0]
        verb = "picture is" if safe == 1 else "pictures are"
        raise DiskFull(f"{error}; {safe:,} {verb} safely indexed", hint=error.hint) from error
    report.without_effect = _without_effect(report, roots, rules)
    with contextlib.suppress(StoreError):  # what was indexed is safe, and the next search reports the problem
        if isinstance(store, Maintained):
            store.prepare()
    return report


def retry(  # noqa: PLR0913  (by name, all but two)
    store: Store,
    encoder: Encoder,
    path: AnyPath = "/",
    *,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
    wait: float = 0.0,
) -> Report:
    """Read the skipped files at or below `path` again, even if they have not changed; or the picture at `path`.

    Files that no longer exist are left for `index_paths` to remove. Raises StoreBusy; UsageError when no file was
    skipped there, or the picture has not changed.
    """
    within = canonical_path(path, store)
    is_picture = any(record.digest is not None for record in store.find([within]).values())
    options = replace(options or IndexOptions(), retry=True, refresh=is_picture)
    found = [within] if is_picture else [record.path for record in store.scan() if record.digest is None]
    found = [path for path in found if (within == _ALL or is_within(path, within)) and exists(path)]
    roots = [Root(key, options.rules or Rules()) for key in found]
    if not found:
        listed = name_command("skipped", store.location)
        read_again = name_command(f"index --force {_quoted(within)}", store.location)
        hint = f"list the skipped files: {listed}; read pictures again: {read_again}"
        raise UsageError(f"no skipped file is in {show_path(within)}", hint=hint)
    with store.writing(wait=wait):
        report = update(store, _embedder(store, encoder, options), roots, options=options, on_progress=on_progress)
    if is_picture and report.unchanged:
        raise UsageError(f"{show_path(within)} was not skipped; read again, it has not changed")
    return report


def knows_file(store: Store, path: AnyPath) -> bool:
    """Whether a store has a record of this file by its path, by its real path, or as another link to the same file.

    Drawings of Lookalike, which were skipped as such, do not count.
    """
    keys = {canonical_path(name, store) for name in (path, os.path.realpath(path))}
    same = _records_of_size(store, path) if os.path.isfile(path) else []
    return any(
        record.skipped_because != MARK and (record.path in keys or _is_same_file(record.path, path))
        for record in (*store.find(keys).values(), *same)
    )


def _records_of_size(store: Store, path: AnyPath) -> Iterable[Record]:
    ids = store.ids(Condition("size", "=", float(os.path.getsize(path))))
    return store.get(ids.tolist()).values()


def _is_same_file(one: bytes, other: AnyPath) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def remove(store: Store, path: AnyPath, *, wait: float = 0.0) -> int:
    """Remove a picture, or all pictures below a folder, from a store; return the number of files removed.

    Indexed roots there are forgotten too. Raises StoreBusy; UsageError when the gallery knows nothing at this path.
    """
    key = canonical_path(path, store)
    with store.writing(wait=wait):
        found = [record.id for record in below(store, key)]
        roots = store.roots
        kept = {root: rules for root, rules in roots.items() if not is_within(root, key)}
        if not found and len(kept) == len(roots):
            raise UsageError(f"{show_path(key)} is not in the gallery")
        if len(kept) < len(roots):
            store.set_roots(kept)
        return store.remove(found)


def relocate(store: Store, old: AnyPath, new: AnyPath, *, dry_run: bool = False, wait: float = 0.0) -> int:
    """Keep the embeddings of pictures that were moved from folder `old` to `new`; return the number of files.

    Either all paths are rewritten or none; no file is read. If a picture with the same content is already known at its
    new path, and is gone from the old one, the old record is dropped. Raises StoreBusy; UsageError when the gallery has
    no picture in `old`, or already has a different one at a new path.
    """
    source, target = canonical_path(old, store), canonical_path(new, store)
    found = list(below(store, source))
    if not found:
        raise UsageError(
            f"the gallery has no picture in {show_path(source)}", hint=name_command("info", store.location)
        )
    again = _known_in_both(store, found, source, target)
    if dry_run:
        return len(found)
    with store.writing(wait=wait):
        if again:
            store.remove(again)
        store.rename(source, target)
        remember(store, plan_roots(store, [])[0])  # the new folder may be part of a known one
    return len(found)


def index_lost(
    store: Store,
    encoder: Encoder,
    lost: Iterable[bytes],
    *,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Index the known roots, and the `lost` files outside them, after a repair that could not save everything."""
    options = options or IndexOptions()
    roots = known_roots(store)
    found = [key for key in lost if not any(is_within(key, root.path) for root in roots)]
    roots += [Root(key) for key in found if exists(key)]
    with store.writing():
        report = update(store, _embedder(store, encoder, options), roots, options=options, on_progress=on_progress)
        adapt_if_grown(store, encoder)
        calibrate_if_grown(store)
    return report


def skipped(store: Store) -> list[tuple[Path, str]]:
    """Every file that was found but is not part of the gallery, with the reason, ordered by path."""
    found = (record for record in store.scan() if record.digest is None)
    return [(Path(os.fsdecode(record.path)), record.skipped_because or "") for record in found]


def _quoted(path: bytes) -> str:
    return shlex.quote(show_path(path))


def _without_effect(report: Report, roots: Sequence[Root], rules: Rules | None) -> list[str]:
    """The patterns, as they were given, that have excluded nothing in any of the roots that were named."""
    idle = set(report.without_effect)
    patterns = rules.exclude if rules else ()
    return [pattern for n, pattern in enumerate(patterns) if {root.rules.exclude[n] for root in roots} <= idle]


def _check_roots(store: Store, roots: Sequence[Root]) -> None:
    if not roots:
        raise UsageError(
            "the gallery has no folder yet", hint=f"name one: {name_command('index FOLDER', store.location)}"
        )
    if not any(any(below(store, root.path)) or exists(root.path) for root in roots):
        raise UsageError(f"no such file or folder: {', '.join(show_path(root.path) for root in roots)}")


def _update(
    store: Store, embedder: Embedder, roots: Sequence[Root], options: IndexOptions, on_progress: OnProgress | None
) -> Report:
    """Update the store, and find out where missing roots may have moved."""
    report = update(store, embedder, roots, options=options, on_progress=on_progress)
    found = find_moved(store, map(to_bytes, report.missing))
    report.moved = [(Path(os.fsdecode(old)), Path(os.fsdecode(new))) for old, new in found]
    return report


def _known_in_both(store: Store, found: Sequence[Record], source: bytes, target: bytes) -> list[int]:
    """The ids of records that need not be moved, because their pictures are already known at the new path.

    Raises UsageError if the file of one of these still exists at the old path, or if its content differs.
    """
    own = {record.path for record in found}
    there = {moved(record.path, source, target): record for record in found}
    known = store.find(there.keys() - own)
    for path, record in sorted(known.items()):
        old = there[path]
        if old.digest is None or old.digest != record.digest or exists(old.path):
            raise UsageError(
                f"the gallery already has another picture at {show_path(path)}",
                hint="remove one of the two folders from the gallery: "
                + name_command(f"remove {_quoted(target)}", store.location),
            )
    return [there[path].id for path in known]
