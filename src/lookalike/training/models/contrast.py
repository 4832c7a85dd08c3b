"""A contrastive loss beside the squared error: which embeddings are to be near, and which apart.

Every picture of a batch is shown twice, each time altered by chance. The softmax of an embedding's similarities to all
others of the batch is to fall on those that belong together with it: the other view of the same picture (InfoNCE, van
den Oord et al. 2018; Chen et al. 2020), or, with labels, all views of its class (Khosla et al. 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError
from lookalike.images.augment import alter
from lookalike.training.models.autoencoder import load_keras

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.presets import Preset

    Pairs = tuple[NDArray[np.uint8], NDArray[np.int32]]

__all__ = ["belongings", "contrastive_loss", "pairs"]


def contrastive_loss(temperature: float) -> Callable[[Any, Any], Any]:
    """A loss for Keras, of numbers (n, 1) and embeddings (n, d), for each embedding: (n,).

    Embeddings with the same number belong together; one that has no other of its number in the batch costs nothing.
    """
    ops = load_keras().ops

    def loss(numbers: Any, embeddings: Any) -> Any:  # noqa: ANN401  (tensors)
        unit = ops.normalize(ops.cast(embeddings, "float32"), axis=1)
        itself = ops.eye(ops.shape(unit)[0])
        likelihood = ops.log_softmax(unit @ ops.transpose(unit) / temperature - 1e9 * itself, axis=1)
        near = ops.cast(ops.equal(numbers, ops.transpose(numbers)), "float32") - itself
        return -ops.sum(near * likelihood, axis=1) / ops.maximum(ops.sum(near, axis=1), 1.0)

    return loss


def belongings(pictures: Pictures, preset: Preset) -> NDArray[np.int32]:
    """The same number for pictures that belong together, int32 (n,): their class, or each its own.

    A picture without a class belongs to nothing but itself. Raises TrainingError for fewer than two classes.
    """
    own = np.arange(len(pictures.is_train), dtype=np.int32)
    if not preset.labelled:
        return own
    known = pictures.labels != ""
    classes, numbers = np.unique(pictures.labels[known], return_inverse=True)
    if len(classes) < 2:
        raise TrainingError(
            f"{len(classes)} classes to learn from; it takes two", hint="a folder for each class, or labelled=no"
        )
    own += len(classes)
    own[known] = numbers
    return own


def pairs(pixels: NDArray[np.uint8], numbers: NDArray[np.int32], rng: np.random.Generator) -> Pairs:
    """Two views of each picture (n, size, size, 3), one after the other, and the numbers (2 n, 1) they have."""
    size = pixels.shape[1]
    views = np.concatenate([alter(pixels, size, rng) for _ in range(2)])
    return views, np.tile(numbers, 2)[:, None]
