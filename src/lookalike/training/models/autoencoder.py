"""The described autoencoder in Keras 3: two convolutions, a dense layer for the embedding, and the way back."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

from lookalike.training.models.backend import has_gpu, load_keras

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.training.presets import Preset

__all__ = ["EPSILON", "build", "build_encoder", "create_schedule", "embedding_name", "mixed_policy", "rate_at"]

EPSILON = 1e-3  # added to variances by batch normalisation; Keras's default


@contextlib.contextmanager
def mixed_policy(preset: Preset) -> Iterator[None]:
    """Let layers that are created inside compute in half precision if the preset says so; weights stay float32.

    That is bfloat16 on a CPU, which has the range of float32, and float16 on a GPU, where Keras scales the loss.
    """
    policies = load_keras().config
    before = policies.dtype_policy()
    try:
        if preset.precision == "mixed":
            policies.set_dtype_policy("mixed_float16" if has_gpu() else "mixed_bfloat16")
        yield
    finally:
        policies.set_dtype_policy(before)


def build(preset: Preset) -> Any:  # noqa: ANN401  (keras.Model: Keras has no types)
    """Build the autoencoder: float32 (n, size, size, 3) in [0, 1] in, the same out; (n, size, size, 1) for grey.

    It has 101,002,051 parameters at 256 pixels and 192 dimensions.
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


def build_encoder(autoencoder: Any, preset: Preset) -> Any:  # noqa: ANN401
    """Build the half that gives the embedding, float32 (n, latent_dim); it shares the layers."""
    last = autoencoder.get_layer(embedding_name(preset))
    return load_keras().Model(autoencoder.inputs[0], last.output, name="encoder")


def embedding_name(preset: Preset) -> str:
    """The name of the layer that gives the embedding."""
    return "embedding_relu" if preset.relu else "embedding"


def create_schedule(preset: Preset) -> Any:  # noqa: ANN401
    """Return the initial learning rate, or a schedule that changes it with every step."""
    if preset.schedule == "time-based":
        decay = preset.learning_rate / preset.epochs
        return load_keras().optimizers.schedules.InverseTimeDecay(preset.learning_rate, 1, decay)
    return preset.learning_rate


def rate_at(preset: Preset, epoch: int) -> float | None:
    """Return the learning rate for an epoch, from 0; None unless the schedule changes it every epoch."""
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
        dtype="float32",  # in mixed precision too: an embedding with 8 significant bits would be poor
        activity_regularizer=penalties.L1(preset.l1_activity) if preset.l1_activity else None,
        kernel_regularizer=penalties.L2(preset.l2_kernel) if preset.l2_kernel else None,
    )
