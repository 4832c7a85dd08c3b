"""Query pictures: read like any other picture, and cropped to the views that are encoded."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from lookalike.encoders.composition import encode_whole
from lookalike.errors import UnreadableImage
from lookalike.images.decode import Limits, Unreadable, as_read, fit, on_white, open_file
from lookalike.images.paths import show_path
from lookalike.images.whole import describe_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.decode import View
    from lookalike.search.query import Source

__all__ = ["draw_text", "encode_views", "query_views", "read_picture"]


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
    path = os.path.abspath(os.fsencode(source))
    try:
        with open_file(os.path.realpath(path), Limits(), at_least=view.short_side if view else None) as image:
            return image.copy()
    except Unreadable as reason:
        why = str(reason) if os.path.lexists(path) else "no such file"
        raise UnreadableImage(f"{show_path(path)}: {why}") from None


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


def encode_views(encoder: Encoder, images: Sequence[Image.Image], dim: int) -> list[NDArray[np.float32]]:
    """The embeddings of each picture's query views, float32 (views, dim); encoding together is twice as fast."""
    views = query_views(encoder)
    pixels = [np.asarray(fit(image, view)) for image in images for view in views]
    wholes = [described for image in images for described in [describe_whole(on_white(image))] * len(views)]
    return np.split(encode_whole(encoder, np.stack(pixels), wholes, dim), len(images)) if pixels else []


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in {2, 3} or array.size == 0:
        raise UnreadableImage(f"an array of {array.dtype} {array.shape}; expected uint8 (h, w, 3) or (h, w)")
    try:
        return Image.fromarray(array)
    except (TypeError, ValueError) as error:
        raise UnreadableImage(f"an array of {array.shape}: {error}") from None
