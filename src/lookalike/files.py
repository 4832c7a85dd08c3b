"""Files and folders that appear as a whole or not at all: the one way in which this package writes them.

`write_output` is the way to every drawing and document that a person names: it replaces only what Lookalike made, and
marks what it writes. Nothing else in the package writes where a person's own files may be.

A file is first written under another name beside its destination, so that the rename at the end is one step of the file
system. A write that fails leaves nothing behind. A process that is killed, or loses its power, leaves an unfinished
file of another name beside a complete one; the next write of the same name, a day later or more, removes it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, ParamSpec, TypeVar, cast

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Protects = Callable[[Path], bool]
    """Whether a path belongs to a picture that must never be overwritten, whatever a person asks for."""

__all__ = [
    "MARK",
    "bears_mark",
    "check_output",
    "expand_home",
    "expands_home",
    "is_marked",
    "remove_leftovers",
    "replace_file",
    "stage_folder",
    "sync_folder",
    "write_output",
]

_Path = TypeVar("_Path", bound="str | bytes | os.PathLike[str]")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

MARK = "made by Lookalike"
"""What every drawing says in its metadata, and the reason why it is not indexed as a photograph."""

_ABANDONED = 86_400.0  # seconds; nothing that this package writes stands still for so long
_KEPT = 40  # characters of a name, with its ending: at most 160 bytes of the 255 that a name may have
_ENDS = 8192  # bytes at either end of a file in which the mark is looked for: metadata stands there in every format
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # what file systems say that cannot sync a folder


def expand_home(path: _Path) -> _Path:
    """A path with `~` and `~name` at its beginning as the home folder; anything else unchanged.

    A `Path` cannot say whether it was `~` or `./~`: a file that really has this name is meant if only it exists.
    """
    if isinstance(path, bytes):
        return cast("_Path", os.path.expanduser(path)) if path.startswith(b"~") else path
    name = os.fsdecode(path)
    if not name.startswith("~"):
        return path
    expanded = os.path.expanduser(name)
    if isinstance(path, str):
        return cast("_Path", expanded)
    is_literal = os.path.lexists(name) and not os.path.lexists(expanded)
    return path if is_literal else cast("_Path", Path(expanded))


def expands_home(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let the arguments of a function that are a `Path` begin with `~`, or be text.

    It goes by the annotations, which have to be text themselves: `from __future__ import annotations`.
    """
    names = function.__code__.co_varnames
    paths = {name for name, kind in function.__annotations__.items() if kind in {"Path", "Path | None"}}

    def expand(name: str, value: object) -> object:
        return expand_home(Path(value)) if name in paths and isinstance(value, str | os.PathLike) else value

    @functools.wraps(function)
    def expanded(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        given = [expand(name, value) for name, value in zip(names, args, strict=False)]
        return function(*given, *args[len(given) :], **{name: expand(name, value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return expanded


@contextlib.contextmanager
@expands_home
def write_output(
    path: Path, *, force: bool = False, protects: Protects | None = None, mark: str = MARK
) -> Iterator[Path]:
    """Give an empty file to be written; afterwards it is the drawing or document at `path`, and bears Lookalike's mark.

    mark: what the file says; it is added at the end where the writer has not put it into the metadata. The rest is that
    of `check_output`. Raises UsageError, also for what the disk or the writer refuses.
    """
    place = check_output(path, force=force, protects=protects, mark=mark)
    try:
        with replace_file(place) as part:
            yield part
            _add_mark(part, mark)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be written: {reason}") from error


@expands_home
def check_output(path: Path, *, force: bool = False, protects: Protects | None = None, mark: str | None = MARK) -> Path:
    """The real path of a file that may be written. Raises UsageError if a person's file would be lost.

    An existing file may be replaced if it bears the mark, or with `force`; with `mark` None only with `force`.
    protects: says which paths must not be written even then.
    """
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file in it")
    if mark is not None and is_marked(place, mark):
        return place
    if protects is not None and (protects(place) or protects(path)):
        raise UsageError(
            f"{path} belongs to a gallery, as a picture or as one of its files, and is never written over",
            hint="choose another name",
        )
    if os.path.lexists(place) and not place.is_file():
        raise UsageError(f"{path} is not a regular file", hint="name a file to write")
    if place.exists() and not force:
        raise UsageError(f"{path} already exists", hint="choose another name, or use --force to replace it")
    return place


@expands_home
def is_marked(path: Path, mark: str = MARK) -> bool:
    """Whether a file says that Lookalike made it; False if it cannot be read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return bears_mark(file, mark)
    except OSError:
        return False


def bears_mark(file: IO[bytes], mark: str = MARK) -> bool:
    """Whether an open file has the mark near one of its ends, where every format keeps its metadata; 10 µs."""
    file.seek(0)
    head = file.read(_ENDS)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(len(head), size - _ENDS))
    tail = file.read(_ENDS)
    file.seek(0)
    return mark.encode() in head + tail


@contextlib.contextmanager
def replace_file(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give an empty file beside `path` to be written; afterwards it is the file at `path`, whatever was there.

    Its name has the ending of `path`, its permissions are those that the umask leaves. If anything is raised inside
    or by the disk, the file at `path` is as it was and the new one is gone. sync: wait until the content and then
    the name are on the disk, so that a power cut leaves the old file or the whole new one. Raises OSError.
    """
    remove_leftovers(path, older_than=_ABANDONED)
    part = _name_part(path)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield part
        if sync:
            _sync_file(part)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    if sync:
        sync_folder(path.parent)


@contextlib.contextmanager
def stage_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path` to be filled and then renamed by the caller; what is not renamed is removed.

    The folders above are made where they are missing. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path, older_than=_ABANDONED)
    part = _name_part(path)
    try:
        part.mkdir()
        yield part
    finally:
        _remove_tree(part)


def remove_leftovers(path: Path, *, older_than: float = 0.0) -> None:
    """Remove what processes that were killed while they wrote `path` left beside it, older than this many seconds.

    With 0, what another process is writing at this moment goes as well. Nothing is raised.
    """
    pattern = re.compile(rf"part-[0-9a-f]{{12}}-{re.escape(_shorten(path.name))}")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                _remove(entry, older_than)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where folders can be synced. Raises OSError."""
    if os.name == "nt":  # opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _name_part(path: Path) -> Path:
    """A name beside `path` that no other process takes, with its ending, by which some writers know a format."""
    return path.with_name(f"part-{os.urandom(6).hex()}-{_shorten(path.name)}")


def _shorten(name: str) -> str:
    return name[-_KEPT:]


def _add_mark(path: Path, mark: str) -> None:
    """Append the mark to a file without it: no decoder minds what follows the end of a picture."""
    if not is_marked(path, mark):
        with path.open("ab") as file:
            file.write(f"\n% {mark}\n".encode())


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())


def _remove(entry: os.DirEntry[str], older_than: float) -> None:
    with contextlib.suppress(OSError):
        if time.time() - entry.stat(follow_symlinks=False).st_mtime < older_than:
            return
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(entry.path)
        else:
            os.unlink(entry.path)


def _remove_tree(folder: str | Path) -> None:
    import shutil  # noqa: PLC0415  (0.004 s, with the compressors that it brings)

    shutil.rmtree(folder, ignore_errors=True)
