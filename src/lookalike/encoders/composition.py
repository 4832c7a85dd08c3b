"""What a gallery compares pictures by: an encoder's embedding, and beside it the whole picture.

An encoder sees the middle of a picture, and not every pixel of that. Two pictures that share only their middle would be
at distance 0, and people delete by it. So an embedding that is compared by cosine is composed of groups, each of length
1 times the root of its share, which makes the similarity of two embeddings the weighted mean of their groups':

    the encoder's embedding, or the groups that the encoder divides it into, each value raised to the group's exponent
    the layout: the colours of 4 x 4 cells over the whole picture, as in MPEG-7's colour layout (Manjunath et al. 2001)
    the pixels: a digest of all pixels as a direction, with a share so small that it never decides between two pictures;
    it keeps the distance of unequal pictures above 0

The layout's share was chosen over eight collections (docs/decisions.md), in which it also raises mAP and top-1.
Galleries of earlier versions have the encoder's embedding alone, which their dimension tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.encoders.groups import Weighing, groups_of
from lookalike.encoders.hybrid import HybridEncoder
from lookalike.images import whole
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder

    Rows = NDArray[np.float32]

__all__ = ["Group", "choose_shares", "compose", "composed_dim", "divide", "encode_whole", "layout_columns"]

_LAYOUT_SHARE = 0.05
_PIXELS_SHARE = 1e-6
_LAYOUT = whole.CELLS + 3  # dimensions: the cells relative to their mean, and the mean
_MEAN_WEIGHT = 0.25
_FAINT = 48.0  # the length, in levels of 255, below which a layout counts for less: noise in a plain picture


class Group(NamedTuple):
    """Some dimensions of an embedding: how many, their share of the similarity, and the encoder that makes them.

    encoder: None for the layout and the pixels. exponent: as in `lookalike.encoders.groups.EncoderGroup`.
    """

    dim: int
    share: float
    encoder: Encoder | None
    exponent: float = 1.0


def composed_dim(encoder: Encoder) -> int:
    """The dimensions of an embedding in a new gallery with this encoder."""
    return encoder.dim + _LAYOUT + whole.PIXELS if encoder.metric == "cosine" else encoder.dim


def layout_columns(encoder: Encoder, dim: int) -> slice | None:
    """Which of the dimensions of an embedding are the layout's 48 cells relative to their mean; None without one."""
    start = dim - _LAYOUT - whole.PIXELS
    return None if dim == encoder.dim else slice(start, start + whole.CELLS)


def divide(encoder: Encoder, dim: int) -> list[Group]:
    """The groups of an embedding with `dim` dimensions: those of `composed_dim`, or of the encoder alone."""
    if isinstance(encoder, HybridEncoder):
        own = [Group(part.dim, part.share, each) for part, each in zip(encoder.parts, encoder.encoders, strict=True)]
    elif dim == encoder.dim:
        return [Group(dim, 1.0, encoder)]
    else:
        own = [Group(group.dim, group.share, encoder, group.exponent) for group in groups_of(encoder)]
    if dim == encoder.dim:
        return own
    rest = 1 - _LAYOUT_SHARE - _PIXELS_SHARE
    beside = [Group(_LAYOUT, _LAYOUT_SHARE, None), Group(whole.PIXELS, _PIXELS_SHARE, None)]
    return [*(group._replace(share=group.share * rest) for group in own), *beside]


def choose_shares(encoder: Encoder, rows: Rows) -> list[float]:
    """The share of each group for these embeddings, float32 (n, dim): as the encoder chooses, or else as usual."""
    groups = divide(encoder, rows.shape[1])
    if rows.shape[1] == encoder.dim or not len(rows) or not isinstance(encoder, Weighing):
        return [group.share for group in groups]
    own = [group for group in groups if group.encoder is not None]
    parts = np.split(rows, np.cumsum([group.dim for group in groups])[:-1], axis=1)
    before = [unit(_raise(unit(part), 1 / group.exponent)) for part, group in zip(parts, own, strict=False)]
    chosen, together = encoder.choose_shares(np.concatenate(before, axis=1)), sum(group.share for group in own)
    return [*(share * together for share in chosen), *(group.share for group in groups[len(own) :])]


def encode_whole(encoder: Encoder, images: NDArray[np.uint8], wholes: Sequence[bytes], dim: int) -> Rows:
    """Encode pictures cut by the encoder's view, uint8 (n, size, size, 3), into embeddings, float32 (n, dim).

    wholes: what `lookalike.images.whole.describe_whole` says of each picture. dim: as for `divide`.
    """
    return compose(encoder, encoder.encode(images), wholes, dim)


def compose(encoder: Encoder, rows: Rows, wholes: Sequence[bytes], dim: int) -> Rows:
    """Compose embeddings, float32 (n, dim), from the encoder's, float32 (n, encoder.dim), and the pictures' wholes."""
    if dim == encoder.dim:
        return rows
    bytes_ = np.frombuffer(b"".join(wholes), np.uint8).reshape(len(rows), whole.SIZE)
    *groups, layout, pixels = divide(encoder, dim)
    own = np.split(rows, np.cumsum([group.dim for group in groups])[:-1], axis=1)
    raised = [_raise(part, group.exponent) for part, group in zip(own, groups, strict=True)]
    beside = [_layout(bytes_[:, : whole.CELLS]), unit(bytes_[:, whole.CELLS :] - np.float32(127.5))]
    parts = zip([*map(unit, raised), *beside], [*groups, layout, pixels], strict=True)
    return np.concatenate([part * group.share**0.5 for part, group in parts], axis=1, dtype=np.float32)


def _raise(rows: Rows, exponent: float) -> Rows:
    return rows if exponent == 1 else np.asarray(np.sign(rows) * np.abs(rows) ** np.float32(exponent))


def _layout(cells: NDArray[np.uint8]) -> Rows:
    """The cells of each picture relative to their mean colour, and that, float32 (n, 51), of length 1 unless faint."""
    colours = cells.reshape(len(cells), whole.CELLS // 3, 3).astype(np.float32)
    mean = colours.mean(axis=1, keepdims=True)
    parts = [(colours - mean).reshape(cells.shape), _MEAN_WEIGHT * (mean[:, 0] - np.float32(127.5))]
    layout = np.concatenate(parts, axis=1)
    return np.asarray(layout / np.maximum(np.linalg.norm(layout, axis=1, keepdims=True), np.float32(_FAINT)))
