"""Which pictures a filter lets pass, and what is no filter."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import UsageError
from lookalike.search.filters import matching, parse_filter
from lookalike.store.sqlite.column_cache import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Row = tuple[int, bytes, str, None, str, int]

BEACH = datetime(2024, 5, 17, 12).astimezone().timestamp()


def row(id_: int, key: bytes, stamp: str, info: str) -> Row:
    return id_, key, stamp, None, info, 0


ROWS = [
    row(1, b"/home/me/2024/beach/IMG_1.jpg", f"2500000:{int(BEACH * 1e9)}", '{"width": 1200, "format": "JPEG"}'),
    row(2, b"/home/me/2023/beach/IMG_2.png", "300000:0", '{"width": 1000, "format": "PNG", "stars": 4.5}'),
    row(3, b"/home/me/forest/beach.jpg", "1:1", '{"width": 40, "format": "JPEG"}'),
    row(5, b"/home/\xff/x:y.jpg", "odd", '{"width": "wide"}'),
]


def found(rows: Sequence[Row], terms: Sequence[str]) -> list[int]:
    return list(matching([facts_of(rows)], [parse_filter(term) for term in terms]).tolist())


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
    assert found(ROWS, terms) == ids


@pytest.mark.parametrize(
    "term", ["", "beach", "folder:", ":x", "width:>", "width:1..x", "date:..", "date:May", "date:>", "size:big"]
)
def test_what_is_no_filter_is_refused(term: str) -> None:
    with pytest.raises(UsageError):
        parse_filter(term)


def test_a_field_that_no_picture_has_is_most_likely_misspelt() -> None:
    with pytest.raises(UsageError, match="widht") as error:
        found(ROWS, ["-widht:>3"])
    assert "width" in error.value.hint
    assert found([], ["widht:>3"]) == []


def test_a_field_that_only_pictures_had_that_are_gone_is_misspelt_too() -> None:
    facts = replace(facts_of(ROWS), alive=np.array([True, False, True, True]))
    assert matching([facts], [parse_filter("width:>100")]).tolist() == [1]
    with pytest.raises(UsageError, match="stars"):
        matching([facts], [parse_filter("stars:>4")])


def plainly(rows: Sequence[Row], terms: Sequence[str]) -> list[int]:
    """What `found` must give, as the documentation has it: item by item, value by value."""
    return [item[0] for item in rows if all(passes(item, term) for term in terms)]


def passes(item: Row, term: str) -> bool:
    minus, field, text = re.fullmatch(r"(-?)(\w+):(.+)", term, re.DOTALL).groups()  # type: ignore[union-attr]
    value = value_of(item, field)
    return (value is not None and any(fits(field, value, part.strip()) for part in text.split(","))) != bool(minus)


def value_of(item: Row, field: str) -> Any:
    _, key, stamp, _, info, _ = item
    folders, name = os.fsdecode(key).split("/")[:-1], os.fsdecode(key).split("/")[-1]
    if field in {"size", "date"}:
        number = [*stamp.split(":"), "", ""][field == "date"]
        return int(number) if re.fullmatch(r"-?\d+", number) else None
    known = {"folder": folders or [""], "label": ["", *folders][-1], "name": name}
    return known[field] if field in known else json.loads(info).get(field)


def fits(field: str, value: Any, text: str) -> bool:
    if field == "folder":
        parts = text.rstrip("/").split("/")
        places = [0] if text.startswith("/") else range(len(value))
        return any(value[n : n + len(parts)] == parts for n in places)
    if field in {"label", "name"}:
        return value == text if field == "label" else fnmatch.fnmatchcase(value, text)
    if field == "date":
        date = datetime.fromtimestamp(value / 1e9).astimezone().isoformat()
        return compares(text, lambda part: (date[: len(part)], part))
    if field == "size":
        units = {"kB": 1e3, "MB": 1e6}
        return compares(text, lambda part: (value, float(part.rstrip("kMB")) * units.get(part[-2:], 1)))
    if re.fullmatch(r"(>=?|<=?)?-?\d+(\.\d+)?|[-.\d]*\.\.[-.\d]*", text):
        return isinstance(value, int | float) and compares(text, lambda part: (value, float(part)))
    return str(value).casefold() == {"jpg": "jpeg"}.get(text, text).casefold()


def compares(text: str, both: Any) -> bool:
    if ".." in text:
        low, high = text.split("..")
        return (not low or both(low)[0] >= both(low)[1]) and (not high or both(high)[0] <= both(high)[1])
    sign, part = re.fullmatch(r"(>=|<=|>|<|)(.*)", text).groups()  # type: ignore[union-attr]
    one, other = both(part)
    signs = {">": one > other, ">=": one >= other, "<": one < other, "<=": one <= other, "": one == other}
    return bool(signs[sign])


PIECES = st.sampled_from(
    [b"a", b"b", b"a b", b"IMG_1.jpg", b"\xff", b"\xc3", b"\xa9", "\u00e9".encode(), b"[x]", b"\n", b""]
)
KEYS = st.lists(PIECES, min_size=1, max_size=4).map(lambda pieces: b"/" + b"/".join(pieces)) | PIECES
DAYS = ["2000-10-29", "2000-10-28", "2000-11", "2000", "1999-12-31", "1970", "1969-12-31", "2000-02-30", "0000", "9999"]
MIDNIGHTS = [972_786_600, 972_790_200, 972_703_800, 946_684_800, 946_697_400, 0, -10_000_000_000]  # of some zones
MOMENTS = st.builds(
    lambda at, seconds, nanos: (at + seconds) * 10**9 + nanos,
    st.sampled_from(MIDNIGHTS),
    st.integers(-7300, 7300) | st.integers(-200_000, 200_000),
    st.sampled_from([0, 1, 499, 500, 501, 999_999_400, 999_999_500, 999_999_700, 999_999_999]),
)
STAMPS = st.builds("{}:{}".format, st.integers(-3, 3) | st.integers(0, 10**7), MOMENTS) | st.sampled_from(
    ["", ":", "7", "7:", ":7", "odd:3", "1:2:3", "\u0663:1", "-:5"]
)
VALUES = st.sampled_from([None, True, 0, 1, 1.0, -2.5, 4000, 10**20, "1", "JPEG", "jpeg", "wide", [1], {"a": 1}, 1e300])
INFOS = st.dictionaries(st.sampled_from(["width", "format", "stars"]), VALUES).map(json.dumps)
NUMBERS = st.sampled_from(["0", "1", "-2.5", "3999.5", "4000"])
TEXTS = {
    "folder": st.sampled_from(["a", "/a", "a/b", "a/", "/", "\udcff", "\u00e9", "nowhere", "/a b/a"]),
    "label": st.sampled_from(["a", "b", "\udcff", "\udcc3", "a,b", "nowhere"]),
    "name": st.sampled_from(["*", "a*", "*.jpg", "IMG_?.jpg", "?", "[ab]", "[[]x]", "\udcff", "*\u00e9", "\n", "*g"]),
    "size": st.sampled_from([">1", "<=1", "3", "1..3", "2kB..5MB", ">1.5MB", "..100", "5MB.."]),
    "date": st.one_of(
        st.builds(str.__add__, st.sampled_from(["", ">", ">=", "<", "<="]), st.sampled_from(DAYS)),
        st.builds("{}..{}".format, st.sampled_from(DAYS), st.sampled_from(DAYS)),
    ),
    "width": st.one_of(
        st.builds(str.__add__, st.sampled_from(["", ">", ">=", "<", "<="]), NUMBERS),
        st.builds("{}..{}".format, NUMBERS, NUMBERS),
        st.sampled_from(["jpg", "true", "[1]", "wide,4000", "none", "..1", "1.."]),
    ),
}
TERMS = st.one_of(
    [
        st.builds("{}{}:{}".format, st.sampled_from(["", "-"]), st.just(field), text)
        for field, text in [*TEXTS.items(), ("format", TEXTS["width"])]
    ]
)


@pytest.fixture(params=["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """In St John's the clock went back at a minute past midnight, so that it was the day before for an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.lists(st.tuples(KEYS, STAMPS, INFOS), max_size=8),
    terms=st.lists(TERMS, min_size=1, max_size=3),
    cut=st.integers(0, 8),
    gone=st.sets(st.integers(0, 7)),
)
def test_what_passes_is_what_passes_item_by_item(
    zone: str, items: list[tuple[bytes, str, str]], terms: list[str], cut: int, gone: set[int]
) -> None:
    """In two parts, of which some items no longer count."""
    rows = [row(n + 1, *item) for n, item in enumerate(items)]
    parts = [facts_of(rows[cut:]), facts_of(rows[:cut])]
    parts[1] = replace(parts[1], alive=np.array([n not in gone for n in range(len(rows[:cut]))], bool))
    counting = [item for n, item in enumerate(rows) if n >= cut or n not in gone]
    met = {field for *_, info, _ in counting for field in json.loads(info)}
    filters = [parse_filter(term) for term in terms]
    if met and {one.field for one in filters} & {"width", "format"} - met:
        with pytest.raises(UsageError, match="no picture has"):
            matching(parts, filters)
    else:
        assert matching(parts, filters).tolist() == plainly(counting, terms)


