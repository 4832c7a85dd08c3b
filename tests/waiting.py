"""Waiting for what another thread, process or server brings about, without assuming how long a busy machine takes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_for"]


def wait_for(is_true: Callable[[], bool], seconds: float = 60, *, not_yet: type[Exception] | None = None) -> None:
    """Return as soon as something is true. not_yet: an exception that means that it is not true yet."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(*filter(None, [not_yet])):
            if is_true():
                return
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
