"""Queries of several pictures, parts of pictures, standard input and the clipboard, on the command line."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_signs_and_options_are_the_same_query(run: Run, indexed: Path) -> None:
    a, b, c = (indexed / f"00{number}.jpg" for number in range(3))
    written = run("search", a, "+", f"2:{b}", "-", c, "-i", indexed, "--json").json
    options = run("search", "--like", a, "--like", f"2:{b}", "--unlike", c, "-i", indexed, "--json").json
    assert written == options
    assert [part["weight"] for part in written["query"]["sum"]] == [1, 2, -1]
    assert not {str(a), str(b), str(c)} & {hit["path"] for hit in written["hits"]}


def test_a_picture_of_the_gallery_is_named_by_its_id(run: Run, indexed: Path) -> None:
    by_path = run("search", indexed / "003.jpg", "-i", indexed, "--json", "--include-self").json
    id_ = by_path["hits"][0]["id"]
    by_id = run("search", f"id:{id_}", "-i", indexed, "--json", "--include-self").json
    assert by_id["hits"] == by_path["hits"]
    assert by_id["query"] == {"id": id_}
    done = run("search", "id:99999", "-i", indexed)
    assert (done.status, "99999" in done.err) == (2, True)


class Piped(io.TextIOWrapper):
    """Standard input that is a file."""


def test_standard_input_is_a_picture(run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (indexed / "003.jpg").read_bytes()
    for words in (["-"], ["-", "-", str(indexed / "001.jpg")], ["--like", "-"]):
        monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(data)))
        found = run("search", *words, "-i", indexed, "--json")
        assert found.status == 0, found.err
        assert found.json["hits"][0]["path"].endswith("003.jpg")
    for content, given in ((b"", ["-"]), (b"nonsense", ["-"]), (data, ["-", "+", "-"])):
        monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(content)))
        done = run("search", *given, "-i", indexed)
        assert done.status == 2
        assert "standard input" in done.err


def test_a_part_of_a_picture_is_searched(run: Run, indexed: Path) -> None:
    query = indexed / "003.jpg"
    found = run("search", query, "--crop", "0,0,100%,100%", "-i", indexed, "-k", 1, "--include-self", "--json").json
    assert found["hits"][0]["path"] == str(query)
    assert found["query"]["crop"] == "0,0,100%,100%"
    done = run("search", query, "--crop", "0,0,500,1", "-i", indexed)
    assert (done.status, "64 x 48" in done.err, "003.jpg" in done.err) == (2, True, True)
    for words in ((query, "+", query), (), ("text:boat",)):
        assert run("search", *words, "--crop", "0,0,1,1", "-i", indexed).status == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("000.jpg", "001.jpg"), "no + or -"),
        (("000.jpg", "+"), "ends with +"),
        (("000.jpg", "+", "gone.jpg"), "part 2 of the query"),
        (("000.jpg", "+", "color:blurple"), "part 2 of the query: 'blurple' is not a colour"),
        (("000.jpg", "+", "id:x"), "part 2 of the query: 'id:x'"),
        (("000.jpg", "-", "0:001.jpg"), "part 2 of the query: the weight of '0:001.jpg'"),
        (("000.jpg", "-", "color:red"), "part 2 of the query is a colour"),
        (("000.jpg", "+", ""), "part 2 of the query: an empty word"),
        (("",), "an empty word"),
        ((), "there is nothing to search for"),
        (("000.jpg", "--text", "boat"), "IMAGE and --text cannot be combined"),
        (("--good", "000.jpg"), "--good and --bad mark hits of a query, but no query was given"),
        (("000.jpg", "--good", "001.jpg", "--bad", "001.jpg"), "001.jpg is marked with --good and with --bad"),
        ((".",), "{}: a folder, not a picture"),
        (("000.jpg", "+", "id:" + "9" * 30), "part 2 of the query: no picture in the gallery has the id 999"),
        (("000.jpg", "--filter", "date:soon"), "date:soon: 'soon' is not a date"),
        (("000.jpg", "--exclude", "width:>big,3"), "width:>big: 'big' is not a number"),
        (("000.jpg", "--unlike", "id:x"), "--unlike: 'id:x'"),
        (("000.jpg", "--good", ""), "--good: an empty word"),
        (("000.jpg", "--good", "gone.jpg"), "--good: {}/gone.jpg: no such file"),
        (("000.jpg", "--good", "001.jpg", "--bad", "gone.jpg"), "--bad: {}/gone.jpg: no such file"),
        (("000.jpg", "--bad", "id:999"), "--bad: no picture in the gallery has the id 999"),
        (("000.jpg", "--like", "gone.jpg"), "--like: {}/gone.jpg: no such file"),
        (("--like", "gone.jpg"), "--like: {}/gone.jpg: no such file"),
        (("000.jpg", "--unlike", "color:red"), "--unlike is a colour"),
        (("-", "000.jpg"), "needs something to look for"),
        (("--unlike", "000.jpg"), "needs something to look for"),
    ],
)
def test_an_error_says_what_is_wrong_with_the_query(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(indexed)
    done = run("search", *words)
    assert (done.status, done.out) == (2, "")
    assert said.format(indexed) in done.err


def test_pages_diverse_and_least_similar_hits(run: Run, indexed: Path) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed, "-f")
    whole = run(*search, "-k", 6).out.splitlines()
    assert run(*search, "-k", 3, "--offset", 3).out.splitlines() == whole[3:]
    assert "no hits after the first 500" in run(*search, "--offset", 500).err
    assert len(run(*search, "-k", 5, "--diverse").out.splitlines()) == 5
    assert run(*search, "-k", 5, "--diversity", 0).out.splitlines() == whole[:5]
    farthest = run(*search, "-k", 50, "--least").out.splitlines()
    assert farthest == run(*search, "-k", 50).out.splitlines()[::-1]
    assert run(*search, "--least", "--diverse").status == 2
    for more in (("--unique",), ("--diverse", "--unique"), ("--least", "--unique"), ("--color", "red", "--diverse")):
        assert run(*search, *more, "-k", 4, "--offset", 2).status == 0


def _install(folder: Path, name: str, script: str) -> None:
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.mark.skipif(sys.platform in {"darwin", "win32"}, reason="the clipboard is read without other programs there")
def test_the_clipboard_is_a_picture(run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, search = tmp_path / "bin", ("search", "--clipboard", "-i", indexed, "-k", 1, "-f")
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no clipboard" in run(*search).err
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    _install(tools, "wl-paste", f'[ "$1" = --list-types ] && echo image/png || cat {indexed / "005.jpg"}')
    assert run(*search).out.strip().endswith("005.jpg")
    _install(tools, "wl-paste", f'[ "$1" = --list-types ] && echo text/uri-list || echo file://{indexed}/005%2Ejpg')
    assert not run(*search).out.strip().endswith("005.jpg")  # the file itself is in the gallery
    _install(tools, "wl-paste", "echo text/plain")
    assert "holds no picture" in run(*search).err
    _install(tools, "wl-paste", "echo Nothing is copied >&2; exit 1")
    done = run(*search)
    assert (done.status, "Nothing is copied" in done.err) == (2, True)
    os.unlink(tools / "wl-paste")
    monkeypatch.setenv("PATH", str(tools))
    assert "wl-clipboard" in run(*search).err


def test_hits_are_marked_good_or_bad(run: Run, indexed: Path) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed, "--json")
    first = [hit["path"] for hit in run(*search, "-k", 3).json["hits"]]
    again = run(*search, "-k", 50, "--good", first[0], "--bad", first[1], "--bad", first[2]).json
    assert not set(first) & {hit["path"] for hit in again["hits"]}
    assert [part["weight"] for part in again["query"]["sum"]] == [1, 1, -2, -2]
    assert run(*search, "--bad", "gone.jpg").status == 2


STRANGE = (
    "",
    " ",
    ":",
    "2:",
    "2:2:a",
    "id:",
    "text:",
    "color:",
    "a\0b",
    "\ud800",
    "\x1b[31m",
    "x" * 300,
    "9" * 5000,
    "nan",
)


@pytest.mark.parametrize(
    "option",
    [
        "",
        "--like",
        "--unlike",
        "--good",
        "--bad",
        "--crop",
        "--offset",
        "--diversity",
        "--copy-to",
        "--link-to",
        "--html",
    ],
)
def test_strange_values_are_the_users_mistake(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    first = [] if option in {"", "--like", "--unlike"} else [indexed / "000.jpg"]
    for value in STRANGE:
        done = run("search", *first, *([option] if option else []), value, "-i", indexed, "-k", 1)
        assert done.status in {0, 1, 2}, (option, value, done)
        assert "Traceback" not in done.err, (option, value, done.err)
        assert "\x1b" not in done.err + done.out
        assert done.status or option in {"--offset", "--diversity", "--copy-to", "--link-to", "--html", "--crop"}, value
