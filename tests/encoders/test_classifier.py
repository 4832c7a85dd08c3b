from __future__ import annotations

import numpy as np
import pytest

from lookalike.encoders.efficientnet import shipped
from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.encoders.efficientnet.weights import read_weights
from lookalike.errors import EncoderError


def test_the_classifier_is_the_published_one_within_half_a_step() -> None:
    weights, biases = load_classifier()
    published = read_weights()
    half_a_step = np.abs(published["_fc.weight"]).max(axis=1, keepdims=True) / 127 / 2
    assert weights.shape == (1000, 1280)
    assert {weights.dtype, biases.dtype} == {np.dtype(np.float32)}
    assert (np.abs(weights - published["_fc.weight"]) <= half_a_step + 1e-7).all()
    np.testing.assert_array_equal(biases, published["_fc.bias"])


def test_a_damaged_data_file_is_an_error_that_names_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((shipped.FOLDER / shipped.CLASSIFIER).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / shipped.CLASSIFIER).write_bytes(content)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(EncoderError, match=r"classifier\.npz is damaged") as caught:
        load_classifier()
    assert "install" in caught.value.hint


def test_a_missing_data_file_is_an_error_that_names_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(EncoderError, match=r"classifier\.npz cannot be read"):
        load_classifier()
