from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.encoders.efficientnet.weights import read_weights
from lookalike.errors import MissingExtra, how_to_install


def cached_models() -> list[Path]:
    return list(Path(os.environ["XDG_CACHE_HOME"]).glob("lookalike/models/efficientnet-lite0-579344248a93*.onnx"))


def test_the_published_weights_are_read_as_tensors() -> None:
    tensors = read_weights()
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_an_embedding_equals_a_convolution_written_out_by_hand() -> None:
    """The first layer's output of a known picture, through numpy alone, against the graph cut behind it."""
    import onnx
    import onnxruntime

    encoder = load_encoder("efficientnet-lite0")
    model = onnx.load_model_from_string(encoder.model)  # type: ignore[attr-defined]
    stem = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(stem.output[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    (got,) = session.run(None, {"images": picture})

    tensors = read_weights()
    scaled = np.pad((picture[0].astype(np.float64) - 127) / 128, ((0, 1), (0, 1), (0, 0)))  # SAME: after, not before
    window = scaled[20:23, 40:43]  # row 10, column 20 at stride 2
    product = np.einsum("hwc,ochw->o", window, tensors["_conv_stem.weight"])
    scale = tensors["_bn0.weight"] / np.sqrt(tensors["_bn0.running_var"] + 1e-3)
    expected = (product - tensors["_bn0.running_mean"]) * scale + tensors["_bn0.bias"]
    np.testing.assert_allclose(got[0, :, 10, 20], expected, atol=1e-4)


def test_layers_are_the_plain_features_and_three_more_each_of_length_1() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    plain = load_encoder("efficientnet-lite0").encode(pictures)
    layered = load_encoder("efficientnet-lite0-layers").encode(pictures)
    np.testing.assert_allclose(layered[:, :1280], plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)
    for part in np.split(layered, np.cumsum([1280, 112, 192]), axis=1):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)


def test_the_converted_model_is_kept_and_a_damaged_copy_is_converted_again() -> None:
    fingerprint = load_encoder("efficientnet-lite0").fingerprint
    (kept,) = cached_models()
    whole = hashlib.sha256(kept.read_bytes()).digest()
    kept.write_bytes(kept.read_bytes()[:-1000] + b"\0" * 1000)
    assert load_encoder("efficientnet-lite0").fingerprint == fingerprint
    assert hashlib.sha256(kept.read_bytes()).digest() == whole


def test_a_cache_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "lookalike").write_text("a file where the folder should be")
    script = "import lookalike; print(lookalike.load_encoder('efficientnet-lite0').dim)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "1280\n"


def test_without_the_published_weights_a_float_variant_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("lookalike.encoders.efficientnet.weights._PACKAGE", "a_package_that_is_not_installed")
    for name in ("efficientnet-lite0", "efficientnet-lite0-layers"):
        with pytest.raises(MissingExtra, match="is not installed") as caught:
            load_encoder(name)
        assert caught.value.hint == how_to_install("lookalike[float]")


def test_whole_numbers_come_near_the_floats() -> None:
    columns = np.arange(224) // np.array([[2], [4], [8], [16], [32], [64]]) % 2 * 200 + 20
    stripes = np.broadcast_to(columns.astype(np.uint8)[:, None, :, None], (6, 224, 224, 3))
    floats = load_encoder("efficientnet-lite0-layers").encode(stripes)
    whole = load_encoder("efficientnet-lite0-layers-int8").encode(stripes)
    cosines = np.sum(floats * whole, axis=1) / np.linalg.norm(floats, axis=1) / np.linalg.norm(whole, axis=1)
    assert cosines.min() > 0.95  # photographs come to 0.995, these are none
    assert np.argmax(whole @ floats.T, axis=1).tolist() == list(range(6))


def test_whole_numbers_are_those_of_arithmetic_by_hand() -> None:
    """The first layer of the integer network is sums of bytes, rounded to 256 values: the same on every machine."""
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(load_encoder("efficientnet-lite0-layers-int8").model)  # type: ignore[attr-defined]
    stem = next(node for node in model.graph.node if node.op_type == "Conv")
    made = {node.output[0]: node for node in model.graph.node}
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    (weights, steps, _), (shift, shift_steps, _) = ([constants[n] for n in made[i].input] for i in stem.input[1:])
    rounded = next(node for node in model.graph.node if stem.output[0] in node.input)
    step = constants[rounded.input[1]]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(rounded.output[0], onnx.TensorProto.UINT8, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    (got,) = session.run([rounded.output[0]], {"images": picture})

    window = picture[0, 20:23, 40:43].astype(np.int64) - 127
    sums = np.einsum("hwc,ochw->o", window, weights.astype(np.int64)) + shift
    np.testing.assert_allclose(shift_steps, steps / 128)
    np.testing.assert_array_equal(got[0, :, 10, 20], np.clip(np.rint(sums * (steps / 128) / step), 0, 255))


def test_sums_of_two_products_fit_into_16_bits() -> None:
    """Processors without VNNI add two products of a byte and a weight in 16 bits, and cut what does not fit."""
    import onnx

    model = onnx.load_model_from_string(load_encoder("efficientnet-lite0-layers-int8").model)  # type: ignore[attr-defined]
    kernels = [
        a for c in model.graph.initializer if (a := onnx.numpy_helper.to_array(c)).dtype == np.int8 and a.ndim == 4
    ]
    assert len(kernels) == 49
    assert max(int(np.abs(kernel.astype(np.int64)).max()) for kernel in kernels) * 255 * 2 < 2**15
