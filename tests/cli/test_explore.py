"""Neighbours and what two pictures have in common, on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_neighbours_are_a_document_on_each_line(run: Run, scenes: Path) -> None:
    done = run("neighbours", "-i", scenes / ".lookalike", "-k", "2")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) == 12
    for line in lines:
        hits = run("search", line["path"], "-i", scenes / ".lookalike", "-k", "2", "--json").json["hits"]
        assert [near["path"] for near in line["neighbours"]] == [hit["path"] for hit in hits]
        assert [near["distance"] for near in line["neighbours"]] == pytest.approx([hit["distance"] for hit in hits])
    assert run("neighbours", "-i", scenes / ".lookalike", "-k", "2", "--json").json == {"pictures": lines}


def test_pictures_without_a_near_neighbour_are_left_out(run: Run, scenes: Path) -> None:
    done = run("neighbours", "-i", scenes / ".lookalike", "--threshold", "1e-9")
    assert (done.status, done.out) == (0, "")


def test_what_matches_is_drawn(run: Run, labelled: Path, tmp_path: Path) -> None:
    run("index", labelled, "-e", "histogram")
    make_picture(99).save(tmp_path / "query.png")
    inspect = ["inspect", tmp_path / "query.png", labelled / "one" / "001.jpg", "-i", labelled / ".lookalike"]
    done = run(*inspect, "-o", tmp_path / "heat.png", "--json").json
    with Image.open(tmp_path / "heat.png") as drawn:
        assert drawn.width > 800
    assert len(done["query_heat"]) == 12
    assert run(*inspect, "-o", tmp_path / "no" / "folder.png").status == 2
