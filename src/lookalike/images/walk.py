"""Find the picture files below a folder, as a stream: memory does not grow with the folder."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["EXTENSIONS", "Entry", "Rules", "count", "walk"]

EXTENSIONS = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .tif .tiff .heic .heif .avif".split()
)
_LEFT_OUT = frozenset(
    (b"node_modules", b"@eaDir", b"__MACOSX", b"$RECYCLE.BIN", b"System Volume Information")
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was found: its absolute path, bytes, and time of change; or the `problem` that keeps it out."""

    path: bytes
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""

    @property
    def stamp(self) -> str:
        """What must be equal for the file to count as unchanged. Equality only: clocks run backwards."""
        return f"{self.size}:{self.mtime_ns}"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which files a walk yields: `exclude` are shell patterns for a name or a path below the root."""

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_links: bool = False


def walk(root: bytes, rules: Rules | None = None) -> Iterator[Entry]:
    """Every picture file below `root`, or `root` itself if it is a file; by extension, in the order of the disk.

    Hidden names and the folders of other programs are passed over. Links to folders are never followed, links
    to files only with `rules.follow_links`, each target once. A folder that cannot be read is an Entry with a
    problem, like every file that is no regular file.
    """
    rules = rules or Rules()
    targets: set[tuple[int, int]] = set()
    try:
        top = os.stat(root)
    except OSError as error:
        yield Entry(root, problem=_reason(error))
        return
    if not stat.S_ISDIR(top.st_mode):
        yield _entry(root, os.lstat(root), rules, targets)
        return
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                for item in found:
                    if _is_left_out(item, root, rules):
                        continue
                    if item.is_dir(follow_symlinks=False):
                        folders.append(item.path)
                    elif os.path.splitext(item.name)[1].lower() in EXTENSIONS:
                        yield _entry_of(item, rules, targets)
        except OSError as error:
            yield Entry(folder, problem=_reason(error))


def count(roots: Iterable[bytes], rules: Rules | None = None) -> int:
    """How many entries a walk over `roots` will yield, for a progress bar."""
    return sum(1 for root in roots for _ in walk(root, rules))


def _is_left_out(item: os.DirEntry[bytes], root: bytes, rules: Rules) -> bool:
    if item.name in _LEFT_OUT or (not rules.hidden and item.name.startswith(b".")):
        return True
    if not rules.exclude:
        return False
    name, below = os.fsdecode(item.name), os.fsdecode(os.path.relpath(item.path, root))
    return any(fnmatchcase(name, pattern) or fnmatchcase(below, pattern) for pattern in rules.exclude)


def _entry_of(item: os.DirEntry[bytes], rules: Rules, targets: set[tuple[int, int]]) -> Entry:
    try:
        return _entry(item.path, item.stat(follow_symlinks=False), rules, targets)
    except OSError as error:
        return Entry(item.path, problem=_reason(error))


def _entry(path: bytes, status: os.stat_result, rules: Rules, targets: set[tuple[int, int]]) -> Entry:
    if stat.S_ISLNK(status.st_mode):
        if not rules.follow_links:
            return Entry(path, problem="symbolic link (followed with --follow-links)")
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in targets:
            return Entry(path, problem="symbolic link to a file that was found already")
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, problem="not a regular file")
    if rules.follow_links:
        targets.add((status.st_dev, status.st_ino))
    return Entry(path, status.st_size, status.st_mtime_ns)


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "vanished",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ENAMETOOLONG: "path is too long",
        errno.ELOOP: "symbolic link that leads nowhere",
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")
