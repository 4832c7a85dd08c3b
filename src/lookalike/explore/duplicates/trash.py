"""Copies moved into a trash folder, and brought back. Nothing is ever deleted.

Beside the moved files the folder holds `manifest.jsonl`: a line before each move, on the disk before anything happens,
and a line after it. So it is always known where a file is, even after a power cut: `undo` looks at the disk for moves
whose second line is missing. The folder has rules of its own that keep it from being indexed.

Before each move the kept picture and the copy are read once more; neither may have changed since they were compared.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lookalike.errors import StoreError, UsageError
from lookalike.files import sync_folder
from lookalike.images.paths import READ_FLAGS, path_fields, read_path, show_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lookalike.explore.duplicates.keep import Move

__all__ = ["MANIFEST", "Moved", "count_moved", "move_copies", "open_trash", "undo_moves"]

MANIFEST = "manifest.jsonl"
_RULES = ".lookalikeignore"
_ENDS = ("restoring", "restored")


@dataclass(slots=True)
class Moved:
    """What was moved or brought back: from and to; and what was not, with the reason."""

    done: list[tuple[Path, Path]] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-compatible values."""
        done = [
            {**path_fields(os.fsencode(old)), "to": path_fields(os.fsencode(new))["path"]} for old, new in self.done
        ]
        failed = [{**path_fields(os.fsencode(path)), "reason": reason} for path, reason in self.failed]
        return {"moved": done, "failed": failed}


def move_copies(moves: Sequence[Move], trash: Path, *, on_moved: Callable[[Move], None] | None = None) -> Moved:
    """Move the copies of a plan into a trash folder, made if it is missing.

    A file that cannot be moved, or has changed, stays and is named in the result. Raises UsageError if the folder
    cannot be used.
    """
    result = Moved()
    if not moves:
        return result
    with open_trash(trash) as manifest:
        for move in moves:
            try:
                _check_pair(move)
                target = _move(move, trash, manifest)
            except _NotMovedError as reason:
                result.failed.append((move.copy.path, str(reason)))
                continue
            except OSError as error:
                result.failed.append((move.copy.path, error.strerror or str(error)))
                continue
            result.done.append((move.copy.path, target))
            if on_moved is not None:
                on_moved(move)
    return result


def undo_moves(trash: Path) -> Moved:
    """Bring back everything that was moved into a trash folder, the latest first.

    A file stays in the trash if another file has taken its place; it is then named in the result. Raises UsageError if
    the folder has no manifest.
    """
    if not (trash / MANIFEST).is_file():
        raise UsageError(f"{trash} is not a trash folder of Lookalike", hint="name the folder given to --trash")
    result = Moved()
    with open_trash(trash) as manifest:
        for entry in reversed(list(_pending(_read_manifest(trash)))):
            old, new = (Path(read_path(entry[name])) for name in ("from", "to"))
            try:
                _clear_place(old, entry, manifest)
                if _bring_back(old, new, entry["digest"]):
                    result.done.append((new, old))
                _write(manifest, {"state": "restored", "number": entry["number"]})
            except _NotMovedError as reason:
                result.failed.append((new, str(reason)))
            except OSError as error:
                result.failed.append((new, error.strerror or str(error)))
    return result


def count_moved(trash: Path) -> int:
    """How many files `undo_moves` would try to bring back; 0 for a folder that nothing was moved into."""
    return len(list(_pending(_read_manifest(trash)))) if (trash / MANIFEST).is_file() else 0


class _NotMovedError(Exception):
    """Why a file stays where it is."""


@contextlib.contextmanager
def open_trash(trash: Path) -> Iterator[IO[str]]:
    """Make the folder if it is missing, and open its manifest to add lines. Raises UsageError."""
    try:
        trash.mkdir(parents=True, exist_ok=True)
        rules = trash / _RULES
        if not rules.exists():
            rules.write_text("# moved here by `lookalike duplicates`; nothing in this folder is indexed\n*\n")
        _end_last_line(trash / MANIFEST)
        manifest = (trash / MANIFEST).open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{trash} cannot be used as a trash folder: {error.strerror or error}") from error
    with manifest:
        yield manifest


