"""A package with encoders of its own, installed for a test: a folder on the path with its metadata."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, encoder_names, load_encoder
from lookalike.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = """
from lookalike.encoders.histogram import HistogramEncoder

class Mine(HistogramEncoder):
    name = "mine"
    fingerprint = "mine-1"

def broken():
    raise RuntimeError("no weights")

def empty():
    return object()
"""


def install(place: Path, monkeypatch: pytest.MonkeyPatch, source: str, offered: dict[str, str]) -> None:
    home = place / "site"
    (home / "mine-1.0.dist-info").mkdir(parents=True)
    (home / "their_encoders.py").write_text(source)
    (home / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = "\n".join(f"{name} = their_encoders:{of}" for name, of in offered.items())
    (home / "mine-1.0.dist-info" / "entry_points.txt").write_text(f"[lookalike.encoders]\n{points}\n")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.delitem(sys.modules, "their_encoders", raising=False)


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {"mine": "Mine", "broken": "broken", "empty": "empty", "nowhere": "nothing", "histogram": "Mine"}
    install(tmp_path, monkeypatch, SOURCE, offered)


def test_an_encoder_of_another_package_is_listed_and_used_like_our_own(
    make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    assert "mine" in encoder_names()
    with Gallery.open(tmp_path / "g", encoder="mine", create=True) as gallery:
        assert gallery.index(make_photos(3)).added == 3
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.encoder.fingerprint == "mine-1"
    assert load_encoder("hybrid:mine+histogram").dim == 2880


def test_our_own_names_stay_our_own() -> None:
    assert load_encoder("histogram").fingerprint != "mine-1"
    assert encoder_names().count("histogram") == 1


@pytest.mark.parametrize(("name", "why"), [("broken", "no weights"), ("empty", "has no"), ("nowhere", "nothing")])
def test_one_that_cannot_be_made_is_an_error_that_names_it(name: str, why: str) -> None:
    with pytest.raises(EncoderError, match=f"the encoder {name} .*{why}"):
        load_encoder(name)
