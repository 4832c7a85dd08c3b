"""The end points about the whole collection: map, groups, duplicates, filters."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from lookalike import Gallery, IndexOptions
from lookalike.web.app import create_app
from lookalike.web.served_gallery import ServedGallery
from lookalike.web.settings import Settings
from tests.conftest import make_picture
from tests.waiting import wait_for
from tests.web.conftest import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a token of good length"


def ask(api: TestClient, path: str, **parameters: Any) -> Any:
    """The answer once it is computed."""

    def find() -> Any:
        answer = api.get(path, params=parameters)
        if answer.status_code != 202:
            return answer
        assert answer.json()["status"] == "working"
        assert answer.headers["retry-after"] == "1"
        return None

    return wait_for(find)


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[ServedGallery]:
    """The served of a gallery with three pictures, one of which is there three times."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        make_picture(seed, (160, 120)).save(folder / f"{seed}.png")
    for name in ("copy.png", "again.png"):
        shutil.copy(folder / "0.png", folder / name)
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        served = ServedGallery(gallery, cache=tmp_path / "thumbnails")
        yield served
        served.close()


def connect(served: ServedGallery, *, allow_write: bool = True, client: str = "127.0.0.1") -> TestClient:
    """A client that knows the token."""
    settings = Settings(token=TOKEN, allow_write=allow_write)
    app: Any = create_app(served, settings)
    headers = {"authorization": f"Bearer {TOKEN}"}
    return TestClient(app, HOST, client=(client, 50_000), headers=headers, raise_server_exceptions=False)


def test_the_map_places_every_picture(api: TestClient, gallery: Gallery) -> None:
    document = ask(api, "/api/v1/map").json()
    points = gallery.map()
    assert document["ids"] == [point.id for point in points]
    assert np.allclose(document["x"], [point.x for point in points], atol=1e-4)
    assert np.allclose(document["y"], [point.y for point in points], atol=1e-4)
    names = [document["groups"][number]["name"] for number in document["group"]]
    assert names == [point.cluster for point in points]
    assert sum(group["count"] for group in document["groups"]) == document["count"] == 12
    assert document["is_current"] is True


