"""Names that hide a picture: `IMG_0001`, `photo.jpg_large`, `photo.jpg?w=800`, `IMG_2.JPG(1)`, `h.pjpeg`.

Whether such a file is a picture is seen from its first bytes. Names that belong to another kind of file, among them
`.jpg_original`, `.jpg~` and `.jpg.bak`, the copies that other programs keep of files that they change, are not opened.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from lookalike.images.paths import READ_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["begins_like_a_picture", "begins_with_a_picture", "kind_of", "odd_names"]

_ALIASES = rb"pjpe?g|pjp|jfi|jif|image"
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]|\0\0\0\x0cJXL "
    rb"|.{4}ftyp(?:heic|heix|heim|heis|hevc|hevx|mif1|msf1|avif|avis)",
    re.DOTALL,
)
_KIND = re.compile(r"\.[\w-]{1,15}")


def odd_names(extensions: Iterable[bytes]) -> re.Pattern[bytes]:
    """The pattern of names, in lower case, that may belong to a picture although none of these extensions ends them.

    Names without an extension or with a number in its place, and an extension with something behind it.
    """
    known = rb"|".join(re.escape(each.lstrip(b".")) for each in sorted(extensions))
    behind = rb"\d*|\.\d*|(?!_original$)[^a-z0-9.~][^/]*"
    return re.compile(
        rb"[^.]+|.*\.\d*|.*\.(?:" + _ALIASES + rb")|.+\.(?:" + known + rb")(?:" + behind + rb")", re.DOTALL
    )


def begins_like_a_picture(path: bytes) -> bool:
    """Whether the first bytes of a regular file are those of a picture; False if they cannot be read.

    It takes 5 microseconds for a file in the system's cache; a walk takes 7 for any file that it finds.
    """
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:
        return False
    try:
        return begins_with_a_picture(os.read(descriptor, 16))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def begins_with_a_picture(head: bytes) -> bool:
    """Whether these, the first 16 bytes of a file, are those of a picture."""
    return _MAGIC.match(head) is not None


def kind_of(name: bytes) -> str:
    """The extension by which a file that is not read is counted; an empty text if it has none or a strange one."""
    extension = os.fsdecode(os.path.splitext(name)[1])
    return extension if _KIND.fullmatch(extension) else ""
