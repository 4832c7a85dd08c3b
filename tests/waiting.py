"""Waiting for what another thread, process or server brings about, without assuming how long a busy machine takes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_for"]

T = TypeVar("T")


def wait_for(find: Callable[[], T | None], seconds: float = 60, *, not_yet: type[Exception] | None = None) -> T:
    """What `find` returns, once that is true. not_yet: an exception that means that it is not yet."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(*filter(None, [not_yet])):
            if found := find():
                return found
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
