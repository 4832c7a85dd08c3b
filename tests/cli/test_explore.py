"""Filters, thresholds and neighbours on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def indexed(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of a beach and a forest, 6 pictures each, with its own gallery."""
    make_photos(6, "photos/beach")
    make_photos(6, "photos/forest", first=20)
    assert run("index", tmp_path / "photos", "-e", "histogram").status == 0
    return tmp_path / "photos"


def test_a_search_finds_only_what_its_filters_let_pass(run: Run, indexed: Path) -> None:
    query = indexed / "beach" / "003.jpg"
    search = ("search", query, "-i", indexed / ".lookalike", "-k", "99", "--json")
    for options, count, folders in (
        (("--filter", "folder:forest"), 6, {"forest"}),
        (("--filter", "label:beach", "--filter", "width:>50"), 5, {"beach"}),
        (("--exclude", "label:beach"), 6, {"forest"}),
        (("--filter", "folder:beach", "--exclude", "name:00*"), 0, set[str]()),
        (("--filter", "format:jpeg", "--exact"), 11, {"beach", "forest"}),
    ):
        hits = run(*search, *options).json["hits"]
        assert len(hits) == count
        assert {hit["path"].split("/")[-2] for hit in hits} == folders


def test_a_filter_that_is_none_is_the_users_mistake(run: Run, indexed: Path) -> None:
    for term, reason in (("beach", "no filter"), ("widht:>3", "widht"), ("date:May", "no date")):
        done = run("search", indexed / "beach" / "003.jpg", "-i", indexed / ".lookalike", "--filter", term)
        assert (done.status, done.out) == (2, "")
        assert reason in done.err
        assert "hint" in done.err


def test_hits_beyond_the_threshold_are_left_out(run: Run, indexed: Path) -> None:
    search = ("search", indexed / "beach" / "003.jpg", "-i", indexed / ".lookalike", "--json")
    hits = run(*search).json["hits"]
    near = run(*search, "--threshold", hits[2]["distance"]).json["hits"]
    assert near == hits[:3]


def test_neighbours_are_a_document_on_each_line(run: Run, indexed: Path) -> None:
    done = run("neighbours", "-i", indexed / ".lookalike", "-k", "2")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) == 12
    for line in lines:
        hits = run("search", line["path"], "-i", indexed / ".lookalike", "-k", "2", "--json").json["hits"]
        assert [near["path"] for near in line["neighbours"]] == [hit["path"] for hit in hits]
        assert [near["distance"] for near in line["neighbours"]] == pytest.approx([hit["distance"] for hit in hits])
    assert run("neighbours", "-i", indexed / ".lookalike", "-k", "2", "--json").json == {"pictures": lines}


def test_pictures_without_a_near_neighbour_are_left_out(run: Run, indexed: Path) -> None:
    done = run("neighbours", "-i", indexed / ".lookalike", "--threshold", "-1")
    assert (done.status, done.out) == (0, "")
