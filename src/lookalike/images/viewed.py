"""Pictures decoded in a worker for a server: a query cut by an encoder's views, or a picture made small.

A worker answers with pixels of a fixed length, so a picture of any shape is laid into the top left corner of a square.
Nothing but Pillow and the standard library is imported: workers import this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.errors import UsageError
from lookalike.images.crop import read_crop
from lookalike.images.decode import DecodedPicture, Unreadable, View, fit, open_file
from lookalike.images.ground import on_ground
from lookalike.images.sample import take_sample
from lookalike.images.whole import describe_whole

if TYPE_CHECKING:
    from lookalike.images.decode import Limits

__all__ = ["CUTS", "OUTSIDE", "ViewedPicture", "decode_small", "decode_views", "name_part", "take_small", "take_views"]

CUTS = 3
"""What `decode_views` gives of a picture: the encoder's own view, the whole view, and all of it made small."""

OUTSIDE = "the part "
"""How the reason begins when the part of a picture that is asked for does not lie within it."""

_BETWEEN = b"\0"  # a path and the part of the picture that is meant; no path has it


@dataclass(frozen=True, slots=True, eq=False)
class ViewedPicture:
    """A query picture that was decoded elsewhere, of which only what a search needs is left.

    views: RGB of the encoder's own view and of the whole view, one after the other, each size * size * 3 bytes.
    whole: by `lookalike.images.whole.describe_whole`. sample: by `lookalike.images.sample`. width, height: of the
    picture in its file. small: the picture with sides of at most `size`. part_of: the id of the gallery's picture that
    this is a part of, which is left out of its hits; 0 for any other.
    """

    views: bytes
    size: int
    whole: bytes
    sample: bytes
    width: int
    height: int
    small: Image.Image
    part_of: int = 0


def name_part(path: bytes, part: str) -> bytes:
    """What `decode_views` takes for a part of a picture, as `lookalike.images.crop` reads it; the path alone for ""."""
    return path + _BETWEEN + part.encode() if part else path


def decode_views(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """Read a query picture; its pixels are `CUTS` squares of the view's size. Raises Unreadable.

    path: as `name_part` gives it. A part is cut out of the picture in full, and then is what the query shows.
    """
    path, _, part = path.partition(_BETWEEN)
    with open_file(path, limits, at_least=None if part else view.short_side) as whole:
        image = _cut_part(whole, part.decode()) if part else whole
        plain = on_ground(image)
        cuts = [fit(image, view), fit(image, replace(view, crop=1.0)), _lay_in_square(plain, image, view.size)]
        about = describe_whole(image), take_sample(plain)
        return _picture(b"".join(cut.tobytes() for cut in cuts), image, *about)


def decode_small(path: bytes, view: View, limits: Limits) -> DecodedPicture:
    """Read a picture made small enough for the view's square, which are its pixels. Raises Unreadable."""
    with open_file(path, limits, at_least=view.size) as image:
        return _picture(_lay_in_square(on_ground(image), image, view.size).tobytes(), image)


def take_views(picture: DecodedPicture, view: View) -> ViewedPicture:
    """The query in what `decode_views` gave, whose length the pool has checked."""
    square = view.size**2 * 3
    small = _cut_out(picture.pixels[2 * square :], picture, view.size)
    return ViewedPicture(
        picture.pixels[: 2 * square], view.size, picture.whole, picture.sample, picture.width, picture.height, small
    )


def take_small(picture: DecodedPicture, size: int) -> Image.Image:
    """The picture in what `decode_small` gave, RGB, with sides of at most `size` and never larger than its file's."""
    return _cut_out(picture.pixels, picture, size)


def _cut_part(image: Image.Image, part: str) -> Image.Image:
    """A part of a picture as if it were the whole of it. Raises Unreadable."""
    try:
        box = read_crop(part).find_box(image.size)
    except UsageError as error:
        raise Unreadable(str(error)) from None
    cut = image.crop(box)
    cut.info = {**image.info, "original_size": cut.size}
    return cut


def _picture(pixels: bytes, image: Image.Image, *about: bytes) -> DecodedPicture:
    width, height = image.info["original_size"]
    kind = str(image.info["original_format"])
    return DecodedPicture(pixels, bytes(32), width, height, kind, None, None, *about)


def _lay_in_square(plain: Image.Image, image: Image.Image, size: int) -> Image.Image:
    square = Image.new("RGB", (size, size))
    width, height = image.info["original_size"]
    fitted = _fit_in(width, height, size)
    square.paste(plain.resize(fitted, Image.Resampling.BICUBIC, reducing_gap=3.0))
    return square


def _cut_out(pixels: bytes, picture: DecodedPicture, size: int) -> Image.Image:
    square = Image.frombytes("RGB", (size, size), pixels)
    return square.crop((0, 0, *_fit_in(picture.width, picture.height, size)))


def _fit_in(width: int, height: int, size: int) -> tuple[int, int]:
    """The sides of a picture that is made no larger than a square."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
