"""Two different names are two different paths in JSON, and each can be read back."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.images.paths import path_fields, read_path

PIECES = [b"%", b"25", b"FF", b"8", b"\xff", b"\xc3", b"\xc3\xa9", b"a", b"%FF", b"%25"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"/a/50%.jpg", "/a/50%.jpg"),
        (b"/a/%20.jpg", "/a/%20.jpg"),
        (b"/a/\xff.jpg", "/a/%FF.jpg"),
        (b"/a/%FF.jpg", "/a/%25FF.jpg"),
        (b"/a/%25FF.jpg", "/a/%2525FF.jpg"),
        (b"/a/%ff.jpg", "/a/%ff.jpg"),
        ("/a/é.jpg".encode(), "/a/é.jpg"),
    ],
)
def test_only_bytes_that_are_not_text_and_what_looks_like_them_are_encoded(name: bytes, path: str) -> None:
    assert path_fields(name)["path"] == path
    assert os.fsencode(read_path(path)) == name


def test_short_names_are_all_told_apart() -> None:
    names = {b"".join(pieces) for count in range(5) for pieces in itertools.product(PIECES, repeat=count)}
    assert len({path_fields(name)["path"] for name in names}) == len(names)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=8).map(b"".join))
def test_any_name_can_be_read_back(name: bytes) -> None:
    assert os.fsencode(read_path(path_fields(name)["path"])) == name
