"""Turn one picture file into pixels, or into the reason why not.

What is decoded is decided by content, never by the file's name, and only by the decoders in `FORMATS`.
Of the metadata nothing but the orientation is read. Of an animation or a document, only the first frame.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from PIL import (  # the decoders of FORMATS, by name: Pillow would otherwise import all it has at the first TIFF
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FORMATS",
    "VANISHED",
    "Limits",
    "Picture",
    "Unreadable",
    "View",
    "decode",
    "fit",
    "open_file",
    "open_rgb",
    "show_path",
]

_PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    GifImagePlugin,
    BmpImagePlugin,
    WebPImagePlugin,
    TiffImagePlugin,
)
FORMATS: list[str] = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]
with contextlib.suppress(ImportError):
    importlib.import_module("pillow_heif").register_heif_opener()  # the extra `heif`
    FORMATS.append("HEIF")

# First bytes of what people find under a picture's name but Lookalike does not decode.
_FOREIGN = (
    (rb"%PDF-", "PDF"),
    (rb"(\xc5\xd0\xd3\xc6|%!PS)", "EPS"),
    (rb"\x00\x00[\x01\x02]\x00", "ICO"),
    (rb"8BPS", "PSD"),
    (rb"....ftyp(heic|heix|mif1|msf1|hevc)", "HEIF: install the extra `heif`"),
    (rb"....ftypavi[fs]", "AVIF"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.*?)?(<!--.*?-->\s*)*<svg", "SVG"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", "HTML or XML"),
)

VANISHED = "vanished"
_BY_ERRNO = {
    errno.ENOENT: VANISHED,
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "is a symbolic link",
    errno.ENAMETOOLONG: "path is too long",
    errno.ENXIO: "not a regular file",
    errno.EISDIR: "not a regular file",
}

_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_DIRECT = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"} | _WITH_ALPHA
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


class Unreadable(Exception):  # noqa: N818  (it is a reason that becomes a row of the report, not an error that ends a run)
    """Why a file is skipped. `str()` is one line without the path, from a small closed set of phrases."""


@dataclass(frozen=True, slots=True)
class View:
    """How a picture is cut for an encoder: the middle `crop` of its short side, square, scaled to `size` pixels.

    size: pixels of a side, crop: fraction in (0, 1]. Part of an encoder's fingerprint.
    """

    size: int = 224
    crop: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one file: million pixels before decoding, seconds in a worker, MiB of a worker's memory."""

    megapixels: float = 100.0
    seconds: float = 10.0
    worker_mib: int = 2048


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: `pixels` are size * size * 3 bytes RGB, `digest` is the SHA-256 of the whole file."""

    pixels: bytes
    digest: bytes
    width: int
    height: int
    format: str


def decode(path: bytes, view: View, limits: Limits | None = None) -> Picture:
    """Read the file at `path` and cut it by `view`; the digest is of exactly the bytes that were decoded.

    Raises Unreadable with the reason.
    """
    limits = limits or Limits()
    with _open_regular(path) as file, _reasons():
        before = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        with open_rgb(file, limits, at_least=math.ceil(view.size / view.crop)) as image:
            width, height = image.info["original_size"]
            format_ = str(image.info["original_format"])
            pixels = fit(image, view).tobytes()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unreadable("changed while it was read")
    return Picture(pixels, digest, width, height, format_)


@contextlib.contextmanager
def open_file(
    path: bytes, limits: Limits | None = None, *, at_least: int | None = None
) -> Iterator[Image.Image]:
    """`open_rgb` of the regular file at `path`."""
    with _open_regular(path) as file, open_rgb(file, limits, at_least=at_least) as image:
        yield image


def open_rgb(file: IO[bytes], limits: Limits | None = None, *, at_least: int | None = None) -> Image.Image:
    """Open a picture as RGB or RGBA, upright, with its own size and format in `info["original_..."]`.

    at_least: the short side that is needed, in pixels; a large JPEG is then decoded at a fraction of its size.
    Raises Unreadable with the reason.
    """
    limits = limits or Limits()
    with _reasons(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of bombs at a size of its own and of broken metadata
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.UnidentifiedImageError:
            raise Unreadable(_foreign(file)) from None
        size, format_ = image.size, image.format
        megapixels = size[0] * size[1] / 1e6
        if megapixels > limits.megapixels:
            raise Unreadable(
                f"{megapixels:.0f} MP, limit {limits.megapixels:.0f} MP, raise with --max-megapixels"
            )
        if at_least is not None:
            image.draft(
                None, (2 * at_least, 2 * at_least)
            )  # twice, so that our own filter does the last step
        image.load()
        upright = _upright(_eight_bits(image))
    turned = upright.size != image.size
    upright.info = {"original_size": size[::-1] if turned else size, "original_format": format_}
    return upright


def fit(image: Image.Image, view: View) -> Image.Image:
    """Cut the middle of any picture to `view`: an RGB picture of view.size x view.size, on white if transparent."""
    width, height = image.size
    side = max(min(width, height) * view.crop, min(1.0, width, height))
    left, top = (width - side) / 2, (height - side) / 2
    if image.mode not in {"RGB", "RGBA", "L"}:
        image = image.convert("RGB")
    box = (left, top, left + side, top + side)
    square = image.resize((view.size, view.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return _on_white(square)


def show_path(path: bytes) -> str:
    """A path as one printable line: what a terminal could act on and bytes that are not UTF-8 are escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _open_regular(path: bytes) -> IO[bytes]:
    """Open without following a link, without waiting for a FIFO's other end, and only a regular file."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    )
    with _reasons():
        descriptor = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable("not a regular file")
        return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into one of a few plain reasons."""
    try:
        yield
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(_BY_ERRNO.get(error.errno or 0) or _plain_reason(error)) from None
    except MemoryError:
        raise Unreadable("needs more memory than a worker may have") from None
    except Image.DecompressionBombError:
        raise Unreadable("more pixels than its decoder allows") from None
    except Exception as error:  # noqa: BLE001  (Pillow's decoders raise nearly every class on damaged files)
        raise Unreadable(_plain_reason(error)) from None


def _plain_reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {error.strerror}"
    text = str(error).lower()
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError):
        return "file is truncated"
    if "too large" in text or "max_text" in text or "decompressed data" in text:
        return "metadata is too large"
    return "file is damaged"


def _foreign(file: IO[bytes]) -> str:
    """Say what a file is that no allowed decoder takes."""
    file.seek(0)
    head = file.read(2048)
    for pattern, name in _FOREIGN:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return f"unsupported format ({name})"
    return "not an image"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode as RGB or RGBA. More than eight bits are scaled by the range the picture uses.

    Pillow itself clips 16 bits to white and floats to black. LAB and HSV would be taken for RGB: refused.
    """
    if image.mode in _DEEP:
        return _scaled(image).convert("RGB")
    if image.mode not in _DIRECT:
        raise Unreadable(f"unsupported mode {image.mode}")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Unreadable("pixels are not finite")
    if high <= low:
        return Image.new("L", image.size, 128)  # one value everywhere: grey, whatever the value
    image = image.convert("F")
    return image.point(lambda value: value * (255.0 / (high - low)) + (-low * 255.0 / (high - low))).convert(
        "L"
    )


def _upright(image: Image.Image) -> Image.Image:
    """Apply the orientation of the metadata; broken metadata is ignored, not fatal."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  (whatever a broken EXIF block raises)
        return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
