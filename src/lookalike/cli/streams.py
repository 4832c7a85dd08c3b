"""Standard input, output and error, whatever state they are in: closed, full, or read by a program that has ended."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO

__all__ = ["prepare_streams", "silence_output", "why_output_fails"]

_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE, errno.ECONNRESET}
_NULL_FLAGS = (os.O_RDWR, os.O_RDONLY, os.O_RDWR)  # of the devices in place of closed files 0, 1 and 2


class _BestEffort(io.TextIOWrapper):
    """A stream for messages; one that cannot be written is dropped, and the command continues."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, line_buffering=True)
        self._stream = stream  # which would close the buffer that both share

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


def prepare_streams() -> None:
    """Make stdout and stderr usable, and escape characters that the locale cannot print.

    Without this, the next file that is opened would take the number of a closed stream, and results would go into it.
    Results for a closed stdout raise OSError when they are flushed; messages for a closed or full stderr are lost.
    """
    for number, flags in enumerate(_NULL_FLAGS):
        _fill(number, flags)
    sys.stdout = sys.stdout or _open(1)
    sys.stderr = sys.stderr or _open(2)
    if type(sys.stderr) is io.TextIOWrapper:  # not that of a test or a progress bar
        sys.stderr = _BestEffort(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def why_output_fails(error: OSError | None = None) -> OSError | None:
    """The error of results that stdout does not take, None if all of them are written.

    error: one that was raised already; those of files name them, and those of stdout name nothing.
    """
    if error is not None and error.filename is None and error.errno in _REFUSED:
        return error
    try:
        sys.stdout.flush()
    except OSError as refused:
        return refused
    except ValueError:  # closed by the program itself
        return None
    return None


def silence_output() -> None:
    """Discard the results that cannot be written, so that the interpreter does not try again when it ends."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        sys.stdout.flush()


def _fill(number: int, flags: int) -> None:
    """Open the null device as file `number` if that is closed; lower numbers must be open."""
    try:
        os.fstat(number)
    except OSError as error:
        if error.errno == errno.EBADF:
            os.open(os.devnull, flags)


def _open(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)
