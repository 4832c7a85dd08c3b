"""The page and the API behind a proxy that speaks TLS, as a team's server has it: all of it is real but the name."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.conftest import make_upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lookalike import Gallery

NAME, TOKEN = "photos.example", "a-token-of-the-whole-team"
pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is missing"
)


class Proxy:
    """Takes TLS on a free port of loopback, and sends what comes on to a server with the headers of a proxy.

    host: what it makes of the header Host; None leaves it as it is.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.host: bytes | None = None
        self._to, self._folder = port, folder
        _make_certificate(folder)
        self._under_way: set[asyncio.Task[None] | None] = set()  # the loop alone would not keep them alive
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def ask(
        self, method: str, path: str, body: bytes = b"", /, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request of a client that trusts the certificate: status, headers in lower case, and content."""
        trusting = ssl.create_default_context(cafile=self._folder / "cert.pem")
        client = http.client.HTTPSConnection("127.0.0.1", self.port, context=trusting, timeout=20)
        sent = {"Host": f"{NAME}:{self.port}", **(headers or {})}
        with contextlib.closing(client):
            client.request(method, path, body or None, sent)
            answer = client.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "cert.pem", self._folder / "key.pem")
        return await asyncio.start_server(self._forward, "127.0.0.1", 0, ssl=context)

    async def _stop(self) -> None:
        self._server.close()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0.05)  # connections are closed in the next rounds of the loop

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer: the connection to the server ends with it."""
        self._under_way.add(asyncio.current_task())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._exchange(reader, writer)
        finally:
            writer.close()
            self._under_way.discard(asyncio.current_task())

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        fields = dict(line.split(b": ", 1) for line in lines)
        body = await reader.readexactly(int(fields.get(b"Content-Length", b"0")))
        sent = {**fields, b"Connection": b"close", b"X-Forwarded-For": b"192.0.2.7", b"X-Forwarded-Proto": b"https"}
        sent[b"Host"] = self.host or fields[b"Host"]
        inside, outside = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            head = b"\r\n".join([first, *(name + b": " + value for name, value in sent.items()), b"", b""])
            outside.write(head + body)
            while some := await inside.read(1 << 16):
                writer.write(some)
            await writer.drain()
        finally:
            outside.close()


def _make_certificate(folder: Path) -> None:
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"]
    key: list[str | Path] = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        folder / "key.pem",
    ]
    command: list[str | Path] = ["openssl", "req", "-x509", "-days", "2", *subject, *key, "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def proxy(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """`lookalike serve` with a token, as a process of its own, behind the proxy."""
    options = ["--port", "0", "--no-open", "--allow-host", NAME, "--allow-write"]
    command = [sys.executable, "-m", "lookalike", "serve", "-i", gallery.store.location, *options]
    with subprocess.Popen([*command, "--token", TOKEN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = Proxy(
            tmp_path_factory.mktemp("proxy"), int(process.stdout.readline().strip().strip("/").rpartition(":")[2])
        )
        yield made
        made.close()
        process.terminate()


KNOWN = {"Authorization": f"Bearer {TOKEN}"}


def test_the_page_and_its_parts_come_through_with_the_token_alone(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask("GET", "/")
    assert (status, headers["www-authenticate"].split()[0]) == (401, "Basic")
    status, headers, page = proxy.ask("GET", "/", headers=KNOWN)
    assert (status, b"12 pictures" in page) == (200, True)
    assert b"http://" not in page.replace(b"http://www.w3.org", b""), "a page under HTTPS may load nothing by HTTP"
    assert "default-src 'self'" in headers["content-security-policy"]
    for part in ("/healthz", *set(re.findall(r"/static/[\w.-]+", page.decode()))):
        assert proxy.ask("GET", part, headers=KNOWN)[0] == 200, part


def test_a_search_by_an_uploaded_picture_and_its_thumbnails_come_through(proxy: Proxy) -> None:
    upload = make_upload(3)
    status, _, found = proxy.ask("POST", "/api/v1/search?k=3", upload, headers={"Content-Type": "image/png", **KNOWN})
    assert status == 200
    (first, *_) = json.loads(found)["hits"]
    assert first["path"].endswith("003.jpg")
    status, headers, _ = proxy.ask("GET", f"/thumbnails/{first['id']}/small", headers=KNOWN)
    assert (status, headers["content-type"].partition("/")[0]) == (200, "image")


def test_a_change_from_its_own_page_under_https_is_allowed_and_from_another_is_not(proxy: Proxy) -> None:
    for origin, wanted in ((f"https://{NAME}:{proxy.port}", 200), ("https://other.example", 403)):
        asked = {"Content-Type": "image/png", "Origin": origin, **KNOWN}
        assert proxy.ask("POST", "/api/v1/search?k=3", make_upload(3), headers=asked)[0] == wanted, origin


def test_a_name_that_was_not_allowed_is_refused(proxy: Proxy) -> None:
    proxy.host = b"other.example"
    assert proxy.ask("GET", "/", headers=KNOWN)[0] == 400
    proxy.host = None


def test_whoever_comes_through_a_proxy_is_not_taken_for_someone_at_this_machine(proxy: Proxy) -> None:
    """Some proxies ask for 127.0.0.1 by default: then only their own headers tell that a request is from elsewhere."""
    pages = []
    for host in (None, b"127.0.0.1:8765"):
        proxy.host = host
        pages.append(proxy.ask("GET", "/collection", headers=KNOWN))
        assert proxy.ask("POST", "/collection/index", headers=KNOWN)[0] == 403
    proxy.host = None
    assert [status for status, _, _ in pages] == [200, 200]
    assert [b"/collection/index" in page for _, _, page in pages] == [False, False]
