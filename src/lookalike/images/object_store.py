"""Pictures in a bucket of S3, or of another server that speaks its protocol, through obstore (the extra `s3`).

Address and credentials come from the environment, as obstore reads it: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on,
or the role of the machine. Neither they nor what a server says besides a code ever reaches a message or a log.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lookalike.errors import MissingExtra, Unreachable, UsageError, how_to_install
from lookalike.images import s3_listing
from lookalike.images.ignore import MOST, NAME
from lookalike.images.paths import show_path
from lookalike.images.sniff import begins_with_a_picture
from lookalike.images.unreadable import VANISHED, Unreadable
from lookalike.images.walk import Entry, may_be_picture, select_listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lookalike.images.walk import Root, Tally

__all__ = ["ObjectStore", "open_origin"]

_MOST_BYTES = 1 << 30  # of an object that is fetched: a picture of 100 million pixels has 0.8 GB at most
_PIECE = 1 << 20  # bytes that are written at once
_HEAD = 16  # bytes by which an object with a strange name is recognized as a picture
_AT_ONCE = 16  # objects whose first bytes are fetched side by side
_GIVE_UP = 8  # requests in a row that fail, each after its retries, before the store counts as unreachable
_OPTIONS = {"connect_timeout": "5s", "timeout": "120s"}  # AWS_CONNECT_TIMEOUT and AWS_TIMEOUT override them
# Options of the connection that obstore reads from the environment only where none is given to it.
_FROM_ENVIRONMENT = [
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http1_only",
    "http2_only",
    "proxy_url",
    "timeout",
]
_RETRIES, _FIRST_PAUSE, _LONGEST_PAUSE, _RETRIED_FOR = 6, 0.1, 5.0, 60.0  # a number, and seconds
_STEP = 1_000_000_000  # nanoseconds in a second

UNTAKEN = "its key cannot be a path (a control character, or a part that is empty, . or ..)"
TOO_LARGE = f"larger than {_MOST_BYTES >> 30} GiB"

_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_TOO_LATE = re.compile(r"timed out|TimedOut|\bTimeout")
_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
_CREDENTIALS = "give credentials in the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION"


def open_origin(path: bytes) -> ObjectStore:
    """The bucket of an address. Raises UsageError for an address without one, MissingExtra."""
    bucket = _split(path)[0]
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _open(bucket, settings)


@functools.lru_cache(16)
def _open(bucket: str, _settings: tuple[tuple[str, str], ...]) -> ObjectStore:
    return ObjectStore(bucket)


class ObjectStore:
    """The pictures in one bucket. Safe to use from many threads."""

    def __init__(self, bucket: str) -> None:
        try:
            self._obstore: Any = importlib.import_module("obstore")
            store = importlib.import_module("obstore.store").S3Store
        except ImportError:
            raise MissingExtra("object stores need the package obstore", hint=how_to_install("lookalike[s3]")) from None
        self.bucket = bucket
        try:
            self._store = store(bucket, client_options=_read_options(), retry_config=_plan_retries())
        except Exception as error:  # noqa: BLE001  (obstore's errors have no common class of their own for this)
            raise UsageError(f"the bucket {bucket} cannot be used: {_explain(error)}", hint=_CREDENTIALS) from None
        self._lock = threading.Lock()
        self._failures = 0  # in a row

    def walk(self, root: Root, *, skip: Collection[bytes], tally: Tally) -> Iterator[Entry]:
        """Yield every picture at or below a root; a listing that ends early is a problem of the root."""
        yield from select_listed(root, self._walk(root.path), skip=skip, tally=tally, listed=self)

    def look_up(self, path: bytes) -> Entry | None:
        """The object at a path; None if there is none, or it cannot be asked for."""
        key = _split(path)[1]
        if not s3_listing.is_plain(key):
            return None
        try:
            return self._to_entry(self._obstore.head(self._store, key))
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            self._note_failure(error)
            return None

    def exists(self, path: bytes) -> bool:
        """Whether there is an object at a path, or below it. Raises Unreachable."""
        key = _split(path)[1]
        if key and not s3_listing.is_plain(key):
            return True  # a walk says why it cannot be read
        try:
            if any(self._obstore.list(self._store, prefix=key or None)):
                return True
            return bool(key) and bool(self._obstore.head(self._store, key))
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            if _is_bad_key(error):
                return True  # there is something, although not all of it can be listed
            if _is_absent(error):
                return False
            raise self._unreachable(error) from None

    def fetch(self, path: bytes, target: str) -> None:
        """Write an object into a local file. Raises Unreadable; Unreachable when many in a row cannot be fetched."""
        key = _split(path)[1]
        if not s3_listing.is_plain(key):
            raise Unreadable(UNTAKEN)
        try:
            found = self._obstore.get(self._store, key)
            if found.meta["size"] > _MOST_BYTES:
                raise Unreadable(TOO_LARGE)  # noqa: TRY301  (what follows sorts the rest)
            with open(target, "wb") as file:
                file.writelines(found.stream(min_chunk_size=_PIECE))
        except (Unreadable, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (an exception of obstore, of the system or of the network)
            self._note_failure(error)
            raise Unreadable(UNTAKEN if _is_absent(error) and self._is_marker(key) else _reason(error)) from None
        self._failures = 0

    def sniff(self, entries: list[Entry]) -> list[bool]:
        """Whether each of some objects begins like a picture; one that cannot be read does not."""
        with ThreadPoolExecutor(_AT_ONCE, "lookalike-sniff") as threads:
            return list(threads.map(self._begins, entries))

    def read_ignore_file(self, folder: bytes) -> bytes | None:
        """What is in the ignore file of a folder, or slightly more than it may hold; None if there is none."""
        key = os.fsdecode(os.path.join(folder, NAME).split(b"/", 3)[3])
        if not s3_listing.is_plain(key):
            return None
        try:
            found = self._obstore.get(self._store, key)
            size = min(found.meta["size"], MOST + 1)
            return bytes(self._obstore.get_range(self._store, key, start=0, length=size)) if size else b""
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            if _is_absent(error):
                return None
            self._note_failure(error)
            why = _explain(error)
            raise OSError(errno.EACCES if why == "AccessDenied" else errno.EIO, why) from None

    def _walk(self, root: bytes) -> Iterator[Entry]:
        key = _split(root)[1]
        if key and not s3_listing.is_plain(key):
            yield Entry(root, problem=UNTAKEN)
            return
        try:
            if key and may_be_picture(os.path.basename(root)) and (entry := self.look_up(root)) is not None:
                yield entry
            yield from self._list(key)
        except Unreachable as error:
            yield Entry(root, problem=f"cannot be read: {error}")
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            if not _is_absent(error):
                yield Entry(root, problem=_reason(error))

    def _list(self, prefix: str) -> Iterator[Entry]:
        """Every object below a prefix. Where obstore refuses a key, and its whole page, the rest is listed here.

        obstore takes a slash from either end of a key: `/1.png` and `1.png/` look like `1.png`. The former sorts first
        and is asked for first; the latter is a folder's mark if it is empty, and is looked at where it may be one.
        """
        if not prefix and s3_listing.has_leading_slashes(self.bucket):
            yield from self._list_here(prefix)
            return
        last = ""
        try:
            for page in self._obstore.list(self._store, prefix=prefix or None):
                for found in page:
                    key = found["path"]
                    is_doubtful = found["size"] == 0 or key.encode() <= last.encode()
                    if not (is_doubtful and self._is_marker(key)):
                        yield self._to_entry(found)
                    elif found["size"]:
                        yield self._to_entry({**found, "path": f"{key}/"}, problem=UNTAKEN)
                    last = max(last, key)
        except Exception as error:
            if not _is_bad_key(error):
                raise
            yield from self._list_here(prefix, after=last)

    def _list_here(self, prefix: str, after: str = "") -> Iterator[Entry]:
        for listed in s3_listing.list_keys(self.bucket, prefix and f"{prefix}/", after=after):
            yield self._to_entry(listed, problem="" if s3_listing.is_plain(listed["path"]) else UNTAKEN)

    def _is_marker(self, key: str) -> bool:
        """Whether there is an object with this key and a slash behind it."""
        try:
            first: list[dict[str, Any]] = next(iter(self._obstore.list(self._store, prefix=key)), [])
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            if not _is_bad_key(error):
                self._note_failure(error)
            return False
        return any(found["path"] == key for found in first)

    def _begins(self, entry: Entry) -> bool:
        if entry.size < _HEAD:
            return False
        try:
            head = self._obstore.get_range(self._store, _split(entry.path)[1], start=0, length=_HEAD)
        except Exception as error:  # noqa: BLE001  (as in `fetch`)
            self._note_failure(error)
            return False
        return begins_with_a_picture(bytes(head))

    def _to_entry(self, found: dict[str, Any], problem: str = "") -> Entry:
        path = b"s3://%s/%s" % (os.fsencode(self.bucket), os.fsencode(found["path"]))
        return Entry(path, found["size"], _to_time(found), problem)

    def _note_failure(self, error: Exception) -> None:
        """Count a failure that may concern every object. Raises Unreachable after many in a row."""
        if _is_absent(error):
            return
        with self._lock:
            self._failures += 1
            is_hopeless = self._failures >= _GIVE_UP
        if is_hopeless or _explain(error) in _REFUSED - {"AccessDenied"}:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        why = _explain(error)
        hint = _CREDENTIALS if why in _REFUSED or why.startswith("no credentials") else "try again later"
        return Unreachable(f"s3://{show_path(os.fsencode(self.bucket))} cannot be reached: {why}", hint=hint)


def _split(path: bytes) -> tuple[str, str]:
    """The bucket and the key of an address. Raises UsageError."""
    bucket, _, key = os.fsdecode(path).partition("://")[2].partition("/")
    if not re.fullmatch(r"[\w.-]{1,255}", bucket, re.ASCII):
        raise UsageError(f"{show_path(path)} names no bucket", hint="give s3://BUCKET or s3://BUCKET/PREFIX")
    return bucket, key


def _to_time(found: dict[str, Any]) -> int:
    """When an object was changed, in nanoseconds: the second that the server says, and below it a digest of the ETag.

    So two versions of one size that were written within a second differ.
    """
    digest = hashlib.blake2b((found["e_tag"] or "").encode(), digest_size=8).digest()
    return int(found["last_modified"].timestamp()) * _STEP + int.from_bytes(digest) % _STEP


def _read_options() -> dict[str, str | bool]:
    """The options of the connection: ours, and what the environment says."""
    named = {name: os.environ.get(f"AWS_{name.upper()}") for name in _FROM_ENVIRONMENT}
    given: dict[str, str | bool] = {name: value for name, value in named.items() if value is not None}
    switches = {name: str(given[name]).lower() in {"1", "true"} for name in given if name.startswith(("allow", "http"))}
    return {**_OPTIONS, **given, **switches}


def _plan_retries() -> dict[str, Any]:
    pauses = {"init_backoff": timedelta(seconds=_FIRST_PAUSE), "max_backoff": timedelta(seconds=_LONGEST_PAUSE)}
    return {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=_RETRIED_FOR),
        "backoff": {**pauses, "base": 2.0},
    }


def _is_absent(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or _explain(error) in {"NoSuchBucket", "NoSuchKey"}


def _is_bad_key(error: Exception) -> bool:
    return type(error).__name__ == "InvalidPathError"


def _reason(error: Exception) -> str:
    """The reason why one object is skipped, from a small set of phrases."""
    if _is_absent(error):
        return VANISHED
    if _is_bad_key(error):
        return UNTAKEN
    why = _explain(error)
    return "permission denied" if why == "AccessDenied" else f"cannot be read: {why}"


def _explain(error: Exception) -> str:
    """Why a request failed, in a few words that hold no address and no secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # of the disk that it was to be written to
    text = str(error)
    if code := _CODE.search(text):
        return code[1]
    if status := _STATUS.search(text):
        return {"401": "AccessDenied", "403": "AccessDenied"}.get(status[1], f"the server answers {status[1]}")
    if "instance metadata" in text.lower() or "169.254." in text:
        return "no credentials were found"
    if _TOO_LATE.search(text):
        return "the server takes too long"
    return "the server does not answer" if "HTTP error" in text else "the connection failed"
