"""Results that cannot be written, messages that nobody reads, a current folder that is gone: one named error each."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = f"{sys.executable} -m lookalike"


def shell(line: str, folder: Path, *, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    flags = {"PYTHONUNBUFFERED": "" if buffered else "1"}
    text = f'lookalike() {{ {COMMAND} "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env={"PATH": "/usr/bin:/bin", **flags}, capture_output=True, text=True
    )


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("where", ["> /dev/full", ">&-"])
@pytest.mark.parametrize("form", ["", "-f", "-0", "--json"])
def test_results_that_cannot_be_written_are_one_named_error(
    indexed: Path, where: str, form: str, buffered: bool
) -> None:
    done = shell(f"lookalike search 000.jpg {form} {where}", indexed, buffered=buffered)
    assert done.returncode == 1
    assert done.stderr.startswith("lookalike: the results cannot be written: ")
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize("command", ["--help", "--version", "info", "index .", "neighbours"])
def test_every_command_reports_a_full_output(indexed: Path, command: str) -> None:
    done = shell(f"lookalike {command} > /dev/full", indexed)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "the results cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("where", ["2> /dev/full", "2>&-", "2>&- <&-"])
def test_messages_that_nobody_can_read_cost_no_results(indexed: Path, where: str) -> None:
    done = shell(f"lookalike index . {where}", indexed)
    assert done.returncode == 0
    assert "unchanged" in done.stdout
    assert shell("lookalike verify", indexed).returncode == 0


def test_nothing_is_written_into_the_gallery_when_every_stream_is_closed(indexed: Path) -> None:
    assert shell("lookalike index . >&- 2>&- <&-", indexed).returncode == 1
    assert shell("lookalike verify", indexed).returncode == 0


def test_a_reader_that_ends_early_is_no_fault_to_speak_of(indexed: Path) -> None:
    done = shell("lookalike neighbours | true", indexed)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["search 0.jpg", "index", "index Photos", "info", "export x", "train Photos"])
def test_a_current_folder_that_is_gone_is_named(indexed: Path, command: str) -> None:
    (indexed / "gone").mkdir()
    done = shell(f"rmdir ../gone; lookalike {command}", indexed / "gone")
    assert done.returncode in {1, 2}
    assert "the current folder no longer exists" in done.stderr
    assert done.stderr.count("\n") == 2


def test_absolute_paths_need_no_current_folder(indexed: Path) -> None:
    (indexed / "gone").mkdir()
    line = f"rmdir ../gone; lookalike search {indexed}/000.jpg -i {indexed}/.lookalike"
    done = shell(line, indexed / "gone")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{indexed}/" in done.stdout
