"""Fit an autoencoder to a collection: the described one (extra `train`: Keras 3 on TensorFlow), or a linear one.

`run` trains any `learner`, resumes and exports; `network` is the described one, built by `model`; `linear` has the
principal components; `data` holds the pictures, `home` the folder of a training, `split` which pictures it has seen,
`measure` tells its errors, `board` shows them to TensorBoard.
TensorFlow is imported when a network is trained or measured, and by nothing else.
"""

from lookalike.training.board import Board
from lookalike.training.folder import Epoch
from lookalike.training.models.learner import Layer
from lookalike.training.reconstruction import Measured, measure, reconstruction_error, reconstructions, summary
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
    "measure",
    "own_split",
    "reconstruction_error",
    "reconstructions",
    "seen_by",
    "start_afresh",
    "summary",
    "train",
]
