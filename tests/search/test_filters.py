"""Which pictures a filter lets pass, and what is no filter."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import UsageError
from lookalike.search.filters import parse_filter, parse_filters, split_filter
from lookalike.store import Record
from lookalike.store.columns import Columns, Fields, build_columns
from lookalike.store.evaluate import qualifying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BEACH = datetime(2024, 5, 17, 12).astimezone().timestamp()
EAST = timezone(timedelta(hours=11))
PATH = b"/home/me/%s"
ROWS = [
    Record(PATH % b"2024/beach/IMG_1.jpg", 2_500_000, int(BEACH * 1e9), width=1200, format="JPEG", id=1),
    Record(PATH % b"2023/beach/IMG_2.png", 300_000, 0, width=1000, format="PNG", camera="NIKON D70", id=2),
    Record(PATH % b"forest/beach.jpg", 1, 1, width=40, format="JPEG", id=3),
    Record(b"/home/\xff/x:y.jpg", id=5),
]


def columns_of(rows: Sequence[Record]) -> Columns:
    return build_columns([fields_of(one) for one in rows])


def fields_of(one: Record) -> Fields:
    taken_at = one.taken_at.isoformat() if one.taken_at else None
    about = one.width, one.height, one.format, taken_at, one.camera
    return Fields(one.id, one.path, 0, one.size, one.mtime_ns, *about)


def matching(parts: Sequence[Columns], terms: Sequence[str]) -> list[int]:
    where = parse_filters(terms)
    assert where is not None
    return list(qualifying(where, parts).tolist())


def found(rows: Sequence[Record], terms: Sequence[str]) -> list[int]:
    return matching([columns_of(rows)], terms)


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
        (["format:jpg"], [1, 3]),
        (["format:PNG,jpeg"], [1, 2, 3]),
        (["camera:nikon"], [2]),
        (["camera:*D70"], [2]),
        (["camera:D7"], [2]),
        (["camera:nikon*", "-format:jpeg"], [2]),
        (["-camera:nikon"], [1, 3, 5]),
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
        (["folder:nowhere", "camera:nikon"], []),
        (["-folder:beach"], [3, 5]),
        (["-width:>1000", "-format:png"], [3, 5]),
        (["-date:<2000"], [1, 5]),
    ],
)
def test_what_passes(terms: list[str], ids: list[int]) -> None:
    assert found(ROWS, terms) == ids


@pytest.mark.parametrize(
    "term",
    [
        "",
        "beach",
        "folder:",
        ":x",
        "width:>",
        "width:1..x",
        "date:..",
        "date:May",
        "date:>",
        "size:big",
        "width:wide",
        "stars:>4",
        "width:>1,000",
        "width:nan",
        "width:inf",
        "width:1e3",
        "width:\u0663",
        "size:-1",
        "size:1TB",
        "date:2024-13",
        "date:2024-00",
        "date:2024-05-32",
        "date:24-05",
        "folder:a,",
        "folder:,a",
        "folder: ",
        'folder:"a',
        'folder:"a"b',
        'folder:""',
        'folder:"a, b',
    ],
)
def test_what_is_no_filter_is_refused(term: str) -> None:
    with pytest.raises(UsageError):
        parse_filter(term)


@pytest.mark.parametrize(
    ("term", "values"),
    [
        ("label:a,b", ["a", "b"]),
        ('label:"a, b"', ["a, b"]),
        ('label:"a, b",c', ["a, b", "c"]),
        ('label: "a, b" , c', ["a, b", "c"]),
        ('label:"say ""hi"", then go"', ['say "hi", then go']),
        ('name:12" vinyl.jpg', ['12" vinyl.jpg']),
        ('width:"640","800"', ["640", "800"]),
        ('-label:" a"', [" a"]),
    ],
)
def test_a_value_in_quotes_may_contain_commas(term: str, values: list[str]) -> None:
    is_negated, _, found = split_filter(term)
    assert (is_negated, found) == (term.startswith("-"), values)


def test_names_match_however_their_accents_are_written() -> None:
    composed, apart = "/h/Caf\u00e9/Th\u00e9.jpg", "/h/Cafe\u0301/The\u0301.jpg"
    rows = [Record(os.fsencode(path), 1, 1, id=n) for n, path in enumerate((composed, apart), 1)]
    for path in (composed, apart):
        _, top, folder, name = path.split("/")
        for term in (
            f"folder:{folder}",
            f"label:{folder}",
            f"name:{name}",
            f"folder:/{top}/{folder}",
            f"name:{name[:-4]}*",
        ):
            assert found(rows, [term]) == [1, 2], term
    assert found(rows, ["name:Th?.jpg"]) == [1, 2]
    assert found(rows, ["folder:caf\u00e9"]) == []


def test_a_field_that_no_picture_has_is_most_likely_misspelt() -> None:
    with pytest.raises(UsageError, match="widht") as error:
        found(ROWS, ["-widht:>3"])
    assert "width" in error.value.hint
    with pytest.raises(UsageError, match="widht"):
        found([], ["widht:>3"])
    assert found([], ["width:>3"]) == []


def test_a_field_that_no_picture_has_is_most_likely_asked_for_by_mistake() -> None:
    with pytest.raises(UsageError, match="camera") as error:
        found([one for one in ROWS if one.camera is None], ["-camera:nikon"])
    assert "width" in error.value.hint


def test_a_field_that_only_pictures_had_that_are_gone_is_refused_too() -> None:
    columns = replace(columns_of(ROWS), alive=np.array([True, False, True, True]))
    assert matching([columns], ["width:>100"]) == [1]
    with pytest.raises(UsageError, match="camera"):
        matching([columns], ["camera:nikon"])


@pytest.mark.parametrize(
    ("names", "formats"),
    [
        ("jpg jpeg JPG jpe jfif pjpeg .jpg .JPEG", {"JPEG", "MPO"}),
        ("mpo", {"MPO"}),
        ("tif tiff TIF .tiff", {"TIFF"}),
        ("heic heif hif", {"HEIF"}),
        ("pgm ppm pnm pbm", {"PPM"}),
        ("png apng", {"PNG"}),
        ("bmp dib", {"BMP", "DIB"}),
        ("dng nef raw", {"RAW"}),
        ("jxl", {"JXL"}),
        ("gif", {"GIF"}),
    ],
)
def test_a_format_is_found_by_all_of_its_names_and_left_out_by_them(names: str, formats: set[str]) -> None:
    known = ["JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "HEIF", "AVIF", "PPM", "RAW", "JXL"]
    rows = [ROWS[0]._replace(format=format_, id=number) for number, format_ in enumerate(known)]
    for name in names.split():
        assert {known[id_] for id_ in found(rows, [f"format:{name}"])} == formats
        assert {known[id_] for id_ in found(rows, [f"-format:{name}"])} == {*known} - formats


def test_the_date_is_that_of_the_camera_where_it_is_known() -> None:
    rows = [one._replace(taken_at=datetime(2001, 2, 3, 23, tzinfo=zone)) for one in ROWS[:1] for zone in (None, EAST)]
    for number, one in enumerate(rows):
        assert found([one._replace(id=number + 1)], ["date:2001-02-03"]) == [number + 1]
        assert found([one], ["date:2024"]) == found([one], ["date:>2001-02-03"]) == []


def plainly(rows: Sequence[Record], terms: Sequence[str]) -> list[int]:
    """What `found` must give, as the documentation has it: item by item, value by value."""
    return [item.id for item in rows if all(passes(item, term) for term in terms)]


def passes(item: Record, term: str) -> bool:
    minus, field, text = re.fullmatch(r"(-?)(\w+):(.+)", term, re.DOTALL).groups()  # type: ignore[union-attr]
    value = value_of(item, field)
    return (value is not None and any(fits(field, value, part.strip()) for part in text.split(","))) != bool(minus)


def value_of(item: Record, field: str) -> Any:
    folders, name = os.fsdecode(item.path).split("/")[:-1], os.fsdecode(item.path).split("/")[-1]
    date = item.taken_at
    if date is None and item.mtime_ns is not None:
        date = datetime.fromtimestamp(item.mtime_ns / 1e9).astimezone()
    known = {"folder": folders or [""], "label": ["", *folders][-1], "name": name, "date": date and date.isoformat()}
    return known[field] if field in known else getattr(item, field)


def fits(field: str, value: Any, text: str) -> bool:
    if field == "folder":
        parts = text.rstrip("/").split("/")
        places = [0] if text.startswith("/") else range(len(value))
        return any(value[n : n + len(parts)] == parts for n in places)
    if field in {"label", "name"}:
        return value == text if field == "label" else fnmatch.fnmatchcase(value, text)
    if field == "date":
        return compares(text, lambda part: (value[: len(part)], part))
    if field == "size":
        units = {"kB": 1e3, "MB": 1e6}
        return compares(text, lambda part: (value, float(part.rstrip("kMB")) * units.get(part[-2:], 1)))
    if field in {"width", "height"}:
        return compares(text, lambda part: (value, float(part)))
    if (field, text) == ("format", "jpg"):
        value, text = value.casefold().replace("mpo", "jpeg"), "jpeg"
    pattern = text if field == "format" or {*"*?["} & {*text} else f"*{text}*"
    return fnmatch.fnmatchcase(value.casefold(), pattern.casefold())


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
SIZES = st.none() | st.integers(-3, 3) | st.integers(0, 10**7)
TAKEN = st.none() | st.sampled_from(DAYS[:2] + DAYS[4:5] + DAYS[6:7]).map(
    lambda day: datetime.fromisoformat(f"{day}T23:59:59")
)
SIDES = st.none() | st.sampled_from([0, 1, 2, 4000, 2**62])
FORMATS = st.none() | st.sampled_from(["JPEG", "jpeg", "MPO", "PNG", "[x]", "\u00df", "", ">1"])
CAMERAS = st.none() | st.sampled_from(["Canon EOS 5D", "CANON eos 5d", "a\0b", "\n", "x*", "STRASSE"])
RECORDS = st.builds(
    Record,
    path=KEYS,
    size=SIZES,
    mtime_ns=st.none() | MOMENTS,
    width=SIDES,
    height=SIDES,
    format=FORMATS,
    taken_at=TAKEN,
    camera=CAMERAS,
)
OPTIONAL = ("width", "height", "format", "taken_at", "camera")
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
        st.sampled_from(["1,4000", "..1", "1.."]),
    ),
    "format": st.sampled_from(["jpg", "jp*", "[1]", "png,>1", "\u00df", "SS", "*", "?", "[[]x]", "1..2"]),
    "camera": st.sampled_from(["canon", "canon eos 5d", "c*", "\u00df", "a\0", "*\n", "x[*]", "?*", "nowhere"]),
}
TERMS = st.one_of(
    [
        st.builds("{}{}:{}".format, st.sampled_from(["", "-"]), st.just(field), text)
        for field, text in [*TEXTS.items(), ("height", TEXTS["width"])]
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
    items=st.lists(RECORDS, max_size=8),
    terms=st.lists(TERMS, min_size=1, max_size=3),
    cut=st.integers(0, 8),
    gone=st.sets(st.integers(0, 7)),
)
def test_what_passes_is_what_passes_item_by_item(
    zone: str, items: list[Record], terms: list[str], cut: int, gone: set[int]
) -> None:
    """In two parts, of which some items no longer count."""
    rows = [item._replace(id=n + 1) for n, item in enumerate(items)]
    parts = [columns_of(rows[cut:]), columns_of(rows[:cut])]
    parts[1] = replace(parts[1], alive=np.array([n not in gone for n in range(len(rows[:cut]))], bool))
    counting = [item for n, item in enumerate(rows) if n >= cut or n not in gone]
    met = {name for item in counting for name in OPTIONAL if getattr(item, name) is not None}
    asked = {term.lstrip("-").partition(":")[0] for term in terms}
    if met and asked & set(OPTIONAL) - met:
        with pytest.raises(UsageError, match="no picture has"):
            matching(parts, terms)
    else:
        assert matching(parts, terms) == plainly(counting, terms)


def test_one_day_of_very_many_moments_is_looked_at_exactly(zone: str) -> None:
    seconds = np.random.default_rng(0).integers(972_600_000, 972_900_000, 3000).tolist()
    rows = [Record(b"/a", 1, second * 10**9 + n, id=n + 1) for n, second in enumerate(seconds)]
    for term in ("date:2000-10-29", "date:<2000-10-28", "date:2000-10-27..2000-10-28", "-date:2000-10"):
        assert found(rows, [term]) == plainly(rows, [term])


def test_a_moment_just_before_midnight_is_rounded_as_python_does(zone: str) -> None:
    midnight = int(datetime(2000, 3, 1).astimezone().timestamp()) * 10**9
    rows = [Record(b"/a", 1, midnight - nanos, id=nanos) for nanos in (100, 300, 400, 600, 700, 10_000)]
    assert found(rows, ["date:2000-03-01"]) == plainly(rows, ["date:2000-03-01"]) == [100, 300, 400]


def test_texts_that_differ_only_in_case_are_found_alike() -> None:
    names = ["Canon", "CANON", "canon ", "stra\u00dfe", "STRASSE", None]
    rows = [Record(b"/a", camera=name, id=n) for n, name in enumerate(names, 1)]
    assert found(rows, ["camera:canon"]) == plainly(rows, ["camera:canon"]) == [1, 2, 3]
    assert found(rows, ["camera:[c]anon"]) == plainly(rows, ["camera:[c]anon"]) == [1, 2]
    assert found(rows, ["camera:strasse"]) == plainly(rows, ["camera:strasse"]) == [4, 5]
