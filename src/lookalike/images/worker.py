"""The other end of `pool`: a process that decodes one picture after the other until its input ends.

It answers with a line of JSON and raw pixels, nothing that could be executed: a decoder that was taken over by a
file can return a wrong picture, but no code. Nothing but Pillow and the standard library is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from lookalike.images.decode import DecodedPicture, Limits, Unreadable, View
from lookalike.sandbox import bound_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    Decoder = Callable[[bytes, View, Limits], DecodedPicture]

__all__ = ["READY", "serve"]

READY = b"ready\n"
_GRACE = 5.0  # seconds after its time limit when a worker ends itself, because its parent is gone


def serve(decoder: str, view: dict[str, Any], limits: dict[str, Any]) -> None:
    """Read lines of JSON, lists of paths as latin-1, from file 0 and answer each path on file 1, in order.

    decoder: "module:name" of what to call with each path.
    """
    _ignore_interrupts()
    module, name = decoder.split(":")
    decode: Decoder = getattr(importlib.import_module(module), name)
    bounds = Limits(**limits)
    bound_memory(bounds.worker_mib)
    Image.MAX_IMAGE_PIXELS = None  # `Limits` is the limit
    with os.fdopen(os.dup(1), "wb") as answers, contextlib.suppress(BrokenPipeError):
        answers.write(READY)
        answers.flush()
        _silence()
        for line in sys.stdin.buffer:
            for path in json.loads(line):
                _set_alarm(bounds.seconds + _GRACE)
                _answer(answers, partial(decode, path.encode("latin-1"), View(**view), bounds))
                _set_alarm(0)


def _answer(answers: IO[bytes], decode: Callable[[], DecodedPicture]) -> None:
    try:
        picture = decode()
    except Unreadable as reason:
        _send(answers, {"reason": str(reason)})
    except Exception as error:  # noqa: BLE001  (a bug in this package must not cost the other files)
        _send(answers, {"reason": f"its decoder failed ({type(error).__name__})"})
    else:
        _send(answers, _fields(picture), picture.pixels + picture.sample + picture.brightness)


def _fields(picture: DecodedPicture) -> dict[str, Any]:
    """All of a picture but its pixels, as JSON."""
    fields = {name: getattr(picture, name) for name in ("width", "height", "format", "camera")}
    taken_at = picture.taken_at and picture.taken_at.isoformat()
    numbers = {name: getattr(picture, name).hex() for name in ("digest", "whole")}
    return fields | numbers | {"taken_at": taken_at}


def _send(answers: IO[bytes], fields: dict[str, Any], pixels: bytes = b"") -> None:
    answers.write(json.dumps(fields).encode() + b"\n")
    answers.write(pixels)
    answers.flush()


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _silence() -> None:
    """Discard what decoders written in C print, libtiff above all: the reason says it once."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _set_alarm(seconds: float) -> None:
    """End this process by SIGALRM if it is still at the same file after `seconds`; 0 cancels. Absent on Windows."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
