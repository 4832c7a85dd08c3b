"""The groups of an encoder's embedding: which of its dimensions a gallery adapts together, and how much they count.

The last features of a network and its earlier stages, say, answer different questions. As one group, the wider spread
of one hides the other. An encoder says how its embedding is divided by a member `groups`; without it, all dimensions
are one group. An encoder may also choose, for the pictures of one gallery, how much each group counts (`Weighing`);
otherwise each has its usual share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from lookalike.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder

__all__ = ["EncoderGroup", "Grouped", "Weighing", "groups_of"]


class EncoderGroup(NamedTuple):
    """Consecutive dimensions of an encoder's embedding: how many, and their share of the similarity.

    The shares of all groups are together 1. exponent: the power to which a gallery raises the absolute value of each
    dimension; below 1 it keeps a few strong features from deciding alone.
    """

    dim: int
    share: float = 1.0
    exponent: float = 1.0


@runtime_checkable
class Grouped(Protocol):
    """An encoder that says how its embedding is divided, in the order of its dimensions."""

    @property
    def groups(self) -> Sequence[EncoderGroup]:
        """One or more groups."""


@runtime_checkable
class Weighing(Grouped, Protocol):
    """An encoder that can say of a gallery's pictures, without labels, which groups should count more in it."""

    def choose_shares(self, embeddings: NDArray[np.float32]) -> Sequence[float]:
        """The share of each group, together 1, for embeddings float32 (n, dim), n >= 1, whose groups have length 1."""


def groups_of(encoder: Encoder) -> list[EncoderGroup]:
    """The groups of an encoder's embedding, by default one of all dimensions.

    Raises EncoderError for groups that do not cover the embedding, or whose shares are not positive, or do not add up
    to 1.
    """
    groups = list(encoder.groups) if isinstance(encoder, Grouped) else [EncoderGroup(encoder.dim)]
    if min((group.dim for group in groups), default=0) < 1 or sum(group.dim for group in groups) != encoder.dim:
        sizes = " + ".join(str(group.dim) for group in groups) or "none"
        raise EncoderError(
            f"the groups of the encoder {encoder.name} ({sizes}) do not add up to {encoder.dim} dimensions"
        )
    if min(group.share for group in groups) <= 0 or not math.isclose(sum(group.share for group in groups), 1):
        shares = " + ".join(f"{group.share:g}" for group in groups)
        raise EncoderError(
            f"the shares of the encoder {encoder.name} ({shares}) are not positive, or do not add up to 1"
        )
    return groups
