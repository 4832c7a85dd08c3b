from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lookalike import Gallery, Hit, Hits
from lookalike.errors import MissingExtra, how_to_install

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


def test_hits_become_the_document_of_the_command_line(hits: Hits) -> None:
    document = hits.to_dict()
    assert set(document) == {"query", "hits", "encoder"}
    assert document["encoder"] == "histogram"
    assert document["query"]["display"].endswith("000.jpg")
    assert [list(hit) for hit in document["hits"]] == [["rank", "path", "display", "distance", "id"]] * 6


def test_hits_whose_files_are_gone_are_marked_and_counted(hits: Hits) -> None:
    assert hits.missing == 0
    hits[1].path.unlink()
    assert (hits.missing, hits[1].is_missing) == (1, True)
    assert [hit.get("missing") for hit in hits.to_dict()["hits"]] == [None, True, None, None, None, None]


def test_a_notebook_shows_thumbnails_with_escaped_names(hits: Hits) -> None:
    bad = hits[0].path.with_name('<img src=x onerror="1">.jpg')
    hits[0].path.rename(bad)
    shown = Hits([replace(hits[0], path=bad), *hits[1:]], hits._found)._repr_html_()
    assert shown.count("data:image/jpeg;base64,") == 7
    assert "<img src=x" not in shown
    hits[1].path.unlink()
    assert hits._repr_html_().count("file not found") == 2  # the renamed one, too


def test_hits_become_a_table_of_pandas(hits: Hits) -> None:
    table = hits.to_pandas()
    assert list(table.columns) == ["rank", "path", "distance", "id"]
    assert table.to_dict("records") == hits.rows()
    assert list(hits[:0].to_pandas().columns) == list(table.columns)


def test_without_pandas_the_error_says_what_to_install(hits: Hits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra) as error:
        hits.to_pandas()
    assert how_to_install("pandas") in error.value.hint
