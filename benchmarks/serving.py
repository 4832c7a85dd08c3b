"""What `lookalike serve` takes: a process of its own, asked over loopback by clients that keep their connections.

    python benchmarks/serving.py --gallery GALLERY [--write FILE.json] [--seconds 10] [PART...]

The parts: `cold` (from the start of the command to a page), `upload` (a picture of 256 pixels to hits in JSON, beside
the same work in process), `similar` (by id), `thumbnails` (from the cache), `slow` (400 sockets that send a byte now
and then), `map` (until it is there, and once it is). All of them by default. `mixed` is for --seconds 1800: good and
bad requests of all kinds while the gallery is being indexed, with memory and descriptors.

    python benchmarks/serving.py --make 100000 --gallery NEW

makes a gallery of so many made-up pictures in clusters.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from house_driver import make_numbered
from measuring import write_figures
from PIL import Image

from lookalike import Gallery, Query, load_encoder
from lookalike.encoders.composition import composed_dim
from lookalike.store import Space, open_store
from lookalike.store.location import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BATCH = 1024
_SLOW = 400
_ENCODER = "efficientnet-lite0-int8"


class Client:
    """One connection that is kept. Answers are read by their length."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, headers: str = "") -> tuple[int, bytes]:
        return self.send(_get(path, headers))

    def send(self, request: bytes) -> tuple[int, bytes]:
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        parts, missing = [body], (int(found[1]) if found else 0) - len(body)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        return int(head[9:12]), b"".join(parts)

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data


class Served:
    """`lookalike serve` for one gallery, and how long it took to be usable."""

    def __init__(self, gallery: Path, *arguments: str) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "lookalike", "serve", "-i", str(gallery), "--port", "0", "--no-open"]
        self.process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        self.address_after = time.perf_counter() - began
        client = Client(self.port)
        assert client.get("/", "accept: text/html\r\n")[0] == 200
        self.page_after = time.perf_counter() - began
        while client.get("/healthz")[0] != 200:
            time.sleep(0.02)
        self.ready_after = time.perf_counter() - began
        client.close()
        self.seen = psutil.Process(self.process.pid)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def served(gallery: Path, *arguments: str) -> Iterator[Served]:
    server = Served(gallery, *arguments)
    try:
        yield server
    finally:
        server.close()


