"""Paths as bytes, compared by their components, with the separators of the system that they belong to.

Only this module knows how a system writes and compares paths. `NATIVE` is the style of this system; both styles work
everywhere, so that the tests try the paths of Windows on Linux.
"""

from __future__ import annotations

import ntpath
import os
from dataclasses import dataclass

__all__ = ["NATIVE", "POSIX", "WINDOWS", "Style"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a system writes paths.

    separator: stands between two names. other: is understood as well, empty if there is none; where there is one, names
    that differ in case alone are one name, as Windows compares them.
    """

    separator: bytes
    other: bytes = b""

    def below(self, folder: bytes) -> bytes:
        """What the path of everything in a folder begins with; the folder itself does not."""
        return folder.rstrip(self.separator + self.other) + self.separator

    def fold(self, path: bytes) -> bytes:
        """A path so that two that lead to one file on any disk of this system are equal; of the same length."""
        if not self.other:
            return path
        folded = ntpath.normcase(path)
        return folded if len(folded) == len(path) else path.replace(self.other, self.separator)

    def is_within(self, path: bytes, folder: bytes) -> bool:
        """Whether `path` is `folder` or below it."""
        path, folder = self.fold(path), self.fold(folder)
        return path == folder or path.startswith(self.below(folder))

    def relative(self, path: bytes, folder: bytes) -> bytes | None:
        """The path of something below `folder`, as seen from there; None for everything else."""
        start = self.below(folder)
        return path[len(start) :] if self.fold(path).startswith(self.fold(start)) else None

    def slashed(self, path: bytes) -> bytes:
        """A path with a slash between names, on every system."""
        return path.replace(self.separator, b"/") if self.other else path

    def native(self, path: bytes) -> bytes:
        """A path that `slashed` has returned, as this system writes it."""
        return path.replace(b"/", self.separator) if self.other else path

    def split(self, path: bytes) -> list[bytes]:
        """The names that a path consists of; the first is empty, or a drive, if the path is absolute."""
        return self.slashed(path).split(b"/")


POSIX = Style(b"/")
WINDOWS = Style(b"\\", b"/")
NATIVE = WINDOWS if os.name == "nt" else POSIX
