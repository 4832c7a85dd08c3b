"""Decode many pictures in worker processes, so that a file which crashes its decoder harms no other.

Each worker has a pipe of its own and one thread here that waits for it: no lock, queue or pipe is shared between
processes, so that a worker may die at any moment without harm to another, and it is always known which file it
held. `sandbox` starts them, and starts them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import queue
import signal
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Self, cast

from lookalike import sandbox
from lookalike.errors import LookalikeError, UsageError
from lookalike.images.decode import DecodedPicture, Limits, View, decode
from lookalike.images.exif import parse_camera, parse_taken_at
from lookalike.images.origins import local_files
from lookalike.images.paths import is_remote, show_path
from lookalike.images.perceptual import BRIGHTNESS_SIZE
from lookalike.images.sample import SIZE as SAMPLE_SIZE
from lookalike.images.whole import SIZE
from lookalike.images.worker import READY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

    Outcome = DecodedPicture | str
    """A picture, or the reason why the file cannot be read."""

    OnProgress = Callable[[int, int], None]
    """Called with how many are done and how many there are."""

__all__ = ["DecoderPool"]

_log = logging.getLogger(__name__)

_CHUNK = 8  # paths in a message: a worker continues with the next one while the caller's threads are busy
_AHEAD = 4  # messages under way for each worker, so that workers continue while the caller is busy
_BEAT = 0.1  # seconds between two looks at the clock: how exactly a time limit is kept
_MOST_SECONDS = 86_400  # for one file
_MOST_MEGAPIXELS = 1_000_000  # as many as 16 TB of memory can hold
_LONGEST_LINE = 4096  # bytes; the longest that `worker` sends, with a camera of 64 characters, has some 1,000
_DEATHS = 2  # workers that a file may cost before it is blamed: the first may have been killed by chance


class DecoderPool:
    """A pool of decoders. A context manager; `read` may be called many times.

    Workers are started with the first file and bounded in memory; no more of them than the machine has memory for,
    each with `limits.worker_mib`. A file that kills its worker or takes longer than `limits.seconds` becomes a
    reason like any other, with its own name. decoder: a function that can be imported by its name. cuts: how many
    times the pixels of the view this decoder gives for a picture.
    """

    def __init__(
        self,
        view: View,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        decoder: Callable[[bytes, View, Limits], DecodedPicture] = decode,
        cuts: int = 1,
    ) -> None:
        self.limits = _check_limits(limits or Limits())
        self.workers = workers or _affordable(self.limits)
        if sandbox.lacks_memory_bound():
            _log.info("this system does not limit the memory of a process; pictures are limited in size and time alone")
        name = f"{decoder.__module__}:{decoder.__qualname__}"
        arguments = name, asdict(view), asdict(self.limits)
        length = cuts * view.size**2 * 3
        self._workers = [_Worker(arguments, self.limits.seconds, length) for _ in range(self.workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(self.workers, "lookalike-decoder")
        # As many as there are messages, so that objects are fetched while other files are decoded.
        self._fetchers = ThreadPoolExecutor(_AHEAD * self.workers, "lookalike-fetcher")
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._stop_late_workers, name="lookalike-watch", daemon=True)
        self._watch.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are doing; none of them is left when this returns."""
        self._closed.set()
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(cancel_futures=True)
        self._fetchers.shutdown(cancel_futures=True)
        self._watch.join()

    def read(self, paths: Iterable[bytes]) -> Generator[tuple[bytes, Outcome]]:
        """Yield every path with its picture or the reason why it cannot be read, in order, reading ahead a little.

        Raises LookalikeError when no worker can be started.
        """
        remaining = iter(paths)
        under_way: deque[tuple[list[bytes], Future[list[Outcome]]]] = deque()
        try:
            while True:
                while len(under_way) < _AHEAD * self.workers and (chunk := list(islice(remaining, _CHUNK))):
                    under_way.append((chunk, self._submit(chunk)))
                if not under_way:
                    return
                chunk, future = under_way.popleft()
                yield from zip(chunk, future.result(), strict=True)
        finally:  # the caller may have had enough
            for _, future in under_way:
                future.cancel()

    def _submit(self, chunk: list[bytes]) -> Future[list[Outcome]]:
        if any(map(is_remote, chunk)):
            return self._fetchers.submit(self._fetch_and_decode, chunk)
        return self._threads.submit(self._decode, chunk)

    def _fetch_and_decode(self, chunk: list[bytes]) -> list[Outcome]:
        """The outcome for each path; objects are fetched first. Raises Unreachable."""
        with local_files(chunk) as files:
            outcomes = iter(self._decode([file for file in files if isinstance(file, bytes)]))
            return [file if isinstance(file, str) else next(outcomes) for file in files]

    def _decode(self, files: list[bytes]) -> list[Outcome]:
        worker = self._idle.get()
        try:
            return worker.decode(files)
        finally:
            self._idle.put(worker)

    def _stop_late_workers(self) -> None:
        while not self._closed.wait(_BEAT):
            for worker in self._workers:
                worker.stop_if_late()


