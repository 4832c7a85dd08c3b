"""A real server on real sockets: what a client of the test suite would tidy up is sent as it is."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest

from lookalike.web import guard
from tests.web.conftest import make_upload
from tests.web.test_safety import TRAVERSALS

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"Host: 127.0.0.1\r\n"


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEADERS", 1.0)
    monkeypatch.setattr(guard, "BODY", 1.5)
    monkeypatch.setattr(guard, "STUCK", 1.5)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(client: socket.socket, end: bytes = b"") -> bytes:
    """All that the server sends until it ends the connection, or its answer."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
            if end and part.endswith(end):
                break
    return b"".join(parts)


def ask(port: int, request: bytes) -> bytes:
    with connect(port) as client, contextlib.suppress(ConnectionError):
        client.sendall(request)
        return read_all(client)
    return b""


def get(port: int, path: str = "/healthz") -> int:
    answer = ask(port, b"GET " + path.encode() + b" HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
    return int(answer.split(b" ", 2)[1])


def is_cut(client: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    client.settimeout(20)
    try:
        read_all(client)
    except TimeoutError:
        return False
    return True


@contextlib.contextmanager
def many(port: int, count: int, begin: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(count)]
        for client in clients:
            client.sendall(begin)
        yield clients


slow_clients = pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n" + HEAD, b"X-A: b\r\n"),
        (b"\r\n", b"\r\n"),
        (b"POST /api/v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n", b"a"),
        (b"POST /api/v1/search HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["silence", "headers", "blank lines", "body", "chunks"],
)


@slow_clients
def test_400_slow_clients_are_cut_although_they_go_on(port: int, begin: bytes, drop: bytes) -> None:
    with many(port, 400, begin) as clients:
        dripping, ends = set(clients[::8]), time.monotonic() + 20
        while dripping and time.monotonic() < ends:
            for client in dripping:
                with contextlib.suppress(OSError):
                    client.sendall(drop)
            dripping -= {one for one in select.select(dripping, [], [], 0.2)[0] if is_cut(one)}
        assert not dripping
        assert all(map(is_cut, clients))


@slow_clients
def test_400_slow_clients_keep_nobody_waiting(
    port: int, begin: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HEADERS", 60.0)
    monkeypatch.setattr(guard, "BODY", 60.0)
    with many(port, 400, begin) as clients:
        for _ in range(3):
            for client in clients[::8]:
                with contextlib.suppress(OSError):  # some have sent so much nonsense that they are refused
                    client.sendall(drop)
            assert get(port) == 200  # within 20 s, while all of them are still there


def test_a_client_that_takes_nothing_of_its_answers_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "STUCK", 0.5)
    count = 1500  # answers of 14 kB: more than the buffers of the system take
    request = b"GET /static/look.css HTTP/1.1\r\n" + HEAD + b"\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(20)
        client.sendall(request * count)
        time.sleep(5)
        answers = read_all(client)
    assert 0 < answers.count(b"HTTP/1.1 200") < count
    assert get(port) == 200


def test_a_connection_serves_several_requests_however_long_its_client_thinks(port: int) -> None:
    with connect(port) as client:
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
            assert read_all(client, b'"ok"}').startswith(b"HTTP/1.1 200")
            time.sleep(1.2)  # longer than headers may take


def test_no_answer_waits_for_the_one_before_to_be_acknowledged(port: int) -> None:
    def are_quick() -> bool:
        seconds = []
        with connect(port) as client:
            for _ in range(20):
                began = time.monotonic()
                client.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
                read_all(client, b'"ok"}')
                seconds.append(time.monotonic() - began)
        return sorted(seconds)[5] < 0.035  # by Nagle's algorithm and delayed acknowledgements, each would take 0.04 s

    assert any(are_quick() for _ in range(10))  # a busy machine may be slow, but not for ever


def test_a_slow_picture_within_the_deadline_is_searched_with(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY", 20.0)
    picture = make_upload()
    head = (
        b"POST /api/v1/search?k=1 HTTP/1.1\r\n"
        + HEAD
        + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(picture)
    )
    with connect(port) as client:
        client.sendall(head + picture[:100])
        time.sleep(1.2)  # longer than headers may take
        client.sendall(picture[100:])
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["hits"][0]["rank"] == 1


def test_more_connections_than_there_is_room_for_make_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 20)
    monkeypatch.setattr(guard, "HEADERS", 60.0)
    with many(port, 60, b"GET") as clients:
        assert get(port) == 200
        assert is_cut(clients[0])


@pytest.mark.parametrize("path", [*TRAVERSALS, "../lookalike/web/app.py"])
def test_no_address_leads_out_of_what_is_served_as_it_is_sent(port: int, path: str) -> None:
    for place in ("/static/", "/thumbnails/", "/dropped/", "/"):
        answer = ask(port, f"GET {place}{path} HTTP/1.1\r\n".encode() + HEAD + b"Connection: close\r\n\r\n")
        assert answer.split(b" ")[1] in {b"404", b"400", b"422"}
        assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n" * 20_000 + b"\r\n",
        b"POST /find HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
        b"POST /find HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999999999999\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_a_request_that_is_not_one_is_refused(port: int, request_: bytes) -> None:
    answer = ask(port, request_)
    assert not answer or answer.split(b" ")[1][:1] == b"4"
    assert get(port) == 200


def test_a_picture_that_is_too_large_ends_its_connection(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"POST /api/v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 300000000\r\n\r\n")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    assert get(port) == 200