def test_a_map_is_computed_once_for_a_state_of_the_gallery(api: TestClient) -> None:
    first = ask(api, "/api/v1/map")
    again = api.get("/api/v1/map", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.get("/api/v1/map").content == first.content


def test_a_map_can_be_filtered(api: TestClient, gallery: Gallery) -> None:
    document = ask(api, "/api/v1/map", where="name:00[0-3].*").json()
    assert document["ids"] == gallery.select(["name:00[0-3].*"]).tolist()
    assert api.get("/api/v1/map", params={"where": "nothing"}).status_code == 422


def test_the_binary_map_says_the_same(api: TestClient) -> None:
    document, data = ask(api, "/api/v1/map").json(), ask(api, "/api/v1/map", format="binary").content
    assert data[:8] == b"LKMAP1\0\0"
    end = 12 + int.from_bytes(data[8:12], "little")
    assert end % 8 == 0
    head = json.loads(data[12:end])
    count = head["count"]
    ids, rest = np.frombuffer(data[end:], "<f8", count), data[end + 8 * count :]
    x, y = np.frombuffer(rest, "<i2", 2 * count).reshape(2, -1) / 32767
    group = np.frombuffer(rest[4 * count :], "<u2")
    assert ids.tolist() == document["ids"]
    assert group.tolist() == document["group"]
    assert np.allclose([x, y], [document["x"], document["y"]], atol=2e-4)
    assert head == {name: document[name] for name in ("groups", "count", "generation", "is_current")}


def test_groups_are_listed_with_their_most_typical_pictures(api: TestClient, gallery: Gallery) -> None:
    document, expected = ask(api, "/api/v1/clusters", pictures=2).json(), gallery.clusters()
    assert [each["name"] for each in document["clusters"]] == [each.name for each in expected]
    assert [each["count"] for each in document["clusters"]] == [len(each.pictures) for each in expected]
    first = [picture["id"] for picture in document["clusters"][0]["pictures"]]
    assert first == [picture.id for picture in expected[0].pictures[:2]]


def test_a_group_is_listed_in_pages(api: TestClient, gallery: Gallery) -> None:
    expected = [picture.id for picture in gallery.clusters()[0].pictures]
    found, after = [], 0
    while after is not None:
        page = ask(api, "/api/v1/clusters/0", limit=2, after=after).json()
        found += [picture["id"] for picture in page["pictures"]]
        after = page["next"]
    assert found == expected
    assert ask(api, "/api/v1/clusters/99").status_code == 404


def test_duplicates_are_listed_with_evidence_and_with_what_a_rule_keeps(twins: ServedGallery) -> None:
    api = connect(twins, allow_write=False)
    document = ask(api, "/api/v1/duplicates", keep="path order").json()
    (group,) = document["groups"]
    assert (group["kind"], group["proven"], group["number"]) == ("identical", True, 1)
    actions = {picture["display"].rpartition("/")[2]: picture["action"] for picture in group["pictures"]}
    assert actions == {"0.png": "keep", "again.png": "move", "copy.png": "move"}
    assert document["moves"] == 2
    assert document["bytes"] == 2 * group["pictures"][0]["size"]
    assert {pair["kind"] for pair in group["pairs"]} == {"identical"}


def test_a_plan_is_written_as_a_table_and_as_a_script(twins: ServedGallery) -> None:
    api = connect(twins, allow_write=False)
    table = ask(api, "/api/v1/duplicates/plan", format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert sorted(row["action"] for row in csv.DictReader(table.text.splitlines())) == ["keep", "move", "move"]
    script = ask(api, "/api/v1/duplicates/plan", format="sh")
    assert script.text.startswith("#!/bin/sh\n")
    assert "attachment" in script.headers["content-disposition"]
    assert ask(connect(twins, client="192.0.2.7"), "/api/v1/duplicates/plan").status_code == 403


def test_nothing_is_changed_unless_it_is_allowed(twins: ServedGallery) -> None:
    api = connect(twins, allow_write=False)
    for path in ("duplicates/distinct", "duplicates/apply", "duplicates/undo", "index"):
        answer = api.post(f"/api/v1/{path}", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "read_only")
    assert api.delete("/api/v1/index").status_code == 403
    assert connect(twins).post("/api/v1/index", json={}, headers={"authorization": ""}).status_code == 401


def test_a_page_of_another_site_changes_nothing(twins: ServedGallery) -> None:
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = connect(twins).post("/api/v1/duplicates/undo", json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "other_site")


def test_copies_are_moved_into_the_trash_and_brought_back(twins: ServedGallery, tmp_path: Path) -> None:
    api, folder = connect(twins), tmp_path / "photos"
    mark = ask(api, "/api/v1/duplicates").json()["mark"]
    moved = api.post("/api/v1/duplicates/apply", json={"mark": mark, "keep": "path order"}).json()
    assert sorted(one["display"].rpartition("/")[2] for one in moved["moved"]) == ["again.png", "copy.png"]
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png", "2.png"]
    assert (tmp_path / ".lookalike-trash" / "manifest.jsonl").is_file()
    assert api.get("/api/v1/images").json()["total"] == 3
    undone = api.post("/api/v1/duplicates/undo", json={}).json()
    assert len(undone["moved"]) == 2
    assert api.get("/api/v1/images").json()["total"] == 5


def test_the_picture_to_keep_can_be_chosen(twins: ServedGallery, tmp_path: Path) -> None:
    api = connect(twins)
    document = ask(api, "/api/v1/duplicates").json()
    ids = {one["display"].rpartition("/")[2]: one["id"] for one in document["groups"][0]["pictures"]}
    wish = {"mark": document["mark"], "choices": {"1": ids["again.png"]}, "groups": [1]}
    moved = api.post("/api/v1/duplicates/apply", json=wish).json()
    assert len(moved["moved"]) == 2
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["1.png", "2.png", "again.png"]


NONSENSE: list[tuple[dict[str, Any], int]] = [
    ({"mark": "0"}, 409),
    ({"mark": None}, 409),
    ({"groups": [2]}, 422),
    ({"groups": [0]}, 422),
    ({"groups": "1"}, 422),
    ({"choices": {"1": 10**9}}, 422),
    ({"choices": {"2": 1}}, 422),
    ({"choices": {"²": 1}}, 422),
    ({"choices": []}, 422),
    ({"keep": "smallest"}, 422),
    ({"keep": []}, 422),
    ({"else": 1}, 422),
]


def test_a_wish_that_makes_no_sense_moves_nothing(twins: ServedGallery, tmp_path: Path) -> None:
    api = connect(twins)
    mark = {"mark": ask(api, "/api/v1/duplicates").json()["mark"]}
    for wish, status in NONSENSE:
        assert api.post("/api/v1/duplicates/apply", json=mark | wish).status_code == status, wish
    assert len(list((tmp_path / "photos").iterdir())) == 5


def test_pictures_that_are_not_duplicates_are_remembered(twins: ServedGallery) -> None:
    api = connect(twins)
    ids = [one["id"] for one in ask(api, "/api/v1/duplicates").json()["groups"][0]["pictures"]]
    for wrong in ([ids[0]], [ids[0], ids[0]], [0, 1], ["1", "2"], None):
        assert api.post("/api/v1/duplicates/distinct", json={"ids": wrong}).status_code == 422
    different = api.get("/api/v1/images").json()["images"]
    pair = [different[0]["id"], next(one["id"] for one in different if one["display"].endswith("2.png"))]
    assert api.post("/api/v1/duplicates/distinct", json={"ids": pair}).json() == {"distinct": pair}
    assert len(twins.gallery.store.distinct) == 1
    assert api.post("/api/v1/duplicates/distinct", json={"ids": [1, 10**6]}).status_code == 404


def test_saying_that_pictures_are_not_duplicates_searches_for_nothing_again(twins: ServedGallery) -> None:
    api = connect(twins)
    places, every = ask(api, "/api/v1/map").json(), ask(api, "/api/v1/duplicates").json()
    pair = [one["id"] for one in every["groups"][0]["pictures"]][:2]
    assert api.post("/api/v1/duplicates/distinct", json={"ids": pair}).json() == {"distinct": pair}
    after = api.get("/api/v1/map")
    assert after.status_code == 200
    assert after.json() == places | {"generation": places["generation"] + 1}
    assert twins.surveys.duplicates.peek() == twins.gallery.duplicates()
    assert ask(api, "/api/v1/duplicates").json()["groups"] == []


def test_filters_are_counted_and_each_selects_what_it_counts(api: TestClient, gallery: Gallery) -> None:
    document = api.get("/api/v1/filters").json()
    assert document["total"] == 12
    assert {"folder", "label", "format", "size"} <= document["filters"].keys()
    for values in document["filters"].values():
        for one in values:
            assert len(gallery.select([one["where"]])) == one["count"]


def test_a_client_elsewhere_learns_no_folder_of_this_machine(twins: ServedGallery, tmp_path: Path) -> None:
    far = connect(twins, client="192.0.2.7")
    for path in ("map", "clusters", "clusters/0", "duplicates", "filters", "state", "index"):
        answer = ask(far, f"/api/v1/{path}")
        assert answer.status_code == 200
        assert tmp_path.name not in answer.text
    mark = ask(far, "/api/v1/duplicates").json()["mark"]
    assert str(tmp_path) not in far.post("/api/v1/duplicates/apply", json={"mark": mark}).text
    assert str(tmp_path) not in far.post("/api/v1/duplicates/undo", json={}).text


def test_a_failure_in_the_background_is_answered(tmp_path: Path) -> None:
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path)
        api = connect(served)
        assert ask(api, "/api/v1/map").json()["count"] == 0
        assert ask(api, "/api/v1/clusters").json()["total"] == 0
        assert ask(api, "/api/v1/duplicates").json()["total"] == 0
    for path in ("map", "clusters", "duplicates"):
        assert api.get(f"/api/v1/{path}").status_code == 503
    served.close()
