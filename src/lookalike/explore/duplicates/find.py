"""Find the pictures that a gallery has more than once: candidates from the store, proofs from the files, groups."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookalike.errors import UsageError
from lookalike.explore.duplicates.candidates import (
    CELLS,
    Candidate,
    join,
    near_by_colours,
    near_by_hash,
    near_by_layout,
    near_by_vector,
)
from lookalike.explore.duplicates.groups import Duplicates, Pair, Picture, make_groups
from lookalike.explore.duplicates.proof import Evidence, Kind, Prepared, prove
from lookalike.explore.duplicates.reading import Reader
from lookalike.images.description import COLORS, DESCRIPTION_SIZE, HASH
from lookalike.store import SearchSpace
from lookalike.store.keys import is_within
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.images.decode import Limits
    from lookalike.images.pool import OnProgress
    from lookalike.store import Near, Record, Store

__all__ = ["DuplicateOptions", "find_duplicates", "prove_pair"]

_NEIGHBOURS = 20
_CHUNK = 256  # pictures whose neighbours are searched at once, and pairs that are proved at once
_COMPARED = SearchSpace(compared=True)


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """What `find_duplicates` compares, and how much it may read.

    budget: the most pairs that are proved, likeliest first. against: another gallery's store, or a folder of this one
    as an absolute path; only pairs of a picture there and one elsewhere count. layout: which dimensions of the
    embeddings are the layout of the whole picture. limits, workers: for reading pictures.
    """

    budget: int = 20_000
    against: Store | bytes | None = None
    layout: slice | None = None
    limits: Limits | None = None
    workers: int | None = None


@dataclass(slots=True)
class _Subjects:
    """One picture for each content: its records, and where it comes from.

    same: all records with the content of each. is_other: whether a picture is on the side that is compared against.
    """

    records: list[Record]
    pictures: list[Picture]
    same: list[list[Picture]]
    is_other: NDArray[np.bool_]
    index_of: list[dict[int, int]] = field(default_factory=list)  # of each store: the index of each id


class _Proof(NamedTuple):
    candidate: Candidate
    outcome: tuple[Kind | None, Evidence] | None  # None: could not be compared


def find_duplicates(
    store: Store, options: DuplicateOptions | None = None, *, on_progress: OnProgress | None = None
) -> Duplicates:
    """The groups of copies in a store. Raises UsageError for a budget below 0, StoreError."""
    options = options or DuplicateOptions()
    if options.budget < 0:
        raise UsageError(f"a budget of {options.budget} pairs makes no sense", hint="give 0 or more")
    against = options.against
    stores = [store] if against is None or isinstance(against, bytes) else [store, against]
    subjects = _gather(stores, against if isinstance(against, bytes) else None)
    distinct = {frozenset(pair) for each in stores for pair in each.distinct}
    candidates, undescribed = _find_candidates(stores, subjects, options)
    wanted = [each for each in candidates if not _is_distinct(subjects, each, distinct)]
    looked, left = wanted[: options.budget], wanted[options.budget :]
    unreadable: dict[bytes, str] = {}
    proofs = list(_prove_all(subjects, looked, options, unreadable, on_progress))
    pairs = [*_identical(subjects, distinct, is_crossing=options.against is not None)]
    pairs += [pair for proof in proofs if (pair := _as_pair(subjects, proof)) is not None]
    pairs += [_guess(subjects, each) for each in left if each.is_obvious]
    groups = make_groups(pairs, lambda a, b: frozenset((a.digest, b.digest)) in distinct)
    missed = tuple((Path(os.fsdecode(path)), reason) for path, reason in sorted(unreadable.items()))
    return Duplicates(groups, sum(proof.outcome is not None for proof in proofs), len(left), undescribed, missed)


def prove_pair(one: Record, other: Record, reader: Reader) -> tuple[Kind | None, Evidence]:
    """What two pictures are to each other by their files as they are now."""
    if one.digest == other.digest:
        return "identical", Evidence(("the same content",), sure=1.0)
    read = reader.read([one, other])
    first, second = read[one.path], read[other.path]
    if isinstance(first, str) or isinstance(second, str):
        return None, Evidence(reason=first if isinstance(first, str) else str(second))
    return prove(first, second)


def _gather(stores: Sequence[Store], folder: bytes | None) -> _Subjects:
    """The pictures of the stores, one for each content, and on each side if there are two."""
    found = _Subjects([], [], [], np.zeros(0, bool))
    place: dict[tuple[bool, bytes], int] = {}
    sides = []
    for number, store in enumerate(stores):
        index_of: dict[int, int] = {}
        for record in store.scan():
            if record.digest is None:
                continue
            is_other = number > 0 or (folder is not None and is_within(record.path, folder))
            index = place.setdefault((is_other, record.digest), len(found.records))
            picture = Picture.from_record(record, store.location if number else None, is_reference=is_other)
            if index == len(found.records):
                found.records.append(record)
                found.pictures.append(picture)
                found.same.append([])
                sides.append(is_other)
            found.same[index].append(picture)
            index_of[record.id] = index
        found.index_of.append(index_of)
    found.is_other = np.array(sides, bool)
    return found


def _find_candidates(
    stores: Sequence[Store], subjects: _Subjects, options: DuplicateOptions
) -> tuple[list[Candidate], int]:
    """All candidates, likeliest first, and how many pictures have no hash."""
    is_crossing = options.against is not None
    indices = np.arange(len(subjects.records))
    queries = indices[~subjects.is_other] if is_crossing else indices
    among = indices[subjects.is_other] if is_crossing else indices
    near = _near_elsewhere(stores, subjects) if len(stores) > 1 else _near(stores[0], subjects)
    found = near_by_vector(near, subjects.index_of[-1])
    notes, has_notes = _read_descriptions(stores, subjects)
    described = queries[has_notes[queries]], among[has_notes[among]]
    found += near_by_hash(np.ascontiguousarray(notes[:, HASH]), *described)
    found += near_by_colours(unit(notes[:, COLORS].astype(np.float32)), *described)
    if options.layout is not None and all(store.space.dim == stores[0].space.dim for store in stores):
        layouts = _read_layouts(stores, subjects, options.layout)
        found += near_by_layout(layouts, queries, among)
    if is_crossing:
        found = [each for each in found if subjects.is_other[each.a] != subjects.is_other[each.b]]
    digests = [record.digest for record in subjects.records]
    return [each for each in join(found) if digests[each.a] != digests[each.b]], int((~has_notes).sum())


def _near(store: Store, subjects: _Subjects) -> Iterator[tuple[int, Near]]:
    """The neighbours of each picture in its store."""
    ids = [record.id for record in subjects.records]
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        found = store.search(store.vectors(some), _NEIGHBOURS + 1, space=_COMPARED)
        for offset, near in enumerate(found):
            yield start + offset, [pair for pair in near if pair[0] != some[offset]]


def _near_elsewhere(stores: Sequence[Store], subjects: _Subjects) -> Iterator[tuple[int, Near]]:
    """The neighbours that pictures of the first store have in the second, if both have the same encoder."""
    store, other = stores
    if store.space.fingerprint != other.space.fingerprint or store.space.dim != other.space.dim:
        return
    own = [record.id for record, is_other in zip(subjects.records, subjects.is_other, strict=True) if not is_other]
    for ids, embeddings in store.embeddings(own):
        for id_, near in zip(ids.tolist(), other.search(embeddings, _NEIGHBOURS), strict=True):
            yield subjects.index_of[0][id_], near


def _read_descriptions(stores: Sequence[Store], subjects: _Subjects) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The description of each picture, uint8 (n, 288), and whether it has one."""
    notes = np.zeros((len(subjects.records), DESCRIPTION_SIZE), np.uint8)
    is_described = np.zeros(len(notes), bool)
    for store, index_of in zip(stores, subjects.index_of, strict=True):
        for part in store.described():
            known = [(index_of[id_], row) for row, id_ in enumerate(part.ids.tolist()) if id_ in index_of]
            if known:
                places, rows = np.array(known).T
                notes[places], is_described[places] = part.rows[rows], True
    return notes, is_described


