from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import load_encoder
from lookalike.errors import EncoderError, TrainingError, UsageError
from lookalike.training import reconstruction_error, reconstructions, train
from lookalike.training.models.autoencoder import build, build_encoder
from lookalike.training.original import import_model
from lookalike.training.presets import PRESETS, vary
from tests.conftest import make_picture
from tests.training.original.keras2 import SMALL, described_config, weights_of, write_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's own making

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)


def keras_says(weights: dict[str, list[np.ndarray]], preset: Any = SMALL) -> np.ndarray:
    model = build(preset)
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)
    return np.asarray(build_encoder(model, preset)(PIXELS.astype(np.float32) / 255))


@pytest.mark.parametrize("nested", [False, True])
def test_an_imported_model_encodes_as_it_did(tmp_path: Path, nested: bool) -> None:
    weights = write_model(tmp_path / "model.h5", SMALL, nested=nested)
    done = import_model(tmp_path / "model.h5", tmp_path / "home")
    assert (done.preset.size, done.preset.latent_dim, done.preset.filters) == (16, 6, (4, 8))
    assert (done.preset.slope, done.preset.relu) == (0.2, True)
    assert done.parameters == build(SMALL).count_params()
    np.testing.assert_allclose(load_encoder(tmp_path / "home").encode(PIXELS), keras_says(weights), rtol=1e-5)


def test_a_file_that_keras_itself_writes_is_read(tmp_path: Path) -> None:
    for name in ("exp3", "exp6d"):
        model = build(vary(PRESETS[name], {"size": "16", "filters": "4,8", "latent_dim": "6"}))
        model.save(tmp_path / f"{name}.h5")
        preset = import_model(tmp_path / f"{name}.h5", tmp_path / name).preset
        assert (preset.relu, preset.slope) == (name == "exp6d", 0.3)
        weights = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
        expected = keras_says(weights, preset)
        np.testing.assert_allclose(load_encoder(tmp_path / name).encode(PIXELS), expected, rtol=1e-4, atol=1e-6)


def test_weights_alone_do_not_tell_slope_and_relu(tmp_path: Path) -> None:
    weights = write_model(tmp_path / "weights.h5", SMALL, config="")
    with pytest.raises(UsageError, match="also give --slope and --relu or --no-relu"):
        import_model(tmp_path / "weights.h5", tmp_path / "home")
    with pytest.raises(UsageError, match="also give --relu or --no-relu"):
        import_model(tmp_path / "weights.h5", tmp_path / "home", slope=0.2)
    import_model(tmp_path / "weights.h5", tmp_path / "home", slope=0.2, relu=True)
    np.testing.assert_allclose(load_encoder(tmp_path / "home").encode(PIXELS), keras_says(weights), rtol=1e-5)


def test_what_a_file_tells_is_not_contradicted(tmp_path: Path) -> None:
    write_model(tmp_path / "model.h5", SMALL)
    for said in ({"slope": 0.3}, {"relu": False}):
        with pytest.raises(UsageError, match="itself says"):
            import_model(tmp_path / "model.h5", tmp_path / "home", **said)
    import_model(tmp_path / "model.h5", tmp_path / "home", slope=0.2, relu=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.replace('"strides": [2, 2]', '"strides": [1, 1]', 1),
        lambda config: config.replace("0.001", "0.01", 1),
        lambda config: config.replace('"alpha": 0.2', '"alpha": 0.4', 1),
        lambda config: config.replace('"alpha": 0.2', '"alpha": -7', 4),
        lambda config: config.replace("sigmoid", "tanh"),
        lambda config: config.replace("channels_last", "channels_first"),
        lambda config: config.replace('"Flatten"', '"GlobalAveragePooling2D"'),
        lambda config: "[" * 100_000,
        lambda config: "null",
        lambda config: '{"class_name": "Functional"}',
        lambda config: '{"config": {"layers": [7]}}',
    ],
)
def test_another_architecture_is_refused(tmp_path: Path, change: Any) -> None:
    write_model(tmp_path / "model.h5", SMALL, config=change(described_config(SMALL)))
    with pytest.raises(EncoderError, match="not a model of the original system"):
        import_model(tmp_path / "model.h5", tmp_path / "home")


def changed(name: str, number: int, change: Any) -> dict[str, list[np.ndarray]]:
    weights = weights_of(SMALL)
    weights[name][number] = change(weights[name][number])
    return weights


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        (lambda: changed("embedding", 0, lambda a: a[:, :5]), "embedding has"),
        (lambda: changed("embedding", 0, lambda a: a[:-8]), "embedding has"),
        (lambda: changed("down1", 0, lambda a: a[..., :7]), "expected"),
        (lambda: changed("up0", 0, lambda a: a.transpose(0, 1, 3, 2)), "up0 has"),
        (lambda: changed("colours", 1, lambda a: a * np.nan), "not finite"),
        (lambda: changed("down0_norm", 3, lambda a: -a), "variance below zero"),
        (lambda: dict(reversed(weights_of(SMALL).items())), "colours has|its layers|has \\["),
        (lambda: {k: v for k, v in weights_of(SMALL).items() if k != "up1_norm"}, "its layers with weights are"),
        (lambda: {"down0": weights_of(SMALL)["down0"]}, "its layers with weights are c"),
        (lambda: changed("down1", 0, lambda a: a[..., :0]), "no filters"),
        (dict, "its layers with weights are none"),
    ],
)
def test_weights_of_another_shape_or_order_are_refused(tmp_path: Path, weights: Any, problem: str) -> None:
    write_model(tmp_path / "model.h5", SMALL, weights())
    with pytest.raises(EncoderError, match=problem):
        import_model(tmp_path / "model.h5", tmp_path / "home")
    assert not (tmp_path / "home" / "encoder.json").exists()


def test_the_folder_is_one_of_a_training_and_says_that_it_is_imported(tmp_path: Path) -> None:
    write_model(tmp_path / "model.h5", SMALL)
    home = import_model(tmp_path / "model.h5", tmp_path / "home").folder
    assert {path.name for path in home.iterdir()} == {"encoder.onnx", "encoder.json", "model.weights.h5", "preset.json"}
    notes = json.loads((home / "preset.json").read_text())
    assert notes["imported"]["file"] == "model.h5"
    assert len(notes["imported"]["sha256"]) == 64
    for seed in range(6):
        (tmp_path / "photos").mkdir(exist_ok=True)
        make_picture(seed).save(tmp_path / "photos" / f"{seed}.png")
    errors = reconstruction_error(home, tmp_path / "photos")
    assert (errors["held_out_mse"], errors["train_mse"], errors["n_unknown"]) == (None, None, 6)
    originals, made = reconstructions(home, tmp_path / "photos", ["0.png", "1.png"])
    assert errors["unknown_mse"] > 0
    assert originals.shape == made.shape
    with pytest.raises(TrainingError, match="another training"):
        train(tmp_path / "photos", home, SMALL)
    with pytest.raises(TrainingError, match="holds a training already"):
        import_model(tmp_path / "model.h5", home)
