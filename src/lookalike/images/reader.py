"""Decode many pictures in worker processes, so that a poisonous file takes nothing down with it."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Self

from lookalike.images.decode import Limits, Picture, Unreadable, View, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pebble import ProcessFuture

__all__ = ["Decoder", "Reader", "Result"]

type_Result = Picture | str
Result = tuple[bytes, type_Result]
"""A path and its picture, or the path and the reason why there is none."""

Decoder = "Callable[[bytes, View, Limits], Picture]"

_CHUNK = 8  # files a message: a message costs about 1 ms of both processes, a small JPEG 0.9 ms of decoding
_AHEAD = 4  # messages under way for each worker, so that workers go on while the caller is busy


class Reader:
    """A pool of decoders. A context manager; `read` may be called many times.

    Workers are spawned, not forked, and bounded in memory. A file that kills its worker or takes longer than
    `limits.seconds` becomes a reason like any other, with its own name: its chunk is read again file by file.
    """

    def __init__(
        self,
        view: View,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        decoder: Callable[[bytes, View, Limits], Picture] = decode,
    ) -> None:
        from pebble import ProcessPool  # noqa: PLC0415  (0.04 s, which a search need not spend)

        self.limits = limits or Limits()
        self.workers = workers or os.cpu_count() or 1
        self._task = partial(_decode_all, decoder, view, self.limits)
        self._pool = ProcessPool(
            max_workers=self.workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_bound_memory,
            initargs=(self.limits.worker_mib,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def read(self, paths: Iterable[bytes]) -> Iterator[Result]:
        """Yield every path with its picture or the reason why there is none, in order, reading ahead a little."""
        remaining = iter(paths)
        under_way: deque[tuple[list[bytes], ProcessFuture[list[type_Result]]]] = deque()
        while True:
            while len(under_way) < _AHEAD * self.workers and (chunk := list(islice(remaining, _CHUNK))):
                under_way.append((chunk, self._schedule(chunk)))
            if not under_way:
                return
            chunk, future = under_way.popleft()
            yield from zip(chunk, self._finish(chunk, future), strict=True)

    def _schedule(self, chunk: list[bytes]) -> ProcessFuture[list[type_Result]]:
        return self._pool.schedule(self._task, args=(chunk,), timeout=self.limits.seconds)

    def _finish(self, chunk: list[bytes], future: ProcessFuture[list[type_Result]]) -> list[type_Result]:
        from pebble import ProcessExpired  # noqa: PLC0415  (see above)

        try:
            return future.result()
        except TimeoutError:
            reason = f"took longer than {self.limits.seconds:g} s"
        except ProcessExpired as death:
            reason = f"its decoder crashed (exit {death.exitcode})"
        if len(chunk) == 1:
            return [reason]
        return [self._finish([path], self._schedule([path]))[0] for path in chunk]


def _decode_all(
    decoder: Callable[[bytes, View, Limits], Picture], view: View, limits: Limits, paths: list[bytes]
) -> list[type_Result]:
    """Run in a worker."""
    results: list[type_Result] = []
    for path in paths:
        try:
            results.append(decoder(path, view, limits))
        except Unreadable as reason:
            results.append(str(reason))
    return results


def _bound_memory(mib: int) -> None:
    """Run once in every worker, where the operating system knows such a bound."""
    try:
        import resource  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
