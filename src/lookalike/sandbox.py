"""Child processes for what may crash, flood its memory or run for ever: the only way in which this package starts any.

`start` runs a function in a process of its own, `ask` also waits for its answer, and `bound_memory` is for the
function itself. `images.pool` keeps a number of them as decoders.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

__all__ = ["ask", "bound_memory", "lacks_memory_bound", "start"]

_BOOT = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
module, name = sys.argv[2].split(":")
getattr(importlib.import_module(module), name)(*json.loads(sys.argv[3]))
"""


def start(function: str, *arguments: Any, stderr: int | None = None) -> subprocess.Popen[bytes]:  # noqa: ANN401  (JSON)
    """Start a process that calls a function, "module:name", with arguments that JSON can hold; its pipes are bytes.

    It runs under this interpreter, finds modules where this process does, and takes nothing from the environment or
    the working directory (-I). It is not started through `multiprocessing`: the caller's script is not run again in
    it, so it needs no `if __name__ == "__main__"`. It is in a process group of its own: Ctrl-C in a terminal reaches
    this process alone, which then ends its children. stderr: as `subprocess.Popen` takes it; that of this process if
    None.
    Raises OSError when no process can be started.
    """
    command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), function, json.dumps(arguments)]
    group = 0 if os.name == "posix" else None
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, process_group=group)  # noqa: S603


def ask(function: str, *arguments: Any, seconds: float, content: bytes = b"") -> dict[str, Any]:  # noqa: ANN401  (JSON)
    """What a function, "module:name", prints in a process of its own, as JSON; `content` is its standard input.

    Raises TimeoutError when it takes longer than `seconds`, ChildProcessError with its exit status when it ends
    without an answer, OSError when no process can be started.
    """
    with start(function, *arguments, stderr=subprocess.PIPE) as process:
        try:
            output, _ = process.communicate(content, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"longer than {seconds:g} s") from None
        finally:  # a child that answered has ended by itself; one that is late or unwanted never does
            process.kill()
    try:
        return dict(json.loads(output))
    except (ValueError, TypeError):
        raise ChildProcessError(f"exit status {process.returncode}") from None


def lacks_memory_bound() -> bool:
    """Whether this system does not bound the memory of a process: Windows has no such call, macOS ignores it."""
    return sys.platform in {"darwin", "win32"}


def bound_memory(mib: int) -> None:
    """Bound this process's address space and let it leave no core file, where the system knows such bounds."""
    try:
        import resource  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    for kind, bound in ((resource.RLIMIT_AS, mib << 20), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a lower one is set already, or it is macOS, which has none
            resource.setrlimit(kind, (bound, bound))
