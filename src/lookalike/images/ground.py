"""What transparent pictures are laid on: a ground that their drawing differs from, so that it can be seen.

White unless the drawing itself is nearly white where it meets the transparent part; then black, or mid-grey if the
drawing is both very light and very dark there. An alpha channel that is zero everywhere hides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PIL import Image, ImageChops, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["choose_ground", "drop_empty_alpha", "lay_on", "on_ground"]

_WHITE, _GREY, _BLACK = 255, 128, 0
_CONTRAST = 64  # of luminance, of 255: what differs by less from its ground is not seen on it
_ENOUGH = 0.75  # of the outline that has to differ from white
_VISIBLE = 26  # alpha, of 255, from which on a pixel is part of the drawing
_SIDE = 256  # pixels of the short side of the copy that is looked at
_NOTHING = 2  # alpha, of 255, up to which a picture would be invisible


def drop_empty_alpha(image: Image.Image) -> Image.Image:
    """The picture without its alpha channel where that would hide all of it."""
    if image.mode not in {"RGBA", "LA"}:
        return image
    _, most = cast("tuple[int, int]", image.getchannel("A").getextrema())
    return image.convert(image.mode[:-1]) if most <= _NOTHING else image


def choose_ground(image: Image.Image) -> int:
    """The luminance, of 255, of the ground for an RGBA picture: 255, 128 or 0."""
    factor = min(image.size) // _SIDE
    small = image.reduce(factor) if factor > 1 else image
    visible = small.getchannel("A").point(lambda alpha: 255 * (alpha >= _VISIBLE))
    outline = ImageChops.subtract(visible, visible.filter(ImageFilter.MinFilter(3)))
    mask = outline if outline.getbbox() else small.getchannel("A")
    counts = small.convert("RGB").convert("L").histogram(mask)
    shares = {ground: _share_seen(counts, ground) for ground in (_WHITE, _BLACK, _GREY)}
    if shares[_WHITE] >= _ENOUGH or max(shares.values()) <= shares[_WHITE]:
        return _WHITE
    return _BLACK if shares[_BLACK] >= _ENOUGH else max(shares, key=shares.__getitem__)


def on_ground(image: Image.Image) -> Image.Image:
    """RGB: a picture with transparency on the ground that suits it."""
    return lay_on(image, choose_ground(image)) if image.mode == "RGBA" else image.convert("RGB")


def lay_on(image: Image.Image, ground: int) -> Image.Image:
    """RGB: what is transparent in RGBA is grey of this luminance."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    plain = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    return Image.alpha_composite(plain, image).convert("RGB")


def _share_seen(counts: Sequence[int], ground: int) -> float:
    """The part of a histogram of luminance that differs enough from the ground."""
    seen = sum(count for value, count in enumerate(counts) if abs(value - ground) >= _CONTRAST)
    return seen / (sum(counts) or 1)
