"""Query pictures: read like any other picture, and cropped to the views that are encoded."""

from __future__ import annotations

import importlib
import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from lookalike.encoders.composition import encode_whole
from lookalike.errors import UnreadableImage, UsageError
from lookalike.images.decode import VANISHED, Limits, Unreadable, as_read, fit, open_rgb
from lookalike.images.origins import open_picture
from lookalike.images.paths import is_gone, show_path
from lookalike.images.viewed import ViewedPicture
from lookalike.images.whole import describe_whole
from lookalike.search.query import IN_MEMORY, Content
from lookalike.store.keys import absolute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.crop import Crop
    from lookalike.images.decode import View
    from lookalike.search.query import Source

__all__ = ["draw_text", "encode_views", "query_views", "read_crop_of", "read_picture"]

_CHANNELS, _BYTE = (1, 3, 4), 255


def read_picture(source: Source, view: View | None = None) -> Image.Image:
    """Read a query as an upright picture, just large enough for `view`, or in full without one.

    Raises UnreadableImage.
    """
    if isinstance(source, Image.Image):
        try:
            return as_read(source)
        except Unreadable as reason:
            raise UnreadableImage(f"a picture of mode {source.mode}: {reason}") from None
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, ViewedPicture):
        return source.small
    least = view.short_side if view else None
    if isinstance(source, Content):
        try:
            return open_rgb(io.BytesIO(source.data), Limits(), at_least=least).copy()
        except Unreadable as reason:
            raise UnreadableImage(f"{source.name}: {reason}") from None
    path = absolute(source)
    try:
        with open_picture(path, Limits(), at_least=least) as image:
            return image.copy()
    except Unreadable as reason:
        raise _refuse(path, reason) from None


def _refuse(path: bytes, reason: Unreadable) -> UnreadableImage:
    """The error for a query that cannot be read."""
    if os.path.isdir(path):
        return UnreadableImage(f"{show_path(path)}: a folder, not a picture", hint="name a picture in it")
    why = "no such file" if is_gone(path) or str(reason) == VANISHED else str(reason)
    return UnreadableImage(f"{show_path(path)}: {why}")


def read_crop_of(source: Source, crop: Crop) -> Image.Image:
    """Read a part of a picture, given as for `read_picture`. Raises UnreadableImage; UsageError where it is outside."""
    image = read_picture(source)
    whole = (source.width, source.height) if isinstance(source, ViewedPicture) else image.size
    try:
        left, top, right, bottom = crop.find_box(whole)
        across, down = image.width / whole[0], image.height / whole[1]
        return image.crop(_round_out(left * across, top * down, right * across, bottom * down))
    except UsageError as error:
        if not isinstance(source, IN_MEMORY):
            error.args = (f"{show_path(absolute(source))}: {error}",)
        raise


def _round_out(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    """A rectangle rounded to whole pixels, at least one wide and high."""
    return int(left), int(top), max(int(left) + 1, round(right)), max(int(top) + 1, round(bottom))


def draw_text(text: str) -> Image.Image:
    """Draw a text as the picture that represents the query."""
    montage = importlib.import_module("lookalike.search.montage")  # a late import, as in `hits`
    return cast("Image.Image", montage.draw_text(text))


def query_views(encoder: Encoder) -> list[View]:
    """The query views: the encoder's own crop, and the whole picture if that crop leaves something out.

    A picture that was cropped from another shows, as a whole, what the encoder sees of the other (docs/decisions.md).
    """
    view = encoder.view
    return [view] if view.crop == 1 else [view, replace(view, crop=1.0)]


def encode_views(
    encoder: Encoder, images: Sequence[Image.Image | ViewedPicture], dim: int
) -> list[NDArray[np.float32]]:
    """The embeddings of each picture's query views, float32 (views, dim); encoding together is twice as fast."""
    views = query_views(encoder)
    pixels = [square for image in images for square in _cut(image, views)]
    wholes = [described for image in images for described in [_describe(image)] * len(views)]
    return np.split(encode_whole(encoder, np.stack(pixels), wholes, dim), len(images)) if pixels else []


def _cut(image: Image.Image | ViewedPicture, views: Sequence[View]) -> list[NDArray[np.uint8]]:
    """A picture as each view sees it, uint8 (size, size, 3)."""
    if not isinstance(image, ViewedPicture):
        return [np.asarray(fit(image, view)) for view in views]
    if image.size != views[0].size:
        raise UsageError(f"the picture was cut to {image.size} pixels, but its encoder sees {views[0].size}")
    squares = np.frombuffer(image.views, np.uint8).reshape(-1, image.size, image.size, 3)
    return list(squares[: len(views)])  # the encoder's own view comes first, as in `query_views`


def _describe(image: Image.Image | ViewedPicture) -> bytes:
    return image.whole if isinstance(image, ViewedPicture) else describe_whole(image)


def _from_array(array: NDArray[Any]) -> Image.Image:
    """The picture in an array, RGB or RGBA. Raises UnreadableImage with the way to convert any other array."""
    wanted = (
        f"an array {array.dtype} {array.shape} is not a picture: expected uint8 (h, w), (h, w, 1), (h, w, 3) or RGBA"
    )
    if (hint := _how_to_convert(array)) is not None:
        raise UnreadableImage(wanted, hint=hint)
    pixels = np.ascontiguousarray(array if array.shape[2:] != (1,) else array[..., 0])
    return read_picture(Image.fromarray(pixels))


def _how_to_convert(array: NDArray[Any]) -> str | None:
    """How an array `x` becomes one that is a picture; None if it is one."""
    if array.size == 0:
        return "the array is empty: give one that has pixels"
    if array.dtype.kind not in "buif":
        return "give the pixels as numbers: np.asarray(picture, np.uint8)"
    steps = [step for step in (_fix_shape(array.shape), _fix_type(array)) if step is not None]
    if not steps and array.shape[0] * array.shape[1] > Limits().megapixels * 1e6:
        return f"at most {Limits().megapixels:g} million pixels; make it smaller: x[::2, ::2]"
    return f"convert it: {', then '.join(steps)}" if steps else None


def _fix_shape(shape: tuple[int, ...]) -> str | None:
    if len(shape) == 2 or (len(shape) == 3 and shape[-1] in _CHANNELS):
        return None
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return "x = np.moveaxis(x, 0, -1)"
    if len(shape) == 4:
        return "x = x[0], or search_many(x) for all of them"
    return "give it the shape (h, w) or (h, w, 3)"


def _fix_type(array: NDArray[Any]) -> str | None:
    if array.dtype == np.uint8:
        return None
    if array.dtype == bool:
        return "x = x.astype(np.uint8) * 255"
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        is_share = len(finite) > 0 and finite.min() >= 0 and finite.max() <= 1
        bytes_ = "np.nan_to_num(x) * 255" if is_share else "np.nan_to_num(x)"
        return f"x = ({bytes_}).clip(0, 255).astype(np.uint8)"
    if array.min() >= 0 and array.max() > _BYTE:
        return "x = (x / x.max() * 255).astype(np.uint8)"
    return "x = x.clip(0, 255).astype(np.uint8)"
