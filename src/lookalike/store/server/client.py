"""Limits on time, and what every client of a server checks before it sends anything."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServerClient", "read_seconds"]

_LONGEST = 86_400  # seconds


def read_seconds(asked: Mapping[str, str], name: str, default: float) -> float:
    """A number of seconds among the parameters of a URL. Raises UsageError."""
    try:
        seconds = float(asked.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _LONGEST:
        raise UsageError(f"{name} is {asked[name]!r}; it must be a number of seconds, up to 86,400")
    return seconds


class ServerClient(ABC):
    """What sends requests to a server, until it is closed, in the process that opened it."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._process = os.getpid()
        self._is_closed = False

    @abstractmethod
    def close(self) -> None:
        """Close all connections that are not in use."""

    def check(self) -> None:
        """Raise ClosedGallery after `close`, and in a process that was forked since."""
        if os.getpid() != self._process:
            raise ClosedGallery(
                f"{self._location} was opened before this process was forked", hint="open it again here"
            )
        if self._is_closed:
            raise ClosedGallery(f"{self._location} is closed", hint="open it again: Gallery.open")
