"""One writer at a time."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import StoreBusy, StoreError
from lookalike.store.sqlite.lock import WriterLock

if TYPE_CHECKING:
    from pathlib import Path


def test_ctrl_c_is_heard_while_waiting(tmp_path: Path) -> None:
    """SQLite's own way of waiting sleeps in C and would not hear it."""
    first, second = WriterLock(tmp_path), WriterLock(tmp_path)
    start = time.monotonic()
    with first.held(wait=0):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), second.held(wait=60):
            pass
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("forgets", [False, True])
def test_ctrl_c_just_after_the_note_is_closed_frees_the_lock_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    lock = WriterLock(tmp_path)
    close = os.close

    def interrupted(descriptor: int) -> None:
        close(descriptor)
        monkeypatch.undo()
        raise KeyboardInterrupt

    def write() -> None:
        with lock.held(wait=0):
            lock.note(1)
            monkeypatch.setattr(os, "close", interrupted)
            if forgets:
                lock.forget()

    with pytest.raises(KeyboardInterrupt) as interrupt:  # which keeps the frames, and so all that they hold
        write()
    assert interrupt.value.__context__ is None
    with WriterLock(tmp_path).held(wait=0):
        pass


def test_one_may_wait_for_ever(tmp_path: Path) -> None:
    with WriterLock(tmp_path).held(wait=float("inf")):
        pass


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path)
    with pytest.raises(ZeroDivisionError), lock.held(wait=0):
        _ = 1 / 0
    with lock.held(wait=0):
        pass


def test_the_first_is_named_once_it_has_said_who_it_is(tmp_path: Path) -> None:
    first, second = WriterLock(tmp_path), WriterLock(tmp_path)
    with first.held(wait=0):
        with pytest.raises(StoreBusy, match="another process"), second.held(wait=0):
            pass
        first.note(7)
        with pytest.raises(StoreBusy, match=f"process {os.getpid()}"), second.held(wait=0):
            pass
        assert second.noted_generation() == 7
        first.forget()
        assert second.noted_generation() == 0


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"x y", b"1", b"1 2 3"])
def test_a_note_that_makes_no_sense_says_nothing(tmp_path: Path, note: bytes) -> None:
    (tmp_path / "writer.pid").write_bytes(note)
    assert WriterLock(tmp_path).noted_generation() == 0


def test_a_damaged_lock_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "writer.lock").write_bytes(b"no lock at all" * 100)
    with pytest.raises(StoreError, match=r"writer\.lock"), WriterLock(tmp_path).held(wait=0):
        pass


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"writer\.lock"), WriterLock(tmp_path / "nowhere").held(wait=0):
        pass
