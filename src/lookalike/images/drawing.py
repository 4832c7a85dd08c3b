"""Pictures that Lookalike draws: each says so in the file it is saved to, and is not indexed as a photograph."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from lookalike.files import MARK, expand_home, write_output

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.files import Protects

__all__ = ["Drawing", "as_drawing", "write_drawing"]

_SOFTWARE = 0x0131  # the EXIF tag
_QUALITY = 92


class Drawing(Image.Image):
    """A picture whose files bear the mark of Lookalike, in whatever format they are saved."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: A002, ANN401  (Pillow's names)
        """Save the drawing as Pillow does, with the mark in the metadata. Raises OSError, ValueError."""
        place = expand_home(fp) if isinstance(fp, str | bytes | os.PathLike) else fp
        super().save(place, format, **(_metadata() | params))


def as_drawing(image: Image.Image) -> Drawing:
    """The same picture, whose files will bear the mark."""
    image.load()
    image.__class__ = Drawing
    assert isinstance(image, Drawing)  # for the type checker
    return image


def write_drawing(image: Image.Image, path: Path, *, force: bool = False, protects: Protects | None = None) -> None:
    """Write a picture with the mark of Lookalike, in the format that the name's ending says.

    Raises UsageError where `lookalike.files.check_output` does, and for a file that cannot be written.
    """
    with write_output(path, force=force, protects=protects) as part:
        as_drawing(image.copy()).save(part, quality=_QUALITY)


def _metadata() -> dict[str, Any]:
    """The mark as each format keeps it; Pillow ignores what a format does not know."""
    text, exif = PngImagePlugin.PngInfo(), Image.Exif()
    text.add_text("Software", MARK)
    exif[_SOFTWARE] = MARK
    return {"pnginfo": text, "comment": MARK.encode(), "exif": exif.tobytes(), "software": MARK}
