from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from lookalike import Gallery, Query
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import MOST_BYTES, Settings
from tests import badfiles
from tests.web.conftest import HOST, make_upload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.web.conftest import Serve

SEARCH = "/api/v1/search"


def send(api: TestClient, content: bytes, **parameters: Any) -> Any:
    return api.post(SEARCH, files={"file": ("a.png", content)}, params=parameters)


def code(answer: Any) -> tuple[int, str]:
    """The status and the code of a refusal, which has the shape that all have."""
    (error,) = answer.json().values()
    assert set(error) <= {"code", "message", "hint", "id"}
    assert error["message"]
    return answer.status_code, error["code"]


def test_a_picture_finds_what_the_command_line_finds(api: TestClient, gallery: Gallery, tmp_path: Path) -> None:
    content = make_upload(40, (300, 200))
    (tmp_path / "query.png").write_bytes(content)
    expected = gallery.search(tmp_path / "query.png", 3).to_dict()
    for answer in (
        send(api, content, k=3),
        api.post(SEARCH, content=content, params={"k": 3}),
        api.post(SEARCH, content=content, params={"k": 3}, headers={"content-type": "image/png"}),
    ):
        assert answer.status_code == 200
        assert answer.json() == expected | {"query": {"picture": {"width": 300, "height": 200}}}


@pytest.mark.parametrize(
    "query",
    [
        {"id": 3},
        {"colors": [{"color": "red", "weight": 2}]},
        {"sum": [{"weight": 2, "id": 1}, {"weight": -1, "id": 2}]},
    ],
)
def test_a_query_in_json_is_that_of_the_library(api: TestClient, gallery: Gallery, query: dict[str, Any]) -> None:
    expected = gallery.search(Query.from_dict(query), 4, where=["width:>10"]).to_dict()
    document = {"query": query, "k": 4, "where": ["width:>10"]}
    assert api.post(SEARCH, json=document).json() == expected
    assert api.post(SEARCH, json=query, params={"k": 4, "where": "width:>10"}).json() == expected


def test_similar_pictures_are_found_by_id(api: TestClient, gallery: Gallery) -> None:
    found = api.get("/api/v1/images/5/similar", params={"k": 4})
    assert found.json() == gallery.search(Query.stored(5), 4).to_dict()


def test_pictures_are_listed_in_pages_and_by_filters(api: TestClient, photos: Path) -> None:
    first = api.get("/api/v1/images", params={"limit": 8}).json()
    second = api.get("/api/v1/images", params={"limit": 8, "after": first["next"]}).json()
    assert first["total"] == 12
    assert second["next"] is None
    names = [os.path.basename(one["path"]) for one in first["images"] + second["images"]]
    assert sorted(names) == sorted(path.name for path in photos.iterdir())
    one = api.get("/api/v1/images", params={"where": "name:003.*"}).json()["images"][0]
    assert api.get(f"/api/v1/images/{one['id']}").json() == one
    assert (one["width"], one["height"], one["format"]) == (64, 48, "JPEG")


