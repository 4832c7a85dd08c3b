"""Rows of a gallery's tables and their checksums: how damage is told from what was written.

CRC-32 is against accidents, not against forgery. A checksum is of a row's own content, so that a row in another's place
is found as well; what is missing altogether is found by the tally.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.store.sqlite.float16 import blob_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.store import Item

__all__ = ["ITEM", "Tally", "checksum", "is_sound", "is_sound_content", "is_sound_item", "item_checksum", "item_row"]


ITEM = "SELECT id, key, stamp, digest, info, crc FROM item"


class Tally(NamedTuple):
    """How many items there are, how many of them have an embedding, and the sum of the checksums of those.

    A damaged tree can give fewer rows, some twice, or rows of long ago, and no error: then this does not fit.
    """

    items: int = 0
    embedded: int = 0
    checksums: int = 0

    def plus(self, rows: Iterable[tuple[Any, ...]], sign: int = 1) -> Tally:
        """With these rows of the table item counted in."""
        some = list(rows)
        checksums = [row[5] for row in some if row[3] is not None]
        return Tally(
            self.items + sign * len(some),
            self.embedded + sign * len(checksums),
            self.checksums + sign * sum(checksums),
        )

    def minus(self, rows: Iterable[tuple[Any, ...]]) -> Tally:
        """Without these rows."""
        return self.plus(rows, -1)


def checksum(*parts: bytes) -> int:
    """Of the parts and where one ends and the next begins."""
    crc = zlib.crc32(repr([len(part) for part in parts]).encode())
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def is_sound(crc: object, *parts: Any) -> bool:  # noqa: ANN401  (a damaged row may hold any type)
    """Whether `crc` is the checksum of these parts."""
    try:
        return checksum(*parts) == crc
    except TypeError:
        return False


def item_row(id_: int, item: Item) -> tuple[int, bytes, str, bytes | None, str, int]:
    """An item as a row of its table."""
    info = json.dumps(dict(item.info), separators=(",", ":"))
    return id_, item.key, item.stamp, item.digest, info, item_checksum(id_, item.key, item.stamp, item.digest, info)


def item_checksum(id_: int, key: bytes, stamp: str, digest: bytes | None, info: str) -> int:
    """`checksum` of its fields, written out: 0.4 of the time, and every item that is looked at is checked."""
    number, time, content, text = b"%d" % id_, stamp.encode(), digest or b"", info.encode()
    lengths = len(number), len(key), len(time), len(content), len(text)
    return zlib.crc32(b"[%d, %d, %d, %d, %d]%b%b%b%b%b" % (*lengths, number, key, time, content, text))


def is_sound_item(row: tuple[Any, ...]) -> bool:
    """Whether a row of the table item matches its own checksum."""
    try:
        return bool(item_checksum(*row[:5]) == row[5])
    except (TypeError, AttributeError):
        return False


def is_sound_content(crc: object, digest: object, blob: object, dim: int) -> bool:
    """Whether a row of the table content matches its checksum and holds as many numbers as it should."""
    return is_sound(crc, digest, blob) and len(blob) == blob_size(dim)  # type: ignore[arg-type]
