"""The one loop that brings a store up to date with folders of pictures."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from lookalike.images.decode import VANISHED, DecodedPicture, Limits
from lookalike.images.paths import show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import Root, Rules, count, walk
from lookalike.store import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.decode import View
    from lookalike.images.walk import Entry
    from lookalike.store import Store

    Progress = Callable[[int, int], None]
    """Called with how many files are dealt with and how many there are."""

    Embeddings = dict[bytes, NDArray[np.float32]]
    """float32 (dim,) by the digest of the picture."""

__all__ = ["IndexOptions", "Progress", "Report", "embed_files", "encode_pictures", "update"]

_log = logging.getLogger(__name__)

_BATCH = 128  # pictures a transaction: what a crash can lose; half a second of encoding
_LOOKUPS = 512  # files looked up in the store at once
# Reasons that say nothing of the file itself: it is tried again in every run.
_PASSING = ("permission denied", "cannot be read", "needs more memory", "changed while it was read")


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to walk and read: which files, bounds for one file, pictures encoded at once, decoding processes.

    dry_run: find out what would be done, and do nothing of it: files are read, none is encoded, nothing is written.
    retry: read skipped files again although they have not changed.
    """

    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    batch_size: int = _BATCH
    workers: int | None = None
    dry_run: bool = False
    retry: bool = False


@dataclass(slots=True)
class Report:
    """What a run did, in files; `skipped` are all files that are no part of the gallery now, with the reason."""

    added: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    skipped: list[tuple[bytes, str]] = field(default_factory=list)
    missing: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


