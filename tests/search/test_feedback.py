"""Marking hits as good or bad, and searching again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lookalike import Gallery, Query
from lookalike.errors import LookalikeError, UnreadableImage, UsageError
from tests.conftest import make_picture
from tests.pairs import paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("feedback")
    paint(folder / "painted")
    with Gallery.open(folder / "gallery", encoder=write_pair(folder / "pair"), create=True) as gallery:
        gallery.index(folder / "painted")
        yield gallery


def test_a_search_without_marks_is_a_plain_one(gallery: Gallery, photos: Path) -> None:
    session = gallery.feedback(photos / "000.jpg")
    assert session.search(5).to_dict() == gallery.search(photos / "000.jpg", 5).to_dict()


def test_marked_hits_are_part_of_the_query_and_are_not_shown_again(gallery: Gallery, photos: Path) -> None:
    session = gallery.feedback(photos / "000.jpg")
    first = session.search(4)
    again = session.good(first[0]).bad(first[1], first[2].id).search(100)
    assert len(again) == len(gallery) - 4
    assert not {hit.id for hit in first[:3]} & {hit.id for hit in again}
    weights = [weight for weight, _ in session.query.terms]
    assert weights == [1, 1, -2, -2]
    shown = session.search(100, include_self=True)
    ranks = {hit.id: hit.rank for hit in shown}
    assert ranks[first[0].id] < min(ranks[first[1].id], ranks[first[2].id])


def test_one_mark_is_enough(painted: Gallery) -> None:
    ids: dict[bytes, list[int]] = {}
    for record in painted.pictures():
        ids.setdefault(record.path.rpartition(b"/")[2].partition(b"-")[0], []).append(record.id)
    red, blue = ids[b"red"], ids[b"blue"]
    mixed = Query.stored(red[0]) + Query.stored(blue[0])
    for session in (painted.feedback(mixed).bad(red[1]), painted.feedback(mixed).good(blue[1])):
        found = [hit.id for hit in session.search(19)]
        assert max(found.index(id_) for id_ in blue if id_ in found) < min(
            found.index(id_) for id_ in red if id_ in found
        )


def test_a_picture_that_is_marked_again_changes_its_mark(gallery: Gallery, photos: Path) -> None:
    session = gallery.feedback(photos / "000.jpg")
    hit = session.search(1)[0]
    session.good(hit).bad(hit.path)
    assert [weight > 0 for weight, _ in session.query.terms] == [True, False]
    session.good(Query.stored(hit.id))
    assert [weight > 0 for weight, _ in session.query.terms] == [True, True]
    assert session.clear().query.to_dict() == Query.picture(photos / "000.jpg").to_dict()


def test_pictures_outside_the_gallery_are_marked_as_well(gallery: Gallery, photos: Path) -> None:
    found = gallery.feedback(photos / "000.jpg").good(make_picture(77)).bad(make_picture(78)).search(3, unique=True)
    assert len(found) == 3


@pytest.mark.parametrize(
    "wrong", ["gone.jpg", 99_999, 2**70, 0, Query.stored(99_999), Query.picture("gone.jpg", crop="0,0,1,1")]
)
def test_a_mark_that_cannot_be_read_is_refused_and_leaves_the_session_as_it_was(
    gallery: Gallery, photos: Path, wrong: Any
) -> None:
    session = gallery.feedback(photos / "000.jpg").bad(2)
    with pytest.raises(LookalikeError, match=r"gone\.jpg: no such file|no picture in the gallery has the id"):
        session.good(3, wrong)
    assert len(session.query.terms) == 2
    assert session.search(3)


def test_an_error_in_a_marked_picture_says_how_it_was_marked(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "001.jpg", tmp_path / "marked.jpg")
    session = gallery.feedback(photos / "000.jpg").bad(tmp_path / "marked.jpg")
    (tmp_path / "marked.jpg").unlink()
    with pytest.raises(UnreadableImage, match=r"^bad: .*marked\.jpg: no such file"):
        session.search(3)


@pytest.mark.parametrize("wrong", [None, True, Query.text("boat"), Query.stored(1) + Query.stored(2)])
def test_only_pictures_are_good_or_bad(gallery: Gallery, photos: Path, wrong: Any) -> None:
    session = gallery.feedback(photos / "000.jpg")
    with pytest.raises(UsageError):
        session.good(2, wrong)
    assert len(session.query.terms) == 1
