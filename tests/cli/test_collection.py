"""The whole collection on the command line: map, clusters, outliers, confusions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_a_map_is_printed_drawn_and_written(run: Run, scenes: Path, tmp_path: Path) -> None:
    drawing, page = tmp_path / "map.png", tmp_path / "map.html"
    done = run("map", "-i", scenes, "--draw", drawing, "--html", page, "--size", "500", "--json")
    assert done.status == 0, done.err
    points = done.json["points"]
    assert len(points) == 12
    assert {*points[0]} == {"id", "path", "display", "x", "y", "cluster"}
    with Image.open(drawing) as drawn:
        assert max(drawn.size) == 500
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run("map", "-i", scenes, "--json").json["points"] == points


def test_a_map_replaces_what_lookalike_made_and_nothing_else(run: Run, scenes: Path, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    assert run("map", "-i", scenes, "--html", page).status == 0
    assert run("map", "-i", scenes, "--html", page).status == 0
    page.write_text("my own")
    assert run("map", "-i", scenes, "--html", page).status == 2
    assert run("map", "-i", scenes, "--draw", scenes / "beach" / "000.jpg", "--force").status == 2
    assert run("map", "-i", scenes, "--html", page, "--force").status == 0


def test_a_page_says_what_has_no_thumbnail(run: Run, scenes: Path, tmp_path: Path) -> None:
    done = run("map", "-i", scenes, "--html", tmp_path / "a.html", "--megabytes", "0")
    assert "12 pictures shown as points: their thumbnails do not fit into 0 MB; allow more: --megabytes 2" in done.err
    (scenes / "beach" / "000.jpg").unlink()
    done = run("map", "-i", scenes, "--html", tmp_path / "b.html")
    assert "1 picture shown as a point: the file is gone" in done.err


def test_a_map_without_outputs_is_a_table(run: Run, scenes: Path) -> None:
    lines = run("map", "-i", scenes).out.splitlines()
    assert lines[0].split() == ["id", "x", "y", "group", "path"]
    assert len(lines) == 13


def test_clusters_are_listed_and_drawn(run: Run, scenes: Path, tmp_path: Path) -> None:
    done = run("clusters", "-i", scenes, "-n", "2", "--sheet", tmp_path / "groups", "--json")
    groups = done.json["clusters"]
    assert sum(len(each["pictures"]) for each in groups) == 12
    assert {*groups[0]} == {"name", "pictures"}
    assert {"id", "path", "display"} <= {*groups[0]["pictures"][0]}
    assert len([*(tmp_path / "groups").iterdir()]) == 2
    assert run("clusters", "-i", scenes, "-n", "2").out.splitlines()[0].split()[:2] == ["group", "pictures"]
    assert run("clusters", "-i", scenes, "-n", "0").status == 2


def test_outliers_are_listed_with_what_their_distance_means(run: Run, scenes: Path) -> None:
    document = run("outliers", "-i", scenes, "-k", "3", "--json").json
    assert len(document["outliers"]) == 3
    assert {*document["outliers"][0]} == {"id", "path", "display", "distance", "times", "around"}
    assert document["outliers"][0]["times"] == pytest.approx(document["outliers"][0]["distance"] / document["median"])
    assert "of median" in run("outliers", "-i", scenes).out


def test_outliers_and_wrong_labels_are_drawn(run: Run, scenes: Path, tmp_path: Path) -> None:
    done = run("outliers", "-i", scenes, "-k", "3", "--montage", tmp_path / "outliers.png")
    assert (done.status, "outliers.png" in done.err) == (0, True)
    with Image.open(tmp_path / "outliers.png") as sheet:
        assert sheet.width >= 2 * 240
    assert run("outliers", "-i", scenes, "--montage", tmp_path / "outliers.txt").status == 2
    other = {"beach": "forest", "forest": "beach"}
    paths = sorted(scenes.glob("*/*.jpg"))
    rows = [f"{path},{path.parent.name if number else other[path.parent.name]}\n" for number, path in enumerate(paths)]
    (tmp_path / "labels.csv").write_text("file,class\n" + "".join(rows))
    drawing = tmp_path / "wrong.png"
    done = run("confusions", "--labels", tmp_path / "labels.csv", "-i", scenes, "--montage", drawing, "--json")
    assert drawing.is_file() == bool(done.json["wrong_labels"])


def test_confusions_take_folders_or_a_csv_file(run: Run, scenes: Path, tmp_path: Path) -> None:
    own = run("confusions", "-i", scenes, "--json").json
    assert own["confusions"][0]["classes"] == ["beach", "forest"]
    assert (own["pictures"], own["classes"]) == (12, 2)
    assert run("confusions", scenes, "-i", scenes, "--json").json == own
    rows = [f"{path.relative_to(scenes)},{path.parent.name},test" for path in sorted(scenes.glob("*/*.jpg"))]
    csv = scenes / "labels.csv"
    csv.write_text("\n".join(["file,class,split", *rows]))
    assert run("confusions", "--labels", csv, "-i", scenes, "--json").json == own
    assert run("confusions", "-i", scenes).out.startswith("class")


def test_labels_that_cannot_be_used_are_named(run: Run, scenes: Path, tmp_path: Path) -> None:
    assert run("confusions", scenes, "--labels", scenes, "-i", scenes).status == 2
    (tmp_path / "labels.csv").write_text("name,kind\n")
    missing = run("confusions", "--labels", tmp_path / "nothing.csv", "-i", scenes)
    assert "nothing.csv" in missing.err
    assert missing.status == 1
    assert run("confusions", "--labels", tmp_path / "labels.csv", "-i", scenes).status != 0


@pytest.mark.parametrize("command", ["map", "clusters", "outliers", "confusions"])
def test_a_filter_that_no_picture_passes_is_explained(run: Run, scenes: Path, command: str) -> None:
    done = run(command, "-i", scenes, "--filter", "folder:beech")
    assert "did you mean beach?" in done.err


@pytest.mark.parametrize("command", ["map", "clusters", "outliers"])
def test_an_empty_gallery_is_named(run: Run, scenes: Path, command: str) -> None:
    run("remove", scenes, "-i", scenes)
    done = run(command, "-i", scenes, "--json")
    assert done.status == 0
    assert "the gallery is empty" in done.err
    assert not next(iter(done.json.values()))
