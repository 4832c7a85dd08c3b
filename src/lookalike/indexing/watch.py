"""Keep a gallery up to date while its folders change."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lookalike.errors import StoreBusy, UsageError
from lookalike.images import ignore
from lookalike.images.paths import is_remote
from lookalike.images.walk import is_passed_over, may_be_picture
from lookalike.indexing.unnoticed import FAILURES, describe_failure, find_cause, watch_files
from lookalike.indexing.update import Report
from lookalike.store.keys import is_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lookalike.images.walk import Root
    from lookalike.indexing.update import IndexOptions

    OnReport = Callable[[Report], None]
    OnWarning = Callable[[str], None]

__all__ = ["Watched", "check_watchable", "watch"]

_BEAT = 200  # milliseconds between two checks of the clock and the roots
_LONGEST = 30.0  # seconds for which continuous changes may delay a run
_ANYWAY = 600.0  # seconds after which a run starts in any case: no system reports every change
_OFTEN = 5.0  # seconds between two runs where the system does not report changes
_SHARE = 20.0  # and how many times as long as a run takes, so that a large collection is not read without a pause


class Watched(Protocol):
    """What is kept up to date, such as a `lookalike.Gallery`."""

    @property
    def roots(self) -> list[Root]:
        """The folders to watch."""

    def index(self, *, options: IndexOptions | None = None) -> Report:
        """Bring everything up to date."""

    def knows(self, path: bytes) -> bool:
        """Whether the gallery knows a file at or below this absolute path."""


def watch(
    gallery: Watched,
    on_report: OnReport,
    *,
    options: IndexOptions | None = None,
    settle: float = 2.0,
    on_warning: OnWarning | None = None,
) -> None:
    """Index the gallery's roots now, and again whenever they have changed and then been quiet for `settle` seconds.

    The gallery is locked during each run but not between runs; while another process is writing, the run is delayed. If
    all roots are missing, it waits for one. Where the system does not report all changes, it looks at the folders every
    five seconds, or less often if that takes longer than a quarter of a second. on_warning: called with the reason, in
    one line, as soon as that is known. on_report: called after each run that changed something, and after the
    first run since a root disappeared or came back. It only ends with an exception: KeyboardInterrupt, UsageError when
    no root is left, or one that `Gallery.index` raises.
    """
    is_news, eyes = False, _Eyes(on_warning)
    while True:
        if not gallery.roots:
            raise UsageError("nothing is left to watch: all files that the gallery knew are gone")
        check_watchable([root.path for root in gallery.roots])
        present = [root for root in gallery.roots if os.path.lexists(root.path)]
        if not present:
            on_report(Report(missing=[Path(os.fsdecode(root.path)) for root in gallery.roots]))
        while not present:
            time.sleep(_BEAT / 1000)
            present = [root for root in gallery.roots if os.path.lexists(root.path)]
        for clock in _quiet_moments(gallery, present, _Clock(settle, eyes), eyes):
            with contextlib.suppress(StoreBusy):  # another process is writing: try again at the next beat
                report = gallery.index(options=options)
                clock.looked(report.seconds)
                if is_news or report.added or report.changed or report.renamed or report.removed:
                    on_report(report)
                is_news = False
        is_news = True


def check_watchable(paths: Sequence[bytes]) -> None:
    """Raise UsageError if all of these paths are in object stores."""
    if paths and all(map(is_remote, paths)):
        raise UsageError(
            "object stores report no changes, so nothing can be watched", hint="index again from time to time"
        )


class _Eyes:
    """Whether the system reports all changes; when it does not, that is said once."""

    def __init__(self, on_warning: OnWarning | None = None) -> None:
        self.are_open = True
        self._on_warning = on_warning

    def check(self, roots: Sequence[Root]) -> None:
        """Find out whether changes of these roots, which are being watched, are reported."""
        if self.are_open and (cause := find_cause([root.path for root in roots])):
            self.close(cause)

    def close(self, cause: str) -> None:
        """Note that changes are not reported."""
        if self.are_open and self._on_warning is not None:
            self._on_warning(f"warning: {cause}; new files are looked for every {_OFTEN:g} s instead")
        self.are_open = False


class _Clock:
    """The times of changes that no run has covered yet; at first, a change that is infinitely long ago."""

    def __init__(self, settle: float, eyes: _Eyes | None = None) -> None:
        self._settle = settle
        self._eyes = eyes or _Eyes()
        self._pause = _OFTEN
        self._first = self._last = self._looked = -math.inf

    def changed(self) -> None:
        self._last = time.monotonic()
        self._first = min(self._first, self._last)

    def looked(self, seconds: float = 0.0) -> None:
        """Note that a run, which took this long, has covered all changes."""
        self._first = self._last = math.inf
        self._looked = time.monotonic()
        self._pause = max(_OFTEN, _SHARE * seconds)

    def is_time(self) -> bool:
        now = time.monotonic()
        pause = _ANYWAY if self._eyes.are_open else self._pause
        return now - self._last >= self._settle or now - self._first >= _LONGEST or now - self._looked >= pause


def _quiet_moments(gallery: Watched, present: Sequence[Root], clock: _Clock, eyes: _Eyes) -> Iterator[_Clock]:
    """Yield the clock whenever it is time for a run, until a root disappears or comes back."""
    before = _identify_roots(gallery)
    eyes_checked = False
    for changes in _changes(present, eyes):
        if not eyes_checked:
            eyes.check(present)
            eyes_checked = True
        if _identify_roots(gallery) != before:
            return
        if any(_matters(os.fsencode(path), present, gallery) for path in changes):
            clock.changed()
        if clock.is_time():
            yield clock
            eyes_checked = False  # there may be new folders


def _changes(roots: Sequence[Root], eyes: _Eyes) -> Iterator[set[str]]:
    """Yield, at every beat, the paths below the roots that have changed since the last one, until a root is missing."""
    paths = [os.fsdecode(root.path) for root in roots]
    try:
        for changes in watch_files(*paths, beat=_BEAT):
            yield {path for _, path in changes}
    except FileNotFoundError:
        return
    except FAILURES as error:  # raised by the first step: later ones only wait
        eyes.close(describe_failure(error))
    while True:
        yield set()
        time.sleep(_BEAT / 1000)


def _identify_roots(gallery: Watched) -> list[tuple[bytes, int, int]]:
    """The existing roots, each with its device and inode, which reveal that another folder has taken its path."""
    found = []
    for root in gallery.roots:
        with contextlib.suppress(OSError):
            status = os.stat(root.path)
            found.append((root.path, status.st_dev, status.st_ino))
    return found


def _matters(path: bytes, roots: Sequence[Root], gallery: Watched) -> bool:
    """Whether a change of this path may concern the gallery."""
    around = [root for root in roots if is_within(path, root.path)]
    root = max(around, key=lambda each: len(each.path), default=None)
    if root is None or path == root.path:
        return root is not None and not os.path.isdir(path)
    folder, name = os.path.split(os.path.relpath(path, root.path))
    if folder and is_passed_over(folder, root):
        return False
    if name == ignore.NAME:
        return True
    if is_passed_over(os.path.join(folder, name), root):
        return False
    return may_be_picture(name) or os.path.isdir(path) or (not os.path.lexists(path) and gallery.knows(path))
