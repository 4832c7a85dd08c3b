"""The last layer of EfficientNet-Lite0: what its features say of ImageNet's thousand classes.

The shipped network ends before it. Its weights lie beside the network in 8-bit integers, with a step for each class.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders.efficientnet.shipped import CLASSIFIER, read_shipped
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_classifier", "measure_confidence", "pack_classifier"]

_TOP = 127  # the largest weight
_LENGTH = np.float32(25)  # of features whose classes are compared; their own is about 14, which is less decided


def load_classifier() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights, float32 (1000, 1280), and the biases, float32 (1000,), of the classes in ImageNet's order.

    `features @ weights.T + biases` are the logits of the classes, where `features` are those of the network before
    they are scaled to length 1. Raises EncoderError if the file is damaged.
    """
    with np.load(io.BytesIO(read_shipped(CLASSIFIER)), allow_pickle=False) as file:
        return file["weights"] * file["steps"][:, None], file["biases"]


def measure_confidence(features: NDArray[np.float32]) -> float:
    """The mean probability of each picture's likeliest class, for features float32 (n, 1280) of any length, n >= 1.

    They are compared at one length, because a gallery does not store theirs.
    """
    weights, biases = load_classifier()
    logits = _LENGTH * unit(features) @ weights.T + biases
    return float(np.mean(1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)))


def pack_classifier(weights: NDArray[np.float32], biases: NDArray[np.float32]) -> bytes:
    """Return the file that `load_classifier` reads; the same bytes for the same numbers."""
    steps = (np.abs(weights).max(axis=1) / _TOP).astype(np.float32)
    levels = np.rint(weights / steps[:, None]).astype(np.int8)
    file = io.BytesIO()
    np.savez(file, weights=levels, steps=steps, biases=biases.astype(np.float32))
    return file.getvalue()
