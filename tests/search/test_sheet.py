"""Hits as a page of HTML and as CSV: names are text there, whatever they contain."""

from __future__ import annotations

import csv
import io
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest

from lookalike import Gallery, Hit, Hits, Query
from lookalike.search.hits import Found
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["<script>alert(1)<\\script>.jpg", "a&b \"c\" 'd'.jpg", "50%25 #1?.jpg", "=1+1.jpg", "ü, ö\n2.jpg", "@sum.jpg"]


class Page(HTMLParser):
    """The tags of a page, its links and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[bytes] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        fields = dict(attrs)
        self.links += [unquote_to_bytes((fields["href"] or "").removeprefix("file://"))] if "href" in fields else []
        self.sources += [fields["src"] or ""] if "src" in fields else []

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def hits(tmp_path: Path) -> Iterator[Hits]:
    for seed, name in enumerate(NAMES):
        make_picture(seed).save(tmp_path / name, "JPEG")
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        gallery.index(tmp_path)
        yield gallery.search(make_picture(99), 10)


def test_a_page_shows_names_as_text_and_links_to_the_files(hits: Hits) -> None:
    page = Page(hits.to_html())
    assert "script" not in page.tags
    assert page.links == [os.fsencode(hit.path) for hit in hits]
    assert len(page.sources) == len(NAMES) + 1
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "<script>alert(1)" in page.text
    assert "made by Lookalike" in hits.to_html()


def test_a_page_says_which_files_are_gone(hits: Hits) -> None:
    hits[0].path.unlink()
    hits[1].path.write_bytes(b"nonsense")
    text = hits.to_html()
    assert text.count("file not found") == 1
    assert text.count("cannot be read") == 1
    assert "No hits" in hits[:0].to_html()


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_comes_back_as_it_was_and_holds_no_formula(hits: Hits, separator: str) -> None:
    rows = list(csv.DictReader(io.StringIO(hits.to_csv(separator)), delimiter=separator))
    assert [int(row["rank"]) for row in rows] == [hit.rank for hit in hits]
    assert [float(row["distance"]) for row in rows] == [hit.distance for hit in hits]
    assert {row["name"].removeprefix("'") for row in rows} == set(NAMES)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}]


def test_names_that_are_not_text_are_written_all_the_same() -> None:
    hit = Hit(1, Path(os.fsdecode(b"/a/\xff=1.jpg")), 0.5, 3)
    found = Hits([hit], Found(Query.stored(1), make_picture(1), "<b>&", "none"))
    assert "%FF%3D1.jpg" in found.to_html()
    assert "<b>" not in found.to_html()
    found.to_html().encode()
    found.to_csv().encode()
