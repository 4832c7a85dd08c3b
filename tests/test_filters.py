"""Which pictures a filter lets pass, and what is no filter."""

from __future__ import annotations

import os
from datetime import datetime

import pytest

from lookalike.errors import UsageError
from lookalike.filters import matching, parse_filter
from lookalike.store import Facts

BEACH = datetime(2024, 5, 17, 12).astimezone().timestamp()
ITEMS = [
    Facts(1, b"/home/me/2024/beach/IMG_1.jpg", f"2500000:{int(BEACH * 1e9)}", '{"width": 1200, "format": "JPEG"}'),
    Facts(2, b"/home/me/2023/beach/IMG_2.png", "300000:0", '{"width": 1000, "format": "PNG", "stars": 4.5}'),
    Facts(3, b"/home/me/forest/beach.jpg", "1:1", '{"width": 40, "format": "JPEG"}'),
    Facts(5, b"/home/\xff/x:y.jpg", "odd", '{"width": "wide"}'),
]


@pytest.mark.parametrize(
    ("terms", "ids"),
    [
        (["folder:beach"], [1, 2]),
        (["folder:2024/beach"], [1]),
        (["folder:/home/me"], [1, 2, 3]),
        (["folder:/home/me/"], [1, 2, 3]),
        (["folder:me"], [1, 2, 3]),
        (["folder:/me"], []),
        (["folder:bea"], []),
        (["folder:beach.jpg"], []),
        (["label:forest"], [3]),
        (["label:forest,beach"], [1, 2, 3]),
        (["label:2024"], []),
        (["name:IMG_*"], [1, 2]),
        (["name:x:y.jpg"], [5]),
        (["folder:" + os.fsdecode(b"\xff")], [5]),
        (["width:>1000"], [1]),
        (["width:>=1000"], [1, 2]),
        (["width:<41"], [3]),
        (["width:<=40"], [3]),
        (["width:1000"], [2]),
        (["width:40..1000"], [2, 3]),
        (["width:1000.."], [1, 2]),
        (["width:..1000"], [2, 3]),
        (["date:2024.."], [1]),
        (["width:40,1200"], [1, 3]),
        (["width:wide"], [5]),
        (["format:jpg"], [1, 3]),
        (["format:PNG,jpeg"], [1, 2, 3]),
        (["stars:>4"], [2]),
        (["size:>300kB"], [1]),
        (["size:300kB..2.5MB"], [1, 2]),
        (["size:1"], [3]),
        (["date:2024"], [1]),
        (["date:2024-05"], [1]),
        (["date:2024-05-17"], [1]),
        (["date:2024-06"], []),
        (["date:>2024-05-17"], []),
        (["date:>=2024-05-17"], [1]),
        (["date:<2024"], [2, 3]),
        (["date:2023-12-31..2024-05"], [1]),
        (["folder:beach", "width:>1000"], [1]),
        (["folder:nowhere", "stars:>4"], []),
        (["-folder:beach"], [3, 5]),
        (["-width:>1000", "-format:png"], [3, 5]),
        (["-date:<2000"], [1, 5]),
    ],
)
def test_what_passes(terms: list[str], ids: list[int]) -> None:
    assert matching(ITEMS, [parse_filter(term) for term in terms]) == ids


@pytest.mark.parametrize(
    "term", ["", "beach", "folder:", ":x", "width:>", "width:1..x", "date:..", "date:May", "date:>", "size:big"]
)
def test_what_is_no_filter_is_refused(term: str) -> None:
    with pytest.raises(UsageError):
        parse_filter(term)


def test_a_field_that_no_picture_has_is_most_likely_misspelt() -> None:
    with pytest.raises(UsageError, match="widht") as error:
        matching(ITEMS, [parse_filter("-widht:>3")])
    assert "width" in error.value.hint
    assert matching([], [parse_filter("widht:>3")]) == []
