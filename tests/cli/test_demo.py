from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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
    monkeypatch.setattr("lookalike.samples.SCENES8_URL", "http://127.0.0.1:9/scenes.zip")
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
