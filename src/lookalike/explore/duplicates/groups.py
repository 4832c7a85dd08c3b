"""Groups of copies, made of the pairs that were found, and kept apart by kind."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.images.paths import AtPath, path_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from lookalike.explore.duplicates.proof import Evidence, Kind
    from lookalike.store import Record

__all__ = ["Duplicates", "Group", "Pair", "Picture", "make_groups"]


@dataclass(frozen=True, slots=True)
class Picture(AtPath):
    """A picture of a group, as its gallery knows it.

    gallery: the location of the other gallery that it belongs to; None for the one that was asked. is_reference:
    whether it is in the folder or gallery that was compared against, where nothing is moved.
    """

    path: Path
    id: int
    digest: bytes
    size: int | None = None
    width: int | None = None
    height: int | None = None
    mtime_ns: int | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    gallery: str | None = None
    is_reference: bool = False

    @classmethod
    def from_record(cls, record: Record, gallery: str | None = None, *, is_reference: bool = False) -> Picture:
        """The picture of a record with a digest."""
        fields = {name: getattr(record, name) for name in ("size", "width", "height", "mtime_ns", "taken_at", "camera")}
        path = Path(os.fsdecode(record.path))
        return cls(path, record.id, record.digest or b"", gallery=gallery, is_reference=is_reference, **fields)

    @property
    def pixels(self) -> int:
        """Its width times its height; 0 if they are not known."""
        return (self.width or 0) * (self.height or 0)

    def to_dict(self) -> dict[str, Any]:
        """The picture as JSON-compatible values."""
        other = {} if self.gallery is None else {"gallery": self.gallery}
        facts = {"id": self.id, "size": self.size, "width": self.width, "height": self.height}
        return {**path_fields(os.fsencode(self.path)), **facts, **other}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures of a group, what they are to each other, whether that is proven, and the evidence.

    a is the larger one; the evidence says what was done to it to make b.
    """

    a: Picture
    b: Picture
    kind: Kind
    proven: bool
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """The pair as JSON-compatible values: the ids of both, the kind and the evidence."""
        return {"a": self.a.id, "b": self.b.id, "kind": self.kind, "evidence": self.evidence.to_dict()}


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that belong together.

    kind: "identical" if all files have the same content, "same picture" if each is a copy of another one, and "same
    scene" for pictures that show much of the same and are not copies, one for each copy. proven: whether the pictures
    themselves were compared; a group that is not proven is a guess from what the gallery keeps of them.
    """

    kind: Kind
    proven: bool
    pictures: tuple[Picture, ...]
    pairs: tuple[Pair, ...]

    def explain(self, picture: Picture, kept: Picture | None = None) -> str:
        """What was done to make a picture of the group, in words: of the kept one if these two were compared."""
        pairs = [pair for pair in self.pairs if pair.b == picture or (pair.a == picture and pair.b == kept)]
        found = sorted(pairs, key=lambda pair: kept not in (pair.a, pair.b))
        if not found or picture == kept:
            return ""
        if found[0].kind == "same scene":  # neither was made of the other
            return "much of the same"
        evidence = found[0].evidence
        return ", ".join(evidence.found if found[0].b == picture else evidence.undone)

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON-compatible values."""
        return {
            "kind": self.kind,
            "proven": self.proven,
            "pictures": [picture.to_dict() for picture in self.pictures],
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


@dataclass(frozen=True, slots=True)
class Duplicates:
    """All groups, the certain ones first, and how far the search went.

    compared: pairs whose pictures were laid on each other. left: pairs that were not looked at because of the budget.
    undescribed: pictures without a perceptual hash, from an earlier version; turned copies of them are not found.
    unreadable: files that could not be compared, with the reason.
    """

    groups: tuple[Group, ...]
    compared: int = 0
    left: int = 0
    undescribed: int = 0
    unreadable: tuple[tuple[Path, str], ...] = field(default=())

    def __repr__(self) -> str:
        lines = [f"{group.kind}: {', '.join(each.display for each in group.pictures)}" for group in self.groups]
        return "\n".join(lines) or "no duplicates"

    def without(self, pair: frozenset[bytes]) -> Duplicates:
        """What is found once a person has said that two contents are not duplicates: only their groups change."""

        def is_distinct(one: Picture, other: Picture) -> bool:
            return frozenset((one.digest, other.digest)) == pair

        groups: list[Group] = []
        for group in self.groups:
            is_meant = pair <= {picture.digest for picture in group.pictures}
            groups += make_groups(group.pairs, is_distinct) if is_meant else [group]
        return replace(self, groups=_order(groups))

    def to_dict(self) -> dict[str, Any]:
        """The groups as JSON-compatible values: one document of `lookalike duplicates --json`."""
        unreadable = [{**path_fields(os.fsencode(path)), "reason": reason} for path, reason in self.unreadable]
        return {
            "groups": [group.to_dict() for group in self.groups],
            "compared": self.compared,
            "left": self.left,
            "undescribed": self.undescribed,
            "unreadable": unreadable,
        }


def make_groups(pairs: Iterable[Pair], distinct: Callable[[Picture, Picture], bool]) -> tuple[Group, ...]:
    """The groups that pairs form, certain and large ones first.

    Copies are joined by proven pairs, the surest first, and never when one of the joined groups holds a picture that
    a person has said is distinct from one of the other. Guesses join nothing to a proven group: they and pairs of one
    scene form groups of their own, of one picture for each group of copies.
    """
    by_kind: dict[str, list[Pair]] = {"copy": [], "guess": [], "scene": []}
    for pair in sorted(pairs, key=_certainty):
        by_kind[_sort_out(pair)].append(pair)
    copies = _Union(distinct)
    for pair in by_kind["copy"]:
        copies.join(pair)
    groups = [_as_group(members, by_kind["copy"]) for members in copies.sets()]
    for name in ("guess", "scene"):
        apart = _Union(distinct, half=name == "scene")
        for pair in by_kind[name]:
            a, b = copies.first(pair.a), copies.first(pair.b)
            if a != b:
                apart.join(Pair(a, b, pair.kind, pair.proven, pair.evidence))
        groups += [_as_group(members, apart.pairs) for members in apart.sets()]
    return _order(groups)


def _order(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Groups, the certain ones first."""
    order = {"identical": 0, "same picture": 1, "same scene": 2}
    return tuple(sorted(groups, key=lambda each: (order[each.kind], not each.proven, each.pictures[0].path)))


def _sort_out(pair: Pair) -> str:
    if pair.kind == "same scene":
        return "scene"
    return "copy" if pair.proven else "guess"


def _certainty(pair: Pair) -> tuple[int, float, int, int]:
    return {"identical": 0, "same picture": 1, "same scene": 2}[pair.kind], -pair.evidence.sure, pair.a.id, pair.b.id


def _as_group(members: Sequence[Picture], pairs: Sequence[Pair]) -> Group:
    inside = set(members)
    own = tuple(pair for pair in pairs if pair.a in inside and pair.b in inside)
    kinds = {pair.kind for pair in own}
    kind: Kind = "identical" if kinds == {"identical"} else next(iter(kinds - {"identical"}))
    pictures = tuple(sorted(members, key=lambda each: each.path))
    return Group(kind, all(pair.proven for pair in own), pictures, own)


class _Union:
    """Pictures in disjoint sets. half: a pair joins two sets only if half of all pairs between them were found."""

    def __init__(self, distinct: Callable[[Picture, Picture], bool], *, half: bool = False) -> None:
        self._distinct = distinct
        self._half = half
        self._set_of: dict[Picture, list[Picture]] = {}
        self._found: set[frozenset[Picture]] = set()
        self.pairs: list[Pair] = []

    def join(self, pair: Pair) -> None:
        self.pairs.append(pair)
        self._found.add(frozenset((pair.a, pair.b)))
        one, other = (self._set_of.setdefault(each, [each]) for each in (pair.a, pair.b))
        if one is other or not self._may_join(one, other):
            return
        one.extend(other)
        for each in other:
            self._set_of[each] = one

    def _may_join(self, one: list[Picture], other: list[Picture]) -> bool:
        if any(self._distinct(a, b) for a in one for b in other):
            return False
        found = sum(frozenset((a, b)) in self._found for a in one for b in other) if self._half else 0
        return not self._half or 2 * found >= len(one) * len(other)

    def first(self, picture: Picture) -> Picture:
        """The largest picture of the set that this one is in."""
        return max(self._set_of.get(picture, [picture]), key=_area)

    def sets(self) -> list[list[Picture]]:
        """The sets with more than one picture."""
        return [each for each in {id(some): some for some in self._set_of.values()}.values() if len(each) > 1]


def _area(picture: Picture) -> tuple[int, int, int]:
    return picture.pixels, picture.size or 0, -picture.id
