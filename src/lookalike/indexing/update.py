"""The loop that brings a store up to date with folders of pictures."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import Unreachable
from lookalike.images.decode import FORMATS, VANISHED, DecodedPicture, Limits
from lookalike.images.origins import exists, holds_files, may_exist, walk_root
from lookalike.images.paths import path_fields, show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.unreadable import needs_known_decoder
from lookalike.images.walk import Root, Rules, Tally
from lookalike.indexing.encode import BATCH, Embedded, batched, encode_pictures
from lookalike.indexing.folders import with_parents
from lookalike.paths import NATIVE
from lookalike.store import NO_DESCRIPTIONS, Record
from lookalike.store.keys import is_within

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.decode import View
    from lookalike.images.pool import OnProgress
    from lookalike.images.walk import Entry
    from lookalike.indexing.encode import Embedder
    from lookalike.store import Store

    Embeddings = dict[bytes, NDArray[np.float32]]
    """Embeddings, float32 (dim,), by the digest of the picture."""

    Result = tuple[Entry, Embedded | str]

__all__ = ["IndexOptions", "Report", "embed_files", "is_lost_file", "update"]

_log = logging.getLogger(__name__)

_LOOKUPS = 512  # files looked up in the store at once
# Reasons that say nothing about the file itself, which is tried again in every run.
_TEMPORARY = (
    "permission denied",
    "cannot be read",
    "needs more memory",
    "changed while it was read",
    "took longer than",
)


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to walk and read folders.

    rules: which files to index; by default, folders keep the rules that they were given before.
    limits: the limits for each file. batch_size: pictures encoded at once. workers: the number of decoding processes.
    dry_run: find out what would change: files are read, but none is encoded and nothing is written.
    retry: read skipped files again even if they have not changed.
    refresh: read every file again, to store facts and descriptions that were not stored before and to notice files that
    have changed without a change of size or time; only changed pictures are encoded.
    ray: encode on the Ray cluster at this address, HOST:PORT, or "auto" for the one that this machine belongs to.
    force: read every file again and encode every picture, as after a change of how pictures are decoded.
    """

    rules: Rules | None = None
    limits: Limits = field(default_factory=Limits)
    batch_size: int = BATCH
    workers: int | None = None
    dry_run: bool = False
    retry: bool = False
    refresh: bool = False
    force: bool = False
    ray: str | None = None


@dataclass(slots=True)
class Report:
    """What a run did, counted in files.

    added: new pictures. changed: pictures whose files have other content than before.
    skipped: all files that are not part of the gallery now, with the reason.
    excluded: pictures, as far as their names say, that patterns leave out.
    passed_over: files of kinds that are not read, by extension, most frequent first; "" stands for other names.
    folders_passed_over: folders of other programs, by name, such as recycle bins and thumbnails.
    without_effect: the patterns given for this run that have excluded nothing.
    missing: roots that do not exist now; their pictures stay in the gallery.
    moved: missing roots that seem to be elsewhere now, as (old, new), the arguments of `relocate`.
    seconds: how long the run took.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)
    moved: list[tuple[Path, Path]] = field(default_factory=list)
    excluded: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    folders_passed_over: dict[str, int] = field(default_factory=dict)
    without_effect: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-compatible values."""
        moved = [{"old": path_fields(old), "new": path_fields(new)} for old, new in self.moved]
        return {
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "renamed": self.renamed,
            "removed": self.removed,
            "skipped": [{**path_fields(path), "reason": reason} for path, reason in self.skipped],
            "missing": [path_fields(path) for path in self.missing],
            "moved": moved,
            "excluded": self.excluded,
            "passed_over": {show_path(kind): files for kind, files in self.passed_over.items()},
            "folders_passed_over": {show_path(name): count for name, count in self.folders_passed_over.items()},
            "without_effect": [show_path(pattern) for pattern in self.without_effect],
            "seconds": round(self.seconds, 3),
        }


