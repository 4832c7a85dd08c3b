"""Queries over HTTP: options as on the command line, parts of pictures, pictures that were dropped, and marks."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, Query
from tests.web.conftest import make_upload

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

    from lookalike.web.served_gallery import ServedGallery

SEARCH = "/api/v1/search"
PART = "25%,10%,50%,60%"


def ids(answer: Any) -> list[tuple[int, float]]:
    assert answer.status_code == 200, answer.text
    return [(hit["id"], hit["distance"]) for hit in answer.json()["hits"]]


def drop(api: TestClient, content: bytes) -> str:
    name: str = api.post("/api/v1/dropped", content=content).json()["dropped"]
    return name


@pytest.mark.parametrize(
    "options", [{"offset": 3}, {"diverse": 0.7}, {"least": True}, {"order": "diffusion"}, {"unique": True}]
)
def test_options_are_those_of_the_library(api: TestClient, gallery: Gallery, options: dict[str, Any]) -> None:
    expected = gallery.search(Query.stored(5), 4, **options).to_dict()
    assert api.get("/api/v1/images/5/similar", params={"k": 4, **options}).json() == expected
    assert api.post(SEARCH, json={"query": {"id": 5}, "k": 4, **options}).json() == expected


def test_pages_of_hits_follow_each_other(api: TestClient) -> None:
    every = api.get("/api/v1/images/5/similar", params={"k": 11}).json()["hits"]
    pages = [api.get("/api/v1/images/5/similar", params={"k": 4, "offset": skip}).json()["hits"] for skip in (0, 4, 8)]
    assert [hit for page in pages for hit in page] == every


def test_only_hits_that_are_near_enough_are_shown(api: TestClient, gallery: Gallery) -> None:
    hits = gallery.search(Query.stored(5), 11)
    limit = hits[3].distance
    near = [(hit.id, hit.distance) for hit in hits if hit.distance <= limit]
    assert ids(api.get("/api/v1/images/5/similar", params={"k": 11, "threshold": limit})) == near
    few = hits.beyond_chance(0.5)
    answer = api.get("/api/v1/images/5/similar", params={"k": 11, "max_false_match": 0.5})
    assert ids(answer) == [(hit.id, hit.distance) for hit in few]


@pytest.mark.parametrize(
    "options",
    [
        {"offset": -1},
        {"offset": 10_001},
        {"offset": 1.5},
        {"diverse": 1.01},
        {"diverse": -0.1},
        {"diverse": "nan"},
        {"least": "perhaps"},
        {"threshold": -1},
        {"threshold": "nan"},
        {"max_false_match": "inf"},
        {"max_false_match": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(api: TestClient, options: dict[str, Any]) -> None:
    assert api.get("/api/v1/images/5/similar", params=options).status_code == 422
    assert api.post(SEARCH, json={"query": {"id": 5}, **options}).status_code == 422


def test_a_part_of_an_upload_is_cut_out_at_full_size(api: TestClient, gallery: Gallery, tmp_path: Path) -> None:
    content = make_upload(40, (900, 700))
    (tmp_path / "query.png").write_bytes(content)
    expected = [
        (hit.id, hit.distance) for hit in gallery.search(Query.picture(tmp_path / "query.png", crop="45,70,300,200"), 5)
    ]
    file = {"file": ("a.png", content)}
    assert ids(api.post(SEARCH, params={"k": 5}, files=file, data={"crop": "45,70,300,200"})) == expected
    assert ids(api.post(SEARCH, params={"k": 5, "crop": "45,70,300,200"}, content=content)) == expected
    query = {"dropped": drop(api, content), "crop": "45,70,300,200"}
    answer = api.post(SEARCH, json={"query": query, "k": 5})
    assert ids(answer) == expected
    assert answer.json()["query"] == query


def test_a_part_of_a_stored_picture_finds_what_the_library_finds(api: TestClient, gallery: Gallery) -> None:
    expected = gallery.search(Query.stored(5, crop=PART), 5)
    answer = api.post(SEARCH, json={"query": {"id": 5, "crop": PART}, "k": 5})
    assert ids(answer) == [(hit.id, hit.distance) for hit in expected]
    assert ids(api.get("/api/v1/images/5/similar", params={"crop": PART, "k": 5})) == ids(answer)
    assert answer.json()["query"] == {"id": 5, "crop": PART}
    with_others = {"sum": [{"id": 5, "crop": PART}, {"id": 2, "weight": -0.5}, {"colors": [{"color": "red"}]}]}
    assert len(ids(api.post(SEARCH, json={"query": with_others}))) == 10
    assert len(ids(api.post(SEARCH, json={"query": {"palette": {"id": 5, "crop": PART}}}))) == 10


@pytest.mark.parametrize("crop", ["90%,0,20%,10%", "0,0,0,10", "1,2,3", "a,b,c,d", "0,0,nan,4", "-1,0,4,4", "9" * 200])
def test_a_part_that_is_not_within_the_picture_is_refused(api: TestClient, crop: str) -> None:
    name = drop(api, make_upload())
    for query in ({"id": 5, "crop": crop}, {"dropped": name, "crop": crop}):
        assert api.post(SEARCH, json={"query": query}).status_code == 422
    assert api.post(SEARCH, files={"file": ("a.png", make_upload())}, data={"crop": crop}).status_code == 422


def test_a_crop_is_given_in_one_place(api: TestClient) -> None:
    good = {"file": ("a.png", make_upload())}
    assert api.post(SEARCH, files=good, data={"crop": PART}, params={"crop": PART}).status_code == 422
    assert api.post(SEARCH, json={"query": {"id": 1}}, params={"crop": PART}).status_code == 422
    assert api.post(SEARCH, files=good, data={"crop": [PART, PART]}).status_code == 400


def test_a_picture_that_was_dropped_is_one_of_a_sum(api: TestClient) -> None:
    content = make_upload(3)
    name = drop(api, content)
    alone = api.post(SEARCH, json={"query": {"dropped": name}})
    assert ids(alone) == ids(api.post(SEARCH, content=content))
    both = {"sum": [{"dropped": name}, {"id": 2, "weight": 0.5}]}
    assert len(ids(api.post(SEARCH, json={"query": both}))) == 10
    assert api.post(SEARCH, json={"query": {"dropped": "unknown"}}).status_code == 404
    assert api.post(SEARCH, json={"query": {"dropped": 7}}).status_code == 422


def test_what_was_dropped_takes_a_bounded_room(served: ServedGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.web import served_gallery as module

    content = make_upload(7, (200, 150))
    monkeypatch.setattr(module, "_MOST_DROPPED", 2 * len(content))
    names = [served.accept(content) for _ in range(4)]
    with pytest.raises(Exception, match="no longer remembered"):
        served.dropped(names[0], PART)
    assert served.dropped(names[0]).width == 200
    assert served.dropped(names[3], PART).width == 100
    assert len(os.listdir(served._folder)) <= 2


def test_marks_move_the_query_as_in_the_library(api: TestClient, gallery: Gallery) -> None:
    feedback = gallery.feedback(Query.stored(5)).good(2, 3).bad(7)
    expected = [(hit.id, hit.distance) for hit in feedback.search(6)]
    document = {"query": {"id": 5}, "good": [2, 3], "bad": [7], "k": 6}
    assert ids(api.post("/api/v1/feedback", json=document)) == expected
    assert ids(api.post("/api/v1/feedback", json={"query": {"id": 5}})) == ids(api.get("/api/v1/images/5/similar"))
    marked = {"query": {"dropped": drop(api, make_upload(40))}, "good": [2]}
    assert 2 not in dict(ids(api.post("/api/v1/feedback", json=marked)))


@pytest.mark.parametrize(
    "marks", [{"good": 2}, {"good": ["2"]}, {"bad": [True]}, {"bad": [0]}, {"good": [2**63]}, {"good": [1] * 65}]
)
def test_marks_that_make_no_sense_are_refused(api: TestClient, marks: dict[str, Any]) -> None:
    assert api.post("/api/v1/feedback", json={"query": {"id": 5}, **marks}).status_code == 422


def test_a_heat_map_shows_where_a_hit_matches(api: TestClient) -> None:
    for query in ({"like": 5}, {"dropped": drop(api, make_upload(5))}):
        answer = api.get("/api/v1/images/2/explain", params=query)
        assert answer.headers["content-type"] == "image/png"
        drawn = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert drawn.shape[1] > 800
        assert drawn.std() > 5
    assert api.get("/api/v1/images/2/explain").status_code == 422
    assert api.get("/api/v1/images/2/explain", params={"like": 5, "dropped": "x"}).status_code == 422
    assert api.get("/api/v1/images/2/explain", params={"like": 10**6}).status_code == 404
    assert api.get("/api/v1/images/10000/explain", params={"like": 5}).status_code == 404


def test_some_pictures_are_described_in_the_order_asked_for(api: TestClient) -> None:
    answer = api.post("/api/v1/images", json={"ids": [7, 2, 10**6, 2]}).json()
    assert [one["id"] for one in answer["images"]] == [7, 2]
    for wrong in ({}, {"ids": 1}, {"ids": [1] * 501}, {"ids": [], "else": 1}):
        assert api.post("/api/v1/images", json=wrong).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"sum": [{"id": 1}] * 65},
        {"sum": [{"sum": [{"id": 1}] * 30}] * 30},
        {"colors": [{"color": "red"}] * 65},
        {"colors": [{"color": "red"}] * 5000},
        {"palette": {"palette": {"palette": {"id": 1}}}},
        {"palette": {"dropped": 1}},
        {"sum": [{"id": 1, "crop": 7}]},
        {"id": 1, "crop": {"a": [1]}},
        {"id": 10**30},
        {"sum": {"id": 1}},
        {"dropped": "x" * 3000},
    ],
)
def test_a_query_is_bounded_in_length_and_depth(api: TestClient, query: dict[str, Any]) -> None:
    assert api.post(SEARCH, json={"query": query}).status_code == 422
