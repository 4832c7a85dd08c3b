"""Functions that are asked in a process of their own."""

from __future__ import annotations

import json
import os
import sys
import time

import psutil
import pytest

from lookalike.sandbox import ask, start

HERE = "tests.test_sandbox"


def repeat(word: str, times: int) -> None:
    sys.stdout.write(json.dumps({"words": word * times + sys.stdin.read()}))


def end() -> None:
    os._exit(7)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def describe() -> None:
    sys.stdout.write(json.dumps({"group": os.getpgid(0), "path": sys.path, "isolated": sys.flags.isolated}))


def test_a_child_finds_modules_where_we_do_and_has_a_process_group_of_its_own() -> None:
    found = ask(f"{HERE}:describe", seconds=60)
    assert found["path"] == sys.path
    assert found["isolated"] == 1
    assert found["group"] not in {os.getpgid(0), 0}


def test_a_child_that_was_started_reads_and_writes_bytes() -> None:
    with start(f"{HERE}:repeat", "ab", 3) as process:
        output, errors = process.communicate(b" and so on", timeout=60)
    assert json.loads(output) == {"words": "ababab and so on"}
    assert not errors


def test_a_child_that_is_late_is_gone_afterwards() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(TimeoutError):
        ask(f"{HERE}:sleep", 60, seconds=0.5)
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_child_that_cannot_be_started_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(FileNotFoundError):
        ask(f"{HERE}:end", seconds=1)


def test_what_a_function_says_comes_back() -> None:
    assert ask(f"{HERE}:repeat", "ab", 2, seconds=60, content=b" and so on") == {"words": "abab and so on"}


def test_a_function_that_ends_its_process_is_told_from_one_that_never_ends() -> None:
    with pytest.raises(ChildProcessError, match="exit status 7"):
        ask(f"{HERE}:end", seconds=60)
    with pytest.raises(TimeoutError, match="longer than 1 s"):
        ask(f"{HERE}:sleep", 60, seconds=1)
