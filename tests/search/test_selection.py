"""A filter that selects nothing says so, and names what there is."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.errors import UsageError
from lookalike.search.selection import explain_filters
from lookalike.store import Record, Space, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store import Store

TAKEN = datetime(2023, 5, 17, 12)  # noqa: DTZ001  (a camera's clock)
PICTURES = (
    ("/home/me/2024/Cafe\u0301/one.jpg", 640, "JPEG", "Canon EOS 5D"),
    ("/home/me/2024/Cafe\u0301/two.jpg", 800, "JPEG", "NIKON D70"),
    ("/home/me/2023/Rome, spring/three.png", 1024, "PNG", None),
)


@pytest.fixture
def store() -> Iterator[Store]:
    store = open_store("memory:", create=Space("tiles", "x", 2, "cosine", "tiles"))
    with store.writing():
        for n, (path, width, kind, camera) in enumerate(PICTURES):
            record = Record(os.fsencode(path), 1000 + n, 10**18, bytes([n] * 32), width, 480, kind, TAKEN, camera)
            store.put([record], {bytes([n] * 32): np.ones(2, np.float32)})
        store.put([Record(b"/home/me/Beach/bad.gif", 1, 1, skipped_because="not an image")], {})
    yield store
    store.close()


@pytest.mark.parametrize(
    "term",
    [
        *("folder:Caf\u00e9", "folder:Cafe\u0301", "label:Caf\u00e9", "folder:2024/Caf\u00e9", "folder:/home/me/2024"),
        *(
            'label:"Rome, spring"',
            'folder:"2023/Rome, spring"',
            "format:jpg",
            "camera:canon",
            "width:>700",
            "date:2023",
        ),
        *("name:*.png", "-label:Caf\u00e9", 'label:Caf\u00e9,"Rome, spring"', "name:one.jpg,two.jpg"),
    ],
)
def test_nothing_is_said_of_one_that_selects_something(store: Store, term: str) -> None:
    assert explain_filters(store, [term]) == []
    assert len(store.ids()) == 3


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        ("folder:caf\u00e9", "no picture has folder:caf\u00e9; did you mean Cafe\u0301?"),
        ("folder:cafe", "no picture has folder:cafe; did you mean Cafe\u0301?"),
        ("-folder:caff\u00e9", "no picture has folder:caff\u00e9; did you mean Cafe\u0301?"),
        ("folder:2025/Cafe\u0301", "no picture has folder:2025/Cafe\u0301; did you mean 2024/Cafe\u0301?"),
        ("folder:/home/me/2025", "did you mean /home/me/2024"),
        ("folder:Beach", 'there are: Cafe\u0301, 2024, "Rome, spring", 2023'),
        ("label:rome spring", 'did you mean "Rome, spring"?'),
        ("label:Caf\u00e9,forest", 'no picture has label:forest; there are: Cafe\u0301, "Rome, spring"'),
        ("name:tow.jpg", "did you mean two.jpg, one.jpg?"),
        ("format:gif", "no picture has format:gif; there are: jpeg, png"),
        ("format:jepg", "did you mean jpeg?"),
        ("camera:sony", "there are: Canon EOS 5D, NIKON D70"),
        ("width:>5000", "no picture has width:>5000; they have 640 to 1024"),
        ("size:>1GB", "they have 1000 to 1002"),
        ("date:2019", "they have 2023-05-17 to 2023-05-17"),
        ("width:900..700", "no picture has width:900..700"),
    ],
)
def test_a_value_that_no_picture_has_is_named_with_what_there_is(store: Store, term: str, sentence: str) -> None:
    (said,) = explain_filters(store, [term])
    assert sentence in said


def test_filters_that_exclude_each_other_are_named(store: Store) -> None:
    said = explain_filters(store, ["format:png", "label:Caf\u00e9"])
    assert said == ["no picture passes these filters together"]
    assert explain_filters(store, ["-format:jpeg,png"]) == ["no picture passes -format:jpeg,png"]


def test_each_value_is_named(store: Store) -> None:
    assert len(explain_filters(store, ["label:a,b", "format:gif"])) == 3


def test_after_a_search_with_hits_a_value_that_has_no_share_in_them_is_still_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no picture has label:b" in explain_filters(store, ["label:Caf\u00e9,b"], has_hits=True)[0]
    assert "no picture has format:gif" in explain_filters(store, ["-format:gif", "width:>1"], has_hits=True)[0]
    monkeypatch.setattr(store, "ids", pytest.fail)  # nothing has to be looked up
    assert explain_filters(store, ["label:Caf\u00e9", "width:>1", "camera:canon"], has_hits=True) == []


def test_an_unknown_field_is_an_error_as_in_a_search(store: Store) -> None:
    with pytest.raises(UsageError, match="widht"):
        explain_filters(store, ["widht:3"])


def test_no_filter_and_an_empty_gallery_need_no_explanation(store: Store) -> None:
    assert explain_filters(store, []) == []
    with store.writing():
        store.remove(store.ids().tolist())
    assert explain_filters(store, ["label:a"]) == []
