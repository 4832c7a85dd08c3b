from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike import Query
from lookalike.errors import UsageError
from lookalike.search.query import PictureQuery, StoredQuery, as_query


def terms(query: Query) -> list[tuple[float, Any]]:
    return [(weight, part.to_dict()) for weight, part in query.terms]


@pytest.mark.parametrize(
    "query",
    [
        Query.picture("a/b.jpg"),
        Query.picture(Path("a/b.jpg")),
        Query.picture(b"a/\xff 50%.jpg"),
        Query.text("a red boat"),
        Query.stored(17),
        2 * Query.picture("a.jpg") + Query.stored(3) - 0.5 * Query.text("sea"),
    ],
)
def test_a_query_survives_its_dictionary(query: Query) -> None:
    again = Query.from_dict(json.loads(json.dumps(query.to_dict())), paths=True)
    assert again.to_dict() == query.to_dict()
    assert terms(again) == terms(query)


def test_a_path_with_any_bytes_comes_back() -> None:
    query = Query.from_dict(Query.picture(b"a/\xff.jpg").to_dict(), paths=True)
    assert isinstance(query, PictureQuery)
    assert os.fsencode(query.source) == b"a/\xff.jpg"  # type: ignore[arg-type]


def test_pixels_are_written_by_their_size_and_cannot_be_read_back() -> None:
    pixels = np.zeros((3, 4, 3), np.uint8)
    size = {"picture": {"width": 4, "height": 3}}
    assert Query.picture(pixels).to_dict() == Query.picture(Image.fromarray(pixels)).to_dict() == size
    with pytest.raises(UsageError, match="not a query"):
        Query.from_dict(size)


def test_a_colour_without_its_name_is_no_query() -> None:
    nameless: list[dict[str, Any]] = [{}, {"weight": 1}, {"color": None}]
    for one in nameless:
        with pytest.raises(UsageError, match="color of a query"):
            Query.from_dict({"colors": [one]})


def test_queries_add_up() -> None:
    query = 2 * (Query.stored(1) + Query.stored(2) * 0.5) - Query.stored(3)
    assert terms(query) == [(2.0, {"id": 1}), (1.0, {"id": 2}), (-1.0, {"id": 3})]


def test_a_string_is_a_path_and_a_query_is_itself() -> None:
    query = Query.stored(1)
    assert as_query(query) is query
    assert as_query("a.jpg").to_dict() == {"path": "a.jpg", "display": "a.jpg"}


@pytest.mark.parametrize("wrong", [None, 3, 1.5, {"id": 1}])
def test_anything_else_is_not_a_query(wrong: Any) -> None:
    with pytest.raises(UsageError, match="not a query"):
        as_query(wrong)


@pytest.mark.parametrize(
    "fields",
    [{}, {"colour": "red"}, {"id": "7"}, {"id": True}, {"path": 3}, {"text": None}, {"sum": [{"weight": "x"}]}],
)
def test_a_dictionary_that_describes_no_query_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Query.from_dict(fields)


@pytest.mark.parametrize("fields", [{"sum": 3}, {"sum": ["a.jpg"]}, {"sum": []}, {"sum": [{"weight": 1e400, "id": 1}]}])
def test_a_sum_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Query.from_dict(fields)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_is_a_finite_number(weight: float) -> None:
    with pytest.raises(UsageError, match="not a weight"):
        _ = weight * Query.stored(1)


def test_an_id_is_kept() -> None:
    assert Query.stored(7) != StoredQuery(8)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/etc/passwd"},
        {"palette": {"path": "/etc/passwd"}},
        {"sum": [{"id": 1}, {"path": "/etc/passwd"}]},
        {"sum": [{"sum": [{"palette": {"path": "/etc/passwd"}}]}]},
    ],
)
def test_a_dictionary_names_no_file_unless_it_may(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="files are not read here"):
        Query.from_dict(fields)
    assert Query.from_dict(fields, paths=True).to_dict()


@pytest.mark.parametrize("fields", [None, [], "id", 3])
def test_only_an_object_describes_a_query(fields: Any) -> None:
    with pytest.raises(UsageError, match="is not a query"):
        Query.from_dict(fields)
