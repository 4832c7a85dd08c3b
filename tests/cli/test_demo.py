from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Run


def test_the_demo_of_a_folder_prints_hits_and_the_place_of_a_montage(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(8)
    (photos / "broken.jpg").write_bytes(b"nonsense")
    monkeypatch.chdir(tmp_path)
    done = run("demo", photos)
    assert done.status == 0
    assert "broken.jpg: not an image" in done.err
    heading, *rows, place = done.out.splitlines()
    assert heading.split() == ["query", "rank", "distance", "hit"]
    assert len(rows) == 3 * 5
    with Image.open(place) as sheet:
        assert sheet.size[0] > 1000


def test_without_a_network_the_demo_says_so_in_one_line_and_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.datasets.samples.SCENES8_URL", "http://127.0.0.1:9/scenes.zip")
    monkeypatch.chdir(tmp_path)
    done = run("demo")
    assert done.status == 0
    (line,) = [line for line in done.err.splitlines() if "cannot be fetched" in line]
    assert "scikit-image" in line
    assert "Traceback" not in done.err
    assert Path(done.out.splitlines()[-1]).is_file()


def test_a_demo_without_a_picture_is_an_error_of_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = run("demo", tmp_path / "empty")
    assert done.status == 1
    assert "no picture" in done.err


def test_folders_of_one_name_are_shown_apart(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("demo", make_photos(4, "mine/Photos"))
    yours = run("demo", make_photos(7, "yours/Photos", first=10))
    assert yours.err.startswith("7 pictures of ")
    assert run("demo", "mine/Photos").err.startswith("4 pictures of mine/Photos, 0 of them new")


@pytest.mark.parametrize("count", [1, 2])
def test_a_collection_of_next_to_nothing_is_shown_too(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, count: int
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("demo", make_photos(count))
    assert done.status == 0
    assert Path(done.out.splitlines()[-1]).is_file()


def test_where_nothing_can_be_written_the_demo_says_so_in_one_line(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(2)
    (tmp_path / "demo").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    done = run("demo", photos)
    assert done.status == 2
    assert done.err.startswith("lookalike: ./demo cannot be made")
