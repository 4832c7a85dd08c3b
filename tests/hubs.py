"""A stand-in for the Hugging Face hub, on loopback: what a model is at, the two requests for a file, and no more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000  # bytes from which on a file is announced as the hub announces large ones


class Hub:
    """Serves the files of folders as repositories. `asked`: the method and path of every request, in order.

    headers: what is said otherwise than it is, of every file. tail: what is sent behind every file's content.
    """

    def __init__(self, folders: dict[str, Path], port: int) -> None:
        self.folders = folders
        self.port = port
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.replaced: dict[str, bytes] = {}
        self.newest = COMMIT

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know to ask here."""
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and content of api/models/OWNER/NAME or OWNER/NAME/resolve/COMMIT/FILE."""
        if path.startswith("/api/models/"):
            named = path.removeprefix("/api/models/")
            known = json.dumps({"id": named, "sha": self.newest, "siblings": []}).encode()
            return (200, {}, known) if named in self.folders else (401, {}, b"")
        repository, _, rest = path.strip("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        if repository not in self.folders:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if commit != COMMIT:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        try:
            content = (self.folders[repository] / file).read_bytes()
        except FileNotFoundError:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        headers = {"X-Repo-Commit": COMMIT, **_announced(content), **self.headers}
        return 200, headers, self.replaced.get(file, content)


def _announced(content: bytes) -> dict[str, str]:
    blob = f"blob {len(content)}\0".encode() + content
    if len(content) < LARGE:
        return {"ETag": f'"{hashlib.sha1(blob).hexdigest()}"'}
    return {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}


@contextlib.contextmanager
def serving(folders: dict[str, Path]) -> Iterator[Hub]:
    """A hub with these repositories."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._send(with_content=False)

        def do_GET(self) -> None:
            self._send(with_content=True)

        def _send(self, *, with_content: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_content:
                self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(folders, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_no_proxy(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a process that asks a hub on loopback."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    ours = {*proxies, "HF_HUB_DISABLE_TELEMETRY"}  # which the command sets for itself
    return {key: value for key, value in os.environ.items() if key not in ours} | environment
