"""What a gallery keeps of each picture beside its embedding: a perceptual hash, and how much of each colour it has.

hash      32 bytes, by `lookalike.images.perceptual`
colours   256 bytes, by `lookalike.images.colors`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.images.decode import DecodedPicture

__all__ = ["COLORS", "DESCRIPTION_SIZE", "HASH", "describe"]

HASH_SIZE = 32
"""Bytes of a perceptual hash; here and not beside it, as the command line's help is printed without Pillow."""

HASH = slice(0, HASH_SIZE)
COLORS = slice(HASH_SIZE, HASH_SIZE + 256)
DESCRIPTION_SIZE = COLORS.stop


def describe(pictures: Sequence[DecodedPicture]) -> list[bytes]:
    """The description of each picture, 288 bytes."""
    from lookalike.images.colors import count_colors  # noqa: PLC0415  (0.003 s, which a search need not spend)
    from lookalike.images.perceptual import hash_brightness  # noqa: PLC0415  (Pillow)

    hashes = hash_brightness([picture.brightness for picture in pictures])
    colors = count_colors([picture.sample for picture in pictures])
    return [hash_ + some for hash_, some in zip(hashes, colors, strict=True)]
