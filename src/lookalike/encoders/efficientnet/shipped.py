"""The data files of this package, made by `scripts/convert_network.py` and `scripts/make_words.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lookalike.errors import EncoderError

__all__ = ["CLASSIFIER", "DIGESTS", "FOLDER", "NETWORK", "WORDS", "read_shipped"]

FOLDER = Path(__file__).with_name("data")
NETWORK, CLASSIFIER, WORDS = "lite0-int8.onnx", "classifier.npz", "words.tsv"
DIGESTS = {
    NETWORK: "6a083a886372b5974271163fe16ce1fe0be399848b9d5d9135a7f36615ce8603",
    CLASSIFIER: "c2b1473e2d181cb76faa27025d3754ac1b52547c9437ce45f69a73aab36f83d5",
    WORDS: "64000bab58375c022a610cc82f27d6e2a8f313063e5916f2e3b869fb7c8af354",
}
"""The SHA-256 of each file."""
_AGAIN = "install Lookalike again: this file is part of it"


def read_shipped(name: str) -> bytes:
    """Return the content of one of `DIGESTS`. Raises EncoderError if it is missing or damaged."""
    path = FOLDER / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}", hint=_AGAIN) from None
    found = hashlib.sha256(content).hexdigest()
    if found != DIGESTS[name]:
        raise EncoderError(f"{path} is damaged: SHA-256 {found}, expected {DIGESTS[name]}", hint=_AGAIN)
    return content
