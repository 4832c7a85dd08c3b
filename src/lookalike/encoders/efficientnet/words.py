"""The words that EfficientNet-Lite0 knows: ImageNet's thousand classes by their names in WordNet, and their kinds."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.encoders.efficientnet.shipped import WORDS, read_shipped
from lookalike.encoders.words import Vocabulary, read_kinds
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_vocabulary"]


@cache
def load_vocabulary(dim: int) -> Vocabulary:
    """The words of embeddings with `dim` dimensions, of which the first 1,280 are the last features of the network.

    Raises EncoderError if one of the shipped files is damaged.
    """
    return Vocabulary(read_kinds(read_shipped(WORDS).decode()), lambda: _load_directions(dim))


def _load_directions(dim: int) -> NDArray[np.float32]:
    """The weights of the classes without what all have in common, float32 (1000, dim), 0 beyond the features.

    Without their biases and norms: those tell which class is likelier, not which picture (docs/decisions.md).
    """
    weights, _ = load_classifier()
    directions = np.zeros((len(weights), dim), np.float32)
    directions[:, : weights.shape[1]] = unit(weights - weights.mean(axis=0))
    return directions
