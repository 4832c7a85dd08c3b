from __future__ import annotations

import numpy as np
import pytest

from lookalike.evaluation.figures import Figures, average


def made(mean: float, count: int = 50, **rest: object) -> Figures:
    """Figures of queries that are found or not, with about this mean."""
    found = (np.arange(count) < mean * count).astype(np.float64)
    return Figures({"encoder": "histogram", "n_queries": count}, {"mAP": found / 2, "top_1": found}, **rest)  # type: ignore[arg-type]


def test_a_document_has_the_facts_the_means_and_an_interval_around_each_mean() -> None:
    document = made(0.8).to_dict()
    assert (document["encoder"], document["n_queries"], document["top_1"], document["mAP"]) == (
        "histogram",
        50,
        0.8,
        0.4,
    )
    low, high = document["intervals"]["top_1"]
    assert 0.6 < low < 0.8 < high < 0.95
    assert document["intervals"]["mAP"] == pytest.approx([low / 2, high / 2])


def test_one_query_has_no_interval() -> None:
    document = made(1, count=1).to_dict()
    assert document["top_1"] == 1
    assert document["intervals"] == {}


def test_figures_of_different_queries_have_intervals_of_their_own() -> None:
    joined = made(0.5).join(Figures({"dim": 3}, {"part_found": np.tile([0.0, 1.0], 200)}))
    widths = {name: high - low for name, (low, high) in joined.to_dict()["intervals"].items()}
    assert list(widths) == ["mAP", "top_1", "part_found"]
    assert widths["top_1"] > 2 * widths["part_found"]
    assert joined.to_dict()["dim"] == 3


def test_every_collection_counts_alike_in_the_mean() -> None:
    mean = average([made(0.9, count=400), made(0.5, count=20)])
    assert mean["top_1"] == pytest.approx(0.7)
    assert (mean["n_collections"], mean["encoder"]) == (2, "histogram")
    assert average([]) == {}


def test_the_queries_of_each_collection_are_resampled_on_their_own() -> None:
    """Four independent means vary half as much as each of them; with the same draws they would vary as much."""
    alone, four = made(0.5).to_dict(), average([made(0.5)] * 4)
    widths = [np.diff(document["intervals"]["top_1"])[0] for document in (alone, four)]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.15)


def test_parts_are_averaged_if_every_collection_has_them() -> None:
    first, second = (made(0.5).with_part("with_labels", made(mean)) for mean in (0.8, 0.6))
    assert average([first, second])["with_labels"]["top_1"] == pytest.approx(0.7)
    assert "intervals" in average([first, second])["with_labels"]
    assert "with_labels" not in average([first, made(0.5)])


def test_repeats_are_summarized_by_mean_and_standard_deviation() -> None:
    repeats = tuple(made(mean).with_part("with_labels", made(0.8)) for mean in (0.4, 0.6))
    found = made(0.9, repeats=repeats).to_dict()["repeats"]
    assert found["n"] == len(found["splits"]) == 2
    assert found["mean"]["top_1"] == pytest.approx(0.5)
    assert found["spread"]["top_1"] == pytest.approx(0.02**0.5)
    assert found["mean"]["with_labels"]["top_1"] == pytest.approx(0.8)
    assert made(0.9, repeats=repeats[:1]).to_dict()["repeats"]["spread"]["top_1"] is None
    assert "repeats" not in made(0.9).to_dict()


def test_the_mean_over_collections_varies_less_between_splits_than_each_of_them() -> None:
    up, down = (made(0.5, repeats=tuple(map(made, means))) for means in ((0.4, 0.6), (0.6, 0.4)))
    repeats = average([up, down])["repeats"]
    assert repeats["mean"]["top_1"] == pytest.approx(0.5)
    assert repeats["spread"]["top_1"] == pytest.approx(0)
