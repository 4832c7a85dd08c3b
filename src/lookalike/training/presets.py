"""The described experiments: what to train. Each preset states only what it changes in the one before it.

Names and values are those of the original system's log. Sizes are sides in pixels, learning rates are Adam's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, get_args

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PRESETS", "Model", "Precision", "Preset", "Schedule", "find_preset", "vary"]

Schedule = Literal["constant", "time-based", "linear"]
Model = Literal["convolutional", "linear", "compact"]
Precision = Literal["float32", "mixed"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One training of an autoencoder.

    model: "convolutional" is the described one. "linear" is the principal components of the pixels; an epoch is a pass
    over the pictures, and learning rates, penalties and filters do not apply. "compact" is a smaller network of this
    project; penalties and filters do not apply. schedule: "time-based" divides the learning rate by
    1 + steps * rate / epochs; "linear" takes it to zero over the epochs, raised to `power`, and changes once an epoch.
    l1_activity, l2_kernel: penalties on the embedding and on the weights of its layer. relu: whether a ReLU follows it.
    fraction: the share of the pictures to train on. grey: train on brightness alone. histogram: the share of the
    similarity that a colour histogram has, which is joined with the embedding. precision: "mixed" computes in half
    precision and keeps weights in float32. slope: of the LeakyReLU below zero. contrast: the weight of a contrastive
    loss on the embeddings, added to the squared error; temperature: of its softmax; labelled: whether all pictures of a
    folder belong together in it, or only two views of one picture.
    """

    name: str
    description: str
    latent_dim: int = 128
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    power: float = 1.0
    epochs: int = 50
    l1_activity: float = 0.0
    l2_kernel: float = 0.0
    relu: bool = False
    flip: bool = False
    fraction: float = 0.75
    batch_size: int = 32
    size: int = 256
    filters: tuple[int, ...] = (32, 64)
    seed: int = 1
    model: Model = "convolutional"
    grey: bool = False
    histogram: float = 0.0
    precision: Precision = "float32"
    slope: float = 0.3
    contrast: float = 0.0
    temperature: float = 0.2
    labelled: bool = False


_BASE = Preset("base", "the base model: overfits from epoch 15")
_EXP1 = replace(_BASE, name="exp1", description="half the epochs", epochs=25)
_EXP2 = replace(_EXP1, name="exp2", description="time-based learning-rate decay", schedule="time-based")
_EXP3 = replace(_EXP1, name="exp3", description="linear learning-rate decay", schedule="linear")
_EXP4 = replace(_EXP3, name="exp4", description="higher initial learning rate", learning_rate=1e-2)
_EXP5A = replace(
    _EXP4, name="exp5a", description="L1 penalty on the embedding, ReLU after it", l1_activity=1e-3, relu=True
)
_EXP5B = replace(_EXP5A, name="exp5b", description="a tenth of the L1 penalty", l1_activity=1e-4)
_EXP5C = replace(_EXP5B, name="exp5c", description="192 dimensions", latent_dim=192)
_EXP5D = replace(_EXP5C, name="exp5d", description="lower learning rate again", learning_rate=1e-3)
_EXP5E = replace(_EXP5D, name="exp5e", description="more epochs", epochs=40)
_EXP6A = replace(_EXP5E, name="exp6a", description="L2 penalty on the weights of the embedding", l2_kernel=5e-4)
_EXP6B = replace(_EXP6A, name="exp6b", description="smaller L2 penalty", l2_kernel=2e-4)
_EXP6C = replace(_EXP6B, name="exp6c", description="smaller L2 penalty still, more epochs", l2_kernel=1e-4, epochs=50)
_EXP6D = replace(_EXP6C, name="exp6d", description="more epochs: the best of the described experiments", epochs=60)
_EXP7A = replace(_EXP6D, name="exp7a", description="random mirroring as augmentation", flip=True)
_EXP7B = replace(_EXP7A, name="exp7b", description="half the epochs", epochs=30)
_EXP7C = replace(_EXP7A, name="exp7c", description="higher learning rate", learning_rate=5e-3)
_FINAL = replace(_EXP6D, name="final", description="the final model: exp6d on all pictures", fraction=1.0)
_TINY = replace(
    _EXP3, name="tiny", description="a quick try: 48 pixels, about a minute", size=48, epochs=12, latent_dim=64
)
_LINEAR = Preset(
    "linear", "principal components of the pixels: the baseline for every network", model="linear",
    latent_dim=192, flip=True, epochs=5, batch_size=64,
)  # fmt: skip

