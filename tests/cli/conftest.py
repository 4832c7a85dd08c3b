from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from lookalike.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakePhotos = Callable[..., Path]


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Run:
    """Run the command line in this process, as `lookalike ARGUMENTS` would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, arguments)])
        self._capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        captured = self._capsys.readouterr()
        return Done(status, captured.out, captured.err)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.fixture
def indexed(run: Run, make_photos: MakePhotos) -> Path:
    """A folder of 12 pictures with its own gallery, by the histogram encoder."""
    photos = make_photos(12)
    assert run("index", photos, "-e", "histogram").status == 0
    return photos


@pytest.fixture
def gallery(run: Run, make_photos: MakePhotos, tmp_path: Path) -> Path:
    """A gallery of 12 pictures, by the histogram encoder."""
    assert run("index", make_photos(12), "-i", tmp_path / "gallery", "-e", "histogram").status == 0
    return tmp_path / "gallery"


@pytest.fixture
def scenes(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of a beach and a forest, 6 pictures each, with its own gallery."""
    make_photos(6, "photos/beach")
    make_photos(6, "photos/forest", first=20)
    assert run("index", tmp_path / "photos", "-e", "histogram").status == 0
    return tmp_path / "photos"


@pytest.fixture
def labelled(make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of two classes, 8 pictures each."""
    make_photos(8, "set/one")
    make_photos(8, "set/two", first=8)
    return tmp_path / "set"
