"""The data files of this package, made by `scripts/convert_network.py` and `scripts/make_words.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lookalike.errors import EncoderError, how_to_install

__all__ = ["CLASSIFIER", "DIGESTS", "FOLDER", "WORDS", "read_shipped"]

FOLDER = Path(__file__).with_name("data")
CLASSIFIER = "classifier.npz"
WORDS = "words.tsv"
DIGESTS = {
    CLASSIFIER: "c2b1473e2d181cb76faa27025d3754ac1b52547c9437ce45f69a73aab36f83d5",
    WORDS: "64000bab58375c022a610cc82f27d6e2a8f313063e5916f2e3b869fb7c8af354",
}
"""The SHA-256 of each file."""


def read_shipped(name: str) -> bytes:
    """Return the content of one of `DIGESTS`. Raises EncoderError if it is missing or damaged."""
    path = FOLDER / name
    hint = f"install the package again: {how_to_install('lookalike')} --force-reinstall"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
    found = hashlib.sha256(content).hexdigest()
    if found != DIGESTS[name]:
        raise EncoderError(f"{path} is damaged: SHA-256 {found}, expected {DIGESTS[name]}", hint=hint)
    return content
