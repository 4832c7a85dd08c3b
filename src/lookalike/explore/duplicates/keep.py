"""Which picture of a group is kept, and which are moved away: only copies that are proven against the kept one."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from lookalike.errors import UsageError
from lookalike.explore.duplicates.groups import Pair
from lookalike.images.paths import is_remote, path_fields, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from lookalike.explore.duplicates.groups import Duplicates, Group, Picture
    from lookalike.explore.duplicates.proof import Evidence, Kind

    Prove = Callable[[Picture, Picture], tuple[str | None, Evidence]]
    """What two pictures are to each other by their files as they are now."""

__all__ = ["KEEP", "Keep", "Left", "Move", "Plan", "check_keep", "make_plan"]

Keep = Literal["largest", "oldest", "path order", "most metadata"]
KEEP: tuple[Keep, ...] = get_args(Keep)

_SEGMENTS = 200  # of a JPEG that are looked at
_METADATA = {0xE1, 0xED}  # EXIF and XMP; IPTC
_CERTAIN = {"identical", "same picture"}


@dataclass(frozen=True, slots=True)
class Move:
    """A copy to move away, the picture that is kept instead, and the proof.

    group: the number of the group, from 1.
    """

    group: int
    kind: str
    copy: Picture
    kept: Picture
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """The move as JSON-compatible values."""
        names = {name: path_fields(os.fsencode(each.path)) for name, each in (("copy", self.copy), ("kept", self.kept))}
        return {"group": self.group, "kind": self.kind, **names}


@dataclass(frozen=True, slots=True)
class Left:
    """A picture of a group of copies that stays where it is although another one is kept, and why."""

    group: int
    picture: Picture
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The picture and the reason as JSON-compatible values."""
        return {"group": self.group, **path_fields(os.fsencode(self.picture.path)), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be moved, which pictures are kept by group number, and what is left although it looks like a copy."""

    moves: tuple[Move, ...]
    kept: dict[int, Picture]
    left: tuple[Left, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-compatible values."""
        return {"moves": [move.to_dict() for move in self.moves], "stay": [each.to_dict() for each in self.left]}


def check_keep(rule: str) -> Keep:
    """The rule of this name. Raises UsageError for any other."""
    if rule not in KEEP:
        raise UsageError(f"unknown rule {rule!r} for what to keep", hint=f"one of: {', '.join(KEEP)}")
    return rule


def make_plan(duplicates: Duplicates, keep: Keep, prove: Prove) -> Plan:
    """The plan for the proven groups of copies; scenes and guesses are left alone.

    Of each group the best by the rule is kept, or, against another folder or gallery, the one there. Every other
    picture is moved only if it is a copy of exactly the kept one: where the search has not compared these two, `prove`
    does. Links, files with several names in the group, and what shows more than the kept picture stay.
    """
    moves: list[Move] = []
    left: list[Left] = []
    kept: dict[int, Picture] = {}
    for number, group in enumerate(duplicates.groups, 1):
        if not group.proven or group.kind not in _CERTAIN:
            continue
        present = [picture for picture in group.pictures if _is_there(picture)]
        if not present:
            continue
        crops = [_find_crop(pair.a, pair.b, pair.evidence) for pair in group.pairs if pair.proven]
        best = _choose(_reference(present), keep, {each.digest for each in crops if each is not None})
        kept[number] = best
        for picture in (each for each in present if each is not best):
            reason = _why_it_stays(picture, best, present)
            pair = None if reason else _find_proof(group, picture, best, prove)
            if pair is None or pair.kind not in _CERTAIN:
                left.append(Left(number, picture, reason or "not proven to be a copy of the kept picture"))
            elif (crop := _find_crop(pair.a, pair.b, pair.evidence)) and crop.digest == best.digest:
                left.append(Left(number, picture, "it shows more than the picture to keep, which is a part of it"))
            else:
                moves.append(Move(number, pair.kind, picture, best, pair.evidence))
    return Plan(tuple(moves), kept, tuple(left))


def _is_there(picture: Picture) -> bool:
    return os.path.isfile(picture.path) or is_remote(to_bytes(picture.path))


def _reference(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """The pictures among which one is kept: those compared against if there are any, and files rather than links."""
    others = [each for each in pictures if each.is_reference] or list(pictures)
    return [each for each in others if not os.path.islink(each.path)] or others


def _why_it_stays(picture: Picture, kept: Picture, group: Sequence[Picture]) -> str:
    """Why a picture is not moved whatever the proof says, or ""."""
    if picture.is_reference:
        return "it belongs to the collection that was compared against"
    if any(is_remote(to_bytes(each.path)) for each in (picture, kept)):
        return "it, or the picture to keep, is in an object store, where nothing is moved"
    try:
        status = os.lstat(picture.path)
        if not stat.S_ISREG(status.st_mode):
            return "a link, not a file"
        if os.path.samefile(picture.path, kept.path):
            return "another name of the kept file"
        others = [each for each in group if each is not picture and os.path.samefile(each.path, picture.path)]
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    return "a file that has several names in this group" if others else ""


def _find_proof(group: Group, picture: Picture, kept: Picture, prove: Prove) -> Pair | None:
    """What the search found of these two contents, or what a comparison finds now."""
    digests = {picture.digest, kept.digest}
    for pair in group.pairs:
        if pair.proven and {pair.a.digest, pair.b.digest} == digests:
            return pair
    kind, evidence = prove(kept, picture)
    return None if kind is None else Pair(kept, picture, cast("Kind", kind), proven=True, evidence=evidence)


def _find_crop(one: Picture, other: Picture, evidence: Evidence) -> Picture | None:
    """Which of two pictures is a part of what the other shows, by their areas at the same scale; None if neither is."""
    if "cropped" not in evidence.found or evidence.scale is None or not one.pixels or not other.pixels:
        return None
    return other if evidence.scale**2 * one.pixels > other.pixels else one


def _choose(pictures: Sequence[Picture], keep: Keep, crops: Container[bytes]) -> Picture:
    """The picture to keep by a rule. Where several have the most pixels, crops of others come last."""
    if keep == "largest":
        most = max(each.pixels for each in pictures)
        largest = [each for each in pictures if each.pixels == most]
        pictures = [each for each in largest if each.digest not in crops] or largest
    return max(pictures, key=_RULES[keep])


def _by_size(picture: Picture) -> tuple[int, int]:
    return picture.pixels, picture.size or 0


def _by_path(picture: Picture) -> tuple[int, ...]:
    """Larger for paths that come first."""
    return (*(-byte for byte in os.fsencode(picture.path)), 1)


def _by_age(picture: Picture) -> float:
    """Larger for older pictures: by the date taken, or else by the file's time."""
    taken_at = picture.taken_at
    seconds = taken_at.timestamp() if taken_at is not None else (picture.mtime_ns or 0) / 1e9
    return -seconds


def _by_metadata(picture: Picture) -> tuple[int, int]:
    known = (picture.taken_at is not None) + (picture.camera is not None)
    return known, _count_metadata(picture.path)


def _count_metadata(path: Path) -> int:
    """The bytes of EXIF, XMP and IPTC in a JPEG; 0 for other files, which seldom have any."""
    total = 0
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            return 0
        for _ in range(_SEGMENTS):
            head = file.read(4)
            if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
                break
            length = int.from_bytes(head[2:])
            total += length if head[1] in _METADATA else 0
            file.seek(max(0, length - 2), os.SEEK_CUR)
    return total


_RULES: dict[Keep, Callable[[Picture], Any]] = {
    "largest": lambda each: (*_by_size(each), _by_age(each), _by_path(each)),
    "oldest": lambda each: (_by_age(each), *_by_size(each), _by_path(each)),
    "path order": _by_path,
    "most metadata": lambda each: (*_by_metadata(each), *_by_size(each), _by_path(each)),
}
