"""What a gallery is asked with: a query as a picture, and the looks at it that become embeddings."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from lookalike.errors import UnreadableImage
from lookalike.images.decode import Limits, Unreadable, as_read, fit, open_file, show_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.decode import View

    Query = str | bytes | os.PathLike[str] | Image.Image | NDArray[np.uint8]

__all__ = ["draw_query", "looks_at", "read_query", "views_of"]


def read_query(query: Query, view: View) -> tuple[Image.Image, bytes | None]:
    """A query as a picture that is large enough for `view`, and as the key it would have in a store.

    Raises UnreadableImage.
    """
    if isinstance(query, Image.Image):
        try:
            return as_read(query), None
        except Unreadable as reason:
            raise UnreadableImage(f"a picture of mode {query.mode}: {reason}") from None
    if isinstance(query, np.ndarray):
        return _from_array(query), None
    path = os.path.abspath(os.fsencode(query))
    try:
        with open_file(os.path.realpath(path), Limits(), at_least=view.short_side) as image:
            return image.copy(), path
    except Unreadable as reason:
        why = str(reason) if os.path.lexists(path) else "no such file"
        raise UnreadableImage(f"{show_path(path)}: {why}") from None


def draw_query(text: str) -> Image.Image:
    """A text as the picture that stands for the query."""
    montage = importlib.import_module("lookalike.search.montage")  # late, as in `hits`
    return cast("Image.Image", montage.draw_text(text))


def views_of(encoder: Encoder) -> list[View]:
    """How a query is looked at: as the encoder does, and whole if that leaves something out.

    What was cut from a picture shows, whole, what the encoder sees of the picture (docs/decisions.md).
    """
    view = encoder.view
    return [view] if view.crop == 1 else [view, replace(view, crop=1.0)]


def looks_at(encoder: Encoder, images: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
    """float32 (views, dim) of each of some pictures, encoded together: twice as fast on two cores."""
    views = views_of(encoder)
    pixels = [np.asarray(fit(image, view)) for image in images for view in views]
    return np.split(encoder.encode(np.stack(pixels)), len(images)) if pixels else []


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in {2, 3} or array.size == 0:
        raise UnreadableImage(f"an array of {array.dtype} {array.shape}; expected uint8 (h, w, 3) or (h, w)")
    try:
        return Image.fromarray(array)
    except (TypeError, ValueError) as error:
        raise UnreadableImage(f"an array of {array.shape}: {error}") from None
