"""Turn one picture file into pixels, or into the reason why not.

What is decoded is decided by content, never by the file's name, and only by the decoders in `FORMATS`.
One frame stands for an animation or a document: the first, or, where that shows nothing, the first that does. The
others count in the description of the whole picture alone.
The orientation is the only metadata that is read wherever a picture is opened. `decode`, which runs in the bounded
worker, also reads when and with which camera it was taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

from PIL import (  # the decoders of FORMATS, by name: otherwise Pillow imports all of its own at the first TIFF
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from lookalike.errors import UsageError
from lookalike.files import MARK, bears_mark
from lookalike.images import jxl
from lookalike.images.deep_png import deep_mode, read_if_dark, scale_transparency
from lookalike.images.exif import read_capture
from lookalike.images.ground import choose_ground, drop_empty_alpha, lay_on, on_ground
from lookalike.images.integrity import check_decoded, check_file, webp_pixels
from lookalike.images.paths import READ_FLAGS
from lookalike.images.perceptual import BRIGHTNESS_SIZE, take_brightness
from lookalike.images.preview import find_preview
from lookalike.images.sample import SIZE as SAMPLE_SIZE
from lookalike.images.sample import take_sample
from lookalike.images.tiff import read_page, read_pages
from lookalike.images.unreadable import DAMAGED, TRUNCATED, VANISHED, VARIANT, Unreadable, is_variant, plain_reasons
from lookalike.images.whole import SIZE, describe_whole, digest_jpeg, digest_pixels, glance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from io import BufferedReader

    from lookalike.images.preview import Preview
    from lookalike.images.tiff import Page

__all__ = [
    "FORMATS",
    "VANISHED",
    "DecodedPicture",
    "Limits",
    "Unreadable",
    "View",
    "as_read",
    "decode",
    "fit",
    "open_file",
    "open_rgb",
]

_PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    GifImagePlugin,
    BmpImagePlugin,
    WebPImagePlugin,
    TiffImagePlugin,
    AvifImagePlugin,
    PpmImagePlugin,
)
FORMATS: list[str] = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM"]
with contextlib.suppress(ImportError):  # the extra `heic`
    importlib.import_module("pillow_heif").register_heif_opener()
    FORMATS.append("HEIF")
with contextlib.suppress(ImportError):  # the extra `jxl`
    importlib.import_module("pillow_jxl")
    FORMATS.append("JXL")

_HEIF = rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif[12]|msf1)"
# First bytes of the formats of FORMATS: a file that begins like this and cannot be opened is a damaged picture.
_OWN = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP|II\*\x00|MM\x00\*|II\+\x00|MM\x00\+|P[1-6f]\s|....ftypavi[fs]"
    + (b"|" + _HEIF if "HEIF" in FORMATS else b"")
    + (b"|" + jxl.MAGIC if "JXL" in FORMATS else b""),
    re.DOTALL,
)
# First bytes of files that carry a picture's name but are not decoded.
_FOREIGN = (
    (rb"%PDF-", "PDF"),
    (rb"(\xc5\xd0\xd3\xc6|%!PS)", "EPS"),
    (rb"\x00\x00[\x01\x02]\x00", "ICO"),
    (rb"8BPS", "PSD"),
    (rb"P7\s", "PAM"),
    (rb"PF\s", "PFM in colour"),
    (rb"FUJIFILMCCD-RAW |....ftypcrx |II(RO|RS|U\x00)|MMOR|FOVb", "RAW without an embedded JPEG"),
    (_HEIF, "HEIC: install lookalike[heic]"),
    (jxl.MAGIC, "JPEG XL: install lookalike[jxl]"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"....ftyp(qt  |isom|iso[2-6]|mp4[12]|M4V |3g)", "video"),
    (rb"(\xef\xbb\xbf)?\s*<svg", "SVG"),
    (rb"(\xef\xbb\xbf)?\s*<(\?xml|!--|!doctype svg)(?s:.*)<svg", "SVG"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype|!--|html|head|body|\?xml)", "HTML or XML"),
)

_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_DIRECT = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"} | _WITH_ALPHA
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
# Modes that can be made smaller before they are converted: not those whose pixels are numbers of colours.
_REDUCIBLE = {"L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}

_MOST = 1e6  # millions of pixels, and seconds, that a limit may be: more than any file or person has
_TIFF = re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+")
_FRAMES = 16  # of an animation or a document that are looked at
_GLANCED = 16e6  # pixels of the frames beside the one that is shown that are looked at; one frame in any case
_PIECE = 1 << 20  # bytes that are hashed at once
_GLANCE, _FAINT = 64, 32  # pixels of a side at which frames are looked at; of 255, differences that show nothing

_ORIENTATION = 0x0112  # the EXIF tag; what has to be done to a picture that was stored in this orientation
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}


@dataclass(frozen=True, slots=True)
class View:
    """How a picture is cut for an encoder: the middle `crop` of its short side, square, scaled to `size` pixels.

    size: pixels of a side, crop: fraction in (0, 1]. detail: at least this many pixels of a picture's side are decoded
    for each of the view's: with 2 the last step of making it smaller is left to our own filter, with 1 to a JPEG's
    decoder, which has half the work. Part of an encoder's fingerprint.
    """

    size: int = 224
    crop: float = 1.0
    detail: float = 2.0

    @property
    def short_side(self) -> int:
        """Pixels of the short side that a picture is decoded to, at least; a smaller one as it is."""
        return math.ceil(self.detail * math.ceil(self.size / self.crop))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one file: millions of pixels, known from its header before it is decoded, and seconds in a worker."""

    megapixels: float = 100.0
    seconds: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("megapixels", self.megapixels), ("seconds", self.seconds)):
            if not 0 < value <= _MOST:
                raise UsageError(f"a limit of {value:g} {name} makes no sense", hint=f"give 0 < {name} <= {_MOST:g}")

    @property
    def worker_mib(self) -> int:
        """MiB of address space a worker may have: 16 bytes for each pixel of the largest picture, and 512.

        A decoder needs 4 to 8 bytes a pixel, that of WebP up to 16; a worker that has opened nothing has 100 MiB.
        `DecoderPool` starts no more workers than fit into the machine's memory with this share each.
        """
        return 512 + math.ceil(16 * self.megapixels * 1e6 / 2**20)


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture: `pixels` are size * size * 3 bytes RGB, `digest` is the SHA-256 of the whole file.

    whole: what `lookalike.images.whole.describe_whole` says of the picture. sample: some of its pixels, as
    `lookalike.images.sample` takes them. brightness: as `lookalike.images.perceptual` takes it; 0 in a query.
    width, height: of the upright picture in its file. taken_at: by the camera's clock, aware only where the camera
    recorded its offset from UTC. camera: its maker and model, at most 64 printable characters.
    """

    pixels: bytes
    digest: bytes
    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera: str | None = None
    whole: bytes = bytes(SIZE)
    sample: bytes = bytes(SAMPLE_SIZE)
    brightness: bytes = bytes(BRIGHTNESS_SIZE)


def decode(path: bytes, view: View, limits: Limits | None = None) -> DecodedPicture:
    """Read the file at `path` and cut it by `view`; the digest is of exactly the bytes that were decoded.

    Raises Unreadable with the reason, also for what Lookalike has drawn itself, which is not a photograph.
    """
    with _open_regular(path) as file, _quiet_reasons():
        before = os.fstat(file.fileno())
        if bears_mark(file):
            raise Unreadable(MARK)
        image = _load(file, limits, view.short_side)
        capture = read_capture(file, image)
        image = _to_upright(image, view.short_side)
        pixels, ground = fit(image, view).tobytes(), on_ground(image)
        about = describe_whole(image), take_sample(ground), take_brightness(ground)
        digest = _digest(file)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unreadable("changed while it was read")
    width, height = image.info["original_size"]
    return DecodedPicture(pixels, digest, width, height, str(image.info["original_format"]), *capture, *about)


@contextlib.contextmanager
def open_file(path: bytes, limits: Limits | None = None, *, at_least: int | None = None) -> Iterator[Image.Image]:
    """Open the regular file at `path` as `open_rgb` does, and close it at the end."""
    with _open_regular(path) as file, open_rgb(file, limits, at_least=at_least) as image:
        yield image


def open_rgb(file: IO[bytes], limits: Limits | None = None, *, at_least: int | None = None) -> Image.Image:
    """Open a picture as RGB or RGBA, upright, with its own size and format in `info["original_..."]`.

    at_least: of the short side, in pixels; a larger picture is then given at a fraction of its size.
    Raises Unreadable with the reason.
    """
    with _quiet_reasons():
        return _to_upright(_load(file, limits, at_least), at_least)


def as_read(image: Image.Image) -> Image.Image:
    """A picture that Pillow opened or made as RGB or RGBA of eight bits, upright, as if read from its file.

    Raises Unreadable with the reason.
    """
    with _quiet_reasons():
        if getattr(image, "fp", None) is not None and getattr(image, "tile", None) and not image.tell():
            with contextlib.suppress(Unreadable, OSError, ValueError):  # a file that begins within another one
                return _read_again(image.fp)  # type: ignore[attr-defined]
        image.load()
        is_film = _is_animated(image) and not image.tell()
        shown = _find_shown(image) if is_film else image
        upright = _apply_turn(_to_eight_bits(shown, None), _find_turn(shown))
        upright.info = {"frames": _glance_at_frames(_later_frames(image, math.inf), image.size)} if is_film else {}
        return upright


def fit(image: Image.Image, view: View) -> Image.Image:
    """Cut the middle out of any picture: RGB of view.size x view.size pixels, on a ground where it is transparent."""
    width, height = image.size
    side = max(min(width, height) * view.crop, min(1.0, width, height))
    left, top = (width - side) / 2, (height - side) / 2
    if image.mode not in {"RGB", "RGBA", "L"}:
        image = image.convert("RGB")
    image = drop_empty_alpha(image)
    box = (left, top, left + side, top + side)
    square = image.resize((view.size, view.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return lay_on(square, choose_ground(image)) if image.mode == "RGBA" else square.convert("RGB")


def _open_regular(path: bytes) -> BufferedReader:
    """Open without following a link, without waiting for a FIFO's other end, and only a regular file."""
    with plain_reasons():
        descriptor = os.open(path, READ_FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable("not a regular file")
        return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def _quiet_reasons() -> Iterator[None]:
    """`plain_reasons` without warnings: Pillow warns of bombs at a size of its own and of broken metadata."""
    with plain_reasons(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_again(file: IO[bytes]) -> Image.Image:
    """The picture in a file that Pillow has opened and not yet loaded; the file stays where it is."""
    position = file.tell()
    try:
        file.seek(0)
        return _to_upright(_load(file, Limits(_MOST), None), None)
    finally:
        file.seek(position)


def _find_shown(image: Image.Image) -> Image.Image:
    """A copy of the first frame of an animation in memory that shows something; of the first frame if none does."""
    first = image.copy()
    try:
        if _shows_nothing(first):
            for frame in _later_frames(image, math.inf):
                if not _shows_nothing(frame):
                    return frame.copy()
    finally:
        image.seek(0)
    return first


def _load(file: IO[bytes], limits: Limits | None, at_least: int | None) -> Image.Image:
    """The whole picture as its decoder gives it, perhaps smaller; its own size is `info["original_size"]`.

    If its first frame shows nothing, it is the first that does, of `_FRAMES` with no more pixels than the limit. The
    other frames are then `info["frames"]`, and `info["hidden"]` stands for all that is not shown.
    """
    limits = limits or Limits()
    image = next(_read_frames(file, limits, at_least))
    if not image.info["has_more"]:
        return image
    shown = _find_frame(file, limits, at_least) if _shows_nothing(image) else image
    shown.info["frames"] = _glance_at_frames(
        islice(_read_frames(file, limits, _GLANCE), 1, None), image.info["original_size"]
    )
    shown.info["hidden"] = _digest(file)
    return shown


def _find_frame(file: IO[bytes], limits: Limits, at_least: int | None) -> Image.Image:
    """The first frame that shows something; the first frame if none does."""
    for frame in _read_frames(file, limits, at_least):
        if not _shows_nothing(frame):
            return frame
    return next(_read_frames(file, limits, at_least))


def _glance_at_frames(frames: Iterator[Image.Image], first: tuple[int, int]) -> list[Image.Image]:
    """What the frames behind one of this size look like in the coarse: as many as have `_GLANCED` pixels, at least one.

    It ends at a frame that is damaged.
    """
    found: list[Image.Image] = []
    with contextlib.suppress(Exception):  # one frame is a picture, whatever follows
        few = islice(frames, max(1, int(_GLANCED // math.prod(first))))
        found.extend(glance(_to_eight_bits(frame, _GLANCE)) for frame in few)
    return found


def _read_frames(file: IO[bytes], limits: Limits, at_least: int | None) -> Iterator[Image.Image]:
    """The first frames of a file, loaded, at least one; the image may be the same each time. Raises Unreadable."""
    preview = find_preview(file)
    if preview is not None:
        yield _load_preview(preview, limits, at_least)
        return
    file.seek(0)
    pages = read_pages(file, _FRAMES) if _TIFF.match(file.read(4)) else iter(())
    page = next(pages, None)
    file.seek(0)
    if page is None:
        yield from _read_pillow_frames(file, limits, at_least)
        return
    yield _load_page(file, page, limits, at_least)
    left = limits.megapixels * 1e6
    with contextlib.suppress(Exception):  # the first page is a picture, whatever follows
        for later in pages:
            left -= math.prod(later.size)
            if left < 0:
                return
            yield _load_page(file, later, limits, at_least)


def _load_preview(preview: Preview, limits: Limits, at_least: int | None) -> Image.Image:
    """The JPEG in a RAW file, turned as that says unless the JPEG says so itself. Raises Unreadable."""
    file = io.BytesIO(preview.data)
    image = _load_frame(file, _identify(file, limits), at_least)
    if preview.orientation is not None and _ORIENTATION not in image.getexif():
        image.getexif()[_ORIENTATION] = preview.orientation
    image.format, image.info["has_more"] = "RAW", False
    return image


def _load_page(file: IO[bytes], page: Page, limits: Limits, at_least: int | None) -> Image.Image:
    """One page of a TIFF. Raises Unreadable."""
    _check_size(math.prod(page.size), limits)
    if page.for_pillow:
        file.seek(0)
        image = _identify(file, limits)
        image.seek(page.number)
        image = _load_frame(file, image, at_least)
    else:
        image = read_page(page, limits.megapixels, at_least)
        image.info = {"hidden": _digest(file) if image.size != page.size else b"", "frames": []}
        image.getexif()[_ORIENTATION] = page.orientation
        image.format = "TIFF"
    image.info |= {"original_size": page.size, "has_more": not page.is_last}
    return image


def _read_pillow_frames(file: IO[bytes], limits: Limits, at_least: int | None) -> Iterator[Image.Image]:
    image = _identify(file, limits)
    yield _load_frame(file, image, at_least)
    if _is_animated(image):
        for later in _later_frames(image, limits.megapixels * 1e6):
            yield _load_frame(file, later, at_least)


def _later_frames(image: Image.Image, pixels: float) -> Iterator[Image.Image]:
    """The image at each of its frames after the first, until there are too many, or one is damaged."""
    with contextlib.suppress(Exception):  # the first frame is a picture, whatever follows
        for number in range(1, _FRAMES):
            image.seek(number)
            pixels -= math.prod(image.size)
            if pixels < 0:
                return
            yield image


def _is_animated(image: Image.Image) -> bool:
    """Whether there are other frames to choose from; those of a multi-picture JPEG are views of the same."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _load_frame(file: IO[bytes], image: Image.Image, at_least: int | None) -> Image.Image:
    """Load the frame at which an opened picture is."""
    size, deep, has_more, hidden = image.size, deep_mode(image), _is_animated(image), b""
    if at_least is not None and image.draft(None, (at_least, at_least)) and image.size != size:
        position = file.tell()
        hidden = digest_jpeg(file)
        file.seek(position)
    image.load()
    check_decoded(file, image)
    if deep:
        scale_transparency(image)
        image = read_if_dark(file, image, deep)
    image.info |= {"original_size": size, "has_more": has_more, "hidden": hidden, "frames": []}
    return image


def _shows_nothing(image: Image.Image) -> bool:
    """Whether a frame is of one colour, or nearly: no lines, no shapes."""
    small = drop_empty_alpha(_to_eight_bits(image, _GLANCE))
    plain = on_ground(small).resize((_GLANCE, _GLANCE), Image.Resampling.BOX)
    return all(high - low < _FAINT for low, high in cast("tuple[tuple[int, int], ...]", plain.getextrema()))


def _to_upright(image: Image.Image, at_least: int | None) -> Image.Image:
    """A picture that was loaded as RGB or RGBA, turned as its orientation says; nothing else of its metadata stays."""
    about, format_, turn = image.info, image.format, _find_turn(image)
    hidden, frames = about["hidden"], [_apply_turn(frame, turn) for frame in about["frames"]]
    if not hidden and at_least is not None and min(image.size) // at_least > 1:
        hidden = digest_pixels(image)
    image = _apply_turn(_to_eight_bits(image, at_least), turn)
    size = about["original_size"][::-1] if turn in _ON_ITS_SIDE else about["original_size"]
    image.info = {"original_size": size, "original_format": format_, "hidden": hidden, "frames": frames}
    return image


def _identify(file: IO[bytes], limits: Limits) -> Image.Image:
    """Open a picture whose header is within the limits, without decoding it. Raises Unreadable."""
    position = file.tell()
    _check_size(jxl.count_pixels(file), limits)
    file.seek(position)
    try:
        image = Image.open(file, formats=FORMATS)
    except OSError as error:
        if error.errno:
            raise
        raise Unreadable(VARIANT if is_variant(error) else _why_unidentified(file, limits)) from None
    except Image.DecompressionBombError as error:  # "Image size (400000000 pixels) exceeds ..."
        _check_size(int((re.findall(r"\d+", str(error)) or [0])[0]), limits)
        raise
    _check_size(image.size[0] * image.size[1], limits)
    check_file(file, image.format)
    return image


def _digest(file: IO[bytes]) -> bytes:
    """The SHA-256 of a whole file."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.digest()


def _check_size(pixels: int, limits: Limits) -> None:
    if pixels > limits.megapixels * 1e6:
        size, limit = (f"{n:,.2f}".rstrip("0").rstrip(".") for n in (pixels / 1e6, limits.megapixels))
        raise Unreadable(f"{size} MP, limit {limit} MP, raise with --max-megapixels")


def _why_unidentified(file: IO[bytes], limits: Limits) -> str:
    """The reason why no allowed decoder opens a file, as far as its first bytes tell."""
    file.seek(0)
    head = file.read(2048)
    if _OWN.match(head):
        watched = _Watched(file)
        with contextlib.suppress(Exception):
            Image.open(cast("IO[bytes]", watched), formats=FORMATS)
        if head.startswith(b"RIFF"):  # its decoder wants memory for all pixels before it says how many there are
            _check_size(webp_pixels(head), limits)
            check_file(file, "WEBP")
        if head[4:8] == b"ftyp":
            check_file(file, "HEIF")
        return TRUNCATED if watched.ran_out else DAMAGED
    for pattern, name in _FOREIGN:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return f"unsupported format ({name})"
    return "not an image"


class _Watched:
    """A file that notices when more is read than it has."""

    def __init__(self, file: IO[bytes]) -> None:
        self.ran_out = False
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.ran_out |= len(data) < size
        return data


def _to_eight_bits(image: Image.Image, at_least: int | None) -> Image.Image:
    """Convert any mode to RGB or RGBA. More than eight bits are scaled by the range that the picture uses.

    Pillow itself clips 16 bits to white and floats to black. LAB and HSV would be taken for RGB: refused.
    """
    if image.mode in _DEEP:
        image = _scale_deep(image)
    if image.mode not in _DIRECT:
        raise Unreadable(f"unsupported mode {image.mode}")
    mode = "RGBA" if image.mode in _WITH_ALPHA or "transparency" in image.info else "RGB"
    if image.mode not in _REDUCIBLE or "transparency" in image.info:
        image = image.convert(mode)
    image = drop_empty_alpha(image)
    # Smaller first: converting a large picture as a whole would take its memory a second time.
    factor = 1 if at_least is None else min(image.size) // at_least
    if factor > 1:
        image = image.reduce(factor)
    mode = "RGBA" if image.mode in _WITH_ALPHA else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _scale_deep(image: Image.Image) -> Image.Image:
    """More than eight bits as eight, by `tones`."""
    numpy, tones = importlib.import_module("numpy"), importlib.import_module("lookalike.images.tones")
    values = numpy.asarray(image)[:, :, None]
    if image.mode == "I" and values.min() >= 0 and values.max() < 1 << 16:
        values = values.astype(numpy.uint16)  # what Pillow gives for 16 bits of a PPM
    bits = values.dtype.itemsize * 8
    return Image.fromarray(tones.to_eight_bits(tones.collect([(0, values)], values.shape, bits, 1))[:, :, 0])


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes a picture upright by its metadata; None if it is upright or they are broken."""
    try:
        return _TURNS.get(cast("int", image.getexif().get(_ORIENTATION)))
    except Exception:  # noqa: BLE001  (whatever a broken EXIF block raises)
        return None


def _apply_turn(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)
