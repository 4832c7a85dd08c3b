"""Fit the described convolutional autoencoder to a collection (extra `train`: Keras 3 on TensorFlow).

`model` builds it, `data` holds the pictures, `run` trains, resumes and exports. TensorFlow is imported when a
training begins, and by nothing else.
"""

from lookalike.training.run import Finished, Step, reconstruction_error, reconstructions, train

__all__ = ["Finished", "Step", "reconstruction_error", "reconstructions", "train"]
