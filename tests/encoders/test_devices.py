"""Encoders on other devices than the processor: as far as a machine without any can tell."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import helper

from lookalike import Gallery, load_encoder
from lookalike.encoders import DEVICES, on_device, wanted_device
from lookalike.encoders.devices import PROVIDERS
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.sessions import offered_devices, open_session
from lookalike.errors import EncoderError, UsageError, how_to_install
from lookalike.images.decode import View
from tests.pairs import model

if TYPE_CHECKING:
    from pathlib import Path

LACKING = next(device for device in ("directml", "coreml", "cuda") if device not in offered_devices())


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second device: the provider of the ordinary packages that hands all it cannot do to the processor."""
    monkeypatch.setitem(PROVIDERS, "azure", "AzureExecutionProvider")
    if "azure" not in offered_devices():
        pytest.skip("this ONNX Runtime has one provider only")


MEAN = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0)
CARD = Card("test", View(8))


def small(*nodes: Any, **constants: Any) -> bytes:
    """A model from float32 `x` (n, 8, 8, 3) to `y`."""
    return model([MEAN, *nodes], [helper.make_tensor_value_info("x", 1, ["n", 8, 8, 3])], constants)


def pictures(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (19, size, size, 3), np.uint8)


def test_every_machine_offers_its_processor_last() -> None:
    assert offered_devices()[-1] == "cpu"
    assert set(DEVICES) == {"auto", *PROVIDERS}


@pytest.mark.parametrize("name", ["efficientnet-lite0", "histogram", "hybrid:efficientnet-lite0=0.7+histogram=0.3"])
def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match=f"has no device '{LACKING}' on this machine; it offers .*cpu") as caught:
        load_encoder(name, device=LACKING)
    assert "onnxruntime" in caught.value.hint


def test_the_hint_has_the_command_of_this_environment() -> None:
    if "cuda" in offered_devices():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError) as caught:
        load_encoder(device="cuda")
    assert how_to_install("onnxruntime-gpu") in caught.value.hint


def test_an_unknown_device_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown device 'tpu'") as caught:
        Gallery.open(tmp_path / "g", create=True, device="tpu")
    assert caught.value.hint == "one of auto, cpu, cuda, coreml, directml"
    assert not (tmp_path / "g").exists()


def test_a_gallery_is_not_opened_for_a_device_that_is_not_there(gallery: Gallery) -> None:
    with pytest.raises(UsageError, match=LACKING):
        Gallery.open(gallery.location, device=LACKING)


def test_encoders_are_learned_on_the_processor_whatever_searches(
    azure: None, photos: Path, tmp_path: Path, few_patches: None, monkeypatch: Any, caplog: Any
) -> None:
    """So that the same pictures give the same encoder on every machine."""
    monkeypatch.setattr("lookalike.encoders.devices.DEVICES", (*DEVICES, "azure"))
    caplog.set_level(logging.INFO, "lookalike")
    with Gallery.open(tmp_path / "g", encoder="patches", create=True, learn_from=[photos], device="azure") as gallery:
        assert gallery.encoder.name == "patches"
    assert [r.getMessage() for r in caplog.records if " runs on " in r.getMessage()] == ["patches runs on azure"]


def test_the_device_applies_to_what_is_loaded_meanwhile_and_not_after() -> None:
    assert wanted_device() == "cpu"
    with on_device("auto"):
        assert wanted_device() == "auto"
        with on_device(None):
            assert wanted_device() == "auto"
        with on_device("cpu"):
            assert wanted_device() == "cpu"
    assert wanted_device() == "cpu"


def test_the_shipped_network_stays_on_the_processor_by_itself(azure: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named first, the second provider is what auto takes."""
    first = {"azure": PROVIDERS["azure"], **PROVIDERS}
    for name in [*PROVIDERS]:
        monkeypatch.delitem(PROVIDERS, name)
    for name, provider in first.items():
        monkeypatch.setitem(PROVIDERS, name, provider)
    assert offered_devices()[0] == "azure"
    assert getattr(load_encoder(), "device", None) == "cpu"
    assert getattr(load_encoder("efficientnet-lite0"), "device", None) == "azure"
    assert getattr(load_encoder("efficientnet-lite0", device="cpu"), "device", None) == "cpu"


def test_two_devices_give_the_same_embeddings_and_are_one_encoder(
    azure: None, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = load_encoder("efficientnet-lite0"), load_encoder("efficientnet-lite0")
    assert isinstance(there, OnnxEncoder)
    there.move_to("azure")
    assert (there.device, caplog.records) == ("azure", [])
    assert there.fingerprint == here.fingerprint
    one, other = (e.encode(pictures(224)) for e in (here, there))
    lengths = np.linalg.norm(one, axis=1, keepdims=True)
    np.testing.assert_allclose(other / lengths, one / lengths, atol=1e-3)


def test_a_device_that_cannot_be_started_leaves_the_encoder_on_the_processor_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoder = OnnxEncoder(small(helper.make_node("Identity", ["mean"], ["y"])), CARD)
    expected = encoder.encode(pictures(8))
    encoder.move_to(LACKING)
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"runs on the cpu, not on {LACKING}" in warning.getMessage()
    assert PROVIDERS[LACKING] in warning.getMessage()
    assert encoder.device == "cpu"
    np.testing.assert_array_equal(encoder.encode(pictures(8)), expected)


def test_a_device_that_gives_other_embeddings_is_not_used(azure: None, caplog: pytest.LogCaptureFixture) -> None:
    """A network that multiplies by noise: a session that has run before is further along in it than a new one."""
    noise = helper.make_node("RandomUniform", [], ["noise"], shape=[1, 3])
    encoder = OnnxEncoder(small(noise, helper.make_node("Mul", ["mean", "noise"], ["y"])), CARD, dim=3)
    encoder.encode(pictures(8))
    encoder.move_to("azure")
    (warning,) = caplog.records
    assert "its embeddings differ by" in warning.getMessage()
    assert encoder.device == "cpu"


def test_a_model_that_runs_nowhere_is_an_error(azure: None) -> None:
    fails = helper.make_node("Reshape", ["x", "shape"], ["y"])
    encoder = OnnxEncoder(small(fails, shape=np.array([7, 7])), CARD, dim=7)
    with pytest.raises(EncoderError, match="failed"):
        encoder.move_to("azure")


def test_nothing_but_an_error_comes_of_a_session_on_a_device_that_is_not_there(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(EncoderError, match=f"ONNX Runtime has no {PROVIDERS[LACKING]}"):
        open_session(small(helper.make_node("Identity", ["mean"], ["y"])), "model", LACKING)
    assert capfd.readouterr().out == ""


def test_onnx_runtime_writes_no_identifier_and_sends_nothing(tmp_path: Path) -> None:
    """Its packages do, from 1.29 on, unless a variable is set before they are imported."""
    script = "import lookalike, numpy; e = lookalike.load_encoder(); e.encode(numpy.zeros((1, 224, 224, 3), 'uint8'))"
    ours = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI"}
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