def update(
    store: Store,
    embedder: Embedder,
    roots: Sequence[Root],
    *,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Bring a store up to date with the files below `roots`, inside `store.writing()` unless it is a dry run.

    A root that does not exist is reported in `missing` and its records are kept, because its drive may just not be
    plugged in; a single file that is gone from its folder is removed like any other. A root within another is walked
    only by its own rules.
    """
    start = time.monotonic()
    run = _Run(store, embedder, options or IndexOptions(), on_progress)
    for root in roots:
        if may_exist(root.path) or is_lost_file(store, root.path):
            run.roots.append(root)
        else:
            run.note_missing(root)
    run.bring_in()
    run.clear_out()
    run.note_passed_over()
    run.report.skipped.sort(key=lambda pair: os.fsencode(pair[0]))
    run.report.seconds = time.monotonic() - start
    return run.report


def is_lost_file(store: Store, path: bytes) -> bool:
    """Whether a path that does not exist was a single file, whose folder is still there."""
    with contextlib.suppress(Unreachable):
        return bool(store.find([path])) and not exists(path) and holds_files(os.path.dirname(path))
    return False


def embed_files(
    encoder: Encoder, dim: int, paths: Iterable[bytes], *, view: View | None = None, options: IndexOptions | None = None
) -> Iterator[tuple[bytes, NDArray[np.float32] | str]]:
    """Yield every path with its embedding, float32 (dim,), or with the reason why it has none, in the given order.

    Files are decoded and encoded in batches, just as `update` does it, but nothing is stored. view: by default the
    encoder's.
    """
    options = options or IndexOptions()
    with DecoderPool(view or encoder.view, limits=options.limits, workers=options.workers) as reader:
        results = reader.read(paths)
        while some := list(islice(results, options.batch_size)):
            pictures = [result for _, result in some if isinstance(result, DecodedPicture)]
            embeddings = iter(encode_pictures(encoder, pictures, dim) if pictures else ())
            yield from (
                (path, next(embeddings) if isinstance(result, DecodedPicture) else result) for path, result in some
            )


class _Run:
    """The state of one run. Its memory grows by one byte per record, not with the pictures."""

    def __init__(self, store: Store, embedder: Embedder, options: IndexOptions, on_progress: OnProgress | None) -> None:
        self.store = store
        self.embedder = embedder
        self.options = options
        self.report = Report()
        self.tally = Tally()
        self.roots: list[Root] = []
        self._on_progress = on_progress
        self._total = 0
        self._done = 0
        self._seen = bytearray()  # 1 at the id of each record whose file was found
        self._missing: list[bytes] = []  # roots that do not exist
        self._unreadable: list[bytes] = []  # folders and files whose records are kept for now
        self._copies: Counter[bytes] = Counter()  # digests found at a new path and known at another
        self._lost: list[Entry] = []  # files whose embedding was known when they were read, but not when saved

    def note_missing(self, root: Root) -> None:
        """Report a root that does not exist; its records are kept."""
        self._missing.append(root.path)
        self.report.missing.append(_path(root.path))

    def bring_in(self) -> None:
        if self._on_progress is not None:
            self._total = sum(1 for _ in self._entries(Tally()))
            self._advance(0)
        self._embed(self._changed())
        while again := self._lost:
            self._lost = []
            self._embed(again)

    def _embed(self, files: Iterable[Entry]) -> None:
        """Save what the embedder finds in these files, batch by batch."""
        with closing(self.embedder.embed(files, self._unneeded)) as results:
            for batch in batched(results, self.options.batch_size):
                self._save(batch)

    def _unneeded(self, digests: Collection[bytes]) -> set[bytes]:
        """The digests whose embeddings the store has, unless these are to be replaced; all of them in a dry run."""
        if self.options.dry_run:
            return set(digests)
        return set() if self.options.force else self.store.known(digests)

    def _entries(self, tally: Tally) -> Iterator[Entry]:
        """What the walks of the roots find, each path by the rules of the innermost root that contains it."""
        paths = {root.path for root in self.roots}
        for root in self.roots:
            yield from walk_root(root, skip=paths - {root.path}, tally=tally)

    def note_passed_over(self) -> None:
        """Report what the walks have passed over, and which patterns had no effect."""
        patterns = dict.fromkeys(pattern for root in self.roots for pattern in root.rules.exclude)
        self.report.excluded = self.tally.excluded
        self.report.passed_over = self.tally.merged_kinds()
        self.report.folders_passed_over = dict(self.tally.folders.most_common())
        self.report.without_effect = [pattern for pattern in patterns if pattern not in self.tally.effective]

    def clear_out(self) -> None:
        """Remove the records below the roots whose files were not found."""
        gone = [root for root in self.roots if not may_exist(root.path)]
        for root in gone:
            if not is_lost_file(self.store, root.path):  # unplugged during the run
                self.note_missing(root)
        self.roots = [root for root in self.roots if root.path not in self._missing]
        vanished: list[int] = []
        for record in self._records_below_roots():
            if self._is_seen(record.id) or self._is_kept_for_now(record.path):
                continue
            vanished.append(record.id)
            self._count_out(record.digest)
        if vanished and not self.options.dry_run:
            self.store.remove(vanished)

    def _count_out(self, digest: bytes | None) -> None:
        if digest is not None and self._copies[digest] > 0:
            self._copies[digest] -= 1
            self.report.renamed += 1
            self.report.added -= 1
        elif digest is not None:
            self.report.removed += 1

    def _changed(self) -> Iterator[Entry]:
        """Yield the files that have to be read, and handle all others on the way."""
        entries = self._entries(self.tally)
        while some := list(islice(entries, _LOOKUPS)):
            known = self.store.find(entry.path for entry in some)
            problems = []
            for entry in some:
                record = known.get(entry.path)
                if entry.problem:
                    problems.append(self._problem(entry, record))
                elif record is not None and self._is_unchanged(entry, record):
                    self._keep(record)
                else:
                    yield entry
            self._put([problem for problem in problems if problem is not None])

    def _problem(self, entry: Entry, record: Record | None) -> Record | None:
        """Report a file that cannot even be opened; return a record to store, or None if none is needed."""
        self._advance(1)
        if entry.problem == VANISHED:
            return None
        self.report.skipped.append((_path(entry.path), entry.problem))
        _log_skipped(entry, entry.problem)
        if entry.problem.startswith(_TEMPORARY):
            self._unreadable.append(entry.path)
            return None
        if record is not None:
            self._see(record.id)
            if record.skipped_because == entry.problem:
                return None
        return Record(entry.path, skipped_because=entry.problem)

    def _is_unchanged(self, entry: Entry, record: Record) -> bool:
        is_asked_for = self.options.refresh or self.options.force
        if is_asked_for or (record.size, record.mtime_ns) != (entry.size, entry.mtime_ns):
            return False
        return record.digest is not None or self._is_still_skipped(record)

    def _is_still_skipped(self, record: Record) -> bool:
        """Whether a skipped file would be skipped again: nothing that may have been the cause has changed."""
        reason = record.skipped_because or ""
        if self.options.retry or reason.startswith(_TEMPORARY) or needs_known_decoder(reason, FORMATS):
            return False
        return record.max_megapixels == self.options.limits.megapixels

    def _keep(self, record: Record) -> None:
        self._see(record.id)
        self._advance(1)
        if record.digest is None:
            self.report.skipped.append((_path(record.path), record.skipped_because or ""))
        else:
            self.report.unchanged += 1

    def _save(self, batch: list[Result]) -> None:
        """Commit the results for some files as one batch."""
        before = self.store.find(entry.path for entry, _ in batch)
        found = {entry.path: result for entry, result in batch if isinstance(result, Embedded)}
        known = self.store.known({result.digest for result in found.values()})
        embeddings = {one.digest: one.embedding for one in found.values() if one.embedding is not None}
        records, lost = [], len(self._lost)
        for entry, result in batch:
            if isinstance(result, str):
                records += self._skip(entry, result, before.get(entry.path))
            elif result.digest in known or result.digest in embeddings or self.options.dry_run:
                self._count(before.get(entry.path), result.digest, known)
                records.append(_record(entry, result))
            else:
                self._lost.append(entry)
        descriptions = {one.digest: one.description for one in found.values() if one.description is not None}
        new = {digest: row for digest, row in embeddings.items() if self.options.force or digest not in known}
        self._put(records, new, descriptions)
        self._advance(len(batch) - (len(self._lost) - lost))

    def _count(self, before: Record | None, digest: bytes, known: set[bytes]) -> None:
        if before is not None and before.digest == digest:
            self.report.unchanged += 1  # touched, or read again
            return
        if before is not None and before.digest is not None:
            self.report.changed += 1
            return
        self.report.added += 1
        if digest in known:
            self._copies[digest] += 1

    def _skip(self, entry: Entry, reason: str, before: Record | None) -> list[Record]:
        if reason == VANISHED:
            return []
        self.report.skipped.append((_path(entry.path), reason))
        _log_skipped(entry, reason)
        size: int | None = entry.size
        if reason.startswith(_TEMPORARY):
            self._unreadable.append(entry.path)
            if before is not None and before.digest is not None:
                return []  # a picture that cannot be read for now keeps its record
            size = None  # so that it is read again next time
        limit = float(self.options.limits.megapixels)
        return [Record(entry.path, size, entry.mtime_ns, skipped_because=reason, max_megapixels=limit)]

    def _put(
        self,
        records: list[Record],
        embeddings: Embeddings | None = None,
        descriptions: Mapping[bytes, bytes] = NO_DESCRIPTIONS,
    ) -> None:
        if not records:
            return
        if not self.options.dry_run:
            self.store.put(records, embeddings or {}, descriptions)
        for record in self.store.find(record.path for record in records).values():
            self._see(record.id)

    def _records_below_roots(self) -> Iterator[Record]:
        paths = {root.path for root in self.roots}
        for root in self.roots:
            if not _is_nested(root, paths):
                yield from self.store.find([root.path]).values()
                yield from self.store.scan(NATIVE.below(root.path))

    def _is_kept_for_now(self, path: bytes) -> bool:
        return any(is_within(path, folder) for folder in (*self._unreadable, *self._missing))

    def _see(self, id_: int) -> None:
        if id_ >= len(self._seen):
            self._seen.extend(bytes(max(id_ + 1 - len(self._seen), len(self._seen), 1024)))
        self._seen[id_] = 1

    def _is_seen(self, id_: int) -> bool:
        return id_ < len(self._seen) and bool(self._seen[id_])

    def _advance(self, files: int) -> None:
        self._done += files
        if self._on_progress is not None:
            self._on_progress(self._done, max(self._total, self._done))


def _innermost(path: bytes, roots: Collection[bytes]) -> bytes | None:
    return next((folder for folder in with_parents(path) if folder in roots), None)


def _is_nested(root: Root, roots: Collection[bytes]) -> bool:
    return _innermost(os.path.dirname(root.path), roots) not in {None, root.path}


def _log_skipped(entry: Entry, reason: str) -> None:
    kind = show_path(os.path.splitext(entry.path)[1].lstrip(b".")).upper() or "no extension"
    _log.info("skipped %s (%s, %d bytes): %s", show_path(entry.path), kind, entry.size, reason)


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def _record(entry: Entry, found: Embedded) -> Record:
    about = (found.width, found.height, found.format, found.taken_at, found.camera)
    return Record(entry.path, entry.size, entry.mtime_ns, found.digest, *about)
