"""Find the picture files below a folder, as a stream: memory does not grow with the folder."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lookalike.images import ignore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lookalike.images.ignore import Patterns

__all__ = ["EXTENSIONS", "IGNORED", "NOT_REGULAR", "Entry", "Root", "Rules", "count", "is_passed_over", "walk"]

EXTENSIONS = frozenset(
    b".jpg .jpeg .jpe .jfif .pjpeg .pjp .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .avif .avifs .heic .heif .hif "
    b".heics .heifs .jxl .ppm .pgm .pbm .pnm .pfm .arw .cr2 .cr3 .dng .nef .nrw .pef .raf .rw2 .srw".split()
)
_LEFT_OUT = frozenset((b"node_modules", b"@eaDir", b"__MACOSX", b"$RECYCLE.BIN", b"System Volume Information"))
NOT_REGULAR = "not a regular file"
IGNORED = f"left out by a {ignore.NAME.decode()} above it"
_NOWHERE = "symbolic link that leads nowhere"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was found: its absolute path, bytes, and time of change; or the `problem` that keeps it out.

    target: for a link that is followed, the path of the file behind it.
    """

    path: bytes
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""
    target: bytes = b""

    @property
    def source(self) -> bytes:
        """The path to open: never that of a link."""
        return self.target or self.path


@dataclass(frozen=True, slots=True)
class Rules:
    """Which files a walk yields: `exclude` are shell patterns for a name or a path below the root."""

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """A folder or a single file in which pictures are looked for, by its absolute path, and the rules for it."""

    path: bytes
    rules: Rules = field(default_factory=Rules)


def walk(root: bytes, rules: Rules | None = None) -> Iterator[Entry]:
    """Every picture file below `root`, or `root` itself if it is a file; by extension, in the order of the disk.

    Hidden names, the folders of other programs and what a `.lookalikeignore` says are passed over. Links to folders
    are never followed, links to files only with `rules.follow_links`, after everything else and each target once.
    A folder that cannot be read is an Entry with a problem, and so is anything that is not a regular file.
    """
    try:
        status = os.stat(root)
        is_folder = stat.S_ISDIR(status.st_mode)
        status = status if is_folder else os.lstat(root)
        patterns = ignore.read_patterns_above(os.path.abspath(root))
    except OSError as error:
        yield Entry(root, problem=_reason(error))
        return
    if patterns is None:
        yield Entry(root, problem=IGNORED)
        return
    search = _Search(root, rules or Rules(), patterns)
    if is_folder:
        yield from search.search_folders()
    else:
        yield from search.look_at_file(root, status)
    yield from search.follow_links()


def count(roots: Iterable[Root]) -> int:
    """The number of entries that walks over `roots` will yield, for a progress bar."""
    return sum(1 for root in roots for _ in walk(root.path, root.rules))


def is_passed_over(path: bytes, rules: Rules) -> bool:
    """Whether a walk never reaches this path, relative to its root, because of the name of one of its parts."""
    return any(_is_passed_over(name, rules) for name in path.split(b"/"))


class _Search:
    """One walk: the folders that are still to be searched and, if links are followed, the files found so far."""

    def __init__(self, root: bytes, rules: Rules, patterns: Patterns) -> None:
        self.root = root
        self.rules = rules
        self._folders = [(root, patterns)]
        self._patterns = patterns  # of the folder that is being searched
        self._links: list[bytes] = []
        self._found: set[tuple[int, int]] = set()  # device and inode

    def search_folders(self) -> Iterator[Entry]:
        while self._folders:
            folder, above = self._folders.pop()
            try:
                self._patterns = ignore.read_patterns(os.path.abspath(folder), above)
                with os.scandir(folder) as items:
                    for item in items:
                        yield from self._look_at(item)
            except OSError as error:
                yield Entry(folder, problem=_reason(error))

    def look_at_file(self, path: bytes, status: os.stat_result) -> Iterator[Entry]:
        """Yield the entry of one file; a link that will be followed is put aside."""
        if stat.S_ISREG(status.st_mode):
            if self.rules.follow_links:
                self._found.add((status.st_dev, status.st_ino))
            yield Entry(path, status.st_size, status.st_mtime_ns)
        elif not stat.S_ISLNK(status.st_mode):
            yield Entry(path, problem=NOT_REGULAR)
        elif self.rules.follow_links:
            self._links.append(path)
        else:
            yield Entry(path, problem="symbolic link (followed with --follow-links)")

    def follow_links(self) -> Iterator[Entry]:
        for path in self._links:
            try:
                yield self._follow(path)
            except OSError as error:
                broken = error.errno in {errno.ENOENT, errno.ENOTDIR}
                yield Entry(path, problem=_NOWHERE if broken else _reason(error))

    def _look_at(self, item: os.DirEntry[bytes]) -> Iterator[Entry]:
        if self._is_left_out(item):
            return
        try:
            if item.is_dir(follow_symlinks=False):
                self._folders.append((item.path, self._patterns))
            elif os.path.splitext(item.name)[1].lower() in EXTENSIONS:
                yield from self.look_at_file(item.path, item.stat(follow_symlinks=False))
        except OSError as error:
            yield Entry(item.path, problem=_reason(error))

    def _follow(self, link: bytes) -> Entry:
        target = os.path.realpath(link, strict=True)
        status = os.stat(target)
        if not stat.S_ISREG(status.st_mode):
            return Entry(link, problem=NOT_REGULAR)
        if (status.st_dev, status.st_ino) in self._found:
            return Entry(link, problem="symbolic link to a file that was found already")
        self._found.add((status.st_dev, status.st_ino))
        return Entry(link, status.st_size, status.st_mtime_ns, target=target)

    def _is_left_out(self, item: os.DirEntry[bytes]) -> bool:
        if _is_passed_over(item.name, self.rules):
            return True
        if self._patterns:
            path, is_folder = os.path.abspath(item.path), item.is_dir(follow_symlinks=False)
            if ignore.is_left_out(path, self._patterns, is_folder=is_folder):
                return True
        if not self.rules.exclude:
            return False
        name, below = os.fsdecode(item.name), os.fsdecode(os.path.relpath(item.path, self.root))
        return any(fnmatchcase(name, pattern) or fnmatchcase(below, pattern) for pattern in self.rules.exclude)


def _is_passed_over(name: bytes, rules: Rules) -> bool:
    return name in _LEFT_OUT or (not rules.hidden and name.startswith(b".") and name != b".")


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "vanished",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ENAMETOOLONG: "path is too long",
        errno.ELOOP: _NOWHERE,
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")
