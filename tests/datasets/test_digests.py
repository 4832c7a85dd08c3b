from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from lookalike.datasets.digests import content_digest, fixed_split
from lookalike.datasets.labelled import load_labelled

if TYPE_CHECKING:
    from pathlib import Path


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % n).digest() for n in range(count)]


@pytest.mark.parametrize(("count", "fraction", "train"), [(100, 0.75, 75), (2688, 0.75, 2016), (3, 1, 3), (0, 0.5, 0)])
def test_the_fixed_split_has_the_share_that_was_asked_for(count: int, fraction: float, train: int) -> None:
    assert sum(fixed_split(digests(count), fraction)) == train


def test_the_fixed_split_does_not_depend_on_the_order() -> None:
    ordered = digests(50)
    backwards = fixed_split(ordered[::-1])
    assert fixed_split(ordered) == backwards[::-1]


def test_copies_of_a_picture_are_always_on_one_side() -> None:
    some = digests(40)
    assert fixed_split(some)[:10] == fixed_split(some + some[:10])[40:]


def test_a_picture_that_is_added_moves_hardly_any_other() -> None:
    before, after = fixed_split(digests(1000)), fixed_split(digests(1001))[:1000]
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1


def test_the_content_of_8_scenes_is_what_was_published(scenes8: Path) -> None:
    names = [os.fsdecode(os.path.relpath(picture.path, os.fsencode(scenes8))) for picture in load_labelled(scenes8)]
    assert content_digest(scenes8, names) == "40aae5846b404825b74425bef121d7a2fc929e9200ddcdc04112c134ac06d0f5"
