"""A closed gallery raises one named error, whatever it is asked for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from lookalike import Gallery, IndexOptions
from lookalike.errors import ClosedGallery, StoreError
from lookalike.explore.duplicates.keep import Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALLOWED = {"close", "plan_moves"}  # the latter looks at files alone
DUNDERS = ["__len__", "__iter__", "__enter__", "__contains__"]
NAMES = [name for name in dir(Gallery) if not name.startswith("_") and name not in ALLOWED]
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "copy_to": ("memory:copy",),
    "relocate": ("/old", "/new"),
    "adapt_to_labels": ({},),
    "explain": ("a.jpg", "b.jpg"),
    "teach": ("our boat", ["a.jpg"]),
    "search_many": (["a.jpg"],),
    "encode_views": ([],),
    "embed_files": ([],),
    "nearest": ([], 1),
    "knows": (b"/a.jpg",),
    "mark_distinct": ("a.jpg", "b.jpg"),
    "move_duplicates": (Plan((), {}, ()),),
    "__contains__": ("a.jpg",),
}
TAKES_ONE = {
    "explain_filters",
    "explain_text",
    "feedback",
    "forget",
    "search",
    "search_text",
    "suggest_words",
    "remove",
    "export",
    "write_parquet",
    "protects",
}


@pytest.fixture
def closed(make_photos: Callable[..., Path], tmp_path: Path) -> Gallery:
    gallery = Gallery.open(tmp_path / "gallery", encoder="histogram", create=True)
    gallery.index(make_photos(2), options=IndexOptions(workers=1))
    gallery.close()
    return gallery


def use(gallery: Gallery, name: str) -> None:
    """Get a property, or call a method."""
    found = getattr(gallery, name)
    if callable(found):
        found(*ARGUMENTS.get(name, ("a.jpg",) if name in TAKES_ONE else ()))


@pytest.mark.parametrize("name", [*NAMES, *DUNDERS])
def test_every_method_and_property_of_a_closed_gallery_raises_it(closed: Gallery, name: str) -> None:
    static = inspect.getattr_static(Gallery, name)
    if isinstance(static, classmethod | staticmethod):
        return  # they need no gallery
    with pytest.raises(ClosedGallery, match="is closed"):
        use(closed, name)


def test_it_is_an_error_of_the_store_with_the_remedy(closed: Gallery) -> None:
    with pytest.raises(StoreError) as error:
        len(closed)
    assert "Gallery.open" in error.value.hint


def test_a_closed_gallery_can_be_shown_and_closed_again(closed: Gallery) -> None:
    assert "closed" in repr(closed)
    closed.close()


@pytest.mark.parametrize("location", ["memory:", "folder"])
def test_an_open_one_says_how_many_pictures_by_which_encoder(location: str, tmp_path: Path) -> None:
    where = tmp_path / location if location == "folder" else location
    with Gallery.open(where, encoder="histogram", create=True) as gallery:
        assert repr(gallery).startswith("<Gallery of 0 pictures by histogram")