def test_one_day_of_very_many_moments_is_looked_at_exactly(zone: str) -> None:
    seconds = np.random.default_rng(0).integers(972_600_000, 972_900_000, 3000).tolist()
    rows = [row(n + 1, b"/a", f"1:{second * 10**9 + n}", "{}") for n, second in enumerate(seconds)]
    for term in ("date:2000-10-29", "date:<2000-10-28", "date:2000-10-27..2000-10-28", "-date:2000-10"):
        assert found(rows, [term]) == plainly(rows, [term])


def test_a_moment_just_before_midnight_is_rounded_as_python_does(zone: str) -> None:
    midnight = int(datetime(2000, 3, 1).astimezone().timestamp()) * 10**9
    rows = [row(nanos, b"/a", f"1:{midnight - nanos}", "{}") for nanos in (100, 300, 400, 600, 700, 10_000)]
    assert found(rows, ["date:2000-03-01"]) == plainly(rows, ["date:2000-03-01"]) == [100, 300, 400]


def test_values_that_python_calls_equal_are_told_apart() -> None:
    rows = [row(n, b"/a", "", json.dumps({"stars": one})) for n, one in enumerate([True, 1, 1.0, "1", [1], None], 1)]
    assert found(rows, ["stars:true"]) == plainly(rows, ["stars:true"]) == [1]
    assert found(rows, ["stars:[1]"]) == plainly(rows, ["stars:[1]"]) == [5]
    assert found(rows, ["stars:1"]) == plainly(rows, ["stars:1"]) == [1, 2, 3]
