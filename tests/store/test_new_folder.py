"""Where no gallery can be made, the error says where to make one, and nothing is left behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import DiskFull, StoreError
from lookalike.store.new_folder import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_folder_and_those_above_it_are_made_and_stay(tmp_path: Path) -> None:
    with make_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").touch()
    with make_folder(tmp_path / "a" / "b"):
        pass
    assert (tmp_path / "a" / "b" / "x").exists()


def test_what_was_made_goes_when_something_fails_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyError), make_folder(tmp_path / "a" / "b" / "c"):
        raise KeyError
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "g", tmp_path / "file" / "g" / "h"):
        with pytest.raises(StoreError, match="file") as error, make_folder(folder):
            pass
        assert "--index" in error.value.hint
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_called_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(Path, "mkdir", raising(code))
    with pytest.raises(StoreError, match=f"{tmp_path} is read-only") as error, make_folder(tmp_path / "g"):
        pass
    assert "lookalike index PHOTOS -i FOLDER" in error.value.hint


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", raising(errno.ENOSPC))
    with pytest.raises(DiskFull), make_folder(tmp_path / "g"):
        pass


def raising(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, "no")

    return fail