def test_facts_and_skipped_files_are_told(api: TestClient, gallery: Gallery, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    gallery.index()
    assert api.get("/api/v1/info").json()["pictures"] == 12
    document = api.get("/api/v1/skipped").json()
    assert (document["total"], document["next"]) == (1, None)
    assert document["skipped"][0]["path"].endswith("broken.jpg")
    assert document["skipped"][0]["reason"]
    (photos / "broken.jpg").unlink()
    gallery.index()


@pytest.mark.parametrize("name", ["k", "limit"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1001", "1000000000", "nan", "1.5", "\uff11\uff12", "1_0", " 5", "", "1e2", "0x5"]
)
def test_a_count_is_a_whole_number_within_its_limits(api: TestClient, name: str, value: str) -> None:
    path = "/api/v1/images/5/similar" if name == "k" else "/api/v1/images"
    assert code(api.get(path, params={name: value})) == (422, "invalid_request")


@pytest.mark.parametrize("query", ["k=1&k=2", "kk=1", "limit=3", "order=worst", "exact=perhaps", "where=nonsense"])
def test_parameters_that_mean_nothing_are_refused(api: TestClient, query: str) -> None:
    assert code(api.get(f"/api/v1/images/5/similar?{query}")) == (422, "invalid_request")


@pytest.mark.parametrize("id_", ["0", "99", str(2**63 - 1), str(2**64), "-1", "abc", "1.0", "%2e%2e", "\u0661"])
def test_an_unknown_picture_is_refused(api: TestClient, id_: str) -> None:
    for path in ("", "/similar", "/thumbnail"):
        assert api.get(f"/api/v1/images/{id_}{path}").status_code in {404, 422}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"query": {}}',
        b'{"query": 7}',
        b'{"query": {"id": "1"}}',
        b'{"query": {"id": true}}',
        b'{"query": {"id": 1e999}}',
        b'{"query": {"id": NaN}}',
        b'{"query": {"id": 999999999999999999999}}',
        b'{"query": {"text": "\\ud800"}}',
        b'{"query": {"text": 7}}',
        b'{"query": {"text": "nothing of the kind"}}',
        b'{"query": {"colors": "red"}}',
        b'{"query": {"colors": [{"color": "\\ud800"}]}}',
        b'{"query": {"colors": [{"color": "red", "weight": 1e300}]}}',
        b'{"query": {"palette": {"text": "boat"}}}',
        b'{"query": {"sum": []}}',
        b'{"query": {"sum": [{"id": 1, "weight": 1e308}]}}',
        b'{"query": {"id": 1}, "k": 0}',
        b'{"query": {"id": 1}, "k": true}',
        b'{"query": {"id": 1}, "k": 1.5}',
        b'{"query": {"id": 1}, "where": "folder:a"}',
        b'{"query": {"id": 1}, "where": [7]}',
        b'{"query": {"id": 1}, "order": "\\ud800"}',
        b'{"query": {"id": 1}, "weights": {"a": "b"}}',
        b'{"query": {"id": 1}, "weights": {"a": 1}}',
        b'{"query": {"id": 1}, "else": 1}',
        b"[" * 50_000,
        b'{"sum": [' * 900 + b'{"id": 1}' + b"]}" * 900,
        b"\xff\xfe",
    ],
)
def test_a_document_that_is_not_a_query_is_refused(api: TestClient, document: bytes) -> None:
    answer = api.post(SEARCH, content=document, headers={"content-type": "application/json"})
    assert code(answer)[0] in {400, 422}


@pytest.mark.parametrize(
    "query",
    [
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1/", "display": "x"},
        {"palette": {"path": "/etc/passwd"}},
        {"sum": [{"weight": 1, "id": 1}, {"weight": 1, "path": "/etc/passwd"}]},
        {"id": 1, "url": "http://127.0.0.1/"},
    ],
)
def test_no_query_can_name_a_file_or_an_address(api: TestClient, query: dict[str, Any]) -> None:
    assert code(api.post(SEARCH, json={"query": query})) == (422, "no_paths")


def test_no_bad_file_is_more_than_a_refusal(api: TestClient, tmp_path: Path) -> None:
    for case in badfiles.FILES:
        with open(case.make(tmp_path), "rb") as file:
            answer = send(api, file.read())
        assert answer.status_code in {200, 400, 413, 422}, case
    assert send(api, make_upload()).status_code == 200


