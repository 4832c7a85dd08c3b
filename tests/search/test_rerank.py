"""Answers in the order in which pictures are reached through others that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions
from lookalike.errors import UsageError
from lookalike.indexing.learned import learn
from lookalike.search.rerank import CANDIDATES, by_diffusion, diffused
from lookalike.store import Record, Space, open_store
from tests.store.making import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

    Rows = NDArray[np.float32]


def cloud(x: float, seed: int) -> Rows:
    """Twenty points around (x, 0)."""
    return np.random.default_rng(seed).normal((x, 0), 0.1, (20, 2)).astype(np.float32)


def from_query(rows: Rows, query: Rows) -> tuple[Rows, NDArray[np.float64], list[int]]:
    """Rows nearest first, their squared distances, and where each stood."""
    squares = ((rows - query).astype(np.float64) ** 2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    return rows[order], squares[order], order.tolist()


def reached(rows: Rows, query: Rows, still: int = 1) -> list[int]:
    near, squares, places = from_query(rows, query)
    return [places[place] for place in diffused(near, squares, still=still).tolist()]


def naive(rows: Rows, squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is handed on, number by number: mutual neighbours among 100, fourth powers, 0.85 of it, ten times."""
    n = len(rows)
    far = np.array([[float(((a - b) ** 2).sum()) for b in rows.astype(float)] for a in rows.astype(float)])
    spread = far.mean()
    like = 1 - far / spread
    np.fill_diagonal(like, -1)
    nearest = [set(np.argsort(-row)[: min(100, n - 1)].tolist()) for row in like]
    links = np.array(
        [[max(like[i, j], 0) ** 4 if j in nearest[i] and i in nearest[j] else 0 for j in range(n)] for i in range(n)]
    )
    sums = links.sum(axis=1)
    seeds = np.maximum(1 - squares / spread, 0) ** 4 * (np.arange(n) < 5)
    values: NDArray[np.float64] = seeds
    for _ in range(10):
        handed = [[links[i, j] / np.sqrt(sums[i] * sums[j]) if links[i, j] else 0 for j in range(n)] for i in range(n)]
        values = 0.85 * np.array([sum(a * b for a, b in zip(row, values, strict=True)) for row in handed]) + seeds
    return values


def test_what_is_alike_to_the_nearest_comes_before_what_is_nearer_but_alone() -> None:
    rows = np.concatenate([cloud(1, 1), cloud(2, 2), cloud(-1.5, 3)])
    query = np.zeros(2, np.float32)
    beside, beyond, alone = (set(range(start, start + 20)) for start in (0, 20, 40))
    by_distance = from_query(rows, query)[2]
    assert (set(by_distance[:20]), set(by_distance[20:40])) == (beside, alone)
    found = reached(rows, query)
    assert (set(found[:20]), set(found[20:40])) == (beside, beyond)


@pytest.mark.parametrize(("n", "width"), [(3, 2), (40, 8), (130, 4)])
def test_it_is_what_the_definition_says(n: int, width: int) -> None:
    rng = np.random.default_rng(n)
    rows, squares, _ = from_query(rng.normal(size=(n, width)).astype(np.float32), np.zeros(width, np.float32))
    values = naive(rows, squares)[diffused(rows, squares, still=0)]
    assert (np.diff(values) <= 1e-5 * values.max()).all()


