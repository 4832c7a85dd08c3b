"""How results for a whole collection are written into a file, and read from it: see `survey_cache`."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.explore.clusters import Cluster, Clusters
from lookalike.explore.collection import Picture
from lookalike.explore.duplicates.groups import Duplicates, Group, Pair
from lookalike.explore.duplicates.groups import Picture as Copy
from lookalike.explore.duplicates.proof import Evidence
from lookalike.web.survey_cache import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.vectors.mapped import Segment, Writer

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """How one kind of result is written and read. write: gives what JSON holds of it, after writing its arrays."""

    write: Callable[[Any, Writer], dict[str, Any]]
    read: Callable[[Segment], Any]


def _write_places(places: Places, writer: Writer) -> dict[str, Any]:
    for name in ("ids", "x", "y", "group", "middles"):
        writer.array(name, getattr(places, name))
    return {"names": places.names}


def _read_places(segment: Segment) -> Places:
    # Copies: the file may be changed while it is mapped.
    columns = {name: segment.array(name).copy() for name in ("ids", "x", "y", "group", "middles")}
    names = [str(name) for name in segment.header["fields"]["names"]]
    lengths = {len(columns[name]) for name in ("ids", "x", "y", "group")}
    if len(lengths) != 1 or columns["middles"].shape != (len(names), 2):
        raise ValueError("the columns do not fit")
    if lengths != {0} and not 0 <= columns["group"].min() <= columns["group"].max() < len(names):
        raise ValueError("a group has no name")
    return Places(**columns, names=names)


def _write_clusters(clusters: Clusters, writer: Writer) -> dict[str, Any]:
    every = [picture for cluster in clusters for picture in cluster.pictures]
    writer.array("ids", np.array([picture.id for picture in every], np.int64))
    writer.array("ends", _ends(len(cluster.pictures) for cluster in clusters))
    _write_paths([picture.path for picture in every], writer)
    return {"names": [cluster.name for cluster in clusters]}


def _read_clusters(segment: Segment) -> Clusters:
    ids = segment.array("ids").tolist()
    every = [Picture(path, id_) for path, id_ in zip(_read_paths(segment), ids, strict=True)]
    ends, names = segment.array("ends").tolist(), segment.header["fields"]["names"]
    return Clusters(
        Cluster(name, tuple(every[start:end])) for name, (start, end) in zip(names, pairwise([0, *ends]), strict=True)
    )


def _write_paths(paths: Sequence[Path], writer: Writer) -> None:
    names = [os.fsencode(path) for path in paths]
    writer.array("paths", np.frombuffer(b"".join(names), np.uint8))
    writer.array("path_ends", _ends(map(len, names)))


def _read_paths(segment: Segment) -> list[Path]:
    text, ends = segment.array("paths").tobytes(), segment.array("path_ends").tolist()
    return [Path(os.fsdecode(text[start:end])) for start, end in pairwise([0, *ends])]


def _ends(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.cumsum(np.fromiter(lengths, np.int64))


def _write_duplicates(found: Duplicates, writer: Writer) -> dict[str, Any]:
    """Every picture once, and what belongs together by their numbers."""
    every = list(dict.fromkeys(picture for group in found.groups for picture in group.pictures))
    numbers = {picture: number for number, picture in enumerate(every)}
    _write_paths([picture.path for picture in every], writer)
    groups = [
        {
            "kind": group.kind,
            "proven": group.proven,
            "pictures": [numbers[picture] for picture in group.pictures],
            "pairs": [
                [numbers[pair.a], numbers[pair.b], pair.kind, pair.proven, asdict(pair.evidence)]
                for pair in group.pairs
            ],
        }
        for group in found.groups
    ]
    unreadable = [[os.fspath(path), reason] for path, reason in found.unreadable]
    facts = {name: getattr(found, name) for name in _COUNTS}
    return {"pictures": [_write_copy(one) for one in every], "groups": groups, "unreadable": unreadable, **facts}


def _read_duplicates(segment: Segment) -> Duplicates:
    given = segment.header["fields"]
    paths = _read_paths(segment)
    every = [_read_copy(path, values) for path, values in zip(paths, given["pictures"], strict=True)]
    groups = tuple(
        Group(
            one["kind"],
            one["proven"],
            tuple(every[number] for number in one["pictures"]),
            tuple(
                Pair(every[a], every[b], kind, proven=proven, evidence=_read_evidence(evidence))
                for a, b, kind, proven, evidence in one["pairs"]
            ),
        )
        for one in given["groups"]
    )
    unreadable = tuple((Path(path), str(reason)) for path, reason in given["unreadable"])
    return Duplicates(groups, **{name: int(given[name]) for name in _COUNTS}, unreadable=unreadable)


_COUNTS = ("compared", "left", "undescribed")
_COPY = tuple(field.name for field in fields(Copy) if field.name not in {"path", "digest", "taken_at"})


def _write_copy(picture: Copy) -> list[Any]:
    taken_at = picture.taken_at and picture.taken_at.isoformat()
    return [picture.digest.hex(), taken_at, *(getattr(picture, name) for name in _COPY)]


def _read_copy(path: Path, values: list[Any]) -> Copy:
    digest, taken_at, *others = values
    named = dict(zip(_COPY, others, strict=True))
    moment = datetime.fromisoformat(taken_at) if taken_at else None
    return Copy(path, digest=bytes.fromhex(digest), taken_at=moment, **named)


def _read_evidence(values: dict[str, Any]) -> Evidence:
    crop = values["crop"] and tuple(values["crop"])
    return Evidence(**values | {"found": tuple(values["found"]), "crop": crop})


FORMATS = {
    "map": Format(_write_places, _read_places),
    "clusters": Format(_write_clusters, _read_clusters),
    "duplicates": Format(_write_duplicates, _read_duplicates),
}
"""How each kind of result is kept, by the name of its survey."""