def test_an_upload_is_one_picture_and_nothing_else(api: TestClient) -> None:
    good = make_upload()
    assert code(api.post(SEARCH, files={"other": ("a.png", good)})) == (400, "no_file")
    assert code(api.post(SEARCH, files={"file": ("a.png", good)}, data={"k": "3"})) == (400, "no_file")
    two = [("file", ("a.png", good)), ("file", ("b.png", good))]
    assert api.post(SEARCH, files=two).status_code == 400
    assert code(send(api, b"")) == (400, "empty")
    assert code(api.post(SEARCH)) == (400, "empty")
    assert code(send(api, b"not a picture")) == (422, "unreadable_image")
    assert code(send(api, good[:-60])) == (422, "unreadable_image")
    assert code(api.post(SEARCH, content=good, headers={"content-type": "text/html"})) == (415, "wrong_type")
    broken = api.post(SEARCH, content=good, headers={"content-type": "multipart/form-data; boundary=x"})
    assert broken.status_code == 400
    assert api.post(SEARCH, content=good, headers={"content-type": "multipart/form-data"}).status_code == 400


def test_an_upload_beyond_the_limit_is_refused_by_its_length_and_while_it_comes(api: TestClient) -> None:
    def stream() -> Any:
        for _ in range(40):
            yield bytes(1 << 20)

    for content in (bytes(MOST_BYTES + 1), stream()):
        assert code(api.post(SEARCH, content=content)) == (413, "too_large")
    assert code(api.post(SEARCH, content=stream(), headers={"content-type": "application/json"})) == (413, "too_large")


def test_every_answer_of_the_api_has_one_shape(api: TestClient) -> None:
    assert code(api.get("/api/v1/nothing")) == (404, "not_found")
    assert code(api.put(SEARCH)) == (405, "wrong_method")
    assert code(api.get(SEARCH)) == (405, "wrong_method")


def test_the_interface_describes_itself(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    paths = {"/api/v1/search", "/api/v1/images/{id}/similar", "/api/v1/images", "/api/v1/info", "/api/v1/skipped"}
    assert paths <= document["paths"].keys()
    body = document["paths"]["/api/v1/search"]["post"]["requestBody"]["content"]
    for example in body["application/json"]["examples"].values():
        answer = api.post(SEARCH, json=example["value"])
        assert answer.status_code in {200, 422}  # the gallery of colours knows no words


def test_a_client_elsewhere_learns_no_folder_of_this_machine(serve: Serve, photos: Path) -> None:
    other = serve(client="192.0.2.7")
    for answer in (
        other.get("/api/v1/images/5/similar"),
        send(other, make_upload()),
        other.get("/api/v1/images"),
        other.get("/api/v1/images/5"),
        other.get("/api/v1/skipped"),
        other.get("/"),
        other.get("/collection"),
        other.get("/pictures/5"),
    ):
        assert answer.status_code == 200
        assert str(photos.parent) not in answer.text
    assert other.get("/api/v1/images/5").json()["path"].startswith("photos/")


def test_an_error_is_explained_here_and_elsewhere_gives_nothing_away(tmp_path: Path, caplog: Any) -> None:
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path)
        app: Any = create_app(served, Settings())
    near, far = (TestClient(app, HOST, client=(client, 5000)) for client in ("127.0.0.1", "192.0.2.7"))
    assert code(near.get("/api/v1/images/5")) == code(far.get("/api/v1/images/5")) == (503, "collection_unavailable")
    assert near.get("/api/v1/images/5").json()["error"]["hint"] == "open it again: Gallery.open"
    error = far.get("/api/v1/images/5").json()["error"]
    assert error["message"] == "the collection cannot be read"
    assert error["id"] in caplog.text
    served.close()


def test_a_fault_of_the_server_is_answered_without_its_traceback(tmp_path: Path, caplog: Any) -> None:
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path)
        app: Any = create_app(served, Settings())
        served.close()  # its threads take no more work
        for accept in ("application/json", "text/html"):
            for path in ("/api/v1/info", "/collection"):
                answer = TestClient(app, HOST, client=("127.0.0.1", 5000)).get(path, headers={"accept": accept})
                assert answer.status_code == 500
                assert "Traceback" not in answer.text
                assert "RuntimeError" not in answer.text
    assert "RuntimeError" in caplog.text
