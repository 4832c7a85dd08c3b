"""The words that EfficientNet-Lite0 knows: ImageNet's thousand classes by their names in WordNet, and their kinds."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.encoders.efficientnet.shipped import WORDS, read_shipped
from lookalike.encoders.words import Vocabulary, read_kinds
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["load_vocabulary"]


@cache
def load_vocabulary() -> Vocabulary:
    """The words of embeddings that begin with the 1,280 last features of the network.

    Raises EncoderError if one of the shipped files is damaged.
    """
    return Vocabulary(read_kinds(read_shipped(WORDS).decode()), _load_directions)


def _load_directions() -> NDArray[np.float32]:
    """The weights of the classes without what all have in common, float32 (1000, 1280), of length 1.

    Without their biases and norms: those tell which class is likelier, not which picture (docs/decisions.md).
    """
    weights, _ = load_classifier()
    return unit(weights - weights.mean(axis=0))
