"""What every store does. A new store needs its line in `tests.store.making.STORES`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adaptation.expansion import Blend
from lookalike.adaptation.projection import Projection, fit_blends, fit_projection
from lookalike.errors import ClosedGallery, NoGallery, StoreBusy, UsageError
from lookalike.store import Maintained, Record, SearchSpace, Space, Store
from lookalike.store.concepts import Concept
from lookalike.store.filter import All, Among, Any, Condition, Not
from lookalike.vectors.metric import distances
from tests.store.making import (
    DIM,
    assert_same_answer,
    digest,
    embedding,
    expected,
    nearest,
    problems,
    put,
    record,
    space,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.store.filter import Filter
    from lookalike.vectors.metric import Metric

    Open = Callable[[Space | None], Store]

METRICS: list[Metric] = ["cosine", "euclidean"]


def _is_quick(store: Store) -> bool:
    """Whether a request takes no more than milliseconds: Milvus takes 20 to 50 for each, so it is asked less often."""
    return not store.location.startswith("milvus:")


def _state(store: Store) -> object:
    rows = [(id_, row.tolist()) for ids, some in store.embeddings() for id_, row in zip(ids, some, strict=True)]
    return store.generation, list(store.scan()), rows, store.count()


def test_a_store_that_is_not_there_is_no_gallery(reopen: Open) -> None:
    with pytest.raises(NoGallery):
        reopen(None)


def test_a_store_keeps_the_space_it_was_made_with(reopen: Open) -> None:
    reopen(space("euclidean")).close()
    store = reopen(space("cosine"))
    assert store.space == space("euclidean")
    store.close()


def test_items_are_found_by_key_by_id_and_in_order(store: Store) -> None:
    with store.writing():
        put(store, {b"b": 2, b"\xff\n": 3, b"a": 1, b"c": None})
    found = store.find([b"a", b"c", b"absent"])
    assert set(found) == {b"a", b"c"}
    assert found[b"a"].digest == digest(1)
    assert found[b"a"] == record(b"a", 1)._replace(id=found[b"a"].id)
    assert (found[b"a"].taken_at, found[b"a"].camera) == (datetime(2024, 5, 2, 10), "Camera 1")  # noqa: DTZ001
    assert found[b"c"].digest is None
    assert found[b"c"].skipped_because == "not an image"
    assert store.get([found[b"a"].id, 10**6]) == {found[b"a"].id: found[b"a"]}
    assert [known.path for known in store.scan()] == [b"a", b"b", b"c", b"\xff\n"]
    assert store.count() == (3, 1)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Condition("camera", "=", "camera 1"), {1, 7}),
        (Condition("format", "=", "png"), set(range(12))),
        (Not(Condition("camera", "=", "*")), {0, 2, 4, 6, 8, 10}),
        (Condition("date", "=", "2024-05-02"), {1}),
        (Condition("date", ">", "2024-05-02"), {5, 9}),
        (Condition("date", "<", "2024"), {0, 2, 3, 4, 6, 7, 8, 10, 11}),
        (Condition("size", ">=", 2.0), set()),
        (Condition("label", "=", "odd"), {1, 3, 5, 7, 9, 11}),
        (Condition("folder", "=", "even"), {0, 2, 4, 6, 8, 10}),
        (Condition("name", "=", "1*"), {1, 10, 11}),
        (All((Condition("label", "=", "odd"), Condition("name", "=", "?"))), {1, 3, 5, 7, 9}),
        (Any((Condition("name", "=", "1"), Condition("name", "=", "2"))), {1, 2}),
    ],
)
def test_a_filter_lets_pass_what_qualifies(store: Store, where: Filter, names: set[int]) -> None:
    with store.writing():
        put(
            store, {b"/p/%s/%d" % (b"odd" if n % 2 else b"even", n): n for n in range(12)} | {b"/p/odd/1/skipped": None}
        )
    wanted = {one.id for one in store.scan() if one.digest and int(one.path.rpartition(b"/")[2]) in names}
    assert set(store.ids(where).tolist()) == wanted
    assert {id_ for id_, _ in nearest(store, embedding(3), 20, where=where)} == wanted
    assert [id_ for id_, _ in nearest(store, embedding(3), 2, where=where)] == [
        id_ for id_, _ in nearest(store, embedding(3), 20, exact=True) if id_ in wanted
    ][:2]


def test_a_field_that_no_picture_has_is_named(store: Store) -> None:
    with store.writing():
        put(store, {b"/a": 0})
    with pytest.raises(UsageError, match="camera"):
        store.ids(Condition("camera", "=", "x"))


def test_items_are_listed_below_a_prefix(store: Store) -> None:
    with store.writing():
        put(store, {b"/a/1": 1, b"/a/2": None, b"/ab": 2, b"/b/1": 1})
    assert [known.path for known in store.scan(b"/a/")] == [b"/a/1", b"/a/2"]
    assert [known.path for known in store.scan(b"/a")] == [b"/a/1", b"/a/2", b"/ab"]
    assert list(store.scan(b"/c")) == []


def test_more_items_than_fit_into_one_statement_are_found(store: Store) -> None:
    keys = [b"%05d" % n for n in range(1201)]
    with store.writing():
        put(store, {key: n % 7 for n, key in enumerate(keys)})
    assert set(store.find(keys)) == set(keys)
    assert len(store.get(range(1, 1300))) == 1201
    assert store.known(digest(n) for n in range(2000)) == {digest(n) for n in range(7)}


def test_putting_a_key_again_replaces_its_item_and_keeps_its_id(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1, b"b": 2})
        before = store.find([b"a"])[b"a"]
        put(store, {b"a": 3}, stamp="2:2")
    after = store.find([b"a"])[b"a"]
    assert (after.id, after.digest, after.size, after.mtime_ns) == (before.id, digest(3), 2, 2)
    assert store.count() == (2, 0)
    assert nearest(store, embedding(3), 1)[0][0] == after.id


def test_an_embedding_that_is_put_again_replaces_the_one_before_for_all_of_its_records(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1, b"b": 1, b"c": 2})
        assert nearest(store, embedding(2), 1)[0][0] == store.find([b"c"])[b"c"].id  # now a cache may know them
        store.put([record(b"a", 1)], {digest(1): embedding(7)})
    ids = {store.find([path])[path].id for path in (b"a", b"b")}
    assert {id_ for id_, _ in nearest(store, embedding(7), 2)} == ids
    assert [distance for _, distance in nearest(store, embedding(7), 2)] == pytest.approx([0.0, 0.0], abs=1e-3)
    assert problems(store) == []


def test_of_items_with_the_same_key_the_last_counts(store: Store) -> None:
    with store.writing():
        store.put([record(b"a", 1), record(b"a", 2)], {digest(1): embedding(1), digest(2): embedding(2)})
    assert store.find([b"a"])[b"a"].digest == digest(2)
    assert store.known([digest(1), digest(2)]) == {digest(2)}
    assert problems(store) == []


def test_an_item_may_lose_its_embedding_and_get_one(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1})
        put(store, {b"a": None})
        assert store.count() == (0, 1)
        assert nearest(store, embedding(1), 5) == []
        put(store, {b"a": 1})
    assert store.count() == (1, 0)


def test_removed_items_are_gone(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1, b"b": 2, b"c": None})
        ids = [store.find([key])[key].id for key in (b"a", b"c")]
        assert store.remove([*ids, 10**6]) == 2
        assert store.remove(ids) == 0
    assert [known.path for known in store.scan()] == [b"b"]
    assert store.count() == (1, 0)
    assert store.known([digest(1)]) == set()


def test_an_id_is_never_used_again(store: Store) -> None:
    seen: set[int] = set()
    with store.writing():
        for n in range(4):
            put(store, {b"a": n, b"b%d" % n: None})
            ids = {known.id for known in store.scan()}
            assert not ids & seen
            assert min(ids) > 0
            seen |= ids
            store.remove(ids)


def test_equal_contents_share_one_embedding_until_the_last_is_gone(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1, b"b": 1})
        put(store, {b"c": 1})
        ids = [known.id for known in store.scan()]
        assert [id_ for id_, _ in nearest(store, embedding(1), 5)] == ids
        store.remove(ids[:2])
        assert store.known([digest(1)]) == {digest(1)}
        store.remove(ids[2:])
        assert store.known([digest(1)]) == set()


def test_the_generation_grows_with_every_change_and_with_nothing_else(store: Store) -> None:
    met = [store.generation]
    projection = Projection(np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32), 2)
    with store.writing():
        for change in (
            lambda: put(store, {b"a": 1}),
            lambda: put(store, {b"a": 2}),
            lambda: store.set_projection(projection),
            lambda: store.set_projection(None),
            lambda: store.remove([1]),
        ):
            change()
            met.append(store.generation)
    assert met == sorted(set(met))
    list(store.scan())
    nearest(store, embedding(1), 3)
    problems(store)
    assert store.generation == met[-1]


def test_the_state_is_the_same_only_while_the_pictures_are(store: Store) -> None:
    met = [store.state]
    with store.writing():
        for change in (lambda: put(store, {b"a": 1}), lambda: put(store, {b"a": 2}), lambda: store.remove([1])):
            change()
            met.append(store.state)
    assert len(set(met)) == len(met)
    nearest(store, embedding(1), 3)
    assert store.state == store.state == met[-1]


def test_everything_is_there_when_the_store_is_opened_again(reopen: Open, store: Store) -> None:
    with store.writing():
        put(store, {b"%d" % n: n % 5 for n in range(20)})
        store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, 3))
    answer, state = nearest(store, embedding(7), 6), _state(store)
    again = reopen(None)
    assert _state(again) == state
    assert nearest(again, embedding(7), 6) == answer
    again.close()


def test_embeddings_come_back_as_they_were_put(store: Store) -> None:
    with store.writing():
        put(store, {b"%d" % n: n for n in range(10)})
    ids, rows = next(iter(store.embeddings()))
    assert ids.tolist() == sorted(known.id for known in store.scan())
    contents = {known.id: int(known.path) for known in store.scan()}
    for id_, row in zip(ids.tolist(), rows, strict=True):
        assert row.tolist() == embedding(contents[id_]).tolist()
    some = [int(ids[3]), int(ids[5])]
    chosen = {int(id_) for few, _ in store.embeddings(some) for id_ in few}
    assert chosen == set(some)


@pytest.mark.parametrize("scale", [1e-12, 1e-5, 1.0, 1e5, 1e12])
def test_embeddings_of_any_scale_keep_their_ranking(reopen: Open, scale: float) -> None:
    store = reopen(space("euclidean"))
    rows = {digest(n): embedding(n) * np.float32(scale) for n in range(30)}
    with store.writing():
        store.put([record(b"%d" % n, n) for n in range(30)], rows)
    contents = {known.id: int(known.path) for known in store.scan()}
    for n in range(30):
        (first, distance), *_ = nearest(store, embedding(n) * np.float32(scale), 3)
        assert contents[first] == n
        assert distance == 0
    store.close()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cut", [None, 3, "blended"])
def test_search_is_exact(reopen: Open, metric: Metric, cut: int | str | None) -> None:
    store = reopen(space(metric))
    with store.writing():
        put(store, {b"%d" % n: n % 150 for n in range(400)})
        projection = None
        if cut is not None:
            projection = _fit_blends(store) if cut == "blended" else fit_projection(_rows(store), DIM, 3)
            store.set_projection(projection)
    rows = {known.id: int(known.path) % 150 for known in store.scan()}
    for n in range(0, 200, 9 if _is_quick(store) else 45):
        wanted = expected(rows, embedding(n), 1000, metric=metric, projection=projection)
        for k in (1, 7, 399, 400, 1000):
            assert_same_answer(nearest(store, embedding(n), k, exact=True), wanted[:k])
    store.close()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cut", [None, 3])
@pytest.mark.parametrize("k", [1, 10, 149])
def test_equally_near_items_come_in_the_order_of_their_ids(
    reopen: Open, metric: Metric, cut: int | None, k: int
) -> None:
    """Hundreds of equal pictures under other names and other digests, at every place in the matrix."""
    store = reopen(space(metric))
    with store.writing():
        put(store, {b"x%d" % n: n for n in range(50)})
        same = [record(b"same%d" % n, 1000 + n) for n in range(150)]
        store.put(same, {digest(1000 + n): embedding(77) for n in range(150)})
        put(store, {b"y%d" % n: n for n in range(50)})
        if cut is not None:
            store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, cut))
    ids = sorted(known.id for known in store.scan(b"same"))
    found = nearest(store, embedding(77), k)
    assert [id_ for id_, _ in found] == ids[:k]
    assert len({distance for _, distance in found}) == 1
    store.close()


def test_an_embedding_of_length_zero_is_at_cosine_distance_1_from_everything(store: Store) -> None:
    zero = np.zeros(DIM, np.float32)
    with store.writing():
        put(store, {b"a": 1, b"b": 2})
        store.put([record(b"zero", 3)], {digest(3): zero})
    assert [distance for _, distance in nearest(store, zero, 3)] == [1.0, 1.0, 1.0]
    zero_id = store.find([b"zero"])[b"zero"].id
    assert dict(nearest(store, embedding(1), 3))[zero_id] == 1.0


def test_fewer_come_back_when_there_are_fewer(store: Store) -> None:
    assert nearest(store, embedding(1), 10) == []
    with store.writing():
        put(store, {b"a": 1, b"b": None})
    assert len(nearest(store, embedding(1), 10)) == 1
    assert nearest(store, embedding(1), 0) == []
    assert nearest(store, embedding(1), -1) == []


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stretch", [None, np.array([2, 0.5, 1], np.float32)])
def test_rows_are_what_a_search_compares(
    reopen: Open, metric: Metric, stretch: np.ndarray[tuple[int], np.dtype[np.float32]] | None
) -> None:
    store = reopen(space(metric))
    with store.writing():
        put(store, {b"%d" % n: n for n in range(40)})
        store.set_projection(fit_projection(_rows(store), DIM, 3))
        if isinstance(store, Maintained):
            store.prepare()
        put(store, {b"%d" % n: 100 + n for n in range(0, 10, 2)})  # stands elsewhere now, as what is new does
        put(store, {b"new %d" % n: 200 + n for n in range(5)})
        store.remove([store.find([b"11"])[b"11"].id])
    known = {item.id: item for item in store.scan()}
    space_ = SearchSpace() if stretch is None else SearchSpace(weights=tuple(stretch.tolist()))
    near = nearest(store, embedding(3), 44, space=space_)
    ids = [id_ for id_, _ in near]
    assert set(ids) == set(known)
    rows = store.vectors(ids, space=space_)
    own = rows[[known[id_].path for id_ in ids].index(b"3")]
    np.testing.assert_allclose(distances(own, rows, metric), [distance for _, distance in near], atol=1e-5)
    for gone in ([11_000], [*ids, 12_000], [0]):
        with pytest.raises(KeyError):
            store.vectors(gone)
    assert store.vectors([]).shape[0] == 0
    store.close()


def test_a_store_without_pictures_has_no_rows(store: Store) -> None:
    with pytest.raises(KeyError):
        store.vectors([1])


BAD = {
    "nan": np.array([np.nan, *range(DIM - 1)], np.float32),
    "infinite": np.array([np.inf, *range(DIM - 1)], np.float32),
    "beyond what can be squared": np.full(DIM, 1e30, np.float32),
    "too long": np.ones(DIM + 1, np.float32),
    "too short": np.ones(DIM - 1, np.float32),
    "a matrix": np.ones((1, DIM), np.float32),
    "empty": np.empty(0, np.float32),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_an_embedding_that_is_none_is_refused_and_nothing_changes(
    store: Store, bad: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> None:
    with store.writing():
        put(store, {b"a": 1, b"b": 2})
        before = _state(store)
        with pytest.raises(ValueError, match="embedding"):
            store.put([record(b"a", 8), record(b"c", 9)], {digest(8): embedding(8), digest(9): bad})
        assert _state(store) == before
    with pytest.raises(ValueError, match="embedding"):
        nearest(store, bad, 1)


def test_a_digest_without_embedding_is_refused_and_nothing_changes(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1})
        before = _state(store)
        with pytest.raises(ValueError, match="no embedding for 1"):
            store.put([record(b"a", 8), record(b"c", 9)], {digest(8): embedding(8)})
        assert _state(store) == before
        assert store.known([digest(8)]) == set()


def test_an_item_that_cannot_be_stored_takes_its_whole_batch_with_it(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1})
        before = _state(store)
        with pytest.raises(TypeError):
            store.put([record(b"b", 1), Record(b"c", size="odd")], {})  # type: ignore[arg-type]
        assert _state(store) == before


def test_a_blended_projection_is_kept_as_it_is(reopen: Open, store: Store) -> None:
    with store.writing():
        put(store, {b"%d" % n: n for n in range(60)})
        projection = _fit_blends(store)
        store.set_projection(projection)
    answer = nearest(store, embedding(3), 9)
    store.close()
    again = reopen(None)
    kept = again.projection
    assert kept is not None
    (blend,), (wanted,) = kept.blends, projection.blends
    assert blend is not None
    assert wanted is not None
    assert (blend.anchors == wanted.anchors).all()
    assert (blend.deviations == wanted.deviations).all()
    assert nearest(again, embedding(3), 9) == answer
    assert answer[0][1] == 0
    again.close()


def _rows(store: Store) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    return (rows for _, rows in store.embeddings())


def _fit_blends(store: Store) -> Projection:
    """Six directions, of which three are smoothed and all whitened."""
    plain = fit_projection(_rows(store), DIM, 6)
    return fit_blends(plain, _rows(store), [True], smoothed=[3], whitened=[6])


def _with_blends(*blends: Blend | None) -> Projection:
    return Projection(np.zeros(DIM, np.float32), np.eye(DIM, 3, dtype=np.float32), 2, blends=blends)


@pytest.mark.parametrize(
    "projection",
    [
        Projection(np.zeros(DIM - 1, np.float32), np.eye(DIM - 1, dtype=np.float32), 2),
        Projection(np.zeros(DIM, np.float32), np.eye(DIM - 1, dtype=np.float32), 2),
        Projection(np.zeros(DIM, np.float32), np.empty((DIM, 0), np.float32), 2),
        Projection(np.full(DIM, np.nan, np.float32), np.eye(DIM, dtype=np.float32), 2),
        Projection(np.zeros(DIM, np.float32), np.full((DIM, 2), np.inf, np.float32), 2),
        Projection(np.zeros(DIM, np.float32), np.ones((DIM, 3), np.float32), 2, (0.5, 0.5)),
        Projection(np.zeros(DIM, np.float32), np.ones((DIM, 2), np.float32), 2, (0.5, 0.5), (0.0, 0.0)),
        _with_blends(Blend(np.ones((3, 4), np.float32), np.ones(2, np.float32))),
        _with_blends(Blend(np.ones((3, 3), np.float32), np.ones(2, np.float32)), None),
        _with_blends(Blend(np.ones((0, 3), np.float32), np.ones(2, np.float32))),
        _with_blends(Blend(np.full((3, 3), np.nan, np.float32), np.ones(2, np.float32))),
        replace(_with_blends(None), shares=(0.5, 0.5), classes=(0.0,)),
        replace(_with_blends(), shares=(0.5, 0.5), groups=(2, 2)),
        replace(_with_blends(), shares=(0.5, 0.5), groups=(3, 0)),
        replace(_with_blends(), groups=(1, 2)),
    ],
    ids=[
        "other dimension",
        "unequal dimensions",
        "no component",
        "nan",
        "infinite",
        "odd parts",
        "no look",
        "too wide a blend",
        "a blend too many",
        "no anchor",
        "no anchors that are numbers",
        "blended classes",
        "too wide groups",
        "an empty group",
        "a group too many",
    ],
)
def test_a_projection_that_does_not_fit_is_refused(store: Store, projection: Projection) -> None:
    with store.writing():
        generation = store.generation
        with pytest.raises(ValueError, match="projection"):
            store.set_projection(projection)
    assert store.generation == generation
    assert store.projection is None


def test_a_projection_is_kept_and_can_be_taken_back(store: Store) -> None:
    with store.writing():
        put(store, {b"%d" % n: n for n in range(20)})
        plain = nearest(store, embedding(1), 20)
        projection = fit_projection((rows for _, rows in store.embeddings()), DIM, 2)
        store.set_projection(projection)
        kept = store.projection
        assert kept is not None
        assert kept.fitted_on == 20
        assert (kept.mean == projection.mean).all()
        assert (kept.components == projection.components).all()
        contents = {known.id: int(known.path) for known in store.scan()}
        wanted = expected(contents, embedding(1), 20, projection=projection)
        assert_same_answer(nearest(store, embedding(1), 20), wanted)
        assert nearest(store, embedding(1), 20) != plain
        store.set_projection(None)
    assert store.projection is None
    assert nearest(store, embedding(1), 20) == plain


def test_a_store_is_written_to_only_by_its_writer(store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1})
    before = _state(store)
    for write in (
        lambda: put(store, {b"b": 1}),
        lambda: store.remove([1]),
        lambda: store.set_projection(None),
    ):
        with pytest.raises(RuntimeError, match="writing"):
            write()
    assert _state(store) == before


def test_there_is_one_writer_at_a_time(reopen: Open, store: Store) -> None:
    other = reopen(None)
    with store.writing():
        with pytest.raises(StoreBusy), other.writing():
            pass
        with pytest.raises(StoreBusy), store.writing():
            pass
        put(store, {b"a": 1})  # the refused ones have not taken the right to write away
    with other.writing():
        put(other, {b"b": 1})
    assert [known.path for known in store.scan()] == [b"a", b"b"]
    other.close()


def test_an_error_of_the_caller_ends_writing_and_keeps_what_was_put(reopen: Open, store: Store) -> None:
    def interrupted() -> None:
        with store.writing():
            put(store, {b"a": 1})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    other = reopen(None)
    with other.writing():
        put(other, {b"b": 1})
    assert store.count() == (2, 0)
    other.close()


def test_a_search_is_as_new_as_the_store(reopen: Open, store: Store) -> None:
    other = reopen(None)
    assert nearest(other, embedding(1), 3) == []
    with store.writing():
        put(store, {b"a": 1})
        assert [id_ for id_, _ in nearest(other, embedding(1), 3)] == [1]
        store.remove([1])
        assert nearest(other, embedding(1), 3) == []
    other.close()


def test_what_is_read_together_is_of_one_moment(reopen: Open, store: Store) -> None:
    with store.writing():
        put(store, {b"a": 1})
    other = reopen(None)
    with other.reading():
        (found,) = nearest(other, embedding(1), 3)
        with store.writing():
            store.remove([found[0]])
        assert other.get([found[0]])[found[0]].path == b"a"
        assert other.count() == (1, 0)
    assert other.count() == (0, 0)
    other.close()


def test_a_sound_store_has_no_problems(store: Store) -> None:
    assert problems(store) == []
    with store.writing():
        put(store, {b"a": 1, b"b": 1, b"c": None, b"d": 4})
        store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, 1))
        store.remove([1])
        assert problems(store) == []
    assert problems(store) == []


def _concept(name: str, like: int, unlike: int = 0) -> Concept:
    rows = np.stack([embedding(n) for n in range(like + unlike)]) if like + unlike else np.empty((0, DIM), np.float32)
    return Concept(name, rows[:like], rows[like:])


def test_concepts_come_back_as_they_were_set_by_their_normalised_names(reopen: Open) -> None:
    store = reopen(space())
    assert store.concepts == {}
    before = store.generation
    with store.writing():
        store.set_concepts([_concept("Our  BOAT", 3, 2), _concept("cafe\u0301", 1)])
    assert store.generation > before
    again = reopen(None)
    assert list(again.concepts) == ["caf\u00e9", "our boat"]
    found = again.concepts["our boat"]
    assert found.name == "Our  BOAT"
    np.testing.assert_array_equal(found.like, _concept("", 3).like)
    np.testing.assert_array_equal(found.unlike, _concept("", 3, 2).unlike)
    with again.writing():
        again.set_concepts([found])
    assert list(again.concepts) == ["our boat"]
    assert problems(again) == []
    again.close()
    store.close()


def test_concepts_stay_when_pictures_change_and_a_reader_keeps_seeing_those_of_its_moment(reopen: Open) -> None:
    store, writer = reopen(space()), reopen(None)
    with writer.writing():
        put(writer, {b"/a": 1, b"/b": 2})
        writer.set_concepts([_concept("boat", 1)])
        writer.remove(writer.ids().tolist())
    with store.reading():
        assert list(store.concepts) == ["boat"]
        if "snapshots" in store.capabilities:
            with ThreadPoolExecutor(1) as other:
                other.submit(_forget_all, writer).result()
            assert list(store.concepts) == ["boat"]
    writer.close()
    store.close()


def _forget_all(store: Store) -> None:
    with store.writing():
        store.set_concepts([])


@pytest.mark.parametrize(
    "concept",
    [
        _concept(" ", 1),
        _concept("boat", 0, 1),
        Concept("boat", np.ones((1, DIM + 1), np.float32), np.empty((0, DIM), np.float32)),
        Concept("boat", np.full((1, DIM), np.nan, np.float32), np.empty((0, DIM), np.float32)),
        Concept("boat", np.ones(DIM, np.float32), np.empty((0, DIM), np.float32)),
    ],
)
def test_a_concept_that_does_not_fit_is_refused_and_changes_nothing(store: Store, concept: Concept) -> None:
    with store.writing():
        store.set_concepts([_concept("before", 1)])
        with pytest.raises(ValueError, match=r"concept|example"):
            store.set_concepts([_concept("good", 1), concept])
    assert list(store.concepts) == ["before"]


def test_a_filter_may_name_the_pictures_themselves(store: Store) -> None:
    with store.writing():
        put(store, {b"/%d" % n: n for n in range(6)})
    ids = store.ids().tolist()
    assert store.ids(Among(tuple(ids[1:3]))).tolist() == ids[1:3]
    assert store.ids(Not(Among((ids[0], 10**6)))).tolist() == ids[1:]
    assert store.ids(All((Among(tuple(ids[:4])), Condition("name", "=", "[3-5]")))).tolist() == [
        one.id for one in store.scan() if one.path == b"/3"
    ]
    assert {id_ for id_, _ in nearest(store, embedding(3), 9, where=Among(tuple(ids[4:])))} == set(ids[4:])
    assert not len(store.ids(Among(())))


def test_a_closed_store_raises_one_named_error(reopen: Open) -> None:
    store = reopen(space())
    with store.writing():
        put(store, {b"a": 1})
    store.close()
    store.close()
    uses: list[Callable[[], object]] = [
        *(lambda: store.generation, lambda: store.projection, lambda: store.roots, store.count, store.ids),
        *(lambda: list(store.scan()), lambda: store.find([b"a"]), lambda: store.get([1]), lambda: store.known([])),
        *(lambda: list(store.embeddings()), lambda: store.vectors([1]), lambda: nearest(store, embedding(1), 1)),
        *(lambda: put(store, {b"b": 2}), lambda: store.remove([1]), lambda: store.set_roots({})),
        *(lambda: store.concepts, lambda: store.set_concepts([])),
        *(store.writing().__enter__, store.reading().__enter__),
    ]
    for use in uses:
        with pytest.raises(ClosedGallery):
            use()


def test_eight_threads_search_while_one_writes_and_see_whole_generations(reopen: Open) -> None:
    """The writer gives all pictures other contents at once; no reader may see some old beside some new."""
    store = reopen(space())
    with store.writing():
        put(store, {b"%d" % n: n for n in range(20)})
    done = threading.Event()
    met: list[set[int]] = []

    def read() -> None:
        while not done.is_set():
            with store.reading():
                found = nearest(store, embedding(1), 30)
                records = store.get([id_ for id_, _ in found])
                contents = [int(bytes(records[id_].digest or b"").split()[1]) for id_, _ in found]
                met.append({content // 100 for content in contents})
                assert len(found) == 20
                wanted = {id_: content for (id_, _), content in zip(found, contents, strict=True)}
                assert_same_answer(found, expected(wanted, embedding(1), 20))

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(8)]
        for turn in range(1, 12):
            with store.writing():
                put(store, {b"%d" % n: 100 * turn + n for n in range(20)})
            time.sleep(0.02)
        done.set()
        for reader in readers:
            reader.result()
    assert all(len(some) == 1 for some in met)
    assert len({min(some) for some in met}) > 1
    store.close()


_NUMBERS = st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))
_TEXTS = st.one_of(st.none(), st.text(max_size=8))
OFFSETS = st.integers(-899, 899).map(lambda minutes: timezone(timedelta(minutes=minutes)))
RECORDS = st.builds(
    Record,
    path=st.binary(min_size=1, max_size=12).map(lambda name: b"/" + name),
    size=_NUMBERS,
    mtime_ns=_NUMBERS,
    digest=st.none(),
    width=_NUMBERS,
    height=_NUMBERS,
    format=_TEXTS,
    taken_at=st.one_of(st.none(), st.datetimes(), st.datetimes(timezones=OFFSETS)),
    camera=_TEXTS,
    skipped_because=_TEXTS,
    max_megapixels=st.one_of(st.none(), st.integers(0, 10**9), st.floats(allow_nan=False, allow_infinity=False)),
    id=st.just(0),
)


def test_every_record_comes_back_as_it_was_put(store: Store) -> None:
    @settings(max_examples=60 if _is_quick(store) else 15, deadline=None)
    @given(records=st.lists(RECORDS, max_size=5 if _is_quick(store) else 20))
    def check(records: list[Record]) -> None:
        with store.writing():
            store.put(records, {})
        for path, found in store.find(one.path for one in records).items():
            wanted = [one for one in records if one.path == path][-1]
            assert found._replace(id=0) == wanted
        assert problems(store) == []

    check()


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("max_megapixels", 100, 100.0),
        ("max_megapixels", np.float64(1.5), 1.5),
        ("max_megapixels", -0.0, 0.0),
        ("max_megapixels", float("nan"), None),
        ("max_megapixels", float("inf"), None),
        ("width", True, 1),
        ("mtime_ns", 15 * 10**18, None),  # the year 2445, which ext4 has
        ("size", -(2**63), None),
        ("camera", np.str_("Camera"), "Camera"),
        ("skipped_because", "no file \udcff.jpg", "no file \\udcff.jpg"),
        ("format", "\0", "\0"),
    ],
)
def test_what_no_engine_can_keep_is_kept_as_near_as_can_be(
    store: Store, field: str, value: object, kept: object
) -> None:
    with store.writing():
        store.put([Record(b"/a", **{field: value})], {})  # type: ignore[arg-type]
    (found,) = store.scan()
    assert (getattr(found, field), type(getattr(found, field))) == (kept, type(kept))
    assert problems(store) == []
