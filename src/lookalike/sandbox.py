"""A process for what may crash, flood its memory or run for ever: it is asked once, and answers with JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import Any

__all__ = ["ask", "bound_memory"]

_BOOT = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(*json.loads(sys.argv[4]))
"""


def ask(function: str, *arguments: Any, seconds: float, content: bytes = b"") -> dict[str, Any]:  # noqa: ANN401  (JSON)
    """What a function, "module:name", writes to its stdout in a process of its own, as JSON; `content` is its stdin.

    Its modules are found where this process finds them. Raises TimeoutError when it takes longer than so many seconds,
    ChildProcessError, saying its exit status, when it gives no answer.
    """
    module, name = function.split(":")
    command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), module, name, json.dumps(arguments)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"longer than {seconds:g} s") from None
    try:
        return dict(json.loads(done.stdout))
    except (ValueError, TypeError):
        raise ChildProcessError(f"exit status {done.returncode}") from None


def bound_memory(mib: int) -> None:
    """Bound this process's address space and let it leave no core file, where the system knows such bounds."""
    try:
        import resource  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    for kind, bound in ((resource.RLIMIT_AS, mib << 20), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # it has a lower one already; macOS knows none
            resource.setrlimit(kind, (bound, bound))
