"""The state that all requests share: one gallery, the decoders, bounded threads, thumbnails, and dropped pictures.

Nothing of a picture that a client sends is decoded in this process: it is written into a file, which a bounded worker
reads (`images/pool.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery, LookalikeError, NoTextEncoder
from lookalike.images.decode import DecodedPicture, Limits, View
from lookalike.images.origins import local_file, look_up, real_path
from lookalike.images.paths import is_remote
from lookalike.images.pool import DecoderPool
from lookalike.images.viewed import (
    CUTS,
    OUTSIDE,
    ViewedPicture,
    decode_small,
    decode_views,
    name_part,
    take_small,
    take_views,
)
from lookalike.search.query import Query
from lookalike.web.bounded_threads import BoundedThreads
from lookalike.web.jobs import IndexJob
from lookalike.web.problems import Problem
from lookalike.web.survey_cache import SurveyCache
from lookalike.web.surveys import Surveys
from lookalike.web.thumbnails import Thumbnails, encode_jpeg, find_cache, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from lookalike.gallery import Gallery
    from lookalike.search.explain import Inspection
    from lookalike.store import Record

__all__ = ["SIZES", "ServedGallery", "Thumbnail"]

SIZES = {"small": 400, "large": 1600}
"""The longest side of a thumbnail, by name."""

_log = logging.getLogger(__name__)

_LIMITS = Limits(seconds=10.0)
_DROPPED = 64  # pictures that are remembered: some 450 kB each
_MOST_DROPPED = 256 << 20  # bytes of their files on disk, for parts of them
_MOST_ID = 2**63 - 1
_CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG and its mark for caches; is_lasting: whether it shows the content that was indexed."""

    data: bytes
    etag: str
    is_lasting: bool


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A picture that was dropped; file: with its content, as long as there is room; "" without."""

    picture: ViewedPicture
    file: str
    size: int


class ServedGallery:
    """Answers for one gallery. `start` makes it ready in the background, `close` ends everything that it started.

    when_ready: called in the background when that is done, as it is when `start` is called; nothing can be added later,
    so that it is always the same thread that runs it, or none. when_stopping: called when the server is about to end,
    to close connections that would stay open.
    """

    def __init__(self, gallery: Gallery, *, cache: Path | None = None) -> None:
        self.gallery = gallery
        cache = cache or find_cache()
        self.thumbnails = Thumbnails(cache)
        self.failure: Exception | None = None
        self.started = time.time()
        self.when_ready: list[Callable[[], object]] = []
        self.when_stopping: list[Callable[[], object]] = []
        waiting = max(2 * _CORES, 16)
        self.uploads = BoundedThreads("uploads", threads=_CORES, waiting=waiting)
        self.searches = BoundedThreads("searches", threads=_CORES, waiting=64)
        self.pictures = BoundedThreads("pictures", threads=2 * _CORES, waiting=400)
        self.surveys = Surveys(gallery, SurveyCache(cache.with_name("surveys")))
        self.index = IndexJob(gallery)
        self._folder = Path(tempfile.mkdtemp(prefix="lookalike-"))
        self._decoders: dict[int, DecoderPool] = {}
        self._queries: DecoderPool | None = None
        self._dropped: OrderedDict[str, _Dropped] = OrderedDict()
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self.knows_words = True
        self._starting: threading.Thread | None = None

    @property
    def all_workers(self) -> tuple[BoundedThreads, ...]:
        """All kinds of work."""
        return self.uploads, self.searches, self.pictures

    @property
    def is_ready(self) -> bool:
        """Whether pictures can be searched with."""
        return self._ready.is_set() and self.failure is None

    def start(self) -> None:
        """Load the encoder and prepare the search, in the background."""
        calls = tuple(self.when_ready)
        self._starting = threading.Thread(target=self._prepare, args=(calls,), name="lookalike-start", daemon=True)
        self._starting.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is ready, or has failed to become so; whether it is ready."""
        self._ready.wait(seconds)
        return self.is_ready

    def settle(self) -> None:
        """Wait until nothing that `start` began is under way: it is ready, or failed, and `when_ready` was called."""
        if self._starting is not None:
            self._starting.join()

    def close(self) -> None:
        """End the decoders and threads, and forget what was dropped."""
        self.settle()
        with self._lock:
            pools = [*self._decoders.values(), *([self._queries] if self._queries else [])]
        for pool in pools:
            pool.close()
        for workers in self.all_workers:
            workers.close()
        self.index.close()
        self.surveys.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def record(self, id_: int) -> Record:
        """The record of a picture. Raises Problem for an unknown id."""
        record = self.gallery.store.get([id_]).get(id_) if 0 < id_ <= _MOST_ID else None
        if record is None or record.digest is None:
            raise Problem(404, "unknown_picture", "the collection has no picture with this id")
        return record

    def read_upload(self, content: bytes, part: str = "") -> ViewedPicture:
        """A picture that a client has sent, or a part of it, decoded in a worker. Raises Problem, UnreadableImage."""
        name = self._write_file(content)
        try:
            return self._decode(os.fsencode(name), part)
        finally:
            _unlink(name)

    def read_stored(self, id_: int, part: str = "") -> ViewedPicture:
        """A picture of the collection, or a part of it, decoded in a worker. Raises Problem, UnreadableImage."""
        return replace(self._decode(self._real_path(self.record(id_)), part), part_of=id_)

    def accept(self, content: bytes) -> str:
        """Remember a picture that a client has sent, with its content, so that parts of it can be searched for.

        Returns its name as `drop` does. Raises Problem, UnreadableImage.
        """
        file = self._write_file(content)
        try:
            picture = self._decode(os.fsencode(file), "")
        except BaseException:
            _unlink(file)
            raise
        return self._remember(_Dropped(picture, file, len(content)))

    def drop(self, picture: ViewedPicture) -> str:
        """Remember a picture for later requests; its name, which cannot be guessed."""
        return self._remember(_Dropped(picture, "", 0))

    def dropped(self, name: str, part: str = "") -> ViewedPicture:
        """A picture that was dropped, or a part of it. Raises Problem when it is no longer remembered."""
        one = self._find_dropped(name)
        if not part:
            return one.picture
        if not one.file:
            raise _forgotten()
        return self._decode(os.fsencode(one.file), part)

    def query(self, name: str, part: str = "") -> Query:
        """The query for a picture that was dropped, or for a part of it. Raises Problem, UnreadableImage."""
        return Query.picture(self.dropped(name, part))

    def draw_dropped(self, name: str, size: str = "") -> bytes:
        """The JPEG of a picture that was dropped: as small as a query, or of a size of `SIZES`. Raises Problem."""
        one = self._find_dropped(name)
        return encode_jpeg(self._draw_query(one, SIZES[size]) if size else one.picture.small)

    def inspect(self, id_: int, *, like: int = 0, dropped: str = "") -> Inspection:
        """Where a picture matches another one, by its id or the name it was dropped under. Raises Problem."""
        query = self._find_dropped(dropped) if dropped else None
        pictures = [self._small(self._real_path(self.record(like))) if query is None else self._draw_query(query)]
        pictures.append(self._small(self._real_path(self.record(id_))))
        return self.gallery.explain(*map(Query.picture, pictures))

    def explain(self, id_: int, *, like: int = 0, dropped: str = "") -> bytes:
        """A PNG of where a picture matches another one, as `inspect` finds it. Raises Problem."""
        buffer = io.BytesIO()
        self.inspect(id_, like=like, dropped=dropped).draw().save(buffer, "PNG")
        return buffer.getvalue()

    def thumbnail(self, id_: int, size: str) -> Thumbnail:
        """The thumbnail of a picture. Raises Problem if it is unknown, gone or cannot be read."""
        record = self.record(id_)
        pixels = SIZES[size]
        data, mark = self.thumbnails.find(record.digest or b"", pixels), record.digest
        if data is None:
            data, mark = self._find_changed(record, pixels)
        is_lasting = mark == record.digest
        return Thumbnail(data, f'"{(mark or b"").hex()[:32]}-{size}"', is_lasting)

    def is_there(self, record: Record) -> bool:
        """Whether a picture's file is where it was. One in an object store is taken to be, which costs no request."""
        return is_remote(record.path) or os.path.isfile(real_path(record.path))

    def find_seen(self, record: Record) -> str:
        """The largest size of `SIZES` in which a thumbnail of a picture's content is kept; "" if there is none."""
        large_first = sorted(SIZES, key=lambda size: -SIZES[size])
        return next((size for size in large_first if self.thumbnails.find(record.digest or b"", SIZES[size])), "")

    def find_folder(self, id_: int) -> Path:
        """The folder of a picture, on this machine. Raises Problem."""
        path = self._real_path(self.record(id_))
        if is_remote(path):
            raise Problem(422, "invalid_request", "this picture is in an object store")
        return Path(os.fsdecode(path)).parent

    def _write_file(self, content: bytes) -> str:
        """The name of a new file with this content, which only this server knows. Raises Problem if it is empty."""
        if not content:
            raise Problem(400, "empty", "the file is empty")
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return name

    def _decode(self, path: bytes, part: str) -> ViewedPicture:
        """A query picture, or a part of it. Raises Problem, UnreadableImage, and whatever keeps the search from it."""
        if self._starting is not None:
            self.wait()
        if self.failure is not None:
            raise self.failure
        with local_file(path) as file:
            ((_, picture),) = self._query_pool().read([name_part(file, part)])
        if isinstance(picture, DecodedPicture):
            return take_views(picture, self.gallery.encoder.view)
        if picture.startswith(OUTSIDE):
            raise Problem(422, "invalid_request", picture)
        raise unreadable(picture)

    def _remember(self, one: _Dropped) -> str:
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._dropped[name] = one
            while len(self._dropped) > _DROPPED:
                _unlink(self._dropped.popitem(last=False)[1].file)
            self._keep_small()
        return name

    def _keep_small(self) -> None:
        """Remove the files of the pictures that were not used for longest, until all together are small enough."""
        total = sum(one.size for one in self._dropped.values())
        for name, one in list(self._dropped.items()):
            if total <= _MOST_DROPPED:
                return
            _unlink(one.file)
            self._dropped[name], total = _Dropped(one.picture, "", 0), total - one.size

    def _find_dropped(self, name: str) -> _Dropped:
        with self._lock:
            if name in self._dropped:
                self._dropped.move_to_end(name)
                return self._dropped[name]
        raise _forgotten()

    def _find_changed(self, record: Record, pixels: int) -> tuple[bytes, bytes | None]:
        """The JPEG of a picture's file as it is now, and its name in the cache: the digest if it was not changed."""
        path = self._real_path(record)
        now = look_up(path)
        if now is None:
            raise _gone()
        mark = record.digest
        if now != (record.size, record.mtime_ns):
            mark = hashlib.sha256(b"%d %d " % now + path).digest()
            if (data := self.thumbnails.find(mark, pixels)) is not None:
                return data, mark
        data = self._draw(path, pixels)
        self.thumbnails.keep(mark or b"", pixels, data)
        return data, mark

    def _draw(self, path: bytes, pixels: int) -> bytes:
        """The JPEG of a picture's file. Raises Problem."""
        ((_, picture),) = self._decoder(pixels).read([path])
        if not isinstance(picture, DecodedPicture):
            raise Problem(422, "unreadable_image", f"the picture cannot be read: {picture}")
        return encode_jpeg(take_small(picture, pixels))

    def _draw_query(self, one: _Dropped, pixels: int = SIZES["small"]) -> Image.Image:
        """A picture that was dropped, smaller where its file is kept no longer."""
        return self._small(os.fsencode(one.file), pixels) if one.file else one.picture.small

    def _small(self, path: bytes, pixels: int = SIZES["small"]) -> Image.Image:
        """The picture in a file, decoded in a worker: no side is longer than `pixels`. Raises UnreadableImage."""
        ((_, picture),) = self._decoder(pixels).read([path])
        if not isinstance(picture, DecodedPicture):
            raise unreadable(picture)
        return take_small(picture, pixels)

    def _real_path(self, record: Record) -> bytes:
        """Where a picture's file is, if that is still inside one of the folders that were indexed. Raises Problem."""
        path = real_path(record.path)
        if not is_remote(path) and not os.path.isfile(path):
            raise _gone()
        for root in self.gallery.roots:
            inside = real_path(root.path)
            if path == inside or path.startswith(inside.rstrip(b"/") + b"/") or root.rules.follow_links:
                return path
        raise Problem(403, "outside", "the picture's file is outside the folders of the collection")

    def _decoder(self, pixels: int) -> DecoderPool:
        with self._lock:
            if pixels not in self._decoders:
                workers = 1 if pixels == max(SIZES.values()) else None
                pool = DecoderPool(View(pixels), limits=_LIMITS, decoder=decode_small, workers=workers)
                self._decoders[pixels] = pool
            return self._decoders[pixels]

    def _query_pool(self) -> DecoderPool:
        view = self.gallery.encoder.view
        with self._lock:
            if self._queries is None:
                self._queries = DecoderPool(view, limits=_LIMITS, decoder=decode_views, cuts=CUTS)
            return self._queries

    def _prepare(self, calls: Sequence[Callable[[], object]]) -> None:
        try:
            self._query_pool()
            first = next(iter(self.gallery.store.ids().tolist()), None)
            if first is not None:
                self.gallery.search(Query.stored(first), 1)
        except ClosedGallery:
            return
        except Exception as error:  # noqa: BLE001  (whatever it is, a waiting client has to be answered)
            self.failure = error
            _log.warning("search is not possible: %s", error)
        finally:
            self._ready.set()
        self.knows_words = self._try_words()
        for call in calls:
            call()

    def _try_words(self) -> bool:
        """Whether the collection can be searched by words: any, those of its encoder, or some that were taught."""
        try:
            self.gallery.search(Query.text("picture"), 1)
        except NoTextEncoder:
            return bool(self.gallery.words())
        except LookalikeError:  # a word that it does not know
            return True
        return True


def _unlink(file: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(file)


def _forgotten() -> Problem:
    return Problem(404, "forgotten", "this picture is no longer remembered", hint="drop it again")


def _gone() -> Problem:
    return Problem(410, "gone", "the picture's file is no longer there")
