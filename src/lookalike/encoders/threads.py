"""Encoders that many threads can share.

ONNX Runtime runs one session from any number of threads, and our own arithmetic changes nothing; such encoders say so
by `is_thread_safe`. An encoder of another package promises only to work in one thread at a time, so it gets a lock, the
only one in the package that is held while something is encoded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lookalike.encoders.hybrid import HybridEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.encoders import Encoder

__all__ = ["guard"]


def guard(encoder: Encoder) -> Encoder:
    """The encoder, or one that gives the same and can be used by many threads at once."""
    if isinstance(encoder, HybridEncoder):
        encoder.encoders = tuple(map(guard, encoder.encoders))
        return encoder
    return encoder if getattr(encoder, "is_thread_safe", False) else _Guarded(encoder)


class _Guarded:
    """An encoder whose methods are called by one thread at a time."""

    is_thread_safe = True

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever the encoder has)
        found = getattr(self._encoder, name)
        return self._with_lock(found) if name in {"encode", "encode_texts"} and callable(found) else found

    def _with_lock(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:  # noqa: ANN401  (as above)
            with self._lock:
                return function(*arguments)

        return call
