"""The neighbour graph: what it finds, and the cases in which there is hardly anything to find."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.vectors import graph as module
from lookalike.vectors.graph import build_graph
from lookalike.vectors.metric import Metric, distances, unit


def make_rows(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_others_are_found(metric: Metric) -> None:
    rows = make_rows(60)
    graph = build_graph(rows, 5, metric)
    for index, row in enumerate(rows):
        far = distances(row, rows, metric)
        far[index] = np.inf
        assert graph.indices[index].tolist() == np.argsort(far)[:5].tolist()
        assert graph.distances[index] == pytest.approx(np.sort(far)[:5], abs=1e-3)


def test_most_nearest_others_are_found_among_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(3000)
    exact = build_graph(rows, 10, "cosine")
    monkeypatch.setattr(module, "_EXACT", 100)
    found = build_graph(rows, 10, "cosine")
    pairs = zip(exact.indices.tolist(), found.indices.tolist(), strict=True)
    assert np.mean([len({*one} & {*other}) for one, other in pairs]) > 8
    assert (build_graph(rows, 10, "cosine").indices == found.indices).all()
    assert not (found.indices == np.arange(3000)[:, None]).any()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_vectors_have_as_many_neighbours_as_there_are(count: int) -> None:
    graph = build_graph(make_rows(count), 10, "cosine")
    assert graph.indices.shape == graph.distances.shape == (count, max(0, count - 1))


def test_equal_vectors_are_at_distance_0_and_never_their_own_neighbours() -> None:
    rows = np.repeat(make_rows(1), 50, axis=0)
    graph = build_graph(rows, 10, "cosine")
    assert graph.distances.max() < 1e-6
    assert not (graph.indices == np.arange(50)[:, None]).any()
