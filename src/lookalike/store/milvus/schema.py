"""The collections of a gallery in Milvus, and the small record that says what state they are in.

Milvus has no transactions, but the properties of a collection change at once for everyone. So every row says in which
generation it was `born` and in which it `died`, and one property of an empty collection says which generation counts.
A change writes rows of the next generation, which no reader looks at, and sets that property last (docs/decisions.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pymilvus import CollectionSchema, DataType, FieldSchema

from lookalike.errors import NewerFormat, StoreError, how_to_upgrade
from lookalike.store.entries import read_space
from lookalike.store.float16 import blob_size
from lookalike.store.milvus.errors import corrupt, no_gallery
from lookalike.store.rows import checksum
from lookalike.vectors.exact import prepare_vectors

if TYPE_CHECKING:
    from lookalike.store import Space
    from lookalike.store.milvus.client import Client

__all__ = [
    "ALIVE",
    "FORMAT",
    "LEAST",
    "METRICS",
    "NONE",
    "Names",
    "State",
    "create",
    "create_items",
    "empty_schema",
    "read_gallery",
    "read_state",
    "to_property",
]

FORMAT = 1
ALIVE = 2**62
"""The generation in which a row dies that has not been replaced."""
NONE = -(2**63)
"""What stands for a number that is missing: Milvus 2.3 has no nulls. Its expressions do not reach it."""
LEAST = NONE + 1
"""The least number that is one: no record has a smaller one."""
INDEX = {"index_type": "BIN_FLAT", "metric_type": "HAMMING", "params": {}}
"""The index of embeddings, which are never searched: Milvus takes their bytes as vectors of bits."""
METRICS = {"cosine": "IP", "euclidean": "L2"}
"""Vectors are of length 1 for cosine, so their product will do: it is defined for a vector of length 0."""
_LONGEST = 65_535  # bytes of a VARCHAR
_MOST = 16_383  # dimensions: 2 bytes each, and 2, are 262,144 bits


class Names:
    """The names of a gallery's collections and aliases."""

    def __init__(self, name: str) -> None:
        self.gallery = name
        self.contents = f"{name}__contents"
        self.lock = f"{name}__lock_"
        self.after = f"{name}__after_"

    def items(self, epoch: int) -> str:
        """The collection of records with their vectors, by one adaptation."""
        return f"{self.gallery}__items_{epoch}"

    def epoch(self, name: str) -> int:
        """Which adaptation's items a collection has; 0 for another collection."""
        number = name.removeprefix(f"{self.gallery}__items_")
        return int(number) if number != name and number.isdigit() else 0


class State(NamedTuple):
    """What the collections hold at one moment.

    generation: grows with every change. epoch: the number of the collection of items. width: of their vectors. next_id:
    of records. next_row: of rows of any collection. records, embedded, checksums: see `lookalike.store.rows.Tally`.
    seen: the server's time of the last write, which a reader must have seen. horizon: the oldest generation that is
    there as a whole. history: of some generations when they began to count, in milliseconds of the server.
    """

    generation: int
    epoch: int
    width: int
    next_id: int
    next_row: int
    records: int
    embedded: int
    checksums: int
    seen: int
    horizon: int
    history: tuple[tuple[int, int, int], ...]


def create(client: Client, names: Names, space: Space) -> None:
    """Make the collections of a new gallery; do nothing if they are there. Others may do the same at the same time."""
    if space.dim > _MOST:
        raise StoreError(f"embeddings of {space.dim} dimensions are more than Milvus keeps: {_MOST:,}")
    if client.describe(names.gallery) is not None:
        return
    width = prepare_vectors(np.zeros((1, space.dim), np.float32), space.metric).shape[1]
    client.create(names.contents, _contents_schema(space.dim))
    client.load(names.contents, INDEX)
    create_items(client, names.items(1), width, space)
    for name in (names.contents, names.items(1)):
        client.wait_until_loaded(name)
    about = [FORMAT, space.encoder, space.fingerprint, space.dim, space.metric, space.source]
    state = State(0, 1, width, 1, 1, 0, 0, 0, 0, 0, ())
    properties = {"lookalike.about": json.dumps(about), "lookalike.state": to_property(state), "lookalike.lock": "0"}
    client.create(names.gallery, empty_schema(), properties)


def create_items(client: Client, name: str, width: int, space: Space) -> None:
    """Make a collection of items, and begin to load it."""
    client.create(name, _items_schema(width))
    client.load(name, {"index_type": "FLAT", "metric_type": METRICS[space.metric], "params": {}})


def read_gallery(client: Client, names: Names) -> Space:
    """The encoder behind a gallery. Raises NoGallery, NewerFormat, StoreError."""
    location, found = client.address.location, client.describe(names.gallery)
    if found is None:
        raise no_gallery(location)
    try:
        version, encoder, fingerprint, dim, metric, source = json.loads(found["properties"]["lookalike.about"])
        if version <= FORMAT:
            about = {"encoder": encoder, "fingerprint": fingerprint, "dim": dim, "metric": metric, "source": source}
            return read_space(about)
    except (TypeError, ValueError, KeyError):
        raise corrupt(location, "the properties that describe the gallery are damaged") from None
    raise NewerFormat(
        f"{location} has format {version}; this version of Lookalike knows formats up to {FORMAT}",
        hint=f"upgrade Lookalike: {how_to_upgrade()}",
    )


def read_state(client: Client, names: Names) -> State:
    """The state that counts now. Raises Corrupt, NoGallery, StoreError."""
    found = client.describe(names.gallery)
    if found is None:
        raise no_gallery(client.address.location)
    return _parse_state(found["properties"], client.address.location)


def to_property(state: State) -> str:
    """A state with its checksum as a property."""
    text = json.dumps(state)
    return f"{checksum(text.encode())} {text}"


def _parse_state(properties: dict[str, str], location: str) -> State:
    crc, _, text = properties.get("lookalike.state", "").partition(" ")
    if crc != str(checksum(text.encode())):
        raise corrupt(location, "the property with the state of the gallery does not match its checksum")
    *numbers, history = json.loads(text)
    return State._make([*numbers, tuple(map(tuple, history))])


def empty_schema() -> CollectionSchema:
    """The schema of a collection that is there for its properties only."""
    return CollectionSchema([_row(), _vector(2)])


def _items_schema(width: int) -> CollectionSchema:
    whole = ("born", "died", "id", "size", "mtime_ns", "width", "height", "crc")
    texts = ("path", "folder", "name", "digest", "format", "taken_at", "camera", "skipped_because", "max_megapixels")
    fields = [*map(_int, whole), *map(_text, texts), FieldSchema("embedded", DataType.BOOL)]
    return CollectionSchema([_row(), *fields, _vector(width)])


def _contents_schema(dim: int) -> CollectionSchema:
    fields = [*map(_int, ("born", "died", "part", "crc", "crc_value")), *map(_text, ("key", "value"))]
    embedding = FieldSchema("vector", DataType.BINARY_VECTOR, dim=8 * blob_size(dim))
    return CollectionSchema([_row(), *fields, embedding])


def _row() -> FieldSchema:
    return FieldSchema("row", DataType.INT64, is_primary=True)


def _int(name: str) -> FieldSchema:
    return FieldSchema(name, DataType.INT64)


def _text(name: str) -> FieldSchema:
    return FieldSchema(name, DataType.VARCHAR, max_length=_LONGEST)


def _vector(width: int) -> FieldSchema:
    return FieldSchema("vector", DataType.FLOAT_VECTOR, dim=max(2, width))


Row = dict[str, Any]
"""A row of a collection by the names of its fields."""
