from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import UsageError
from lookalike.web.settings import Settings
from tests.web.conftest import make_upload

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.web.conftest import Serve

SEARCH = "/api/v1/search"
TOKEN = "a-token-that-nobody-guesses"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8765", "localhost:8765", "LOCALHOST", "localhost.", "[::1]:8765", "127.9.9.9"]
)
def test_a_name_of_this_machine_is_answered(api: TestClient, host: str) -> None:
    assert api.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.nip.io", "localhost.evil.example", "localhost@evil", "evil@localhost", ""),
        *("localhost:80:80", "localhost/evil", "localhost evil", "192.0.2.7", "0.0.0.0", "[::2]", "2130706433"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/info", "/static/page.js"])
def test_a_name_that_another_site_leads_here_is_refused_even_to_read(api: TestClient, host: str, path: str) -> None:
    answer = api.get(path, headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "wrong_host"


def test_a_further_name_can_be_allowed(serve: Serve) -> None:
    api = serve(Settings(hosts=("pictures.example",)))
    assert api.get("/healthz", headers={"host": "pictures.example"}).status_code == 200
    assert api.get("/healthz", headers={"host": "other.example"}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://127.0.0.1:8765"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8765"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://127.0.0.1:8765"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
    ],
)
def test_only_our_own_page_and_programs_may_post(api: TestClient, headers: dict[str, str], status: int) -> None:
    content = {"file": ("a.png", make_upload())}
    assert api.post(SEARCH, files=content, headers=headers).status_code == status
    assert api.post("/find", files=content, headers=headers).status_code == (303 if status == 200 else 403)
    assert api.get("/api/v1/info", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/collection", "/pictures/1", "/nowhere", "/static/page.js", "/api/v1/info", "/api/v1/nowhere", "/metrics"],
)
def test_every_answer_forbids_what_no_page_of_ours_needs(api: TestClient, path: str) -> None:
    headers = api.get(path, headers={"accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'self'", "script-src 'self'", "object-src 'none'", "base-uri 'none'"):
        assert part in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"]
    assert not [name for name in headers if name.startswith(("access-control", "set-cookie"))]


def test_another_address_needs_a_token() -> None:
    for host in ("0.0.0.0", "192.0.2.7", "::", "pictures.example"):
        with pytest.raises(UsageError, match="token"):
            Settings(host)
        assert Settings(host, token=TOKEN).host == host
    assert Settings("::1").token == Settings("localhost").token == ""


def test_a_token_opens_everything_and_nothing_opens_without_it(serve: Serve) -> None:
    api = serve(Settings("0.0.0.0", token=TOKEN), client="192.0.2.7", base="http://192.0.2.1:8765")
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        for path in ("/", "/healthz", "/api/v1/info"):
            assert api.get(path, headers={"authorization": right}).status_code == 200
    for wrong in ("", "Bearer", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Basic !", f"Basic {basic[:-4]}", TOKEN):
        answer = api.get("/healthz", headers={"authorization": wrong})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert api.get(f"/healthz?token={TOKEN}").status_code == 401
    rebound = {"authorization": f"Bearer {TOKEN}", "host": "evil.example"}
    assert api.get("/healthz", headers=rebound).status_code == 400


def test_a_long_address_is_refused(api: TestClient) -> None:
    assert api.get("/", params={"text": "a" * 9000}).status_code == 414


TRAVERSALS = [
    *("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "//etc/passwd", "%2fetc%2fpasswd"),
    *("....//etc/passwd", "..\\..\\etc\\passwd", "%00", "1%00.jpg", "page.js/../../app.py", "%2e%2e%5capp.py"),
]


@pytest.mark.parametrize("place", ["/static/", "/thumbnails/", "/pictures/", "/dropped/", "/api/v1/images/"])
@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_address_leads_to_a_file_that_is_not_ours(api: TestClient, place: str, path: str) -> None:
    answer = api.get(place + path)
    assert answer.status_code in {404, 422}
    assert "root:" not in answer.text
