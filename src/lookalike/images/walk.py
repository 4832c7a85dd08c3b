"""Find the picture files below a folder, as a stream: memory does not grow with the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lookalike.images import ignore
from lookalike.images.passed_over import belongs_to_another_program
from lookalike.images.paths import is_remote
from lookalike.images.sniff import begins_like_a_picture, kind_of, odd_names
from lookalike.images.unreadable import VANISHED
from lookalike.paths import NATIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lookalike.images.ignore import Layer, Pattern, Patterns


__all__ = [
    "EXTENSIONS",
    "IGNORED",
    "NOT_REGULAR",
    "Entry",
    "Listed",
    "Root",
    "Rules",
    "Tally",
    "count",
    "is_excluded",
    "is_passed_over",
    "may_be_picture",
    "select_listed",
    "walk",
]

EXTENSIONS = frozenset(
    b".jpg .jpeg .jpe .jfif .pjpeg .pjp .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .avif .avifs .heic .heif .hif "
    b".heics .heifs .jxl .ppm .pgm .pbm .pnm .pfm .arw .cr2 .cr3 .dng .nef .nrw .pef .raf .rw2 .srw".split()
)
_ODD = odd_names(EXTENSIONS)
_SNIFFED = 64  # files of a listing whose first bytes are asked for together
_KINDS = 1000  # different extensions that are counted; more are counted together
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
    """Which files a walk yields: `exclude` are patterns as in a `.lookalikeignore` in the root."""

    exclude: tuple[str, ...] = ()
    hidden: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """A folder or a single file in which pictures are looked for, by its absolute path, and the rules for it.

    base: the folder that the patterns of the rules are relative to; by default `path`.
    """

    path: bytes
    rules: Rules = field(default_factory=Rules)
    base: bytes = b""


@dataclass(slots=True)
class Tally:
    """What walks have passed over.

    kinds: files of kinds that are not read, by extension as it was first spelled; "" for those without one.
    folders: folders of other programs, by name. excluded: pictures, by their names, that patterns exclude.
    effective: the patterns of `Rules.exclude` that have excluded something.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    excluded: int = 0
    effective: set[str] = field(default_factory=set)

    def add_kind(self, name: bytes) -> None:
        """Count a file of a kind that is not read."""
        kind = kind_of(name)
        known = kind in self.kinds or len(self.kinds) < _KINDS
        self.kinds[kind if known else ""] += 1

    def merged_kinds(self) -> dict[str, int]:
        """The kinds with the spellings of one extension together, under the most frequent; the most files first."""
        spellings: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for kind, files in self.kinds.most_common():
            counts[spellings.setdefault(kind.lower(), kind)] += files
        return dict(counts.most_common())


