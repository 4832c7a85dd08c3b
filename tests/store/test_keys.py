"""Paths as keys, relative to the folder that a gallery lies in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lookalike.store.keys import is_within, key_ranges, moved, to_folder_key, to_key, to_path

NAMES = st.sampled_from([b"a", b"ab", b"b", b".", b"\xff", b"\n", b" "])
PATHS = st.lists(NAMES, max_size=4).map(lambda names: b"/" + b"/".join(names))


@given(path=PATHS, base=PATHS)
def test_every_path_comes_back_from_its_key(path: bytes, base: bytes) -> None:
    assert to_path(to_key(path, base), base) == path
    assert to_path(to_folder_key(path, base), base) == path
    assert to_key(path, base).startswith(b"/") == (not path.startswith(base.rstrip(b"/") + b"/"))


@given(paths=st.sets(PATHS), base=PATHS, prefix=PATHS, cut=st.integers(0, 3))
def test_key_ranges_cover_exactly_the_paths_with_the_prefix(
    paths: set[bytes], base: bytes, prefix: bytes, cut: int
) -> None:
    for start in (prefix[: len(prefix) - cut], prefix + b"/"):
        ranges = key_ranges(start, base)
        for path in paths:
            covering = [one for one in ranges if to_key(path, base).startswith(one)]
            assert bool(covering) == path.startswith(start)


@given(old=PATHS, base=PATHS, below=PATHS)
def test_what_lies_below_moves_with_its_gallery(old: bytes, base: bytes, below: bytes) -> None:
    path = old.rstrip(b"/") + below
    key = to_key(path, old)
    assert to_path(key, base) == moved(path, old, base) or path == old
    assert is_within(path, old)
