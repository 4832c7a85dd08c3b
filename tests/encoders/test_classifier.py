from __future__ import annotations

import numpy as np

from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.encoders.efficientnet.weights import read_weights


def test_the_classifier_is_the_published_one_within_half_a_step() -> None:
    weights, biases = load_classifier()
    published = read_weights()
    half_a_step = np.abs(published["_fc.weight"]).max(axis=1, keepdims=True) / 127 / 2
    assert weights.shape == (1000, 1280)
    assert {weights.dtype, biases.dtype} == {np.dtype(np.float32)}
    assert (np.abs(weights - published["_fc.weight"]) <= half_a_step + 1e-7).all()
    np.testing.assert_array_equal(biases, published["_fc.bias"])
