"""Functions that are asked in a process of their own."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from lookalike.sandbox import ask

HERE = "tests.test_sandbox"


def repeat(word: str, times: int) -> None:
    sys.stdout.write(json.dumps({"words": word * times + sys.stdin.read()}))


def end() -> None:
    os._exit(7)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def test_what_a_function_says_comes_back() -> None:
    assert ask(f"{HERE}:repeat", "ab", 2, seconds=60, content=b" and so on") == {"words": "abab and so on"}


def test_a_function_that_ends_its_process_is_told_from_one_that_never_ends() -> None:
    with pytest.raises(ChildProcessError, match="exit status 7"):
        ask(f"{HERE}:end", seconds=60)
    with pytest.raises(TimeoutError, match="longer than 1 s"):
        ask(f"{HERE}:sleep", 60, seconds=1)
