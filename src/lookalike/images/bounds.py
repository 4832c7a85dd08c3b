"""Bounds that a process sets for itself. Nothing else is imported: a child that needs no Pillow starts without it."""

from __future__ import annotations

import contextlib

__all__ = ["bound_memory"]


def bound_memory(mib: int) -> None:
    """Bound this process's address space and let it leave no core file, where the system knows such bounds."""
    try:
        import resource  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    for kind, bound in ((resource.RLIMIT_AS, mib << 20), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # it has a lower one already; macOS knows none
            resource.setrlimit(kind, (bound, bound))