def walk(
    root: bytes,
    rules: Rules | None = None,
    *,
    base: bytes = b"",
    skip: Collection[bytes] = (),
    tally: Tally | None = None,
) -> Iterator[Entry]:
    """Every picture file below `root`, or `root` itself if it is a file, in the order of the disk.

    A picture is recognized by its extension, or by its first bytes if its name has none or a strange one. Hidden names,
    the folders of other programs and what a `.lookalikeignore` or `rules.exclude` says are passed over. Links to
    folders are never followed, links to files only with `rules.follow_links`, after everything else and each target
    once. A folder that cannot be read is an Entry with a problem, and so is anything that is not a regular file.
    base: the folder that the patterns of `rules` are relative to, by default `root`. skip: folders and files below
    `root` that are not looked at. tally: counts what is passed over.
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
    search = _Search(Root(root, rules or Rules(), base or root), patterns, skip, tally or Tally())
    if is_folder:
        yield from search.search_folders()
    else:
        yield from search.look_at_file(root, status)
    yield from search.follow_links()


def count(roots: Iterable[Root]) -> int:
    """The number of entries that walks over `roots` will yield, for a progress bar."""
    return sum(1 for root in roots for _ in walk(root.path, root.rules, base=root.base))


class Listed(Protocol):
    """Where the files of a flat listing can be read, as far as their selection needs it."""

    def sniff(self, entries: list[Entry]) -> Iterable[bool]:
        """Whether each of some files begins like a picture."""

    def read_ignore_file(self, folder: bytes) -> bytes | None:
        """What is in the ignore file of a folder; None if it has none. Raises OSError."""


def select_listed(
    root: Root, entries: Iterable[Entry], *, skip: Collection[bytes], tally: Tally, listed: Listed
) -> Iterator[Entry]:
    """Select from a flat listing of files at or below a root what a walk of its folders would find by the same rules.

    Entries come in the order of their bytes; where they do not, each folder costs a request for its ignore file. An
    entry with a problem is kept if its name is one of a picture, or the root's.
    """
    return _Listing(root, skip, tally, listed).select(entries)


def may_be_picture(name: bytes) -> bool:
    """Whether a file of this name is a picture, or may be one as far as its name says."""
    return _has_extension(name) or _ODD.fullmatch(name.lower()) is not None


def is_passed_over(path: bytes, root: Root) -> bool:
    """Whether a walk never reaches this path, relative to its root, because of the name of one of its parts."""
    parts = NATIVE.split(path)
    parents = [os.path.basename(root.path), *parts]
    return any(_is_passed_over(name, above, root.rules) for name, above in zip(parts, parents, strict=False))


def is_excluded(path: bytes, root: Root) -> bool:
    """Whether the patterns of a root exclude this folder or file below it, or a folder around that."""
    if not root.rules.exclude:
        return False
    layer = ignore.parse_patterns(root.rules.exclude, root.base or root.path)
    folders = [path]
    while len(folder := os.path.dirname(folders[-1])) > len(root.path):
        folders.append(folder)
    return any(ignore.is_left_out(each, (layer,), is_folder=each != path or _is_folder(each)) for each in folders)


def _is_folder(path: bytes) -> bool:
    """Whether a path is a folder; an address that is asked about is the one of a root, which stands for a folder."""
    return is_remote(path) or os.path.isdir(path)


class _Search:
    """One walk: the folders that are still to be searched and, if links are followed, the files found so far."""

    def __init__(self, root: Root, patterns: Patterns, skip: Collection[bytes], tally: Tally) -> None:
        self.rules = root.rules
        self._exclude = ignore.parse_patterns(root.rules.exclude, root.base)
        self._skip = frozenset(skip)
        self._tally = tally
        self._folders = [(root.path, patterns)]
        self._patterns = patterns  # of the folder that is being searched
        self._parent = b""  # its name
        self._links: list[bytes] = []
        self._found: set[tuple[int, int]] = set()  # device and inode

    def search_folders(self) -> Iterator[Entry]:
        while self._folders:
            folder, above = self._folders.pop()
            self._parent = os.path.basename(folder)
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
        if item.path in self._skip or self._is_left_out(item):
            return
        try:
            if item.is_dir(follow_symlinks=False):
                self._folders.append((item.path, self._patterns))
            elif _has_extension(item.name) or self._is_odd_picture(item):
                yield from self.look_at_file(item.path, item.stat(follow_symlinks=False))
        except OSError as error:
            yield Entry(item.path, problem=_reason(error))

    def _is_odd_picture(self, item: os.DirEntry[bytes]) -> bool:
        """Whether a file whose extension is not one of a picture is a picture; other files are counted."""
        if not item.is_file(follow_symlinks=False):
            return False
        if _ODD.fullmatch(item.name.lower()) and begins_like_a_picture(item.path):
            return True
        self._tally.add_kind(item.name)
        return False

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
        if _is_passed_over(item.name, self._parent, self.rules):
            if not item.name.startswith(b"."):
                self._tally.folders[os.fsdecode(item.name)] += 1
            return True
        if not self._patterns and not self._exclude.patterns:
            return False
        path, is_folder = os.path.abspath(item.path), item.is_dir(follow_symlinks=False)
        out = ignore.is_left_out(path, self._patterns, is_folder=is_folder)
        out |= self._is_excluded(os.fsdecode(path), is_folder=is_folder)
        if out:
            self._tally.excluded += _count_pictures(item.path) if is_folder else _has_extension(item.name)
        return out

    def _is_excluded(self, path: str, *, is_folder: bool) -> bool:
        """Whether the rules exclude a path: the last pattern that fits decides. All that fit have an effect."""
        if not self._exclude.patterns:
            return False
        fitting = list(_fitting(self._exclude, path, is_folder=is_folder))
        self._tally.effective.update(pattern.text for pattern in fitting)
        return bool(fitting) and not fitting[-1].is_negated


class _Listing:
    """A listing without folders: what is said of each folder is remembered, for the files below it.

    An ignore file is met before the other names of its folder, but for the few that sort before it: these cost a
    request for it.
    """

    def __init__(self, root: Root, skip: Collection[bytes], tally: Tally, listed: Listed) -> None:
        self._root = root
        self._skip = frozenset(skip)
        self._tally = tally
        self._listed = listed
        self._exclude = ignore.parse_patterns(root.rules.exclude, root.base or root.path)
        self._folders: dict[bytes, str] = {}  # why each is left out: "skipped", "passed over", "excluded"
        self._patterns: dict[bytes, Patterns] = {}  # that hold inside each folder
        self._read: set[bytes] = set()  # folders whose ignore files were looked for
        self._problems: list[Entry] = []
        self._last = b""  # path that was listed
        self._is_ordered = True

    def select(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        try:
            above = self._read_above()
        except OSError as error:
            yield Entry(self._root.path, problem=_reason(error))
            return
        if above is None:
            yield Entry(self._root.path, problem=IGNORED)
            return
        self._patterns[self._root.path], self._folders[self._root.path] = above, ""
        for entry in self._select(entries):
            yield from self._take_problems()
            yield entry
        yield from self._take_problems()

    def _take_problems(self) -> list[Entry]:
        problems, self._problems = self._problems, []
        return problems

    def _read_above(self) -> Patterns | None:
        """The patterns that hold for the root; None if they leave it out."""
        patterns: Patterns = ()
        for folder in reversed(_folders_above(self._root.path)):
            if ignore.is_left_out(folder, patterns, is_folder=True):
                return None
            patterns = self._add_patterns(folder, patterns)
        is_folder = not _has_extension(self._root.path)
        return None if ignore.is_left_out(self._root.path, patterns, is_folder=is_folder) else patterns

    def _add_patterns(self, folder: bytes, patterns: Patterns, *, is_listed: bool = False) -> Patterns:
        try:
            content = self._listed.read_ignore_file(folder)
        except PermissionError:  # also said of a file that does not exist where one may not list
            if is_listed:
                raise
            return patterns
        return patterns if content is None else ignore.add_patterns(content, folder, patterns)

    def _select(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        odd: list[Entry] = []
        for entry in entries:
            name = os.path.basename(entry.path.rstrip(b"/") if entry.problem else entry.path)
            self._is_ordered &= self._last <= entry.path
            self._last = entry.path
            if entry.path == self._root.path:
                yield entry
            elif not self._is_left_out(entry.path):
                if _has_extension(name):
                    yield entry
                elif _ODD.fullmatch(name.lower()) and not entry.problem:
                    odd += [entry] if entry.size else []  # an empty one stands for a folder
                else:
                    self._tally.add_kind(name)
            if len(odd) >= _SNIFFED:
                yield from self._recognize(odd)
                odd = []
        yield from self._recognize(odd)

    def _recognize(self, odd: list[Entry]) -> Iterator[Entry]:
        """The files with strange names that turn out to be pictures; the others are counted."""
        for entry, is_picture in zip(odd, self._listed.sniff(odd), strict=True):
            if is_picture:
                yield entry
            else:
                self._tally.add_kind(os.path.basename(entry.path))

    def _is_left_out(self, path: bytes) -> bool:
        folder, name = os.path.split(path)
        why = self._look_at_folder(folder)
        if not why:
            self._read_patterns(folder, name)
            why = self._folders.get(folder, "") or self._judge(path, folder, is_folder=False)
        self._tally.excluded += why == "excluded" and _has_extension(path)
        return bool(why)

    def _look_at_folder(self, folder: bytes) -> str:
        """Why what is in a folder is left out, or an empty text."""
        if folder not in self._folders:
            above = os.path.dirname(folder)
            if len(above) >= len(folder) or len(folder) < len(self._root.path):
                return ""
            self._folders[folder] = self._look_at_folder(above) or self._judge_folder(folder, above)
        return self._folders[folder]

    def _read_patterns(self, folder: bytes, name: bytes) -> None:
        """Read the ignore file of a folder where it is listed, or where a name comes that is listed before it."""
        patterns = self._patterns.setdefault(folder, self._patterns.get(os.path.dirname(folder), ()))
        if folder not in self._read and (name <= ignore.NAME or not self._is_ordered):
            self._read.add(folder)
            try:
                self._patterns[folder] = self._add_patterns(folder, patterns, is_listed=name == ignore.NAME)
            except OSError as error:
                self._folders[folder] = "skipped"
                self._problems.append(Entry(folder, problem=_reason(error)))

    def _judge_folder(self, folder: bytes, above: bytes) -> str:
        name = os.path.basename(folder)
        self._read_patterns(above, name)
        why = self._folders.get(above, "") or self._judge(folder, above, is_folder=True)
        if why == "passed over" and not name.startswith(b"."):
            self._tally.folders[os.fsdecode(name)] += 1
        return why

    def _judge(self, path: bytes, parent: bytes, *, is_folder: bool) -> str:
        if path in self._skip:
            return "skipped"
        if _is_passed_over(os.path.basename(path), os.path.basename(parent), self._root.rules):
            return "passed over"
        if ignore.is_left_out(path, self._patterns.get(parent, ()), is_folder=is_folder):
            return "excluded"
        fitting = list(_fitting(self._exclude, os.fsdecode(path), is_folder=is_folder))
        self._tally.effective.update(pattern.text for pattern in fitting)
        return "excluded" if fitting and not fitting[-1].is_negated else ""


def _fitting(layer: Layer, path: str, *, is_folder: bool) -> Iterator[Pattern]:
    names = ignore.split(path.removeprefix(layer.base))
    return (pattern for pattern in layer.patterns if pattern.fits(names, is_folder=is_folder))


def _folders_above(address: bytes) -> list[bytes]:
    """The folders above an address, the innermost first and its bucket last."""
    folders = []
    while (above := os.path.dirname(address)).count(b"/") >= 2 and not above.endswith(b"/"):
        folders.append(above)
        address = above
    return folders


def _count_pictures(folder: bytes) -> int:
    """The number of files below a folder that have a picture's extension; what cannot be read counts as empty."""
    found, folders = 0, [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    found += _has_extension(item.name)
    return found


def _has_extension(name: bytes) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _is_passed_over(name: bytes, parent: bytes, rules: Rules) -> bool:
    is_hidden = not rules.hidden and name.startswith(b".") and name not in {b".", b".."}  # both only in keys of S3
    return is_hidden or belongs_to_another_program(name, parent)


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: VANISHED,
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ENAMETOOLONG: "path is too long",
        errno.ELOOP: _NOWHERE,
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")
