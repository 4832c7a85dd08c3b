"""Copy a gallery from one store to another, of whatever engines, and read the copy back to check it."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.errors import EncoderMismatch, StoreError, UsageError, counted
from lookalike.store.blocks import BLOCK, add_up, keeps_blocks
from lookalike.store.entries import fitted_checksum
from lookalike.store.rows import to_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record, Store
    from lookalike.store.blocks import Block, BulkStore

    Batch = tuple[list[Record], NDArray[np.float32]]
    OnCopied = Callable[[int, int], None]

__all__ = ["copy_store"]


class _Sum(NamedTuple):
    """What records add up to, in any order: their number, and the sum of the checksums of all that is kept of each."""

    records: int = 0
    checksums: int = 0


def copy_store(
    source: Store,
    target: Store,
    *,
    force: bool = False,
    wait: float = 0.0,
    on_progress: OnCopied | None = None,
) -> int:
    """Make `target` hold what `source` holds, as of one moment; return the number of pictures.

    A copy that was interrupted continues where it stopped. Ids are given by the target, in the same order. force:
    remove what only the target holds. on_progress: called with the number of records copied so far, and of all.
    Raises EncoderMismatch; UsageError for a target that holds other pictures, unless `force` is set; StoreBusy;
    StoreError if the copy does not match when it is read back.
    """
    _check_spaces(source, target)
    with target.writing(wait=wait), source.reading():
        others = _find_others(source, target)
        if others and not force:
            raise UsageError(
                f"{target.location} holds {counted(len(others), 'file')} that {source.location} does not",
                hint="--force removes them there; or copy into a gallery of another name",
            )
        target.remove(others)
        if not _are_alike(source.projection, target.projection):
            target.set_projection(source.projection)
        expected, found = _copy_and_check(source, target, on_progress)
        if found != expected:
            raise StoreError(
                f"the copy at {target.location} does not match: {found.records:,} of {expected.records:,} records",
                hint="run it again",
            )
        return target.count()[0]


def _check_spaces(source: Store, target: Store) -> None:
    one, other = source.space, target.space
    if (one.fingerprint, one.dim, one.metric) != (other.fingerprint, other.dim, other.metric):
        raise EncoderMismatch(
            f"{target.location} was made by {other.encoder}, {source.location} by {one.encoder}",
            hint="copy into a gallery of another name",
        )


def _are_alike(one: Projection | None, other: Projection | None) -> bool:
    if one is None or other is None:
        return one is other
    return fitted_checksum(one) == fitted_checksum(other) and one.fitted_on == other.fitted_on


def _copy_and_check(source: Store, target: Store, on_progress: OnCopied | None) -> tuple[_Sum, _Sum]:
    """Copy everything; return what was copied and what was found there afterwards, added up."""
    if keeps_blocks(source) and keeps_blocks(target):
        expected = _copy_blocks(source, target, on_progress)
        _copy_entries(source, target)
        return expected, _add_up_blocks(target.blocks())
    expected = _copy_records(source, target, on_progress)
    _copy_entries(source, target)
    return expected, _add_up(_read_batches(target), target)


def _copy_blocks(source: BulkStore, target: BulkStore, on_progress: OnCopied | None) -> _Sum:
    """Copy everything as the bytes that both keep, which is several times as fast as record by record."""
    total, is_new = _Sum(), target.count() == (0, 0)
    for block in source.blocks():
        total = _Sum(total.records + len(block.files), total.checksums + add_up(block))
        if is_new or not _holds(target, block):
            target.put_block(block)
        if on_progress is not None:
            on_progress(total.records, sum(source.count()))
    return total


def _holds(target: BulkStore, block: Block) -> bool:
    """Whether an earlier copy has brought a block already."""
    found = {path: to_fields(record) for path, record in target.find(block.files).items()}
    described = {digest: kept[1] for digest, kept in block.descriptions.items()}
    kept = {digest: (crc, described.get(digest)) for digest, (_, crc) in block.contents.items()}
    return found == block.files and target.checksums(kept) == kept


def _add_up_blocks(blocks: Iterable[Block]) -> _Sum:
    return _Sum(*map(sum, zip(*((len(block.files), add_up(block)) for block in blocks), strict=True)))


def _find_others(source: Store, target: Store) -> list[int]:
    """The ids of the records that only the target has."""
    others: list[int] = []
    records = target.scan()
    while some := list(islice(records, BLOCK)):
        known = source.find(record.path for record in some)
        others += [record.id for record in some if record.path not in known]
    return others


def _copy_records(source: Store, target: Store, on_progress: OnCopied | None) -> _Sum:
    total, is_new = _Sum(), target.count() == (0, 0)
    for records, embeddings in _read_batches(source):
        descriptions = _describe(source, records)
        total = _add(total, records, embeddings, descriptions)
        by_digest = {one.digest: row for one, row in zip(records, embeddings, strict=False) if one.digest}
        if is_new or not _is_there(target, records, by_digest):
            target.put(records, by_digest, descriptions)
        if on_progress is not None:
            on_progress(total.records, sum(source.count()))
    return total


def _is_there(target: Store, records: Sequence[Record], embeddings: Mapping[bytes, NDArray[np.float32]]) -> bool:
    """Whether an earlier copy has brought a batch already."""
    found = target.find(record.path for record in records)
    if any(
        record.path not in found or found[record.path]._replace(id=0) != record._replace(id=0) for record in records
    ):
        return False
    digests = {record.id: record.digest for record in found.values() if record.digest is not None}
    there = [
        (digests[id_], row)
        for ids, rows in target.embeddings([*digests])
        for id_, row in zip(ids.tolist(), rows, strict=True)
    ]
    return len(there) == len(digests) and all(np.array_equal(row, embeddings[digest]) for digest, row in there)


def _copy_entries(source: Store, target: Store) -> None:
    target.set_roots(source.roots)
    target.set_calibration(source.calibration)
    target.set_concepts(source.concepts.values())
    target.set_distinct(source.distinct)


def _read_batches(store: Store) -> Iterator[Batch]:
    """All records with their embeddings, ordered by id, and then those without, in batches."""
    yield from _join(_read_embedded(store))
    skipped = (record for record in store.scan() if record.digest is None)
    while some := list(islice(skipped, BLOCK)):
        yield some, np.empty((0, store.space.dim), np.float32)


def _read_embedded(store: Store) -> Iterator[Batch]:
    for ids, embeddings in store.embeddings():
        records = store.get(ids.tolist())
        yield [records[id_] for id_ in ids.tolist()], embeddings


def _join(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches of at least BLOCK records, except the last."""
    records: list[Record] = []
    parts: list[NDArray[np.float32]] = []
    for some, embeddings in batches:
        records += some
        parts.append(embeddings)
        if len(records) >= BLOCK:
            yield records, np.concatenate(parts)
            records, parts = [], []
    if records:
        yield records, np.concatenate(parts)


def _describe(store: Store, records: Sequence[Record]) -> dict[bytes, bytes]:
    digests = {record.id: record.digest for record in records if record.digest is not None}
    return {digests[id_]: some for id_, some in store.descriptions(digests).items()}


def _add_up(batches: Iterable[Batch], store: Store) -> _Sum:
    total = _Sum()
    for records, embeddings in batches:
        total = _add(total, records, embeddings, _describe(store, records))
    return total


def _add(
    total: _Sum, records: Sequence[Record], embeddings: NDArray[np.float32], descriptions: Mapping[bytes, bytes]
) -> _Sum:
    checksums = total.checksums
    rows = iter(np.ascontiguousarray(embeddings))
    for record in records:
        crc = zlib.crc32(repr(record._replace(id=0)).encode())
        if record.digest is not None:
            crc = zlib.crc32(descriptions.get(record.digest, b""), zlib.crc32(next(rows).tobytes(), crc))
        checksums += crc
    return _Sum(total.records + len(records), checksums)
