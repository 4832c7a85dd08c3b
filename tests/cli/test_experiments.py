from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.training.experiments.making import write_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's and TensorFlow's own making

LINEAR = ("--epochs", 2, "--size", 16, "--set", "latent_dim=6")


def test_experiments_are_run_one_after_the_other_and_measured(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    command = ("experiments", "run", make_photos(12), "linear", "-o", tmp_path / "out", *LINEAR)
    done = run(*command, "--seeds", 2, "--json")
    assert done.status == 0, done.err
    row, again = done.json["experiments"]
    assert again["result"] == str(tmp_path / "out" / "results" / "linear-latent_dim-6-epochs-2-size-16-seed-2.json")
    assert (tmp_path / "out" / "linear-seed-2").is_dir()
    assert (row["preset"], row["epochs"], row["n_held_out"], row["n_train"]) == ("linear", 2, 3, 9)
    assert 0 < row["held_out_mse"] < 1
    assert {"linear", "held_out_mse"} <= set(run(*command).out.split())
    assert row["result"] == str(tmp_path / "out" / "results" / "linear-latent_dim-6-epochs-2-size-16.json")


def test_finished_trainings_are_put_on_a_page(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> None:
    home, page = tmp_path / "run", tmp_path / "docs" / "experiments.md"
    run("train", make_photos(12), "-o", home, "--preset", "linear", *LINEAR)
    done = run("experiments", "report", home, "-o", page, "--results", tmp_path / "results", "--json")
    assert done.status == 0, done.err
    assert done.json == {"page": str(page), "results": 1}
    assert "*2 of 5*" in page.read_text()
    assert page.with_name("images").is_dir()
    again = run("experiments", "report", "-o", page, "--results", tmp_path / "results")
    assert (again.status, again.out.split()[-1]) == (0, "1")


def test_a_page_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    write_result(tmp_path / "results", "exp3", [0.02])
    (tmp_path / "file").write_text("")
    done = run("experiments", "report", "-o", tmp_path / "file" / "page.md", "--results", tmp_path / "results")
    assert (done.status, "cannot be written" in done.err) == (2, True)


def test_a_report_of_nothing_is_the_users_mistake(run: Run, tmp_path: Path) -> None:
    done = run("experiments", "report", "-o", tmp_path / "page.md", "--results", tmp_path)
    assert (done.status, "no results" in done.err) == (2, True)
    done = run("experiments", "report", tmp_path, "-o", tmp_path / "page.md", "--results", tmp_path)
    assert (done.status, "holds no training" in done.err) == (1, True)


def test_the_experiments_are_listed(run: Run) -> None:
    rows = run("experiments", "list", "--json").json["experiments"]
    assert {"base", "exp5c", "final", "tiny"} <= {row["name"] for row in rows}
    assert all(row["description"] for row in rows)
    assert "exp6d" in run("experiments", "list").out
