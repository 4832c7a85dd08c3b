"""The described autoencoder in Keras 3: two convolutions down, one dense layer for the embedding, and back."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from lookalike.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.training.presets import Preset

__all__ = ["EPSILON", "build", "embedding_name", "encoder_of", "load_keras", "mixed_policy", "rate_at", "schedule_of"]

EPSILON = 1e-3  # added to variances by the normalisation; Keras's default


def load_keras() -> Any:  # noqa: ANN401  (a module)
    """Keras 3 on TensorFlow, whatever the user's own default backend is. Raises MissingExtra."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its log of how it found the processor is for its makers
    try:
        with _silence():
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.get_logger().setLevel("ERROR")  # several models in one process are no fault of the user's
            return importlib.import_module("keras")
    except ImportError as error:
        raise MissingExtra(
            f"training needs a package that is missing: {error.name}", hint='pip install "lookalike[train]"'
        ) from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing on file 2 meanwhile: TensorFlow says two things there as it is loaded, whatever its log level is."""
    if "tensorflow" in sys.modules:
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def mixed_policy(preset: Preset) -> Iterator[None]:
    """Layers made inside compute in half precision if the preset asks for it; weights stay float32.

    bfloat16 on a processor, which has the range of float32; float16 on a graphics processor, where Keras scales
    the loss.
    """
    policies = load_keras().config
    before = policies.dtype_policy()
    try:
        if preset.precision == "mixed":
            devices = importlib.import_module("tensorflow").config.list_physical_devices("GPU")
            policies.set_dtype_policy("mixed_float16" if devices else "mixed_bfloat16")
        yield
    finally:
        policies.set_dtype_policy(before)


def build(preset: Preset) -> Any:  # noqa: ANN401  (keras.Model: Keras has no types)
    """The autoencoder: float32 (n, size, size, 3) in [0, 1] in, the same out; (n, size, size, 1) in grey.

    101,002,051 parameters at 256 pixels and 192 numbers.
    """
    keras = load_keras()
    layers = keras.layers
    colours = 1 if preset.grey else 3
    inputs = keras.Input((preset.size, preset.size, colours), name="picture")
    flow = _encode(keras, inputs, preset)
    side = preset.size // 2 ** len(preset.filters)
    shape = (side, side, preset.filters[-1])
    flow = layers.Dense(math.prod(shape), name="unfold")(flow)
    flow = layers.Reshape(shape, name="unflat")(flow)
    for number, filters in reversed(list(enumerate(preset.filters))):
        flow = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", name=f"up{number}")(flow)
        flow = layers.LeakyReLU(negative_slope=preset.slope, name=f"up{number}_leaky")(flow)
        flow = layers.BatchNormalization(epsilon=EPSILON, name=f"up{number}_norm")(flow)
    flow = layers.Conv2DTranspose(colours, 3, padding="same", name="colours")(flow)
    outputs = layers.Activation("sigmoid", name="reconstruction", dtype="float32")(flow)
    return keras.Model(inputs, outputs, name=f"autoencoder_{preset.name}")


def encoder_of(autoencoder: Any, preset: Preset) -> Any:  # noqa: ANN401
    """The half of it that gives the embedding, float32 (n, latent_dim); the layers are the same ones."""
    last = autoencoder.get_layer(embedding_name(preset))
    return load_keras().Model(autoencoder.inputs[0], last.output, name="encoder")


def embedding_name(preset: Preset) -> str:
    """The name of the layer that gives the embedding."""
    return "embedding_relu" if preset.relu else "embedding"


def schedule_of(preset: Preset) -> Any:  # noqa: ANN401
    """The learning rate to begin with, or how it falls with every step."""
    if preset.schedule == "time-based":
        decay = preset.learning_rate / preset.epochs
        return load_keras().optimizers.schedules.InverseTimeDecay(preset.learning_rate, 1, decay)
    return preset.learning_rate


def rate_at(preset: Preset, epoch: int) -> float | None:
    """The learning rate that an epoch (from 0) is set to; None where the schedule is one of steps, or there is none."""
    if preset.schedule != "linear":
        return None
    return float(preset.learning_rate * (1 - epoch / preset.epochs) ** preset.power)


def _encode(keras: Any, flow: Any, preset: Preset) -> Any:  # noqa: ANN401
    layers = keras.layers
    for number, filters in enumerate(preset.filters):
        flow = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"down{number}")(flow)
        flow = layers.LeakyReLU(negative_slope=preset.slope, name=f"down{number}_leaky")(flow)
        flow = layers.BatchNormalization(epsilon=EPSILON, name=f"down{number}_norm")(flow)
    flow = _embedding(keras, preset)(layers.Flatten(name="flat")(flow))
    return layers.ReLU(name="embedding_relu")(flow) if preset.relu else flow


def _embedding(keras: Any, preset: Preset) -> Any:  # noqa: ANN401
    penalties = keras.regularizers
    return keras.layers.Dense(
        preset.latent_dim,
        name="embedding",
        dtype="float32",  # in mixed precision too: an embedding of 8 significant bits would be a poor one
        activity_regularizer=penalties.L1(preset.l1_activity) if preset.l1_activity else None,
        kernel_regularizer=penalties.L2(preset.l2_kernel) if preset.l2_kernel else None,
    )
