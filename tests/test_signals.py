"""The suite gives the same answer in a terminal, in the background, under nohup and under a supervisor."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A shell without job control ignores the first two for what it starts in the background, nohup the third.
IGNORED = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM")
IGNORE = """
import os, signal, sys
for name in sys.argv[1].split():
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


def test_an_interrupt_reaches_this_process() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_a_child(number: signal.Signals) -> None:
    command = [sys.executable, "-c", SLEEP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


def test_signals_reach_the_suite_when_its_parent_ignores_them(tmp_path: Path) -> None:
    chosen = [f"--basetemp={tmp_path / 'inner'}", "-p", "no:cacheprovider", "-k", "reaches", __file__]
    command = [sys.executable, "-c", IGNORE, " ".join(IGNORED), "-m", "pytest", "-q", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
