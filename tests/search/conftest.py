"""Galleries of drawn pictures that the tests of a file share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL import Image


@pytest.fixture(scope="module")
def index_drawings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Image.Image]], Path]:
    """Write pictures by name into a new folder, with a gallery of them beside it; the folder."""

    def index(drawn: dict[str, Image.Image]) -> Path:
        folder = tmp_path_factory.mktemp("drawn") / "photos"
        folder.mkdir()
        for name, image in drawn.items():
            image.save(folder / f"{name}.png")
        with Gallery.open(folder.parent / "gallery", encoder="histogram", create=True) as gallery:
            gallery.index(folder)
        return folder

    return index


@pytest.fixture
def drawn_gallery(photos: Path) -> Iterator[Gallery]:
    """The gallery of the pictures that the file draws in its own fixture `photos`."""
    with Gallery.open(photos.parent / "gallery") as gallery:
        yield gallery