def _end_last_line(path: Path) -> None:
    """End a line that a crash cut off, so that the next one begins at its own."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")


def _check_pair(move: Move) -> None:
    """Raise _NotMovedError unless both files are there, are two files, and are as they were compared."""
    for picture, name in ((move.kept, "the picture to keep"), (move.copy, "it")):
        if _digest(picture.path) != picture.digest:
            raise _NotMovedError(f"{name} has changed since it was indexed: {show_path(os.fsencode(picture.path))}")
    if os.path.samefile(move.kept.path, move.copy.path):
        raise _NotMovedError("another name of the kept file")


def _digest(path: Path) -> bytes:
    """The SHA-256 of a regular file. Raises _NotMovedError for anything else, OSError."""
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError as error:
        raise _NotMovedError(f"{show_path(os.fsencode(path))} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _NotMovedError(f"{show_path(os.fsencode(path))} is not a file")
        return hashlib.file_digest(file, "sha256").digest()


def _move(move: Move, trash: Path, manifest: IO[str]) -> Path:
    """Move one file, with a line in the manifest before and after; return its new path."""
    source = move.copy.path
    target = _reserve(trash, source.name)
    number = f"{time.time_ns()}-{os.urandom(4).hex()}"
    names = {name: path_fields(os.fsencode(path))["path"] for name, path in (("from", source), ("to", target))}
    kept = path_fields(os.fsencode(move.kept.path))["path"]
    entry = {"state": "moving", "number": number, **names, "digest": move.copy.digest.hex(), "kind": move.kind}
    try:
        _write(manifest, {**entry, "kept": kept, "kept_digest": move.kept.digest.hex()})
        _transfer(source, target, move.copy.digest)
    except BaseException:
        _release(target)
        raise
    _write(manifest, {"state": "moved", "number": number})
    return target


def _reserve(trash: Path, name: str) -> Path:
    """A new empty file in the trash with this name, or with a number in it if the name is taken."""
    stem, ending = os.path.splitext(name)
    for number in range(1, 1_000_000):
        target = trash / (name if number == 1 else f"{_shorten(stem)} ({number}){ending}")
        if target.name in {MANIFEST, _RULES}:
            continue
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            continue
        return target
    raise _NotMovedError("too many files of this name are in the trash")


def _shorten(stem: str) -> str:
    """A name that leaves room for a number within the 255 bytes of a name."""
    return os.fsdecode(os.fsencode(stem)[:200]) if len(os.fsencode(stem)) > 200 else stem


def _release(target: Path) -> None:
    """Remove a reserved name to which nothing was moved."""
    with contextlib.suppress(OSError):
        if target.lstat().st_size == 0:
            target.unlink()


def _transfer(source: Path, target: Path, digest: bytes) -> None:
    """Move a file to a reserved place; to another file system by a copy that is checked before the file is removed."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, target, digest)
        os.unlink(source)
    for folder in (target.parent, source.parent):
        with contextlib.suppress(OSError):
            sync_folder(folder)


def _copy_over(source: Path, target: Path, digest: bytes) -> None:
    """Copy a file with its times, read the copy from the disk, and put it in its place only if it is the same."""
    part = target.with_name(f".lookalike-{os.urandom(6).hex()}.part")
    try:
        shutil.copy2(source, part, follow_symlinks=False)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        _check_copy(part, digest)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _check_copy(path: Path, digest: bytes) -> None:
    if _digest(path) != digest:
        raise _NotMovedError("its copy on the other file system differs")


def _write(manifest: IO[str], entry: dict[str, Any]) -> None:
    """Add a line that is on the disk when this returns."""
    manifest.write(json.dumps(entry) + "\n")
    manifest.flush()
    os.fsync(manifest.fileno())


def _read_manifest(trash: Path) -> list[dict[str, Any]]:
    """The entries of a manifest; a line that a crash cut off is left out. Raises StoreError."""
    entries = []
    try:
        lines = (trash / MANIFEST).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise StoreError(f"{trash / MANIFEST} cannot be read: {error.strerror}") from error
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and "number" in entry:
                entries.append(entry)
    return entries


def _pending(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The moves that were begun and not undone, in their order."""
    numbers = {name: {each["number"] for each in entries if each.get("state") == name} for name in _ENDS}
    for entry in entries:
        if entry.get("state") == "moving" and entry["number"] not in numbers["restored"]:
            yield {**entry, "is_resumed": entry["number"] in numbers["restoring"]}


def _clear_place(old: Path, entry: dict[str, Any], manifest: IO[str]) -> None:
    """Announce that a file is brought back, and remove what an earlier attempt that was cut off left in its place."""
    if entry["is_resumed"]:
        _release(old)
    elif not os.path.lexists(old):
        _write(manifest, {"state": "restoring", "number": entry["number"]})


def _bring_back(old: Path, new: Path, digest: str) -> bool:
    """Move a file from the trash to its old place; False if it never left that. Raises _NotMovedError, OSError."""
    if _is_content(old, digest):  # the power failed before it was moved, or while it was copied
        _release(new)
        return False
    if not _is_content(new, digest):
        raise _NotMovedError("it is no longer in the trash, or has changed there")
    old.parent.mkdir(parents=True, exist_ok=True)
    _put_back(new, old, bytes.fromhex(digest))
    return True


def _is_content(path: Path, digest: str) -> bool:
    try:
        return _digest(path).hex() == digest
    except (_NotMovedError, OSError):
        return False


def _put_back(source: Path, target: Path, digest: bytes) -> None:
    """Move a file to a place where nothing is, and never over what appears there meanwhile."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise _NotMovedError(f"its place is taken: {show_path(os.fsencode(target))}") from None
    try:
        _transfer(source, target, digest)
    except BaseException:
        _release(target)
        raise
