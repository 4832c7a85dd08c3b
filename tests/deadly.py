"""A decoder that goes wrong on files that are marked by their names. Worker processes import this."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING

from lookalike.images.decode import DecodedPicture, Limits, View, decode

if TYPE_CHECKING:
    from collections.abc import Callable

# What is promised for each name.
DEATHS = {
    b"segfault.jpg": "its decoder crashed (SIGSEGV)",
    b"killed.jpg": "its decoder crashed (SIGKILL)",  # as by the system when memory is short
    b"exits.jpg": "its decoder crashed (exit 0)",
    b"half-an-answer.jpg": "its decoder crashed (exit 3)",
    b"taken-over.jpg": "its decoder crashed (SIGKILL)",  # by us: nothing that it says can be believed
    b"bug.jpg": "its decoder failed (ZeroDivisionError)",
    b"memory.jpg": "its decoder failed (MemoryError)",
    b"talks.jpg": "its decoder failed (KeyError)",
}


def decode_or_die(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """The real decoder, but on a marked file a real death of the process, or none for a long time."""
    name = os.path.basename(path)
    if name in _WAYS:
        _WAYS[name]()
    return decode(path, view, limits)


def decode_once_or_die(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """Dies of each file the first time, as if the system had killed an innocent process."""
    with contextlib.suppress(FileExistsError), open(path + b".tried", "xb"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(path, view, limits)


def _half_an_answer() -> None:
    for descriptor in range(3, 10):  # one of them is the pipe
        with contextlib.suppress(OSError):
            os.write(descriptor, b'{"width": 3, "hei')
    os._exit(3)


def _lie() -> None:
    """Give a whole answer that no decoder gives, and wait."""
    answer = b'{"width": Infinity, "height": 1, "format": "JPEG", "digest": "%s", "taken_at": null, "camera": null}\n'
    for descriptor in range(3, 10):
        with contextlib.suppress(OSError):
            os.write(descriptor, answer % (b"00" * 32) + bytes(1 << 14))
    time.sleep(3600)


def _talk() -> None:
    """Print where the answers once went and where messages go, as libraries in C do."""
    for descriptor in (1, 2):
        os.write(descriptor, b"libnoise: this is not an answer\n")
    raise KeyError


_WAYS: dict[bytes, Callable[[], object]] = {
    b"segfault.jpg": lambda: ctypes.string_at(0),
    b"killed.jpg": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"exits.jpg": lambda: os._exit(0),
    b"half-an-answer.jpg": _half_an_answer,
    b"taken-over.jpg": _lie,
    b"bug.jpg": lambda: 1 // 0,
    b"memory.jpg": lambda: bytearray(1 << 40),
    b"talks.jpg": _talk,
    b"sleep.jpg": lambda: time.sleep(3600),
}
