"""Convert the published weights into ONNX: into the file that is shipped, and into the float32 variants on request.

A float32 variant is converted once and kept in the user's cache folder; that needs no network and no PyTorch.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import platformdirs

from lookalike.encoders.efficientnet.integers import IntegerWriter
from lookalike.encoders.efficientnet.network import FloatWriter, write_both, write_network
from lookalike.encoders.efficientnet.weights import CONVERTER, DIGEST, read_weights
from lookalike.files import replace_file

__all__ = ["convert_integers", "load_float"]


def convert_integers() -> bytes:
    """Return the network in 8-bit integers, as it is shipped. Raises MissingExtra, EncoderError."""
    return write_both(read_weights(), IntegerWriter())


def load_float(name: str, size: int, *, layered: bool) -> bytes:
    """Read the ONNX file from the cache folder if it is there and undamaged; otherwise convert it and cache it."""
    folder = Path(platformdirs.user_cache_dir("lookalike")) / "models"
    cached = folder / f"{name}-{DIGEST[:12]}-{CONVERTER}.onnx"
    with contextlib.suppress(OSError):
        model = cached.read_bytes()
        if cached.with_suffix(".sha256").read_bytes() == hashlib.sha256(model).digest():
            return model
    model = write_network(read_weights(), size, FloatWriter(), layered=layered)
    with contextlib.suppress(OSError):  # a read-only cache folder: converted again next time, 0.7 s
        _keep(cached, model)
        _keep(cached.with_suffix(".sha256"), hashlib.sha256(model).digest())
    return model


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as part:
        part.write_bytes(content)
