"""The reasons why files are skipped: whatever the system or a decoder says becomes one of a few plain phrases."""

from __future__ import annotations

import contextlib
import errno
import re
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "DAMAGED",
    "NO_MEMORY",
    "TRUNCATED",
    "VANISHED",
    "VARIANT",
    "Unreadable",
    "is_variant",
    "needs_known_decoder",
    "plain_reasons",
]

VANISHED = "vanished"
TRUNCATED = "file is truncated"
DAMAGED = "file is damaged"
VARIANT = "unsupported format (a rare variant of it)"
NO_MEMORY = "needs more memory than a worker may have"

# How Pillow says that it does not know a variant of a format: "Unsupported BMP bitfields layout", "unknown raw mode".
_NOT_KNOWN = re.compile(
    r"unsupported|not supported|unknown|unrecogni[sz]ed|cannot handle|not implemented", re.IGNORECASE
)

_BY_ERRNO = {
    errno.ENOENT: VANISHED,
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "is a symbolic link",
    errno.ENAMETOOLONG: "path is too long",
    errno.ENXIO: "not a regular file",
    errno.EISDIR: "not a regular file",
    errno.ENOMEM: NO_MEMORY,
    errno.EINVAL: DAMAGED,  # the header points before the beginning of the file
}


_PILLOW_NAMES = {"HEIC": "HEIF", "JPEGXL": "JXL", "JPEG2000": "JPEG2000"}  # of formats that people know by another name


class Unreadable(Exception):
    """Why a file is skipped. `str()` is one line without the path, from a small closed set of phrases."""


def needs_known_decoder(reason: str, formats: Iterable[str]) -> bool:
    """Whether a file was skipped because a decoder for one of these formats, as Pillow names them, was missing."""
    named = re.match(r"unsupported format \(([^:)]+)", reason)
    if named is None:
        return False
    name = re.sub(r"\W", "", named[1]).upper()
    return _PILLOW_NAMES.get(name, name) in set(formats)


@contextlib.contextmanager
def plain_reasons() -> Iterator[None]:
    """Turn whatever a decoder throws at a bad file into Unreadable."""
    try:
        yield
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    except Image.DecompressionBombError:
        raise Unreadable("more pixels than its decoder allows") from None
    except Exception as error:  # noqa: BLE001  (Pillow's decoders raise nearly every class on damaged files)
        raise Unreadable(_phrase(error)) from None


def is_variant(error: Exception) -> bool:
    """Whether a decoder says that the file is of a kind that it does not know, rather than damaged."""
    return bool(_NOT_KNOWN.search(str(error)))


def _phrase(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return _BY_ERRNO.get(error.errno, f"cannot be read: {error.strerror}")
    text = str(error).lower()
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError):
        return TRUNCATED
    if "out of memory" in text:
        return NO_MEMORY
    if "too large" in text or "max_text" in text or "decompressed data" in text:
        return "metadata is too large"
    if is_variant(error):
        return VARIANT
    return DAMAGED
