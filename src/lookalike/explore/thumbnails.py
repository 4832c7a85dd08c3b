"""Pictures read small, many at once, in the worker processes that read every picture."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.images.decode import DecodedPicture, Limits, Unreadable, View, open_file
from lookalike.images.ground import on_ground
from lookalike.images.origins import open_picture, real_path
from lookalike.images.pool import DecoderPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lookalike.images.pool import OnProgress

__all__ = ["open_for_sheet", "read_stretched", "read_thumbnails", "undo_stretch"]


_SIDE = 480  # pixels that the picture on top of a sheet is read with, at least
_BLANK = "#e8e8e8"


def open_for_sheet(path: Path) -> Image.Image:
    """The picture on top of a sheet; a grey square where its file is gone or cannot be read."""
    try:
        with open_picture(path, at_least=_SIDE) as image:
            return image.copy()
    except Unreadable:
        return Image.new("RGB", (_SIDE, _SIDE), _BLANK)


def read_stretched(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """The whole picture at `path`, stretched to a square of the view's size; called in a worker. Raises Unreadable."""
    with open_file(path, limits, at_least=view.short_side) as image:
        width, height = image.info["original_size"]
        square = on_ground(image).resize((view.size, view.size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return DecodedPicture(square.convert("RGB").tobytes(), bytes(32), width, height, "")


def read_thumbnails(
    paths: Sequence[Path], side: int, *, on_progress: OnProgress | None = None
) -> Iterator[Image.Image | None]:
    """Each picture, RGB, with a long side of `side` pixels; None if its file is gone or cannot be read."""
    if not paths:
        return
    real = [real_path(path) for path in paths]
    with DecoderPool(View(side, 1.0, 1.0), decoder=read_stretched) as pool, closing(pool.read(real)) as outcomes:
        for done, (_, outcome) in enumerate(outcomes, 1):
            yield undo_stretch(outcome, side) if isinstance(outcome, DecodedPicture) else None
            if on_progress is not None:
                on_progress(done, len(paths))


def undo_stretch(picture: DecodedPicture, side: int) -> Image.Image:
    """What `read_stretched` has read into a square of `side` pixels, RGB, in its own proportions."""
    square = Image.frombytes("RGB", (side, side), picture.pixels)
    return square.resize(_fit(picture.width, picture.height, side), Image.Resampling.BICUBIC)


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height, 1)
    return max(1, round(side * width / longest)), max(1, round(side * height / longest))
