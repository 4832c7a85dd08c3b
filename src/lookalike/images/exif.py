"""When and with which camera a picture was taken, from its EXIF block. Nothing else of the metadata is read.

The block is parsed by `tags` and not by Pillow, which loads every value of a directory. A text has at most 256 bytes,
and exactly two directories are read, so that no loop of directories and no false length costs time or memory. What is
broken is ignored. Tags: Exif 3.0 (CIPA DC-008-2023).
"""

from __future__ import annotations

import io
import re
from datetime import datetime, timedelta, timezone
from typing import IO, TYPE_CHECKING, NamedTuple

from lookalike.images.tags import open_block, read_at, read_directory

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.images.tags import Block, Directory, Entry

__all__ = ["Capture", "camera_name", "parse_camera", "parse_taken_at", "read_capture"]

CAMERA_LENGTH = 64  # characters
_YEARS = range(1826, 9999)  # from the oldest photograph that survives to the last year that any offset can be added to
_LARGEST_OFFSET = timedelta(hours=14)  # of a time zone: that of the Line Islands
_LONGEST = 256  # bytes of a text

_MAKE, _MODEL, _EXIF_IFD = 0x010F, 0x0110, 0x8769
_DATETIME, _ORIGINAL, _DIGITIZED = 0x0132, 0x9003, 0x9004
_OFFSETS = {_DATETIME: 0x9010, _ORIGINAL: 0x9011, _DIGITIZED: 0x9012}
_WANTED = frozenset({_MAKE, _MODEL, _EXIF_IFD, *_OFFSETS, *_OFFSETS.values()})

_TEXTS = frozenset({2, 129})  # the types ASCII and, since Exif 3.0, UTF-8
_POINTERS = {4: 4, 13: 4, 16: 8, 18: 8}  # bytes of LONG, IFD, LONG8, IFD8

_DATE = re.compile(rb"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(rb"([+-])(\d\d):([0-5]\d)")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2})?")


class Capture(NamedTuple):
    """What is known of how a picture was taken.

    taken_at: by the camera's clock, to the second; aware only where the camera recorded its offset from UTC.
    camera: maker and model, at most 64 printable characters.
    """

    taken_at: datetime | None = None
    camera: str | None = None


def read_capture(file: IO[bytes], image: Image.Image) -> Capture:
    """When and with which camera a picture that Pillow loaded from `file` was taken, if its metadata says so."""
    try:
        source = _find_exif(file, image)
        block = source and open_block(source)
        return _read_block(block) if block else Capture()
    except Exception:  # noqa: BLE001  (whatever a broken block raises, the picture is whole)
        return Capture()


def camera_name(make: bytes, model: bytes) -> str | None:
    """One name for maker and model, without naming the maker twice: "Canon", "Canon EOS 80D" is "Canon EOS 80D"."""
    maker, name = _clean(_decode(make)), _clean(_decode(model))
    first, begin = maker.casefold().partition(" ")[0], name.casefold()
    doubled = name and (begin.startswith(maker.casefold()) or begin.partition(" ")[0] == first)
    return _shorten(name if doubled else f"{maker} {name}") or None


def parse_taken_at(value: object) -> datetime | None:
    """`Capture.taken_at` from its `isoformat`. Raises ValueError for everything that `read_capture` never returns."""
    if value is None:
        return None
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        raise ValueError("not a time")
    taken_at = datetime.fromisoformat(value)
    if taken_at.year not in _YEARS or abs(taken_at.utcoffset() or timedelta()) > _LARGEST_OFFSET:
        raise ValueError("not a time when pictures were taken")
    return taken_at


def parse_camera(value: object) -> str | None:
    """`Capture.camera` as it is. Raises ValueError for everything that `read_capture` never returns."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or _shorten(_clean(value)) != value:
        raise ValueError("not the name of a camera")
    return value


def _find_exif(file: IO[bytes], image: Image.Image) -> IO[bytes] | None:
    """The EXIF block where Pillow finds it: a TIFF is one itself, other formats hold one."""
    data = image.info.get("exif")
    if data is None and "Raw profile type exif" in image.info:  # in PNGs that ImageMagick wrote, as hexadecimal text
        data = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    if isinstance(data, bytes):
        return io.BytesIO(data.removeprefix(b"Exif\0\0"))
    return file if image.format in {"TIFF", "RAW"} else None


def _read_block(block: Block) -> Capture:
    main = read_directory(block, block.first, _WANTED)
    pointer = main.get(_EXIF_IFD)
    where = _read_pointer(block, pointer) if pointer else None
    detail = read_directory(block, where, _WANTED) if where else {}
    camera = camera_name(_read_text(block, main.get(_MAKE)), _read_text(block, main.get(_MODEL)))
    return Capture(_read_time(block, main, detail), camera)


def _read_time(block: Block, main: Directory, detail: Directory) -> datetime | None:
    """The first valid one of the times when the picture was taken, digitised, last changed."""
    for tag, directory in ((_ORIGINAL, detail), (_DIGITIZED, detail), (_DATETIME, main)):
        taken_at = _parse_date(_read_text(block, directory.get(tag)))
        if taken_at is not None:
            return taken_at.replace(tzinfo=_parse_offset(_read_text(block, detail.get(_OFFSETS[tag]))))
    return None


def _read_pointer(block: Block, entry: Entry) -> int | None:
    """Where another directory is; None if the entry is not exactly one offset."""
    length = _POINTERS.get(entry.kind, 0)
    if entry.number != 1 or not 0 < length <= len(entry.value):
        return None
    return block.to_int(entry.value[:length])


def _read_text(block: Block, entry: Entry | None) -> bytes:
    """The bytes of a text without what follows its NUL; empty if it is not there, no text, or too long."""
    if entry is None or entry.kind not in _TEXTS or not 0 < entry.number <= _LONGEST:
        return b""
    if entry.number <= len(entry.value):
        data = entry.value[: entry.number]
    else:
        data = read_at(block.file, block.to_int(entry.value), entry.number)
    return data.partition(b"\0")[0] if len(data) == entry.number else b""


def _parse_date(text: bytes) -> datetime | None:
    """None unless it is exactly a date and a time: cameras whose clock is not set write zeros or blanks."""
    match = _DATE.fullmatch(text.rstrip(b" "))
    if match is None:
        return None
    year, *rest = map(int, match.groups())
    try:
        return datetime(year, *rest) if year in _YEARS else None  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def _parse_offset(text: bytes) -> timezone | None:
    match = _OFFSET.fullmatch(text.rstrip(b" "))
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == b"-" else offset) if offset <= _LARGEST_OFFSET else None


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _clean(text: str) -> str:
    """One line of printable characters, with one space where there was any white space."""
    return " ".join("".join(filter(str.isprintable, " ".join(text.split()))).split())


def _shorten(text: str) -> str:
    return text[:CAMERA_LENGTH].strip()
