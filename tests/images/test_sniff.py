"""Pictures whose names do not say so are found, and files of other kinds are counted."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from lookalike.images.walk import Tally, may_be_picture, walk
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

ODD = (
    *("IMG_0001", "photo.jpg_large", "photo.jpg?w=800", "photo.jpg?w=800&v=1.2", "IMG_2.JPG(1)", "IMG_2.jpg (1)"),
    *("m.jpg ", "m.jpg.", "n.jpg.1", "n.jpeg2", "o.jpg!d", "p.png:large", "q.jpg%3Fw=8", "2024.05.17", "r."),
)
OTHER = ("a.jpg_original", "a.jpg~", "a.jpg.bak", "a.jpg.part", "a.txt", "a.mov", "a.jpg.xmp", "ajpg.doc", "a.psd")


def content(kind: str) -> bytes:
    file = io.BytesIO()
    make_picture(1, (20, 16)).save(file, kind)
    return file.getvalue()


def found(folder: Path, tally: Tally | None = None) -> set[str]:
    return {os.fsdecode(os.path.basename(entry.path)) for entry in walk(os.fsencode(folder), tally=tally)}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_picture_with_an_odd_name_is_found_by_its_first_bytes(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(content(kind))
    assert found(tmp_path) == {name}
    assert may_be_picture(os.fsencode(name))


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("text", [b"", b"BM", b"BMW and other cars", b"RIFF....WAVE", b"some notes\n", b"\xff\xd8"])
def test_a_file_with_an_odd_name_that_is_no_picture_is_counted(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    tally = Tally()
    assert found(tmp_path, tally) == set()
    assert sum(tally.kinds.values()) == 1


@pytest.mark.parametrize("name", OTHER)
def test_copies_that_other_programs_keep_and_other_kinds_are_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(content("JPEG"))
    tally = Tally()
    assert found(tmp_path, tally) == set()
    assert tally.kinds == {os.path.splitext(name)[1] if name != "a.jpg~" else "": 1}
    assert not may_be_picture(os.fsencode(name))


def test_pipes_links_and_hidden_names_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / ".hidden").write_bytes(content("PNG"))
    tally = Tally()
    assert found(tmp_path, tally) == set()
    assert not tally.kinds


def test_spellings_of_an_extension_are_counted_together_the_most_frequent_first(tmp_path: Path) -> None:
    for name in ("a.mov", "b.MOV", "c.MOV", "d.PSD", "e.PSD", "f.Psd", "g.PSD", "notes", "b.x" + "y" * 40):
        (tmp_path / name).write_bytes(b"x")
    tally = Tally()
    found(tmp_path, tally)
    assert list(tally.merged_kinds().items()) == [(".PSD", 4), (".MOV", 3), ("", 2)]


def test_very_many_extensions_take_no_memory(tmp_path: Path) -> None:
    tally = Tally()
    for number in range(5000):
        tally.add_kind(b"a.x%d" % number)
    assert len(tally.kinds) <= 1001
    assert sum(tally.kinds.values()) == 5000