def _read_layouts(stores: Sequence[Store], subjects: _Subjects, columns: slice) -> NDArray[np.float32]:
    """The layout of each picture, float32 (n, 48) of length 1."""
    layouts = np.zeros((len(subjects.records), CELLS), np.float32)
    for store, index_of in zip(stores, subjects.index_of, strict=True):
        for ids, rows in store.embeddings():
            known = [(index_of[id_], row) for row, id_ in enumerate(ids.tolist()) if id_ in index_of]
            if known:
                places, at = np.array(known).T
                layouts[places] = rows[at][:, columns]
    return unit(layouts)


def _is_distinct(subjects: _Subjects, candidate: Candidate, distinct: set[frozenset[bytes]]) -> bool:
    digests = [subjects.pictures[index].digest for index in (candidate.a, candidate.b)]
    return frozenset(digests) in distinct


def _prove_all(
    subjects: _Subjects,
    candidates: Sequence[Candidate],
    options: DuplicateOptions,
    unreadable: dict[bytes, str],
    on_progress: OnProgress | None,
) -> Iterator[_Proof]:
    """Prove pairs in this order. unreadable: is filled with files that cannot be compared."""
    if not candidates:
        return
    threads = ThreadPoolExecutor(os.cpu_count() or 1, "lookalike-proof")
    with Reader(options.limits, options.workers) as reader, threads:
        for start in range(0, len(candidates), _CHUNK):
            some = candidates[start : start + _CHUNK]
            needed = sorted({index for each in some for index in (each.a, each.b)})
            read = reader.read([subjects.records[index] for index in needed])
            unreadable.update({path: reason for path, reason in read.items() if isinstance(reason, str)})
            ready = [
                tuple(read[subjects.records[index].path] for index in _larger_first(subjects, each)) for each in some
            ]
            yield from map(_Proof, some, threads.map(_prove_prepared, ready))
            if on_progress is not None:
                on_progress(min(start + _CHUNK, len(candidates)), len(candidates))


