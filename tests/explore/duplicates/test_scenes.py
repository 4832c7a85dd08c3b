"""The benchmark in small: copies of photographs are found among them, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from lookalike import Gallery, IndexOptions
from tests.explore.duplicates.conftest import EDITS

if TYPE_CHECKING:
    from pathlib import Path


def test_copies_of_photographs_are_found_and_nothing_else(scenes8: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    chosen = sorted(scenes8.glob("*/*.jpg"))[::60]
    edits = [*EDITS.items()] * 4
    for number, path in enumerate(chosen):
        with Image.open(path) as file:
            image = file.convert("RGB")
        image.save(folder / f"{number:02}.png")
        if number < len(edits):
            edits[number][1](image).save(folder / f"{number:02}-{edits[number][0]}.jpg", quality=70)
    with Gallery.open(folder, encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=2))
        groups = gallery.duplicates(options=IndexOptions(workers=2)).groups
    copies = [sorted(each.path.name[:2] for each in group.pictures) for group in groups if group.kind == "same picture"]
    assert all(one == other for one, other in copies)
    assert len(copies) >= len(edits) - 2