_COMPACT = replace(
    _LINEAR, name="compact", description="principal components of thumbnails, and a small network for the rest",
    model="compact", schedule="linear", epochs=60,
)  # fmt: skip
_HYBRID = replace(
    _EXP6D, name="hybrid", description="trained on brightness, joined with a colour histogram", grey=True, histogram=0.5
)

_CONTRASTIVE = replace(
    _EXP3, name="contrastive", description="contrastive loss: views of one picture belong together",
    latent_dim=192, epochs=60, size=64, batch_size=128, contrast=0.1,
)  # fmt: skip
_SUPERVISED = replace(
    _CONTRASTIVE,
    name="supervised",
    description="contrastive loss: pictures of one folder belong together",
    labelled=True,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _BASE, _EXP1, _EXP2, _EXP3, _EXP4, _EXP5A, _EXP5B, _EXP5C, _EXP5D, _EXP5E, _EXP6A, _EXP6B, _EXP6C, _EXP6D,
        _EXP7A, _EXP7B, _EXP7C, _FINAL, _TINY, _LINEAR,
        _COMPACT, _HYBRID, _CONTRASTIVE, _SUPERVISED,
    )
}  # fmt: skip

_RANGES: dict[str, tuple[float, float]] = {
    "latent_dim": (1, 65536),
    "learning_rate": (1e-9, 10),
    "power": (0, 100),
    "epochs": (1, 100_000),
    "l1_activity": (0, 10),
    "l2_kernel": (0, 10),
    "fraction": (0.01, 1),
    "histogram": (0, 0.99),
    "batch_size": (1, 4096),
    "size": (8, 2048),
    "seed": (0, 2**31),
    "slope": (0, 1),
    "contrast": (0, 100),
    "temperature": (0.01, 10),
}
_WORDS = ["true", "false", "yes", "no", "1", "0"]
_FILTERS = range(4097)
_CHOICES = (get_args(Schedule), get_args(Precision))


def find_preset(name: str) -> Preset:
    """Return the preset of this name. Raises UsageError."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=f"one of {', '.join(PRESETS)}")
    return PRESETS[name]


def vary(preset: Preset, changes: Mapping[str, str]) -> Preset:
    """Return the preset with some values changed, given as text: {"epochs": "5"}.

    Raises UsageError for an unknown name, and for a value that is invalid or out of range.
    """
    allowed = [field.name for field in fields(Preset) if field.name not in {"name", "description", "model"}]
    for key in changes:
        if key not in allowed:
            raise UsageError(f"a preset has no value {key!r}", hint=f"one of {', '.join(allowed)}")
    parsed = {key: _parse(key, text, getattr(preset, key)) for key, text in changes.items()}
    varied = replace(preset, **parsed)  # type: ignore[arg-type]
    if varied.size % 2 ** len(varied.filters):
        raise UsageError(f"size {varied.size} cannot be halved {len(varied.filters)} times")
    if varied.contrast and varied.model != "convolutional":
        raise UsageError(f"{preset.name} cannot be trained with a contrastive loss", hint="use --preset contrastive")
    return varied


def _parse(key: str, text: str, current: object) -> object:
    try:
        value = _convert(text, current)
    except (ValueError, IndexError, StopIteration):
        raise UsageError(f"{key}={text}: not a valid value for {key}; it is {current} now") from None
    low, high = _RANGES.get(key, (0, 0))
    if key in _RANGES and not low <= float(str(value)) <= high:
        raise UsageError(f"{key}={text} is out of range: {low:g} to {high:g}")
    return value


def _convert(text: str, current: object) -> object:
    """Convert a text to the type of `current`. Raises ValueError."""
    if isinstance(current, bool):
        return _WORDS.index(text.lower()) % 2 == 0
    if isinstance(current, int):
        return int(text)
    if isinstance(current, float):
        return float(text)
    if isinstance(current, tuple):
        return tuple(_FILTERS[int(part)] for part in text.split(","))
    return next(word for words in _CHOICES if current in words for word in words if word == text)