@pytest.mark.parametrize("still", [0, 1, 4])
def test_every_row_comes_once_and_the_first_stay(still: int) -> None:
    rows, squares, _ = from_query(
        np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32), np.full(6, 0.1, np.float32)
    )
    places = diffused(rows, squares, still=still).tolist()
    assert sorted(places) == list(range(50))
    assert places[:still] == list(range(still))


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_neither_scale_nor_place_counts(scale: float) -> None:
    rng = np.random.default_rng(2)
    rows, query = rng.normal(size=(80, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    plain = reached(rows, query)
    assert reached((rows * scale).astype(np.float32), (query * scale).astype(np.float32)) == plain
    assert reached(rows + 3, query + 3)[:20] == plain[:20]


@pytest.mark.parametrize("row", [[0.0, 0.0], [0.1, 7.3]])
def test_rows_that_are_all_the_same_stay_as_they_come(row: list[float]) -> None:
    rows = np.array([row] * 9, np.float32)
    assert diffused(rows, np.full(9, 2.0)).tolist() == list(range(9))


def test_what_is_not_reached_stays_in_its_order() -> None:
    rng = np.random.default_rng(3)
    near, far = rng.normal(size=(30, 3)), 1000 + 1e-3 * rng.normal(size=(30, 3))
    places = reached(np.concatenate([near, far]).astype(np.float32), np.zeros(3, np.float32))
    by_distance = from_query(np.concatenate([near, far]).astype(np.float32), np.zeros(3, np.float32))[2]
    assert places[30:] == by_distance[30:]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_of_a_long_answer_the_nearest_thousand_are_put_in_order(tmp_path: Path, metric: Metric) -> None:
    rows = np.random.default_rng(4).normal(size=(CANDIDATES + 200, 6)).astype(np.float32)
    rows[[7, 8]] = rows[6]
    store = open_store(tmp_path, create=Space("test", "test-1", 6, metric, "test"))
    with store.writing():
        digests = [b"%032d" % n for n in range(len(rows))]
        store.put([Record(d, digest=d) for d in digests], dict(zip(digests, rows, strict=True)))
    near = nearest(store, rows[6], len(rows))
    found = by_diffusion(store, near)
    assert found[:4] == near[:4]  # itself, its copies, and the nearest other
    assert found[4:CANDIDATES] != near[4:CANDIDATES]
    assert sorted(found[:CANDIDATES]) == sorted(near[:CANDIDATES])
    assert found[CANDIDATES:] == near[CANDIDATES:]
    assert by_diffusion(store, near[:2]) == near[:2]
    assert by_diffusion(store, []) == []
    store.close()


class TestGalleries:
    @pytest.fixture(params=["histogram", "hybrid:histogram=0.6+patches=0.4"])
    def gallery(
        self, request: pytest.FixtureRequest, few_patches: None, make_photos: Callable[..., Path], tmp_path: Path
    ) -> Iterator[Gallery]:
        learn(request.param, [make_photos(60)], tmp_path / "gallery")
        with Gallery.open(tmp_path / "gallery", encoder=request.param, create=True) as gallery:
            gallery.index(tmp_path / "photos", options=IndexOptions(workers=1))
            yield gallery

    def test_the_same_pictures_with_the_same_distances(self, gallery: Gallery, tmp_path: Path) -> None:
        query = tmp_path / "photos" / "003.jpg"
        plain, other = gallery.search(query, 80), gallery.search(query, 80, order="diffusion")
        assert {(hit.path, hit.distance) for hit in other} == {(hit.path, hit.distance) for hit in plain}
        assert [hit.path for hit in other] != [hit.path for hit in plain]
        assert [hit.rank for hit in other] == list(range(1, 60))
        assert other[0] == plain[0]
        assert query not in {hit.path for hit in other}
        assert gallery.search(query, 3, order="diffusion").rows() == other[:3].rows()

    def test_an_order_that_is_none_is_refused(self, gallery: Gallery, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="unknown order 'size'"):
            gallery.search(tmp_path / "photos" / "003.jpg", 3, order="size")  # type: ignore[arg-type]

    def test_only_pictures_that_pass_take_part(self, gallery: Gallery, tmp_path: Path) -> None:
        hits = gallery.search(tmp_path / "photos" / "003.jpg", 8, where=["name:00*.jpg"], order="diffusion")
        assert {hit.path.name for hit in hits} <= {f"00{n}.jpg" for n in range(10)}
        assert len(hits) == 8

    def test_weights_count(self, gallery: Gallery, tmp_path: Path) -> None:
        if not gallery.encoder.name.startswith("hybrid"):
            with pytest.raises(UsageError):
                gallery.search(tmp_path / "photos" / "003.jpg", 9, weights={"histogram": 1.0}, order="diffusion")
            return
        query, weights = tmp_path / "photos" / "003.jpg", {"histogram": 1.0}
        plain = gallery.search(query, 80, weights=weights)
        hits = gallery.search(query, 80, weights=weights, order="diffusion")
        assert {(hit.path, hit.distance) for hit in hits} == {(hit.path, hit.distance) for hit in plain}
        unweighted = gallery.search(query, 80, order="diffusion")
        assert [hit.path for hit in hits] != [hit.path for hit in unweighted]
