from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


def test_evaluation_prints_the_promised_figures(run: Run, labelled: Path) -> None:
    figures = run("evaluate", labelled, "-e", "histogram", "--json").json
    assert {"mAP", "P@10", "top_1", "n_gallery", "n_queries", "dim", "encoder"} <= set(figures)
    assert (figures["n_gallery"], figures["n_queries"], figures["encoder"]) == (12, 4, "histogram")


def test_evaluation_follows_a_split_file(run: Run, labelled: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text("file,class,split\none/000.jpg,one,train\ntwo/008.jpg,two,train\none/001.jpg,one,test\n")
    figures = run("evaluate", labelled, "-e", "histogram", "--split", split, "--json").json
    assert (figures["n_gallery"], figures["n_queries"]) == (2, 1)


def test_evaluation_measures_the_order_that_is_asked_for(run: Run, labelled: Path) -> None:
    near, reached = (
        run("evaluate", labelled, "-e", "histogram", "--order", order, "--json").json
        for order in ("distance", "diffusion")
    )
    assert (near["order"], reached["order"]) == ("distance", "diffusion")
    assert reached["top_1"] == near["top_1"]  # the nearest stays where it is


def test_evaluation_can_leave_the_embeddings_as_they_are(run: Run, labelled: Path) -> None:
    figures = run("evaluate", labelled, "-e", "histogram", "--raw", "--json").json
    assert (figures["adapted"], figures["dim"]) == (False, 1440 + 51 + 8)


def test_embeddings_that_are_left_as_they_are_cannot_be_blended(run: Run, labelled: Path) -> None:
    for blend in ("--blend", "--no-blend"):
        refused = run("evaluate", labelled, "-e", "histogram", "--raw", blend)
        assert refused.status == 2
        assert "not blended" in refused.err


def test_a_model_that_is_not_there_is_an_error_of_one_line(run: Run, labelled: Path, tmp_path: Path) -> None:
    done = run("evaluate", labelled, "--model", tmp_path / "nowhere", "--json")
    assert done.status in {1, 2}
    assert done.err.startswith("lookalike: ")
    assert done.out == ""


def test_evaluation_prints_a_table(run: Run, labelled: Path) -> None:
    done = run("evaluate", labelled, "-e", "histogram")
    assert done.status == 0
    assert any(line.split()[0] == "mAP" for line in done.out.splitlines())


def test_a_folder_without_classes_is_an_error_of_one_line(run: Run, make_photos: Callable[..., Path]) -> None:
    done = run("evaluate", make_photos(3), "-e", "histogram")
    assert done.status == 1
    assert "not a labelled folder" in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def two(make_photos: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of two classes each."""
    for number, name in enumerate(("sea/calm", "sea/rough", "land/flat", "land/steep")):
        make_photos(8, name, first=8 * number)
    return tmp_path / "sea", tmp_path / "land"


def test_several_folders_are_one_document_with_that_of_each_and_their_mean(run: Run, two: tuple[Path, Path]) -> None:
    document = run("evaluate", *two, "-e", "histogram", "--json").json
    alone = run("evaluate", two[0], "-e", "histogram", "--json").json
    assert set(document) == {"collections", "failed", "mean"}
    assert document["collections"][0] == alone
    assert [each["collection"] for each in document["collections"]] == ["sea", "land"]
    mean = document["mean"]
    assert mean["mAP"] == pytest.approx(sum(each["mAP"] for each in document["collections"]) / 2)
    assert mean["intervals"]["mAP"][0] < mean["mAP"] < mean["intervals"]["mAP"][1]


def test_several_folders_are_a_row_each_and_a_row_of_the_mean_that_line_up(run: Run, two: tuple[Path, Path]) -> None:
    done = run("evaluate", *two, "-e", "histogram", "--repeats", "2")
    table, splits = done.out.split("\n\n")
    lines = table.splitlines()
    assert [line.split()[0] for line in lines] == ["collection", "sea", "land", "mean", "±"]
    places = [line.index("±") for line in lines[1:4]]
    assert len(set(places)) == 1
    assert max(map(len, lines)) <= 100
    assert splits.splitlines()[0].startswith("2 other splits")
    assert done.err == ""


def test_a_folder_that_fails_is_named_and_loses_nothing_of_the_others(
    run: Run, two: tuple[Path, Path], make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(3, "single/class", first=50)
    done = run("evaluate", two[0], tmp_path / "single", tmp_path / "gone", two[1], "-e", "histogram", "--json")
    assert done.status == 1
    assert [each["collection"] for each in done.json["collections"]] == ["sea", "land"]
    assert [each["collection"] for each in done.json["failed"]] == ["single", "gone"]
    assert f"{tmp_path / 'single'} is not a labelled folder" in done.err
    assert "2 of 4 folders could not be measured" in done.err
    none = run("evaluate", tmp_path / "single", tmp_path / "gone", "-e", "histogram", "--json")
    assert (none.status, none.json["collections"], none.json["mean"]) == (1, [], {})


def test_the_split_of_one_of_several_folders_names_it(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    split.write_text("file,class,split\ncalm/000.jpg,a,train\nrough/008.jpg,b,train\ncalm/001.jpg,a,test\n")
    document = run("evaluate", *two, "-e", "histogram", "--split", f"sea={split}", "--json").json
    assert [each["n_queries"] for each in document["collections"]] == [1, 4]
    refused = run("evaluate", *two, "-e", "histogram", "--split", split)
    assert (refused.status, refused.out) == (2, "")
    assert "--split sea=split.csv" in refused.err


def test_a_model_is_measured_on_one_folder(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    for more in ([two[1]], ["--repeats", 2]):
        refused = run("evaluate", two[0], *more, "--model", tmp_path)
        assert refused.status == 2
        assert "name one folder" in refused.err


def test_every_figure_has_an_interval(run: Run, labelled: Path) -> None:
    figures = run("evaluate", labelled, "-e", "histogram", "--json").json
    assert list(figures["intervals"]) == ["mAP", "P@1", "P@5", "P@10", "top_1", "recall@100", "nDCG@10"]
    assert all(low <= figures[name] <= high for name, (low, high) in figures["intervals"].items())
    assert "95% interval" in run("evaluate", labelled, "-e", "histogram").out


def test_figures_are_recorded_with_their_circumstances(run: Run, labelled: Path, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    done = run("evaluate", labelled, "-e", "histogram", "-o", file, "--json")
    recorded = json.loads(file.read_text())
    assert recorded["command"] == "lookalike evaluate set -e histogram -o record.json --json"
    assert recorded["mAP"] == done.json["mAP"]
    assert str(tmp_path) not in file.read_text()
    file.write_text("a person's own notes")
    refused = run("evaluate", labelled, "-e", "histogram", "-o", file)
    assert (refused.status, refused.out) == (2, "")
    assert run("evaluate", labelled, "-e", "histogram", "-o", file, "--force").status == 0
