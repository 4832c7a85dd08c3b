"""The second byte of PNGs of 16 bits in colour, of which Pillow keeps only the first.

That is enough for pictures that use their 16 bits. One of 12 bits in 16 is nearly black in its first bytes, so the
second ones are read as well, by the same decoder under another raw mode.
"""

from __future__ import annotations

import importlib
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngImageFile

__all__ = ["deep_mode", "read_if_dark", "scale_transparency"]

_SECOND = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_DARK = 64  # first bytes below this are of 14 bits or fewer
_TAIL = 0.001  # of the samples, that may be brighter: as in `tones`


def deep_mode(image: Image.Image) -> str | None:
    """The raw mode of a PNG of 16 bits in colour or with alpha that is not loaded yet; None for all others."""
    tiles = getattr(image, "tile", None)
    mode = tiles[0].args if image.format == "PNG" and tiles else None
    mode = mode[0] if isinstance(mode, tuple) and mode else mode
    return mode if mode in {*_SECOND, "LA;16B"} else None


def scale_transparency(image: Image.Image) -> None:
    """Make the transparent colour of 16 bits one of eight, as the pixels are."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def read_if_dark(file: IO[bytes], image: Image.Image, mode: str) -> Image.Image:
    """The picture that was loaded or, if its depth is not used, the same scaled from both bytes of each sample."""
    colours = [channel for channel in image.split() if channel.mode == "L"][: 3 if mode != "LA;16B" else 1]
    counts = [sum(counts) for counts in zip(*(channel.histogram() for channel in colours), strict=True)]
    if sum(counts[_DARK:]) > _TAIL * sum(counts):
        return image
    numpy, tones = importlib.import_module("numpy"), importlib.import_module("lookalike.images.tones")
    both = _read_both(file, image, mode, numpy)
    samples = tones.collect([(0, both)], both.shape, 16, 1)
    pixels = tones.to_eight_bits(samples, both.shape[2] - 1 if mode != "RGB;16B" else None)
    result = Image.frombytes(
        "LA" if mode == "LA;16B" else image.mode, image.size, numpy.ascontiguousarray(pixels).tobytes()
    )
    result.format, result.info = image.format, image.info
    return result


def _read_both(file: IO[bytes], image: Image.Image, mode: str, numpy: Any) -> Any:  # noqa: ANN401  (late numpy)
    width, height = image.size
    if mode == "LA;16B":  # two samples of two bytes are as long as four of one
        octets = numpy.frombuffer(_read_as(file, "RGBA", "RGBA"), numpy.uint8)
        return octets.view(">u2").reshape(height, width, 2).astype(numpy.uint16)
    first = numpy.asarray(image).astype(numpy.uint16)
    second = numpy.frombuffer(_read_as(file, image.mode, _SECOND[mode]), numpy.uint8)
    return first << 8 | second.reshape(first.shape)


def _read_as(file: IO[bytes], mode: str, raw_mode: str) -> bytes:
    file.seek(0)
    image: PngImageFile = Image.open(file, formats=["PNG"])  # type: ignore[assignment]
    image._mode = mode  # noqa: SLF001  (Pillow has no other way to ask for other bytes)
    image.tile = [image.tile[0]._replace(args=raw_mode)]
    return image.tobytes()
