"""Trainings on another backend than TensorFlow: JAX, which `make test` puts into a folder. PyTorch is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.errors import TrainingError, UsageError
from lookalike.training import reconstruction_error
from lookalike.training.folder import claim, read_history
from lookalike.training.models.backend import PACKAGES, backend, full_precision, load_keras
from lookalike.training.presets import PRESETS
from tests.conftest import make_two_classes

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]  # of Keras's, TensorFlow's own making

JAX = Path(__file__).parents[3] / ".venv" / "jax"
OPTIONS = ["--size", "16", "--set", "filters=4,8", "--set", "latent_dim=6", "--set", "batch_size=8", "--no-progress"]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": name}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_two_classes(tmp_path_factory.mktemp("backend") / "photos", 40)


CHILD = """
import sys
from pathlib import Path
from lookalike.training import train
from lookalike.training.presets import PRESETS, vary

changes = {"size": "16", "latent_dim": "6", "batch_size": "8", "epochs": "1"}
for name in ("exp6c", "supervised", "compact"):
    preset = vary(PRESETS[name], changes if name == "compact" else {**changes, "filters": "4,8"})
    train(Path(sys.argv[1]), Path(sys.argv[2]) / name, preset)
"""


def test_what_jax_has_learned_is_the_same_to_everyone_else(photos: Path, tmp_path: Path) -> None:
    if not JAX.is_dir():
        pytest.skip("JAX is not installed: make .venv/jax.stamp")
    command = [sys.executable, "-c", CHILD, str(photos), str(tmp_path)]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(JAX)}, check=True)
    assert backend() == "tensorflow"  # which reads the weights and reconstructs alike
    for home in sorted(tmp_path.iterdir()):
        notes = json.loads((home / "preset.json").read_text())
        assert notes["backend"] == "jax"
        assert {"keras", "jax", "jaxlib"} <= notes["versions"].keys()
        assert not {"tensorflow", "tensorflow-cpu"} & notes["versions"].keys()
        assert load_encoder(home).dim == 6
        (epoch,) = read_history(home)
        assert reconstruction_error(home, photos)["held_out_mse"] == pytest.approx(epoch.val_mse, rel=1e-3)


def test_a_training_resumes_on_the_backend_that_it_was_begun_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    claim(tmp_path, PRESETS["exp3"], tmp_path)
    claim(tmp_path, PRESETS["exp3"], tmp_path)
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(TrainingError, match="was begun on jax") as raised:
        claim(tmp_path, PRESETS["exp3"], tmp_path)
    assert raised.value.hint == "set KERAS_BACKEND=jax"


def test_a_backend_that_is_missing_is_named(photos: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("PyTorch is installed here")
    done = run("torch", "train", photos, "--preset", "exp3", "-o", tmp_path / "run", *OPTIONS)
    assert done.returncode != 0
    assert "training needs a package that is missing: torch" in done.stderr
    assert "install torch" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_an_unknown_backend_is_the_users_mistake(photos: Path, tmp_path: Path) -> None:
    done = run("abacus", "train", photos, "--preset", "exp3", "-o", tmp_path / "run", *OPTIONS)
    assert done.returncode == 2
    assert "KERAS_BACKEND is 'abacus'" in done.stderr
    assert ", ".join(PACKAGES) in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_the_backend_is_tensorflow_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "tensorflow"):
        if value is None:
            monkeypatch.delenv("KERAS_BACKEND", raising=False)
        else:
            monkeypatch.setenv("KERAS_BACKEND", value)
        assert backend() == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # Keras has it, but it cannot train
    with pytest.raises(UsageError):
        backend()


def test_full_precision_leaves_the_settings_as_they_were() -> None:
    import tensorflow as tf

    load_keras()
    settings = tf.config.experimental
    before = settings.tensor_float_32_execution_enabled()
    with full_precision():
        assert not settings.tensor_float_32_execution_enabled()
        assert np.isfinite(float(tf.reduce_sum(tf.ones((2, 2)) @ tf.ones((2, 2)))))
    assert settings.tensor_float_32_execution_enabled() == before
