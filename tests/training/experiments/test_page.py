from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lookalike.errors import DatasetError, UsageError
from lookalike.training.experiments import write_page
from lookalike.training.experiments.logged import LOGGED
from lookalike.training.presets import PRESETS
from tests.training.experiments.making import write_result


def cells(page: Path, name: str) -> list[list[str]]:
    """The rows of an experiment in the table of all, cell by cell."""
    table = page.read_text().split("## One change")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith(f"| `{name}`")]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    write_result(tmp_path / "results", "exp3", [0.03 - n / 2000 for n in range(25)])
    write_result(tmp_path / "results", "exp6d", [0.031, 0.029], size=64, epochs=2, penalty=0.01)
    write_result(tmp_path / "results", "final", [math.nan] * 60, queries_trained_on=7)
    assert write_page(tmp_path / "results", tmp_path / "docs" / "page.md") == 3
    return tmp_path / "docs" / "page.md"


def test_every_experiment_has_its_row_and_what_was_not_run_says_so(page: Path) -> None:
    assert all(cells(page, name) for name in PRESETS)
    assert "*not run*" in cells(page, "base")[0]
    assert "*not run*" not in " ".join(cells(page, "exp3")[0])


def test_what_is_not_whole_is_marked(page: Path) -> None:
    assert cells(page, "exp6d")[0][2:4] == ["*64 of 256*", "*2 of 60*"]
    assert cells(page, "exp3")[0][2:4] == ["256", "25"]


def test_a_logged_number_is_never_ours(page: Path) -> None:
    for name, logged in LOGGED.items():
        (row,) = cells(page, name)
        ours = " ".join(row[6:])
        for number in (logged.train_loss, logged.val_loss, logged.error):
            assert number is None or f"{number:.4f}" not in ours, name
    assert cells(page, "exp3")[0][7] == "**0.0180**"


def test_a_training_without_held_out_pictures_has_no_held_out_error(page: Path) -> None:
    assert cells(page, "final")[0][6:8] == ["0.0100", ""]
    assert "| 7 |" in page.read_text().split("## Retrieval")[1]


def test_its_pictures_are_beside_it(page: Path) -> None:
    pictures = re.findall(r"\]\((images/[^)]+)\)", page.read_text())
    assert len(pictures) == 2
    for picture in pictures:
        with Image.open(page.parent / picture) as image:
            assert image.width > 600


def test_the_page_needs_no_tensorflow_and_is_the_same_again(page: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom lookalike.training.experiments import write_page\n"
        "write_page(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    again = tmp_path / "docs" / "again.md"
    subprocess.run([sys.executable, "-c", script, tmp_path / "results", again], check=True)
    assert again.read_text() == page.read_text()


def test_results_beside_the_page_are_linked(page: Path, tmp_path: Path) -> None:
    assert "](results)" not in page.read_text()
    write_page(tmp_path / "results", tmp_path / "beside.md")
    assert "[results](results)" in (tmp_path / "beside.md").read_text()


def test_a_generated_page_is_replaced_and_any_other_is_not(page: Path, tmp_path: Path) -> None:
    write_result(tmp_path / "results", "exp4", [0.03])
    assert write_page(tmp_path / "results", page) == 4
    page.write_text("# Notes of my own\n")
    with pytest.raises(UsageError, match="exists"):
        write_page(tmp_path / "results", page)


def test_three_seeds_are_one_row_with_the_interval_of_their_mean(tmp_path: Path) -> None:
    for seed, error in ((1, 0.0190), (2, 0.0200), (3, 0.0210)):
        path = write_result(tmp_path / "results", "exp3", [0.03] * 24 + [error], seed=seed)
        path.write_text(path.read_text().replace('"description": "', f'"description": "in the words of day {seed}: '))
    write_result(tmp_path / "results", "exp2", [0.03] * 25)
    assert write_page(tmp_path / "results", tmp_path / "page.md") == 4
    (row,) = cells(tmp_path / "page.md", "exp3")
    assert row[6:8] == ["0.0100 ± 0.0000", "**0.0200** ± 0.0025"]  # 4.303 * 0.001 / sqrt(3)
    text = tmp_path.joinpath("page.md").read_text()
    assert "means over 3 runs with different seeds" in text
    assert "One row is a single run" in text
    assert "`lookalike train Photos --preset exp3`, and with `--set seed=2`, and with `--set seed=3`" in text
    assert "| 0.0300 | 0.0200 ± 0.0025 | -33.3% |" in text


def test_a_seed_that_was_trained_elsewhere_says_where_and_how(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        path = write_result(tmp_path / "results", "exp3", [0.03] * 25, seed=seed)
        result = json.loads(path.read_text())
        if seed == 3:
            result["machine"] = {**result["machine"], "cores": 1, "accelerators": ["a fast one"]}
            result["command"] = f"KERAS_BACKEND=jax {result['command']}"
        path.write_text(json.dumps(result))
    write_page(tmp_path / "results", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "and with `--set seed=2`, and with `KERAS_BACKEND=jax … --set seed=3` on B" in text
    assert "- **B**: abacus, 1 core, 4 GiB, Linux, a fast one" in text


def test_two_seeds_are_a_mean_without_an_interval_and_other_lengths_are_rows_of_their_own(tmp_path: Path) -> None:
    for seed, errors in ((1, [0.01, 0.02]), (2, [0.02, 0.03]), (3, [0.05])):
        write_result(tmp_path / "results", "exp3", errors, seed=seed)
    write_page(tmp_path / "results", tmp_path / "page.md")
    assert [row[7] for row in cells(tmp_path / "page.md", "exp3")] == ["**0.0250**", "**0.0500**"]
    text = " ".join(tmp_path.joinpath("page.md").read_text().split())
    assert "±" not in text
    assert "One row is the mean of two runs, which are too few for an interval. One row is a single run" in text


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results"):
        write_page(tmp_path, tmp_path / "page.md")


def test_the_page_of_the_project_is_what_its_results_give(tmp_path: Path) -> None:
    docs = Path(__file__).parents[3] / "docs"
    shutil.copytree(docs / "results", tmp_path / "results")
    write_page(tmp_path / "results", tmp_path / "experiments.md")
    assert (tmp_path / "experiments.md").read_text(encoding="utf-8") == (docs / "experiments.md").read_text("utf-8")


def test_decisions_quote_the_page() -> None:
    docs = Path(__file__).parents[3] / "docs"
    rows = [line.strip("| ").split(" | ") for line in (docs / "experiments.md").read_text("utf-8").splitlines()]
    best = {(row[0], row[1]): row[5] for row in rows if len(row) >= 6 and row[5].count(" / ") == 2}
    text = " ".join((docs / "decisions.md").read_text("utf-8").split())
    section = text.split("## The described network with a contrastive loss")[1].split(" ## ")[0]
    for name, size in (("contrastive", "64"), ("supervised", "64"), ("exp6d", "64"), ("exp6d", "256")):
        assert best[f"`{name}`", size] in section


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"preset": {"name": "nonsense", "description": ""}}'])
def test_a_file_that_tells_no_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(DatasetError, match=r"odd\.json is not a result"):
        write_page(tmp_path, tmp_path / "page.md")
