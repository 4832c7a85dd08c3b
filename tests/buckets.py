"""An S3 server on loopback for tests, and a way through it that is slow, fails or is cut."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "pictures"
SECRET = "a-secret-that-nobody-may-read"
MISSING = [name for name in ("obstore", "moto", "flask", "flask_cors") if importlib.util.find_spec(name) is None]

needs_s3 = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (`make test` installs locks/cluster.txt)"
)


class Bucket:
    """A bucket on a server of its own, with the client of its owner. faults: decides about each request."""

    def __init__(self, client: Any, gate: Gate) -> None:
        self.client = client
        self.gate = gate

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_folder(self, folder: Path, prefix: str = "") -> None:
        """Put every file below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)


class Gate:
    """A proxy in front of the server. It counts, and does what it is asked to do with requests.

    close_after: how many requests for pictures are answered before every connection is cut. delay: seconds before each
    answer. failing: every so many requests get `status` instead of an answer; 0 for none.
    closed: every connection is cut.
    """

    def __init__(self, behind: str) -> None:
        self.delay, self.failing, self.status, self.closed = 0.0, 0, 503, False
        self.requests: list[str] = []
        self.close_after: int | None = None
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # the headers and the body of an answer in one packet: 0.04 s
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                gate.answer(self, behind)

            do_HEAD = do_GET  # noqa: N815  (a name of http.server)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def answer(self, handler: Any, behind: str) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        objects = [request for request in self.requests if ".png" in request]
        if self.close_after is not None and len(objects) > self.close_after:
            self.closed = True
        if self.closed:
            handler.close_connection = True
            return
        time.sleep(self.delay)
        if self.failing and len(self.requests) % self.failing == 0:
            self._send(
                handler,
                self.status,
                {},
                b"<Error><Code>%s</Code></Error>" % (b"AccessDenied" if self.status == 403 else b"SlowDown"),
            )
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        request = urllib.request.Request(behind + handler.path, headers=headers, method=handler.command)
        try:
            with urllib.request.urlopen(request) as found:
                self._send(handler, found.status, dict(found.headers), found.read())
        except urllib.error.HTTPError as error:
            self._send(handler, error.code, dict(error.headers), error.read())

    @staticmethod
    def _send(handler: Any, status: int, headers: dict[str, str], body: bytes) -> None:
        with contextlib.suppress(OSError):
            handler.send_response(status)
            lengths = headers.get("Content-Length", str(len(body))) if handler.command == "HEAD" else str(len(body))
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "server", "date"}:
                    handler.send_header(name, value)
            handler.send_header("Content-Length", lengths)
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Start a server with an empty bucket behind a gate; the environment leads through the gate."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    behind = f"http://{host}:{port}"
    gate = Gate(behind)
    settings = {"ACCESS_KEY_ID": "owner", "SECRET_ACCESS_KEY": SECRET, "REGION": "us-east-1"}
    for name, value in {**settings, "ENDPOINT_URL": gate.url, "ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    try:
        client = boto3.client("s3", endpoint_url=behind, region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield Bucket(client, gate)
        client.close()
    finally:
        gate.close()
        urllib.request.urlopen(urllib.request.Request(f"{behind}/moto-api/reset", method="POST")).close()
        server.stop()