def _larger_first(subjects: _Subjects, candidate: Candidate) -> tuple[int, int]:
    """The indices of two pictures, first the one that is more likely the original: the larger one, or the earlier."""
    one, other = (subjects.pictures[index] for index in (candidate.a, candidate.b))
    return (candidate.b, candidate.a) if other.pixels > one.pixels else (candidate.a, candidate.b)


def _prove_prepared(pair: Sequence[Prepared | str]) -> tuple[Kind | None, Evidence] | None:
    one, other = pair
    return None if isinstance(one, str) or isinstance(other, str) else prove(one, other)


def _identical(subjects: _Subjects, distinct: set[frozenset[bytes]], *, is_crossing: bool) -> Iterator[Pair]:
    """The pairs of equal content: each picture with the first one."""
    evidence = Evidence(("the same content",), sure=1.0)
    if is_crossing:
        first = {
            pictures[0].digest: pictures[0]
            for pictures, other in zip(subjects.same, subjects.is_other, strict=True)
            if other
        }
        sets = [
            [first[pictures[0].digest], *pictures]
            for pictures, other in zip(subjects.same, subjects.is_other, strict=True)
            if not other and pictures[0].digest in first
        ]
    else:
        sets = subjects.same
    for pictures in sets:
        if frozenset([pictures[0].digest]) not in distinct:
            yield from (Pair(pictures[0], each, "identical", proven=True, evidence=evidence) for each in pictures[1:])


def _as_pair(subjects: _Subjects, proof: _Proof) -> Pair | None:
    """A pair of pictures that belong together: by the proof, or, where none was possible, by what is obvious."""
    if proof.outcome is None:
        return _guess(subjects, proof.candidate) if proof.candidate.is_obvious else None
    kind, evidence = proof.outcome
    a, b = (subjects.pictures[index] for index in _larger_first(subjects, proof.candidate))
    return None if kind is None else Pair(a, b, kind, proven=True, evidence=evidence)


def _guess(subjects: _Subjects, candidate: Candidate) -> Pair:
    """A pair that has not been proved."""
    a, b = (subjects.pictures[index] for index in (candidate.a, candidate.b))
    evidence = Evidence(reason="the pictures themselves were not compared", sure=0.5)
    return Pair(a, b, "same picture", proven=False, evidence=evidence)
