"""What was computed of a whole collection: kept on disk, and computed in a process of its own."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions
from lookalike.web import surveyor
from lookalike.web.survey_cache import Places, SurveyCache, mark_state, read_result
from lookalike.web.surveys import Surveys
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Computed = dict[str, tuple[Any, str]]
NAMES = ["map", "clusters", "duplicates"]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """A gallery with a copy, under a name that is not UTF-8."""
    folder = tmp_path_factory.mktemp("kept") / "photos"
    folder.mkdir()
    for seed in range(9):
        make_picture(seed, (160, 120)).save(folder / f"{seed}.png")
    shutil.copy(folder / "3.png", folder / os.fsdecode(b"\xff.png"))
    with Gallery.open(folder.parent / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        yield gallery


@pytest.fixture(scope="module")
def computed(gallery: Gallery) -> Computed:
    """Every result with its mark."""
    return {name: surveyor.compute(gallery, name, progress) for name in NAMES}


def progress(_done: int, _total: int) -> None:
    """Nothing is done with it."""


def same(one: Any, other: Any) -> bool:
    """Whether two results are equal."""
    if isinstance(one, Places):
        columns = ("ids", "x", "y", "group", "middles")
        return one.names == other.names and all(
            np.array_equal(getattr(one, name), getattr(other, name)) for name in columns
        )
    return bool(one.to_dict() == other.to_dict() and repr(one) == repr(other))


@pytest.mark.parametrize("name", NAMES)
def test_a_result_that_is_kept_is_the_one_that_was_computed(
    gallery: Gallery, computed: Computed, tmp_path: Path, name: str
) -> None:
    kept = SurveyCache(tmp_path / "surveys")
    assert kept.find(name, gallery.store) is None
    value, mark = computed[name]
    kept.keep(name, gallery.store, value, mark)
    found = kept.find(name, gallery.store)
    assert same(found, value)
    if name == "duplicates":
        assert found == value
        assert len(value.groups) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_process_of_its_own_computes_the_same(
    gallery: Gallery, computed: Computed, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, mark = computed[name]
    monkeypatch.setattr(surveyor, "_APART", 1)
    monkeypatch.setattr(surveyor, "_compute", None)  # in this process
    apart, other = surveyor.compute(gallery, name, progress)
    assert same(apart, value)
    assert other == mark == mark_state(gallery.store)


def test_whoever_ends_the_server_ends_what_it_computes(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveyor, "_APART", 1)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        surveyor.compute(gallery, "map", stop)
    assert time.monotonic() - began < 20


def test_a_file_that_is_damaged_foreign_or_outdated_is_not_used(
    gallery: Gallery, computed: Computed, tmp_path: Path
) -> None:
    kept = SurveyCache(tmp_path / "surveys")
    value, mark = computed["map"]
    kept.keep("map", gallery.store, value, mark)
    (file,) = (tmp_path / "surveys").iterdir()
    content = file.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        found = kept.find("map", gallery.store)
        assert found is None or same(found, value), at  # between two arrays nothing is kept
        file.write_bytes(content[:at])
        assert kept.find("map", gallery.store) is None, at
    file.write_bytes(content)
    assert read_result(file, "map", mark) is not None
    assert read_result(file, "map", "of another state") is None
    assert read_result(file, "clusters", mark) is None


def test_a_server_that_starts_again_has_what_was_computed(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.web.surveys._WORTH_KEEPING", 0.0)
    first = Surveys(gallery, SurveyCache(tmp_path))
    found = first.map.find_within(30)
    assert found is not None
    first.close()
    monkeypatch.setattr("lookalike.web.surveys.compute", None)
    second = Surveys(gallery, SurveyCache(tmp_path))
    again = second.map.find_within(30)
    assert again is not None
    assert again.is_current
    assert same(again.value, found.value)
    second.close()


def test_a_folder_that_cannot_be_written_keeps_nothing_and_nobody_minds(
    gallery: Gallery, computed: Computed, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = SurveyCache(tmp_path / "file" / "surveys")
    value, mark = computed["map"]
    kept.keep("map", gallery.store, value, mark)
    assert kept.find("map", gallery.store) is None


def test_the_oldest_files_go_when_there_are_too_many(gallery: Gallery, computed: Computed, tmp_path: Path) -> None:
    kept = SurveyCache(tmp_path, most_bytes=6000)
    value, mark = computed["map"]
    for number in range(4):
        old = tmp_path / f"{number}-map.kept"
        old.write_bytes(bytes(2000))
        os.utime(old, (number, number))
    kept.keep("map", gallery.store, value, mark)
    left = sorted(file.name for file in tmp_path.iterdir())
    assert "0-map.kept" not in left
    assert "3-map.kept" in left
    assert kept.find("map", gallery.store) is not None