class _Worker:
    """One process, started when it is needed and again after each death. Used by one thread at a time."""

    def __init__(self, arguments: tuple[Any, ...], seconds: float, length: int) -> None:
        self._arguments = arguments
        self._length = length  # bytes of pixels in an answer
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # between the thread that decodes and those that close or watch the time
        self._deadline = math.inf
        self._is_late = False
        self._is_closed = False

    def decode(self, paths: list[bytes]) -> list[Outcome]:
        """The outcome for each path, whatever happens to the process."""
        outcomes: list[Outcome] = []
        deaths = 0  # at the file that is next
        while len(outcomes) < len(paths):
            before = len(outcomes)
            ending = self._answers(paths[before:], outcomes)
            if len(outcomes) > before:
                deaths = 0
            if ending is None:
                continue
            deaths += 1
            if ending.startswith("took") or deaths == _DEATHS:
                outcomes.append(ending)
                deaths = 0
        return outcomes

    def stop_if_late(self) -> None:
        """Kill the process if its file has taken too long."""
        with self._lock:
            if self._process is not None and time.monotonic() > self._deadline:
                self._is_late = True
                self._process.kill()

    def close(self) -> None:
        """Kill the process and never start another."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
                _bury(self._process)

    def _answers(self, paths: list[bytes], outcomes: list[Outcome]) -> str | None:
        """Append an outcome for each path; if the process dies before the last, return what it died of."""
        process = self._running()
        requests, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            requests.write(json.dumps([path.decode("latin-1") for path in paths]).encode() + b"\n")
            requests.flush()
            for path in paths:
                _log.debug("process %d reads %s", process.pid, show_path(path))  # before it may die of it
                self._set_deadline(time.monotonic() + self._seconds)
                outcomes.append(_receive(answers, self._length))
        except (OSError, EOFError, ValueError, LookupError, TypeError):  # no answer, or one that cannot be believed
            return self._cause_of_death(process)
        finally:
            self._set_deadline(math.inf)
        return None

    def _set_deadline(self, deadline: float) -> None:
        with self._lock:
            self._deadline = deadline

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise LookalikeError("the decoders were closed while they were reading")
            if self._process is None:
                self._is_late = False
                self._process = _start(self._arguments)
            return self._process

    def _cause_of_death(self, process: subprocess.Popen[bytes]) -> str:
        with self._lock:
            self._process = None
            process.kill()
            code = _bury(process)
            return f"took longer than {self._seconds:g} s" if self._is_late else _crash(code)


def _check_limits(limits: Limits) -> Limits:
    """Raise UsageError for limits that no clock and no memory can keep."""
    for name, most in (("seconds", _MOST_SECONDS), ("megapixels", _MOST_MEGAPIXELS)):
        if not 0 < getattr(limits, name) <= most:  # neither is true of nan
            raise UsageError(f"a limit of {getattr(limits, name):g} {name} is not between 0 and {most:,}")
    return limits


def _start(arguments: tuple[Any, ...]) -> subprocess.Popen[bytes]:
    """Start a process and wait until it is ready to decode; if it fails to start, its messages are on our stderr."""
    try:
        process = sandbox.start("lookalike.images.worker:serve", *arguments)
    except OSError as error:
        raise LookalikeError(f"no decoding process can be started: {error}") from error
    if cast("IO[bytes]", process.stdout).readline() != READY:
        process.kill()
        raise LookalikeError(f"a decoding process ended before it began ({_ending(_bury(process))})")
    return process


def _receive(answers: IO[bytes], length: int) -> Outcome:
    """The next answer of a worker. Raises EOFError, ValueError and their like if it is not a whole one.

    A decoder that a file has taken over may send anything: nothing is believed, and no line is read without end.
    """
    line = answers.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        fields = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "reason" in fields:
        return _check_text(fields["reason"])
    pixels, sample, brightness = (answers.read(size) for size in (length, SAMPLE_SIZE, BRIGHTNESS_SIZE))
    if len(brightness) < BRIGHTNESS_SIZE:
        raise EOFError
    return _to_picture(fields, pixels, sample, brightness)


def _to_picture(fields: dict[str, Any], pixels: bytes, sample: bytes, brightness: bytes) -> DecodedPicture:
    """What a worker said of a picture, every type and range checked. Raises ValueError, LookupError or TypeError."""
    digest, whole = (bytes.fromhex(fields[name]) for name in ("digest", "whole"))
    width, height = size = fields["width"], fields["height"]
    if (len(digest), len(whole)) != (hashlib.sha256().digest_size, SIZE):
        raise ValueError("not the digest or the description of a picture")
    if type(width) is not int or type(height) is not int or not 0 < min(size) <= max(size) < 1 << 31:
        raise ValueError("not the size of a picture")
    capture = parse_taken_at(fields["taken_at"]), parse_camera(fields["camera"])
    format_, about = _check_text(fields["format"]), (whole, sample, brightness)
    return DecodedPicture(pixels, digest, width, height, format_, *capture, *about)


def _check_text(text: object) -> str:
    """A line that can be printed. Raises ValueError."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError("not a line of text")
    return text


def _bury(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process, so that it leaves no zombie, close its pipes and return its exit code."""
    code = process.wait()
    for pipe in (process.stdout, process.stdin):
        with contextlib.suppress(OSError):  # from what was still to be written to a dead process
            cast("IO[bytes]", pipe).close()
    return code


def _crash(code: int) -> str:
    return f"its decoder crashed ({_ending(code)})"


def _ending(code: int) -> str:
    """How a process ended: the name of a signal, or its exit status."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit {code}"


def _affordable(limits: Limits) -> int:
    """A worker for each core, but no more than fit into the machine's memory if each takes all it may."""
    cores = os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows does not say
        return cores
    return max(1, min(cores, memory // (limits.worker_mib << 20)))
