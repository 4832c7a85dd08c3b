"""Asking for the newest commit: a real server on loopback, whose answers go wrong in every way."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from lookalike.encoders.huggingface import newest
from lookalike.encoders.huggingface.newest import ask_newest
from lookalike.errors import FetchFailed
from tests.hubs import COMMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[[BaseHTTPRequestHandler], None]

GOOD = json.dumps({"id": "someone/colours", "sha": COMMIT}).encode()


def send(status: int = 200, content: bytes = GOOD, length: int | None = None, **headers: str) -> Answer:
    """An answer with this content; `length` is announced otherwise than it is."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content) if length is None else length), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte at a time, none of which is late."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def cut_chunk(handler: BaseHTTPRequestHandler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\n" + GOOD)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


class Server:
    """Answers every request in one way. `asked`: the paths and headers of all requests."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answer: Answer = send()
        self.asked: list[tuple[str, dict[str, str]]] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append((self.path, dict(self.headers)))
            try:
                known.answer(self)
            except (OSError, ValueError):  # the other side has hung up, or this one has
                self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        known = Server(listening.server_port)
        monkeypatch.setenv("HF_ENDPOINT", known.url + "/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield known
        listening.shutdown()
        thread.join()


def test_the_newest_commit_is_what_the_hub_says(server: Server) -> None:
    said: list[str] = []
    assert ask_newest("someone/colours", said.append) == COMMIT
    assert said == [f"asking {server.url}/api/models/someone/colours"]
    ((path, headers),) = server.asked
    assert path == "/api/models/someone/colours"
    assert headers["User-Agent"] == "lookalike"
    assert "Authorization" not in headers


def test_a_private_model_is_asked_for_with_the_hubs_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert ask_newest("someone/colours", lambda _: None) == COMMIT
    assert server.asked[0][1]["Authorization"] == "Bearer hf_test"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(send(404), "the hub has no public model hf:someone/colours", id="missing"),
        pytest.param(send(401), "the hub has no public model hf:someone/colours", id="private"),
        pytest.param(send(503), "answered 503 Service Unavailable", id="broken"),
        pytest.param(send(429), "answered 429 Too Many Requests", id="too many"),
        pytest.param(send(307, b"", Location="/api/models/new/name"), "redirected to /api/models/new/name", id="moved"),
        pytest.param(send(302, b"", Location="http://192.0.2.1/"), "redirected to http://192.0.2.1/", id="elsewhere"),
        pytest.param(send(302, b""), "redirected to nowhere", id="nowhere"),
        pytest.param(send(length=1000), "is not whole", id="cut off"),
        pytest.param(cut_chunk, "is not whole", id="cut chunk"),
        pytest.param(hang_up, "is not whole|cannot be reached", id="hung up"),
        pytest.param(send(content=GOOD[:-9]), "is not JSON", id="half"),
        pytest.param(send(content=b"<html>"), "is not JSON", id="page"),
        pytest.param(send(content=b"\xff"), "is not JSON", id="bytes"),
        pytest.param(send(content=b"{}"), "names no commit", id="nothing"),
        pytest.param(send(content=b"[1]"), "names no commit", id="list"),
        pytest.param(send(content=b'{"sha": "main"}'), "names no commit", id="branch"),
        pytest.param(send(content=b'{"sha": 7}'), "names no commit", id="number"),
    ],
)
def test_any_other_answer_is_one_named_error(server: Server, answer: Answer, why: str) -> None:
    server.answer = answer
    with pytest.raises(FetchFailed, match=why) as caught:
        ask_newest("someone/colours", lambda _: None)
    assert "hf:someone/colours" in str(caught.value)
    assert "someone/colours" in caught.value.hint
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [lambda _: time.sleep(2), drip], ids=["silent", "dripping"])
def test_an_answer_is_waited_for_only_so_long(server: Server, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_SECONDS", 0.5)
    server.answer = answer
    with pytest.raises(FetchFailed, match=r"did not answer within 0\.5 s"):
        ask_newest("someone/colours", lambda _: None)
    assert len(server.asked) == 1


def test_an_answer_without_end_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_BYTES", 1000)
    server.answer = send(content=GOOD + b" " * 70_000)
    with pytest.raises(FetchFailed, match="is not whole: it has more than"):
        ask_newest("someone/colours", lambda _: None)


def test_nobody_there_is_an_error_that_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_port
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FetchFailed, match=f"127.0.0.1:{port}/api/models/someone/colours cannot be reached"):
        ask_newest("someone/colours", lambda _: None)


def test_an_endpoint_that_is_no_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("nonsense", "file:///etc", "ftp://127.0.0.1:9"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(FetchFailed):
            ask_newest("someone/colours", lambda _: None)
