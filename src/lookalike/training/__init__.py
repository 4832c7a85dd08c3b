"""Train an encoder on a collection: the described autoencoder (extra `train`: Keras 3 on TensorFlow) and others.

`presets` are the experiments; `trainer` trains, resumes and exports any of the `models`. `data` holds the pictures,
`folder` the files of a training, `split` which pictures it has seen. `reconstruction` measures errors, `plots` draws
them, and `board` writes them for TensorBoard. `held_out` searches with pictures that were not trained on, `experiments`
records and reports results, and `original` converts the files of the original system. TensorFlow is imported only
when a network is trained or measured (3 s).
"""

from lookalike.training.board import Board
from lookalike.training.folder import Epoch
from lookalike.training.models.trainable import Layer
from lookalike.training.reconstruction import (
    Measured,
    has_collapsed,
    measure,
    reconstruction_error,
    reconstructions,
    summary,
)
from lookalike.training.split import count_trained, own_split, seen_by
from lookalike.training.trainer import Finished, Step, start_afresh, train

__all__ = [
    "Board",
    "Epoch",
    "Finished",
    "Layer",
    "Measured",
    "Step",
    "count_trained",
    "has_collapsed",
    "measure",
    "own_split",
    "reconstruction_error",
    "reconstructions",
    "seen_by",
    "start_afresh",
    "summary",
    "train",
]
