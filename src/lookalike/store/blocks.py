"""Records with their contents as the bytes that stores keep: what a copy moves between stores that keep them alike."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard, runtime_checkable

from lookalike.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lookalike.store.rows import Row, Stored

__all__ = ["BLOCK", "Block", "Bulk", "BulkStore", "add_up", "keeps_blocks"]

BLOCK = 4096  # records in one block: 100 bytes each, and an embedding of some KB


class Block(NamedTuple):
    """Some records in the order of their ids, with all that is kept of their contents.

    files: what `lookalike.store.rows.to_fields` gives of each record, by its path. contents, descriptions: by digest.
    """

    files: dict[bytes, Row]
    contents: Stored
    descriptions: Stored


@runtime_checkable
class Bulk(Protocol):
    """A store that keeps embeddings as `lookalike.store.float16` and checksums as `lookalike.store.rows` do."""

    def blocks(self) -> Iterator[Block]:
        """Everything, each row checked: all records with an embedding ordered by id, and then those without."""

    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block, as `put` does. The checksums are kept as they come."""

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""


class BulkStore(Store, Bulk, Protocol):
    """A store whose content can be had in blocks."""


def keeps_blocks(store: Store) -> TypeGuard[BulkStore]:
    """Whether a store's content can be had in blocks."""
    return isinstance(store, Bulk)


def add_up(block: Block) -> int:
    """The sum of the checksums of all that is kept of each record of a block; ids do not count."""
    total = sum(zlib.crc32(repr(each).encode()) for each in block.files.items())
    for kept in (block.contents, block.descriptions):
        total += sum(kept[digest][1] for digest, *_ in block.files.values() if digest in kept)
    return total
