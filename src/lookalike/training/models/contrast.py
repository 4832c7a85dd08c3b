"""A contrastive loss in addition to the squared error: which embeddings should be close, and which apart.

Every picture of a batch is shown twice, each time with random changes. The loss is a cross-entropy: the softmax of an
embedding's similarities to all others in the batch should select those that it belongs with, which are the other view
of the same picture (InfoNCE, van den Oord et al. 2018; Chen et al. 2020) or, with labels, all views of its class
(Khosla et al. 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import TrainingError
from lookalike.images.augment import alter
from lookalike.training.models.backend import load_keras

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.presets import Preset

    Pairs = tuple[NDArray[np.uint8], NDArray[np.int32]]

__all__ = ["contrastive_loss", "draw_pairs", "group_pictures"]


def contrastive_loss(temperature: float) -> Callable[[Any, Any], Any]:
    """Return a loss for Keras: group numbers (n, 1) and embeddings (n, d) in, the loss of each embedding (n,) out.

    Embeddings with the same number belong together; one that is alone in its group has no loss.
    """
    ops = load_keras().ops

    def loss(groups: Any, embeddings: Any) -> Any:  # noqa: ANN401  (tensors)
        unit = ops.normalize(ops.cast(embeddings, "float32"), axis=1)
        itself = ops.eye(ops.shape(unit)[0])
        likelihood = ops.log_softmax(unit @ ops.transpose(unit) / temperature - 1e9 * itself, axis=1)
        near = ops.cast(ops.equal(groups, ops.transpose(groups)), "float32") - itself
        return -ops.sum(near * likelihood, axis=1) / ops.maximum(ops.sum(near, axis=1), 1.0)

    return loss


def group_pictures(pictures: Pictures, preset: Preset) -> NDArray[np.int32]:
    """Return the same number for pictures that belong together, int32 (n,): by class, or one for each picture.

    A picture without a class is a group of its own. Raises TrainingError for fewer than two classes.
    """
    own = np.arange(len(pictures.is_train), dtype=np.int32)
    if not preset.labelled:
        return own
    known = pictures.labels != ""
    classes, numbers = np.unique(pictures.labels[known], return_inverse=True)
    if len(classes) < 2:
        raise TrainingError(
            f"{len(classes)} classes to learn from; at least two are needed",
            hint="a folder for each class, or --set labelled=no",
        )
    own += len(classes)
    own[known] = numbers
    return own


def draw_pairs(pixels: NDArray[np.uint8], groups: NDArray[np.int32], rng: np.random.Generator) -> Pairs:
    """Draw two random views of each picture (n, size, size, 3); returns them and their group numbers (2 n, 1)."""
    size = pixels.shape[1]
    views = np.concatenate([alter(pixels, size, rng) for _ in range(2)])
    return views, np.tile(groups, 2)[:, None]
