from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(name, "1")  # what `serve` sets ends with the test


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_served_gallery_answers_until_a_signal_ends_it(indexed: Path, number: signal.Signals, status: int) -> None:
    command = [sys.executable, "-m", "lookalike", "serve", str(indexed), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert b"12 pictures" in answer.read()
        request = urllib.request.Request(
            f"{address}api/v1/search?k=3",
            (indexed / "003.jpg").read_bytes(),
            {"content-type": "image/jpeg"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            hits = json.load(answer)["hits"]
        assert os.path.basename(hits[0]["path"]) == "003.jpg"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_a_mistake_with_a_hint(run: Run, indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", indexed, "--port", taken.getsockname()[1], "--no-open")
    assert done.status == 2
    assert "in use by another program" in done.err
    assert "--port 0" in done.err


def test_another_address_needs_a_token(run: Run, indexed: Path) -> None:
    done = run("serve", indexed, "--host", "0.0.0.0", "--port", 0, "--no-open")
    assert done.status == 2
    assert "token" in done.err


def test_what_cannot_be_served_is_said(run: Run, indexed: Path, tmp_path: Path) -> None:
    assert run("serve", tmp_path / "nowhere", "--no-open").status == 2
    assert run("serve", indexed, "-i", indexed, "--no-open").status == 2
    assert run("serve", indexed, "--host", "192.0.2.1", "--token", "x" * 20, "--no-open").status == 2
    assert run("serve", indexed, "--host", "no such host", "--token", "x" * 20, "--no-open").status == 2
    assert run("serve", indexed, "--token", "\u00e9", "--no-open").status == 2
