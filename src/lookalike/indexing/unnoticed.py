"""Why the system may not report the changes in a folder: a limit that is reached, or a file system without events."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from lookalike.errors import how_to_install
from lookalike.images.paths import show_path
from lookalike.store.keys import is_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchfiles.main import FileChange

__all__ = ["FAILURES", "describe_failure", "find_cause", "watch_files"]

FAILURES = (ImportError, OSError, RuntimeError)
"""How watching may fail: without the library, by the system, or in the library, which exports no class for it."""

_MOUNTS = "/proc/self/mountinfo"
# What other machines change there is never reported; of FUSE, only what this machine changes.
_REMOTE = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|davfs|lustre|glusterfs|vboxsf|prl_fs|vmhgfs|drvfs|fuse\..+")
_RAISE_LIMIT = "to raise the limit: sysctl fs.inotify.max_user_watches=1048576"


def watch_files(*folders: str, beat: int, recursive: bool = True) -> Iterator[set[FileChange]]:
    """Yield what the system reports of these folders, every `beat` milliseconds, as watchfiles does.

    Raises one of FAILURES, ImportError without the extra `watch`.
    """
    from watchfiles import watch  # noqa: PLC0415  (an extra)

    return watch(
        *folders,
        watch_filter=None,
        rust_timeout=beat,
        yield_on_timeout=True,
        recursive=recursive,
        ignore_permission_denied=recursive,  # which would hide that a limit is reached
    )


def find_cause(folders: Sequence[bytes]) -> str:
    """Why some changes in these folders, all of which are being watched, are not reported; empty if all of them are.

    The library that watches says nothing when the system refuses a folder further down, so that one more folder is
    watched to find out whether the limit is reached.
    """
    for folder in folders:
        if _REMOTE.fullmatch(kind := _file_system(os.path.realpath(folder))):
            return f"{show_path(folder)} is on a file system ({kind}) that does not report all changes"
    try:
        next(watch_files(os.sep, recursive=False, beat=1))
    except FAILURES as error:
        return describe_failure(error)
    return ""


def describe_failure(error: Exception) -> str:
    """Why the system does not watch a folder."""
    if isinstance(error, ImportError):
        return f"changes are only reported with watchfiles ({how_to_install('lookalike[watch]')})"
    if "watch limit" in str(error):
        return f"the limit of watched folders (inotify) is reached; {_RAISE_LIMIT}"
    if "os error 24" in str(error):
        return (
            "the limit of programs that watch folders (inotify) is reached; the sysctl is fs.inotify.max_user_instances"
        )
    return f"the folders cannot be watched: {error}"


def _file_system(path: bytes) -> str:
    """The kind of file system that holds a path; empty where the system does not say."""
    kinds: dict[bytes, str] = {}
    with contextlib.suppress(OSError), open(_MOUNTS, "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            folder = re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), before.split()[4])
            kinds[folder] = after.split()[0].decode("ascii", "replace")
    around = [folder for folder in kinds if is_within(path, folder)]
    return kinds[max(around, key=len)] if around else ""
