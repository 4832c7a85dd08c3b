"""Encoders: pictures in, embeddings out. They know nothing of paths or galleries.

This module is the seam: what an encoder is, and what a way of learning one is. `registry` has their names and loads
them. A new encoder is one file and one line in a table of `registry`; the contract tests find it by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lookalike.encoders.devices import DEVICES, Device, check_device, on_device, wanted_device
from lookalike.encoders.groups import EncoderGroup, Grouped, Weighing
from lookalike.encoders.registry import (
    CARD,
    DEFAULT,
    MODEL,
    TEXT,
    TOKENIZER,
    encoder_names,
    fetch,
    find_learner,
    hub_names,
    lasting_name,
    learned_names,
    learned_parts,
    load_encoder,
    recall,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.images.decode import View
    from lookalike.vectors.metric import Metric

    Shown = tuple[NDArray[np.uint8], str]
    """A picture, uint8 (view.size, view.size, 3), and its class; an empty text where the class is not known."""

__all__ = [
    "CARD",
    "DEFAULT",
    "DEVICES",
    "MODEL",
    "TEXT",
    "TOKENIZER",
    "Device",
    "Encoder",
    "EncoderGroup",
    "Grouped",
    "Learner",
    "Weighing",
    "check_device",
    "encoder_names",
    "fetch",
    "find_learner",
    "hub_names",
    "lasting_name",
    "learned_names",
    "learned_parts",
    "load_encoder",
    "on_device",
    "recall",
    "wanted_device",
]


class Encoder(Protocol):
    """What every encoder offers. Its members are read-only; `encode` is called from one thread at a time.

    An encoder may also have a member `groups` (`Grouped`), which divides its embeddings; by default they are one group.
    With `choose_shares` (`Weighing`) it chooses, for the pictures of a gallery, how much each group counts.
    """

    @property
    def name(self) -> str:
        """Its name, unique among all encoders."""

    @property
    def view(self) -> View:
        """How a picture is cropped and resized before it is encoded."""

    @property
    def dim(self) -> int:
        """The number of dimensions of an embedding."""

    @property
    def metric(self) -> Metric:
        """How its embeddings are compared."""

    @property
    def trained_on(self) -> str:
        """What its weights were trained on; empty for an encoder without weights."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the same picture would get another embedding: weights, sizes, constants."""

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, view.size, view.size, 3) in, float32 (n, dim) out, finite."""


@dataclass(frozen=True, slots=True)
class Learner:
    """How an encoder is learned: from pictures cut by `view`, with their classes as far as these are known.

    learn: writes the model and its card into an existing folder; raises EncoderError for too few pictures.
    takes_labels: whether the classes make a difference.
    """

    view: View
    learn: Callable[[Iterable[Shown], Path], None]
    takes_labels: bool = False
