from __future__ import annotations

from typing import TYPE_CHECKING

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