class Asker:
    """One connection of many that a single thread looks after."""

    def __init__(self, port: int, number: int, ask: Callable[[np.random.Generator], bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.times: list[float] = []
        self.statuses: dict[int, int] = {}
        self._random, self._ask = np.random.default_rng(number), ask
        self._data, self._length, self._began = b"", 0, 0.0

    def send(self) -> None:
        """Send the next request."""
        request = self._ask(self._random)
        self._data, self._length, self._began = b"", 0, time.perf_counter()
        self.socket.sendall(request)

    def take(self) -> bool:
        """Take what has come; whether that is the rest of an answer."""
        more = self.socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server has closed the connection")
        self._data += more
        if not self._length and (end := self._data.find(b"\r\n\r\n") + 4) >= 4:
            found = _LENGTH.search(self._data[:end])
            self._length = end + (int(found[1]) if found else 0)
        if not self._length or len(self._data) < self._length:
            return False
        self.times.append(time.perf_counter() - self._began)
        status = int(self._data[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return True


def press(server: Served, clients: int, seconds: float, ask: Callable[[np.random.Generator], bytes]) -> dict[str, Any]:
    """Let clients ask for some seconds, each as soon as it is answered; the rate, the times, and the work in ms.

    busy_ms: of the server's processors for each request, which says most where other programs run beside it. The
    clients share one thread: with a thread each, they wait for one another, and that was up to half of all times.
    """
    askers = [Asker(server.port, number, ask) for number in range(clients)]
    before, began = server.seen.cpu_times(), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for one in askers:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send()
        under_way, end = clients, began + seconds
        while under_way:
            for key, _ in selector.select(60):
                if not key.data.take():
                    continue
                if time.perf_counter() < end:
                    key.data.send()
                else:
                    under_way -= 1
    took = time.perf_counter() - began
    after = server.seen.cpu_times()
    busy = after.user + after.system - before.user - before.system
    every = 1e3 * np.concatenate([np.array(one.times) for one in askers])
    statuses: dict[int, int] = {}
    for one in askers:
        one.socket.close()
        for status, count in one.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "clients": clients,
        "per_second": round(len(every) / took, 1),
        **{f"p{share}_ms": round(float(np.percentile(every, share)), 2) for share in (50, 90, 99)},
        "busy_ms": round(1e3 * busy / len(every), 2),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
    }


def _get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n".encode()


def _post(path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def measure_cold(gallery: Path) -> dict[str, Any]:
    """The median of five starts, in seconds."""
    found = []
    for _ in range(5):
        with served(gallery) as server:
            found.append((server.address_after, server.page_after, server.ready_after))
    middle = np.median(np.array(found), axis=0)
    return dict(zip(("address_s", "page_s", "search_s"), (round(float(each), 3) for each in middle), strict=True))


def make_uploads(gallery: Gallery, count: int) -> list[bytes]:
    """JPEGs with a side of at most 256 pixels, of pictures of the gallery or, if their files are gone, made up."""
    found = []
    random = np.random.default_rng(0)
    ids = gallery.store.ids().tolist()
    for id_ in random.choice(ids, count, replace=False).tolist():
        path = gallery.store.get([id_])[id_].path
        image = Image.fromarray(random.integers(0, 255, (256, 256, 3), np.uint8))
        with suppress(OSError):
            image = Image.open(os.fsdecode(path)).convert("RGB")
        image.thumbnail((256, 256))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def measure_upload(location: Path, seconds: float) -> dict[str, Any]:
    with Gallery.open(location) as gallery:
        uploads = make_uploads(gallery, 64)
        times = []
        for number in range(len(uploads) * 2):
            began = time.perf_counter()
            json.dumps(gallery.search(Query.content(uploads[number % len(uploads)])).to_dict())
            times.append(time.perf_counter() - began)
        inside = 1e3 * np.array(times[8:])

    def ask(random: np.random.Generator) -> bytes:
        return _post("/api/v1/search", uploads[int(random.integers(len(uploads)))])

    with served(location) as server:
        press(server, 2, 2.0, ask)
        found = [press(server, clients, seconds, ask) for clients in (1, 8)]
    inside_ms = {f"p{share}_ms": round(float(np.percentile(inside, share)), 2) for share in (50, 99)}
    ratio = round(found[0]["p50_ms"] / inside_ms["p50_ms"], 2)
    spread = round(found[1]["p99_ms"] / found[1]["p50_ms"], 2)
    return {"in_process": inside_ms, "http": found, "p50_to_in_process": ratio, "p99_to_p50_at_8": spread}


def list_ids(location: Path) -> list[int]:
    with Gallery.open(location) as gallery:
        ids: list[int] = gallery.store.ids().tolist()
    return ids


def measure_similar(location: Path, seconds: float) -> dict[str, Any]:
    ids = list_ids(location)

    def ask(random: np.random.Generator) -> bytes:
        return _get(f"/api/v1/images/{ids[int(random.integers(len(ids)))]}/similar")

    with served(location) as server:
        press(server, 4, 2.0, ask)
        return {"pictures": len(ids), "http": [press(server, clients, seconds, ask) for clients in (1, 16)]}


def measure_thumbnails(location: Path, seconds: float) -> dict[str, Any]:
    ids = list_ids(location)[:500]

    def ask(random: np.random.Generator) -> bytes:
        return _get(f"/thumbnails/{ids[int(random.integers(len(ids)))]}/small?v=1")

    with served(location) as server:
        client = Client(server.port)
        for id_ in ids:
            assert client.get(f"/thumbnails/{id_}/small")[0] == 200
        return {"pictures": len(ids), "http": [press(server, clients, seconds, ask) for clients in (1, 16)]}


def measure_slow(location: Path, seconds: float) -> dict[str, Any]:
    """Healthy requests while 400 sockets send a byte of their headers each second; and when the last one is cut."""
    with served(location) as server:
        some = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(_SLOW)]
        for one in some:
            one.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
            one.settimeout(0)
        began, times, alive, cut = time.perf_counter(), [], set(some), 0.0
        while time.perf_counter() - began < max(seconds, 8):
            start = time.perf_counter()
            client = Client(server.port)
            assert client.get("/healthz")[0] == 200
            times.append(time.perf_counter() - start)
            client.close()
            alive = {one for one in alive if _is_alive(one)}
            if not alive and not cut:
                cut = time.perf_counter() - began
            time.sleep(0.2)
    return {"sockets": _SLOW, "slowest_healthy_ms": round(1e3 * max(times), 1), "all_cut_after_s": round(cut, 2)}


def _is_alive(one: socket.socket) -> bool:
    try:
        one.send(b"x")
    except OSError:
        one.close()
        return False
    return True


def measure_map(location: Path, _seconds: float) -> dict[str, Any]:
    with served(location) as server:
        client, began = Client(server.port), time.perf_counter()
        while client.get("/api/v1/map?format=binary")[0] == 202:
            time.sleep(0.2)
        computed, found = time.perf_counter() - began, {}
        for kind in ("binary", "json"):
            start = time.perf_counter()
            status, data = client.get(f"/api/v1/map?format={kind}")
            assert status == 200
            found[kind] = {"seconds": round(time.perf_counter() - start, 3), "bytes": len(data)}
    with served(location) as server:
        client, began = Client(server.port), time.perf_counter()
        while client.get("/api/v1/map?format=binary")[0] == 202:
            time.sleep(0.02)
        again = time.perf_counter() - began
    return {"pictures": len(list_ids(location)), "computed_s": round(computed, 1), "again_s": round(again, 2), **found}


def measure_mixed(location: Path, seconds: float) -> dict[str, Any]:
    """All kinds of requests, good and bad, while another process adds and removes pictures; memory and descriptors."""
    ids, statuses, samples, stop = list_ids(location), dict[int, int](), [], threading.Event()
    with Gallery.open(location) as gallery:
        uploads = make_uploads(gallery, min(16, len(ids)))
    with served(location) as server, tempfile.TemporaryDirectory() as folder:
        workers = [
            threading.Thread(target=_ask_anything, args=(server.port, number, (ids, uploads), statuses, stop))
            for number in range(6)
        ]
        indexer = threading.Thread(target=_keep_indexing, args=(location, Path(folder), stop))
        for thread in (*workers, indexer):
            thread.start()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            time.sleep(0.5)
            samples.append((server.seen.memory_info().rss, server.seen.num_fds()))
        stop.set()
        for thread in (*workers, indexer):
            thread.join()
        time.sleep(6)  # until idle connections are closed
        left = server.seen.num_fds()
    third = max(1, len(samples) // 3)
    early, late = (np.median(np.array(some), axis=0) for some in (samples[third : 2 * third], samples[-third:]))
    return {
        "seconds": seconds,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "faults": sum(count for status, count in statuses.items() if status >= 500 and status != 503),
        "memory_mb": [round(float(one[0]) / 1e6, 1) for one in (early, late)],
        "memory_growth": round(float(late[0] / early[0]) - 1, 4),
        "descriptors": [int(early[1]), int(late[1]), left],
    }


def _ask_anything(
    port: int, seed: int, given: tuple[list[int], list[bytes]], statuses: dict[int, int], stop: threading.Event
) -> None:
    random, (ids, uploads) = np.random.default_rng(seed), given
    client = Client(port)
    while not stop.is_set():
        id_, upload = ids[int(random.integers(len(ids)))], uploads[int(random.integers(len(uploads)))]
        try:
            status = client.send(_choose_request(int(random.integers(14)), id_, upload))[0]
        except (OSError, ValueError):  # cut, as bad requests are
            status = 0
        statuses[status] = statuses.get(status, 0) + 1
        if status in {0, 400, 413}:
            client.close()
            client = Client(port)
    client.close()


def _choose_request(number: int, id_: int, upload: bytes) -> bytes:
    """One of ten good and four bad requests."""
    paths = [
        f"/api/v1/images/{id_}/similar",
        f"/thumbnails/{id_}/small",
        "/",
        f"/?like={id_}",
        f"/api/v1/images/{id_}",
        "/api/v1/filters",
        "/api/v1/state",
        "/metrics",
        "/api/v1/images/999999999/similar",
        "/thumbnails/..%2f..%2fetc%2fpasswd/small",
        f"/api/v1/images/{id_}/similar?k=0",
    ]
    host = b"host: 127.0.0.1\r\n"
    if number < len(paths):
        return b"GET " + paths[number].encode() + b" HTTP/1.1\r\n" + host + b"\r\n"
    if number == 11:
        return b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n"
    body = upload if number == 12 else b'{"query": {"sum": [{"id": 1e999'
    kind = b"image/jpeg" if number == 12 else b"application/json"
    length = b"content-length: %d\r\n" % len(body)
    return b"POST /api/v1/search HTTP/1.1\r\n" + host + b"content-type: " + kind + b"\r\n" + length + b"\r\n" + body


def _keep_indexing(location: Path, folder: Path, stop: threading.Event) -> None:
    """Add some pictures to the gallery and take them away again, in processes of their own."""
    random, command = np.random.default_rng(1), [sys.executable, "-m", "lookalike", "index", "-i", str(location)]
    while not stop.is_set():
        for number in range(4):
            Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(folder / f"{number}.png")
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
        for file in folder.iterdir():
            file.unlink()
        subprocess.run([*command, str(folder)], check=False, capture_output=True)


def make_gallery(location: Path, count: int) -> None:
    """A gallery of made-up pictures: clusters of a hundred, as the default encoder's embeddings are long."""
    encoder, random = load_encoder(_ENCODER), np.random.default_rng(0)
    dim = composed_dim(encoder)
    space = Space(encoder.name, encoder.fingerprint, dim, encoder.metric, encoder.name)
    with Gallery(open_store(locate(location, create=True), create=space), encoder) as gallery:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            rows = _make_rows(random, len(numbers), dim)
            records = [make_numbered(str(location), number) for number in numbers]
            with gallery.store.writing():
                gallery.store.put(records, {one.digest: row for one, row in zip(records, rows, strict=True)})
        gallery.adapt()


def _make_rows(random: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Embeddings in clusters, not below 0, as those of a network behind a ReLU."""
    middles = random.standard_normal((max(1, count // 100), dim), np.float32)
    rows = middles[random.integers(0, len(middles), count)] + 0.5 * random.standard_normal((count, dim), np.float32)
    return np.maximum(rows, 0)


_PARTS: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "cold": lambda location, _seconds: measure_cold(location),
    "upload": measure_upload,
    "similar": measure_similar,
    "thumbnails": measure_thumbnails,
    "slow": measure_slow,
    "map": measure_map,
    "mixed": measure_mixed,
}


_DEFAULT = [part for part in _PARTS if part != "mixed"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *_PARTS], metavar="PART")
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--make", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args(arguments)
    if given.make:
        make_gallery(given.gallery, given.make)
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        load = os.getloadavg()[0]
        figures = {part: _PARTS[part](given.gallery, given.seconds) for part in given.parts or _DEFAULT}
    write_figures(given.write, __file__, {"load_before": round(load, 2), **figures})


if __name__ == "__main__":
    main()
