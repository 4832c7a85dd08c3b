"""Pictures that are least like all others, classes that are mixed up, and labels that are probably wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lookalike.errors import UsageError
from lookalike.explore.confusions import find_confusions
from lookalike.explore.outliers import find_outliers

if TYPE_CHECKING:
    from lookalike.store import Store
    from tests.explore.conftest import MakeStore


def folder_labels(store: Store) -> dict[bytes, str]:
    return {record.path: record.path.split(b"/")[2].decode() for record in store.scan()}


def test_strangers_are_found_first(make_store: MakeStore) -> None:
    found = find_outliers(make_store([60, 60, 1, 1, 1]), 3)
    assert {each.path.parent.name for each in found} == {"group2", "group3", "group4"}
    assert all(each.times > 2 for each in found)
    assert [each.distance for each in found] == sorted((each.distance for each in found), reverse=True)


@pytest.mark.parametrize(("count", "listed"), [(0, 0), (1, 0), (2, 2), (3, 3)])
def test_a_few_pictures_have_outliers_if_they_have_neighbours(make_store: MakeStore, count: int, listed: int) -> None:
    assert len(find_outliers(make_store([count]))) == listed


def test_none_of_equal_pictures_stands_out(make_store: MakeStore) -> None:
    found = find_outliers(make_store([30], spread=0.0), 5)
    assert [each.times for each in found] == [1.0] * 5


def test_outliers_are_found_among_those_that_pass_a_filter(make_store: MakeStore) -> None:
    found = find_outliers(make_store([20, 20]), 50, where=["folder:group1"])
    assert len(found) == 20


def test_planted_wrong_labels_are_found(make_store: MakeStore) -> None:
    store = make_store([40, 40, 40])
    labels = folder_labels(store)
    planted = [b"/photos/group0/0-003.jpg", b"/photos/group1/1-007.jpg"]
    labels |= dict.fromkeys(planted, "group2")
    wrong = find_confusions(store, labels).wrong_labels
    assert sorted(bytes(each.path) for each in wrong) == planted
    assert {(each.label, each.suggested) for each in wrong} == {("group2", "group0"), ("group2", "group1")}


def test_classes_that_are_mixed_up_are_named_first(make_store: MakeStore) -> None:
    store = make_store([30, 30, 30], folders=["a", "b", "c"])
    labels = folder_labels(store)
    for index in range(0, 30, 2):
        labels[f"/photos/a/0-{index:03d}.jpg".encode()] = "b"
    found = find_confusions(store, labels)
    assert (found.pairs[0].one, found.pairs[0].other) == ("a", "b")
    assert 0.1 < found.pairs[0].share < 0.5
    assert (found.pictures, found.classes) == (90, 3)


def test_a_class_of_one_picture_is_not_called_wrong_for_being_small(make_store: MakeStore) -> None:
    assert not find_confusions(make_store([30, 30, 2])).wrong_labels
    assert not find_confusions(make_store([30, 30, 1])).wrong_labels


def test_pictures_without_a_label_are_left_out(make_store: MakeStore) -> None:
    store = make_store([10, 10, 10])
    labels = {path: label for path, label in folder_labels(store).items() if label != "group2"}
    assert find_confusions(store, labels).pictures == 20


@pytest.mark.parametrize("sizes", [[], [5]])
def test_one_class_cannot_be_confused(make_store: MakeStore, sizes: list[int]) -> None:
    with pytest.raises(UsageError, match="two are needed"):
        find_confusions(make_store(sizes))
