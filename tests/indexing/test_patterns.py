"""What a person types after --exclude means what it means in an ignore file, and paths mean what a shell completed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lookalike.images.walk import Root, Rules, is_excluded, walk
from lookalike.indexing.patterns import localize

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures in P/cache, P/good and P/deep/cache, seen from the folder around P."""
    monkeypatch.chdir(tmp_path)
    for name in ("cache/0.jpg", "cache/1.jpg", "good/0.jpg", "deep/cache/0.jpg", "[2024] Rome/0.jpg", "#x/0.jpg"):
        (tmp_path / "P" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "P" / name).write_bytes(b"x")
    return tmp_path / "P"


def excluded(root: Path, *patterns: str) -> set[str]:
    path = os.fsencode(root)
    rules = Rules(exclude=tuple(localize(pattern, path) for pattern in patterns))
    left = {entry.path for entry in walk(path, rules)}
    every = {entry.path for entry in walk(path)}
    assert {each for each in every if is_excluded(each, Root(path, rules))} == every - left
    return {os.path.relpath(os.fsdecode(each), root) for each in every - left}


TOP = {"cache/0.jpg", "cache/1.jpg"}
ALL = TOP | {"deep/cache/0.jpg"}


@pytest.mark.parametrize(
    ("pattern", "out"),
    [
        *((pattern, ALL) for pattern in ("cache", "cache/", "**/cache/**", "**/cache", "cach?", "[c]ache")),
        *((pattern, TOP) for pattern in ("cache/*", "./cache", "./cache/", "/cache", "/cache/", "P/cache", "P/cache/")),
        *((pattern, TOP) for pattern in ("./P/cache", "P/cache/*", "P//cache", "P/good/../cache", "P/cache/**")),
        *((pattern, {"cache/0.jpg"}) for pattern in ("P/cache/0.jpg", "P/cache/0*", "cache/0.jpg", "/cache/0.jpg")),
        *((pattern, {"deep/cache/0.jpg"}) for pattern in ("deep/cache", "P/deep", "deep", "/deep", "P/deep/*")),
        *((pattern, {"[2024] Rome/0.jpg"}) for pattern in ("[2024] Rome", "P/[2024] Rome", "P/[2024] Rome/", "*Rome")),
        *((pattern, {"#x/0.jpg"}) for pattern in ("#x", "P/#x", "/#x")),
        *(
            (pattern, set())
            for pattern in ("CACHE", "nope", "P/nope", "/P/cache", "Q/cache", "", "/", ".", "P", "cache,x")
        ),
    ],
)
def test_a_pattern_as_it_is_typed_beside_the_folder(photos: Path, pattern: str, out: set[str]) -> None:
    assert excluded(photos, pattern) == out


def test_an_absolute_path_and_one_from_another_folder_are_understood(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert excluded(photos, f"{photos}/cache") == excluded(photos, f"{photos}/cache/") == TOP
    assert excluded(photos, f"{photos}/cache/1*") == {"cache/1.jpg"}
    monkeypatch.chdir(photos)
    assert excluded(photos, "./cache") == excluded(photos, "../P/cache") == TOP
    monkeypatch.chdir(photos / "deep")
    assert excluded(photos, "./cache") == {"deep/cache/0.jpg"}
    monkeypatch.setenv("HOME", str(photos.parent))
    assert excluded(photos, "~/P/cache") == TOP


def test_a_path_through_a_link_is_understood(photos: Path) -> None:
    (photos.parent / "link").symlink_to("P")
    assert excluded(photos, "link/cache") == excluded(photos, f"{photos.parent}/link/cache/*") == TOP
    assert excluded(photos.parent / "link", "P/cache") == TOP


def test_later_patterns_take_back_earlier_ones(photos: Path) -> None:
    assert excluded(photos, "cache/*", "!1.jpg") == {"cache/0.jpg"}


def test_accents_match_however_they_are_written(tmp_path: Path) -> None:
    for name in ("Cafe\u0301", "Th\u00e9"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes(b"x")
    assert excluded(tmp_path, "Caf\u00e9") == {"Cafe\u0301/0.jpg"}
    assert excluded(tmp_path, "The\u0301") == {"Th\u00e9/0.jpg"}
    (tmp_path / ".lookalikeignore").write_text("Caf?\nTh\u00e9\n")
    assert list(walk(os.fsencode(tmp_path))) == []
