from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lookalike import Gallery, Hit, Hits

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def hits(make_photos: Callable[..., Path], tmp_path: Path) -> Hits:
    photos = make_photos(9)
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos)
        return gallery.search(photos / "000.jpg", k=6)


def test_hits_are_a_sequence_nearest_first(hits: Hits) -> None:
    assert len(hits) == 6
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    assert isinstance(hits[0], Hit)
    assert hits[-1].rank == 6


def test_a_slice_of_hits_is_hits(hits: Hits) -> None:
    assert isinstance(hits[:2], Hits)
    assert [hit.rank for hit in hits[:2]] == [1, 2]


def test_hits_print_as_a_table(hits: Hits) -> None:
    heading, first, *_ = repr(hits).splitlines()
    assert heading.split() == ["rank", "distance", "path"]
    assert first.split()[0] == "1"
    assert first.endswith(hits[0].display)


def test_hits_convert_to_rows_of_plain_values(hits: Hits) -> None:
    rows = hits.rows()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(Path(row["path"]).is_file() for row in rows)
    assert {type(value) for row in rows for value in row.values()} == {int, str, float}


def test_hits_draw_themselves_with_the_query_above(hits: Hits) -> None:
    sheet = hits.montage(columns=3)
    assert isinstance(sheet, Image.Image)
    assert sheet.size[1] > sheet.size[0]  # the query and two rows below it
    assert len(sheet.getcolors(1 << 24) or []) > 1000


def test_a_hit_whose_file_is_gone_is_drawn_as_a_gap(hits: Hits) -> None:
    whole = hits.montage()
    for hit in hits:
        hit.path.unlink()
    assert hits.montage().size == whole.size
    assert len(hits.montage().getcolors(1 << 24) or []) < len(whole.getcolors(1 << 24) or [])


def test_no_hits_draw_the_query_alone(hits: Hits) -> None:
    assert hits[:0].montage().size[0] > 200
    assert repr(hits[:0]) == "rank  distance  path"