def update(
    store: Store,
    encoder: Encoder,
    roots: Sequence[Root],
    *,
    options: IndexOptions | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring `store`, which must be `writing()` but for a dry run, up to date with the files below `roots`.

    A root that does not exist is reported in `missing` and its items are kept: a drive that is not plugged in
    is no deletion.
    """
    start = time.monotonic()
    run = _Run(store, encoder, options or IndexOptions(), progress)
    for root in roots:
        if os.path.lexists(root.path):
            run.roots.append(root)
        else:
            run.report.missing.append(root.path)
    run.bring_in()
    run.clear_out()
    run.report.skipped.sort()
    run.report.seconds = time.monotonic() - start
    return run.report


def encode_pictures(encoder: Encoder, pictures: Sequence[DecodedPicture]) -> NDArray[np.float32]:
    """Embeddings of decoded pictures, float32 (n, dim)."""
    side = encoder.view.size
    pixels = np.frombuffer(b"".join(picture.pixels for picture in pictures), np.uint8)
    return encoder.encode(pixels.reshape(len(pictures), side, side, 3))


def embed_files(
    encoder: Encoder, paths: Iterable[bytes], *, view: View | None = None, options: IndexOptions | None = None
) -> Iterator[tuple[bytes, NDArray[np.float32] | str]]:
    """Yield every path with its embedding, float32 (dim,), or with the reason why it has none, in order.

    Files are decoded and encoded as `update` does it, many at a time; nothing is kept. view: by default the encoder's.
    """
    options = options or IndexOptions()
    with DecoderPool(view or encoder.view, limits=options.limits, workers=options.workers) as reader:
        results = reader.read(paths)
        while some := list(islice(results, options.batch_size)):
            pictures = [result for _, result in some if isinstance(result, DecodedPicture)]
            rows = iter(encode_pictures(encoder, pictures))
            yield from ((path, next(rows) if isinstance(result, DecodedPicture) else result) for path, result in some)


class _Run:
    """The state of one run; memory grows by a bit for each file, not with its pictures."""

    def __init__(self, store: Store, encoder: Encoder, options: IndexOptions, progress: Progress | None) -> None:
        self.store = store
        self.encoder = encoder
        self.options = options
        self.report = Report()
        self.roots: list[Root] = []
        self._progress = progress
        self._total = 0
        self._done = 0
        self._seen = bytearray()  # by item id
        self._unreadable: list[bytes] = []  # folders and files whose items are kept for now
        self._waiting: deque[Entry] = deque()  # entries whose pictures are being decoded
        self._copies: Counter[bytes] = Counter()  # digests that came in under a new path, known under another

    def bring_in(self) -> None:
        if self._progress is not None:
            self._total = count(self.roots)
            self._advance(0)
        with DecoderPool(self.encoder.view, limits=self.options.limits, workers=self.options.workers) as reader:
            results = reader.read(self._changed_paths())
            while batch := list(islice(results, self.options.batch_size)):
                self._keep(batch)
                self._advance(len(batch))

    def clear_out(self) -> None:
        """Remove the items below the roots whose files were not met."""
        gone = [root for root in self.roots if not os.path.lexists(root.path)]  # unplugged in mid-run
        self.report.missing += [root.path for root in gone]
        self.roots = [root for root in self.roots if root not in gone]
        vanished: list[int] = []
        for item in self._items_below_roots():
            if self._is_seen(item.id) or self._is_hidden_from_us(item.path):
                continue
            vanished.append(item.id)
            if item.digest is None:
                continue
            if self._copies[item.digest] > 0:
                self._copies[item.digest] -= 1
                self.report.renamed += 1
                self.report.added -= 1
            else:
                self.report.removed += 1
        if vanished and not self.options.dry_run:
            self.store.remove(vanished)

    def _changed_paths(self) -> Iterator[bytes]:
        entries = (entry for root in self.roots for entry in walk(root.path, root.rules))
        while some := list(islice(entries, _LOOKUPS)):
            known = self.store.find(entry.path for entry in some)
            problems = []
            for entry in some:
                item = known.get(entry.path)
                if entry.problem:
                    problems.append(self._problem(entry, item))
                elif item is not None and self._is_unchanged(entry, item):
                    self._keep_unchanged(item)
                else:
                    self._waiting.append(entry)
                    yield entry.source
            self._put([problem for problem in problems if problem is not None])

    def _problem(self, entry: Entry, item: Record | None) -> Record | None:
        """Note a file that cannot even be opened; None if that is no news, or no file."""
        self._advance(1)
        if entry.problem == VANISHED:
            return None
        self.report.skipped.append((entry.path, entry.problem))
        _log_skipped(entry, entry.problem)
        if entry.problem.startswith(_PASSING):
            self._unreadable.append(entry.path)
            return None
        if item is not None:
            self._see(item.id)
            if item.skipped_because == entry.problem:
                return None
        return Record(entry.path, skipped_because=entry.problem)

    def _is_unchanged(self, entry: Entry, item: Record) -> bool:
        if (item.size, item.mtime_ns) != (entry.size, entry.mtime_ns):
            return False
        if item.digest is not None:
            return True
        # A skipped file is tried again when the limit that may have kept it out has changed.
        return item.max_megapixels == self.options.limits.megapixels and not self.options.retry

    def _keep_unchanged(self, item: Record) -> None:
        self._see(item.id)
        self._advance(1)
        if item.digest is None:
            self.report.skipped.append((item.path, item.skipped_because or ""))
        else:
            self.report.unchanged += 1

    def _keep(self, results: list[tuple[bytes, DecodedPicture | str]]) -> None:
        """Encode what was decoded and commit it as one batch."""
        entries = [self._waiting.popleft() for _ in results]
        pictures = {result.digest: result for _, result in results if isinstance(result, DecodedPicture)}
        known = self.store.known(pictures)
        new = [picture for digest, picture in pictures.items() if digest not in known]
        items = []
        before = self.store.find(entry.path for entry in entries)
        for entry, (_, result) in zip(entries, results, strict=True):
            if isinstance(result, str):
                items += self._skip(entry, result, before.get(entry.path))
                continue
            items.append(_record(entry, result))
            same = before.get(entry.path)
            if same is not None and same.digest == result.digest:
                self.report.unchanged += 1  # touched, not changed
            else:
                self.report.added += 1
                if result.digest in known:
                    self._copies[result.digest] += 1
        self._put(items, self._embeddings(new))

    def _skip(self, entry: Entry, reason: str, before: Record | None) -> list[Record]:
        if reason == VANISHED:
            return []
        self.report.skipped.append((entry.path, reason))
        _log_skipped(entry, reason)
        size: int | None = entry.size
        if reason.startswith(_PASSING):
            self._unreadable.append(entry.path)
            if before is not None and before.digest is not None:
                return []  # a picture that cannot be read for now stays what it was
            size = None  # so that it is read again next time
        limit = self.options.limits.megapixels
        return [Record(entry.path, size, entry.mtime_ns, skipped_because=reason, max_megapixels=limit)]

    def _embeddings(self, pictures: list[DecodedPicture]) -> Embeddings:
        if not pictures or self.options.dry_run:
            return {}
        rows = encode_pictures(self.encoder, pictures)
        return {picture.digest: row for picture, row in zip(pictures, rows, strict=True)}

    def _put(self, items: list[Record], embeddings: Embeddings | None = None) -> None:
        if not items:
            return
        if not self.options.dry_run:
            self.store.put(items, embeddings or {})
        for item in self.store.find(item.path for item in items).values():
            self._see(item.id)

    def _items_below_roots(self) -> Iterator[Record]:
        for root in self.roots:
            yield from self.store.find([root.path]).values()
            yield from self.store.scan(root.path.rstrip(b"/") + b"/")

    def _is_hidden_from_us(self, key: bytes) -> bool:
        return any(key == path or key.startswith(path + b"/") for path in self._unreadable)

    def _see(self, id_: int) -> None:
        if id_ >= len(self._seen):
            self._seen.extend(bytes(max(id_ + 1 - len(self._seen), len(self._seen), 1024)))
        self._seen[id_] = 1

    def _is_seen(self, id_: int) -> bool:
        return id_ < len(self._seen) and bool(self._seen[id_])

    def _advance(self, files: int) -> None:
        self._done += files
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))


def _log_skipped(entry: Entry, reason: str) -> None:
    kind = show_path(os.path.splitext(entry.path)[1].lstrip(b".")).upper() or "no extension"
    _log.info("skipped %s (%s, %d bytes): %s", show_path(entry.path), kind, entry.size, reason)


def _record(entry: Entry, picture: DecodedPicture) -> Record:
    about = (picture.width, picture.height, picture.format)
    return Record(entry.path, entry.size, entry.mtime_ns, picture.digest, *about)
