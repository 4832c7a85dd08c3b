"""What ends a command from outside: SIGTERM and SIGHUP are as orderly an end as Ctrl-C.

Contexts are left and worker processes ended; then the signal does what it does by default, so that a shell reports
143 or 129. A signal that was ignored when the program started, as SIGHUP under `nohup`, stays ignored.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import stat
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["end_in_order", "ending"]

_NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_received: list[int] = []


def end_in_order() -> None:
    """From now on, leave all contexts before SIGTERM or SIGHUP ends this process."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _NUMBERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    atexit.unregister(_end)
    atexit.register(_end)


def ending() -> SystemExit | None:
    """The exception that stands for the signal that was received; None for Ctrl-C, or when there was none."""
    return SystemExit(128 + _received[0]) if _received else None


def _leave(number: int, _frame: FrameType | None) -> None:
    for each in _NUMBERS:
        signal.signal(each, signal.SIG_IGN)  # one that closes a terminal often comes with the other
    _received.append(number)
    name = signal.Signals(number).name
    try:
        os.write(2, f"lookalike: ended by {name}; what was finished before is kept\n".encode())
    except OSError:
        _leave_terminal()
    raise SystemExit(128 + number)


def _leave_terminal() -> None:
    """Let what is still printed go nowhere: the terminal is closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stream == 2 or stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    os.close(nowhere)


def _end() -> None:
    if _received:
        signal.signal(_received[0], signal.SIG_DFL)
        os.kill(os.getpid(), _received[0])
