from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from lookalike.training.experiments import read_results
from lookalike.training.experiments.lessons import as_shuffled, lessons, steps
from tests.training.experiments.making import MEASURES, write_result

if TYPE_CHECKING:
    from pathlib import Path


def told(folder: Path) -> str:
    return " ".join(text for texts in lessons(read_results(folder)).values() for text in texts)


def test_a_network_is_measured_by_the_principal_components(tmp_path: Path) -> None:
    write_result(tmp_path, "linear", [0.015, 0.014])
    write_result(tmp_path, "exp3", [0.03, 0.02])
    write_result(tmp_path, "exp4", [0.03, 0.018])
    assert "Neither of the two networks has a smaller one. The best of them is `exp4`, with 0.0180." in told(tmp_path)
    write_result(tmp_path, "exp5a", [0.03, 0.0139])
    assert "One of the three networks has a smaller one: `exp5a` 0.0139." in told(tmp_path)


def test_errors_of_other_sizes_are_not_compared(tmp_path: Path) -> None:
    write_result(tmp_path, "linear", [0.014])
    write_result(tmp_path, "exp3", [0.01], size=64)
    assert "networks" not in " ".join(lessons(read_results(tmp_path))[256])
    assert "principal components" not in told(tmp_path)


def test_errors_of_greys_are_not_compared_with_those_of_colours(tmp_path: Path) -> None:
    write_result(tmp_path, "linear", [0.014])
    write_result(tmp_path, "exp3", [0.02])
    write_result(tmp_path, "hybrid", [0.01] * 60)
    assert "The only network, `exp3`, has an error of 0.0200." in told(tmp_path)
    assert steps(read_results(tmp_path)) == []


def test_overfitting_is_a_held_out_error_that_rises_again(tmp_path: Path) -> None:
    write_result(tmp_path, "exp3", [0.03, 0.02, 0.022])
    write_result(tmp_path, "exp4", [0.03, 0.02, 0.0201])  # within 1%
    assert "One of the two networks ends" in told(tmp_path)
    assert "`exp3` (smallest at epoch 2 of 3, +10% at the end)" in told(tmp_path)


def test_a_penalised_loss_is_told_beside_its_error(tmp_path: Path) -> None:
    write_result(tmp_path, "exp3", [0.02])
    assert "penalties" not in told(tmp_path)
    write_result(tmp_path, "exp6d", [0.02], penalty=0.01)
    assert "of `exp6d` is 1.50 times its error (0.0300 and 0.0200)." in told(tmp_path)
    write_result(tmp_path, "exp5b", [0.02], penalty=0.002)
    assert "(0.0300 and 0.0200), and that of `exp5b` 1.10 times." in told(tmp_path)


def test_the_originals_way_of_measuring_flatters(tmp_path: Path) -> None:
    write_result(tmp_path, "exp6d", [0.02] * 60, trained=0.008)
    (result,) = read_results(tmp_path)
    assert as_shuffled(result) == pytest.approx(0.011)
    assert "0.0110 instead of 0.0200" in told(tmp_path)
    assert "`exp6d` 0.0110, logged 0.0126" in told(tmp_path)


def test_the_log_is_not_put_beside_a_smaller_size(tmp_path: Path) -> None:
    write_result(tmp_path, "exp6d", [0.02] * 60, trained=0.008, size=64)
    assert "logged" not in told(tmp_path)


def test_time_is_told_to_the_best_error_of_exp6d_on_the_same_machine(tmp_path: Path) -> None:
    write_result(tmp_path, "exp6d", [0.03, 0.016, 0.017])
    write_result(tmp_path, "linear", [0.015, 0.014])
    assert "its smallest held-out error, 0.0160, after 20.0 s, if every epoch is taken" in told(tmp_path)
    assert "On the same machine, others reached this error: `linear` after 10.0 s (0.500 times" in told(tmp_path)
    write_result(tmp_path, "linear", [0.015], machine={"processor": "another"})
    assert "On the same machine, no other row reached this error" in told(tmp_path)


def test_drawing_better_and_finding_better_are_correlated_by_rank(tmp_path: Path) -> None:
    for name, error, found in (("exp1", 0.02, 0.1), ("exp2", 0.019, 0.2), ("exp3", 0.018, 0.3), ("exp4", 0.01, 0.9)):
        write_result(tmp_path, name, [error], retrieval={"raw_euclidean": {**MEASURES, "mAP": found}})
    assert "is -1.00" in told(tmp_path)
    (tmp_path / "exp4.json").unlink()
    assert "correlation" not in told(tmp_path)  # three rows say nothing


def test_a_step_is_from_the_nearest_experiment_before_it(tmp_path: Path) -> None:
    for name, epochs in (("exp1", 25), ("exp3", 25), ("exp4", 25), ("exp5a", 3), ("exp6d", 60)):
        write_result(tmp_path, name, [0.02] * epochs)
    write_result(tmp_path, "final", [math.nan] * 60)
    found = {(s.before.preset.name, s.after.preset.name): s.change for s in steps(read_results(tmp_path))}
    assert found == {
        ("exp1", "exp3"): "schedule constant to linear",
        ("exp3", "exp4"): "learning_rate 0.001 to 0.01",
        (
            "exp3",
            "exp6d",
        ): "latent_dim 128 to 192, epochs 25 to 60, l1_activity 0.0 to 0.0001, l2_kernel 0.0 to 0.0001, "
        "relu False to True",
    }


def test_what_is_taught_beside_drawing_is_told_beside_what_only_draws(tmp_path: Path) -> None:
    write_result(tmp_path, "contrastive", [0.02])
    assert "which also learns" not in told(tmp_path)
    write_result(tmp_path, "exp3", [0.02], size=64)
    write_result(tmp_path, "supervised", [0.02], retrieval={"raw_euclidean": {**MEASURES, "mAP": 0.5}})
    views, folders = "views of one picture belong together", "pictures of one folder belong together"
    assert f"`contrastive`, which also learns that {views}, reaches a mAP of 0.250" in told(tmp_path)
    assert f"`supervised`, which also learns that {folders}, reaches a mAP of 0.500" in told(tmp_path)
    assert "The best network that only reconstructs, `exp3`, reaches 0.250." in told(tmp_path)
