"""The collections of a gallery as of one moment: every row that is read is checked."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store.float16 import blob_size
from lookalike.store.milvus.encoding import decode_bytes, decode_item, encode_bytes, listing, quoted
from lookalike.store.milvus.errors import corrupt
from lookalike.store.rows import ID, Row, checksum, is_sound, is_sound_row, to_records
from lookalike.store.server.reader import CHUNK, ServerReader, batched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Record, Space
    from lookalike.store.milvus.moment import Moment
    from lookalike.store.rows import Stored

    Vectors = NDArray[np.float32]
    Found = dict[str, Any]

__all__ = ["CONTENT", "ENTRY", "Reader", "encode_parts", "key_of", "split"]

_CONTENTS = 1024  # embeddings read at once: 8 MB with 1,963 dimensions
_MANY = 2000  # values in one expression
_PART = 45_000  # bytes of an entry in one row: 60,000 in base64
CONTENT, ENTRY = "content ", "entry "
"""What the key of an embedding, and of an entry, begins with."""
_FIELDS = [
    *("id", "path", "digest", "size", "mtime_ns", "width", "height", "format", "taken_at", "camera"),
    *("skipped_because", "max_megapixels", "crc", "embedded"),
]

T = TypeVar("T")


class Reader(ServerReader):
    """The collections at one moment. Methods raise StoreError or a subclass, such as Corrupt for damaged rows."""

    def __init__(self, moment: Moment, location: str, space: Space) -> None:
        super().__init__(location, space)
        self._moment = moment

    # Entries

    def meta(self, key: str) -> bytes | None:
        """The content of the entry with this name; None if there is none."""
        parts = self.raw_contents(f"key == {quoted(ENTRY + encode_bytes(key.encode()))}", ["part", "value", "crc"])
        if not parts:
            return None
        content = _decode_parts(parts)
        if content is None or not is_sound(parts[0]["crc"], key.encode(), content):
            raise self.corrupt(f"the entry {key!r} does not match its checksum")
        return content

    def names(self, prefix: str) -> list[str]:
        """The rest of the name of each entry that begins with `prefix`, in order."""
        rows = self.raw_contents(_begins("key", ENTRY + encode_bytes(prefix.encode())), ["key"])
        keys = {decode_bytes(row["key"].removeprefix(ENTRY)).decode() for row in rows}
        return sorted(key.removeprefix(prefix) for key in keys)

    # Items

    def raw_items(self, condition: str, fields: Sequence[str] = ("*",)) -> list[Found]:
        """The items that a condition selects, as the server has them."""
        return self._moment.query(self._moment.items, condition, list(fields))

    def rows(self, condition: str) -> list[Row]:
        """Checked rows of the items that a condition selects, in the form of `lookalike.store.rows`."""
        return [self.check_item(one) for one in self.raw_items(condition, _FIELDS)]

    def check_item(self, found: Found) -> Row:
        """The checked row of an item."""
        try:
            row = decode_item(found)
        except (ValueError, KeyError, TypeError):
            row = ()
        if not row or not is_sound_row(row):
            raise self.corrupt(f"item {found.get('id')} does not match its checksum")
        return row

    def by_ids(self, ids: Iterable[int]) -> list[Row]:
        """Checked rows of the items with these ids."""
        return [row for some in split(ids) for row in self.rows(f"id in {listing(some)}")]

    def by_paths(self, paths: Iterable[bytes]) -> list[Row]:
        """Checked rows of the items at these paths."""
        return [row for some in split(map(encode_bytes, paths)) for row in self.rows(f"path in {listing(some)}")]

    def whole_items(self, field: str, values: Iterable[object], fields: Sequence[str] = ("*",)) -> list[Found]:
        """The items with one of these values in a field, with everything that the server has of them, or some of it."""
        conditions = (f"{field} in {listing(some)}" for some in split(values, CHUNK // 4))
        return [one for condition in conditions for one in self.raw_items(condition, fields)]

    def scan(self, prefix: bytes) -> Iterator[Record]:
        """The records whose path begins with `prefix`, ordered by path: Milvus orders nothing, so paths come first."""
        begins = _begins("path", encode_bytes(prefix))
        found = [
            (decode_bytes(one["path"]), int(one["id"]))
            for start in self._ranges()
            for one in self.raw_items(f"{start} and {begins}", ["id", "path"])
        ]
        found.sort()
        for some in batched(found, CHUNK):
            rows = {row[ID]: row for row in self.by_ids(id_ for _, id_ in some)}
            yield from to_records([rows[id_] for _, id_ in some])

    # Embeddings

    def raw_contents(self, condition: str, fields: Sequence[str] = ("*",)) -> list[Found]:
        """The contents and entries that a condition selects, as the server has them."""
        return self._moment.query(self._moment.contents, condition, list(fields))

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        rows = (row for some in split(map(key_of, digests)) for row in self._keys(some))
        return {bytes.fromhex(row["key"].removeprefix(CONTENT)) for row in rows}

    def whole_contents(self, digests: Iterable[bytes], fields: Sequence[str] = ("*",)) -> dict[bytes, Found]:
        """What the server has of each of these digests that has an embedding, or some of it."""
        keys = map(key_of, dict.fromkeys(digests))
        rows = (row for some in split(keys, _CONTENTS) for row in self.raw_contents(f"key in {listing(some)}", fields))
        return {bytes.fromhex(row["key"].removeprefix(CONTENT)): row for row in rows}

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked bytes of the embedding of each of these digests that has one."""
        return {digest: self.check_content(digest, row) for digest, row in self.whole_contents(digests).items()}

    def check_content(self, digest: bytes, found: Found) -> bytes:
        """The checked bytes of an embedding."""
        blob: bytes = found["vector"]
        if len(blob) != blob_size(self._space.dim) or not is_sound(found["crc"], digest, blob):
            raise self.corrupt(f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        return blob

    def _stored(self, digests: Iterable[bytes]) -> tuple[Stored, Stored]:
        there = self.whole_contents(digests)
        contents = {digest: (self.check_content(digest, one), int(one["crc"])) for digest, one in there.items()}
        described = {digest: one for digest, one in there.items() if one["value"]}
        return contents, {
            digest: (self._check_description(digest, one), int(one["crc_value"])) for digest, one in described.items()
        }

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        found = self.whole_contents(digests, ["key", "value", "crc", "crc_value"])
        return {digest: (one["crc"], one["crc_value"] if one["value"] else None) for digest, one in found.items()}

    def chunks(self, *, embedded: bool) -> Iterator[list[Row]]:
        """Checked rows of all items with an embedding, or of all without, in chunks ordered by id."""
        for ids in self._ranges():
            if rows := self.rows(f"{ids} and embedded == {str(embedded).lower()}"):
                yield sorted(rows, key=lambda row: int(row[ID]))

    def values(self, condition: str, fields: Sequence[str]) -> Iterator[Found]:
        """Some fields of all items with an embedding that a condition selects."""
        also = f" and ({condition})" if condition else ""
        for ids in self._ranges():
            yield from self.raw_items(f"{ids} and embedded == true{also}", fields)

    def vectors(self, ids: Iterable[int] | None = None) -> tuple[NDArray[np.int64], Vectors]:
        """Ids (n,) and vectors (n, width) of all items with an embedding ordered by id, or of those of these."""
        width = self._moment.state.width
        if ids is None:
            found = list(self.values("", ["id", "vector"]))
        else:
            conditions = (f"embedded == true and id in {listing(some)}" for some in split(ids))
            found = [one for condition in conditions for one in self.raw_items(condition, ["id", "vector"])]
        there = np.array([one["id"] for one in found], np.int64)
        vectors = np.array([one["vector"] for one in found], np.float32).reshape(len(found), max(2, width))
        order = np.argsort(there)
        return there[order], np.ascontiguousarray(vectors[order, :width])

    def descriptions(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked description of each of these digests that has one."""
        fields = ["key", "value", "crc_value"]
        rows = (row for some in split(map(key_of, digests)) for row in self._keys(some, fields))
        found = {bytes.fromhex(row["key"].removeprefix(CONTENT)): row for row in rows if row["value"]}
        return {digest: self._check_description(digest, row) for digest, row in found.items()}

    def corrupt(self, what: str) -> Exception:
        """The error for a damaged row."""
        return corrupt(self._location, what)

    def _check_description(self, digest: bytes, row: Found) -> bytes:
        try:
            described = base64.b64decode(row["value"], validate=True)
        except ValueError:
            described = b""
        if not is_sound(row["crc_value"], digest, described) or len(described) != DESCRIPTION_SIZE:
            raise self.corrupt(f"the description of content {digest.hex()[:12]} does not match its checksum")
        return described

    def _keys(self, keys: list[str], fields: Sequence[str] = ("key",)) -> list[Found]:
        return self.raw_contents(f"key in {listing(keys)}", fields)

    def _ranges(self) -> list[str]:
        """Conditions that divide all items by their ids."""
        starts = range(0, max(1, self._moment.state.next_id), CHUNK)
        return [f"id >= {start} and id < {start + CHUNK}" for start in starts]


def key_of(digest: bytes) -> str:
    """The key of an embedding."""
    return CONTENT + digest.hex()


def encode_parts(key: str, content: bytes) -> list[Found]:
    """The rows of an entry, without their vectors."""
    parts = [content[start : start + _PART] for start in range(0, len(content) or 1, _PART)]
    common = {"key": ENTRY + encode_bytes(key.encode()), "crc": checksum(key.encode(), content)}
    return [
        {**common, "part": n, "value": base64.b64encode(part).decode(), "crc_value": 0} for n, part in enumerate(parts)
    ]


def _decode_parts(parts: list[Found]) -> bytes | None:
    """The content of an entry in these rows; None if they are damaged."""
    try:
        ordered = sorted(parts, key=lambda part: int(part["part"]))
        return b"".join(base64.b64decode(part["value"], validate=True) for part in ordered)
    except ValueError:
        return None


def split(values: Iterable[T], size: int = _MANY) -> list[list[T]]:
    """Values in lists for one expression each: at least one, so that a closed gallery raises."""
    some = list(values)
    return [some[start : start + size] for start in range(0, len(some) or 1, size)]


def _begins(field: str, prefix: str) -> str:
    """The condition that a field begins with some encoded text."""
    if not prefix:
        return "id >= 0" if field == "path" else "row >= 0"
    return f"{field} >= {quoted(prefix)} and {field} < {quoted(prefix + '~')}"
