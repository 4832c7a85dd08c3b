"""Paths of both kinds of systems, by their components: what Windows does is tried here as values."""

from __future__ import annotations

import ntpath
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.paths import POSIX, WINDOWS
from lookalike.store.keys import key_ranges, moved, to_folder_key, to_key, to_path

NAMES = st.sampled_from([b"a", b"ab", b"B", b"Photos", "Caf\u00e9".encode(), b"x.jpg", b"a b"])
ROOTS = st.sampled_from([b"C:", b"D:", b"\\\\server\\share"])
PATHS = st.builds(lambda root, names: b"\\".join([root, *names]), ROOTS, st.lists(NAMES, min_size=1, max_size=4))


@pytest.mark.parametrize(
    ("path", "folder", "is_within"),
    [
        (b"C:\\Photos\\1.jpg", b"C:\\Photos", True),
        (b"c:\\photos\\1.jpg", b"C:\\Photos\\", True),
        (b"C:/Photos/1.jpg", b"C:\\Photos", True),
        (b"C:\\Photos", b"C:\\Photos", True),
        (b"C:\\Photos 2\\1.jpg", b"C:\\Photos", False),
        (b"D:\\Photos\\1.jpg", b"C:\\Photos", False),
        (b"C:\\x", b"C:\\", True),
        (b"\\\\nas\\photos\\1.jpg", b"\\\\nas\\photos", True),
        (b"\\\\nas\\photos2\\1.jpg", b"\\\\nas\\photos", False),
    ],
)
def test_windows_compares_components_whatever_their_case_and_their_slashes(
    path: bytes, folder: bytes, is_within: bool
) -> None:
    assert WINDOWS.is_within(path, folder) == is_within


def test_posix_tells_cases_apart_and_takes_a_backslash_for_a_letter() -> None:
    assert not POSIX.is_within(b"/photos/1.jpg", b"/Photos")
    assert not POSIX.is_within(b"/a\\b", b"/a")
    assert POSIX.split(b"/a\\b/c") == [b"", b"a\\b", b"c"]
    assert WINDOWS.split(b"C:\\a/c") == [b"C:", b"a", b"c"]


def test_a_gallery_on_a_disk_has_the_same_keys_on_every_system() -> None:
    windows = to_key(b"E:\\Photos\\beach\\1.jpg", b"E:\\Photos", WINDOWS)
    assert windows == to_key(b"/mnt/disk/Photos/beach/1.jpg", b"/mnt/disk/Photos", POSIX) == b"./beach/1.jpg"
    assert to_path(windows, b"E:\\Photos", WINDOWS) == b"E:\\Photos\\beach\\1.jpg"


@given(path=PATHS, base=PATHS)
def test_every_windows_path_comes_back_from_its_key(path: bytes, base: bytes) -> None:
    for to in (to_key, to_folder_key):
        back = to_path(to(path, base, WINDOWS), base, WINDOWS)
        assert ntpath.normcase(back) == ntpath.normcase(path)


@given(paths=st.sets(PATHS), base=PATHS, folder=PATHS)
def test_ranges_of_keys_cover_what_is_below_a_windows_folder(paths: set[bytes], base: bytes, folder: bytes) -> None:
    ranges = key_ranges(WINDOWS.below(folder), base, WINDOWS)
    for path in paths:
        if path != folder and path.startswith(folder + b"\\"):
            assert any(to_key(path, base, WINDOWS).startswith(one) for one in ranges)


@given(below=PATHS, old=PATHS, new=PATHS)
def test_a_windows_folder_moves_with_what_is_below_it(below: bytes, old: bytes, new: bytes) -> None:
    path = old + b"\\" + below.rpartition(b"\\")[2]
    assert moved(path, old.swapcase(), new, WINDOWS) == ntpath.join(new, ntpath.basename(path))
    assert moved(b"Z:\\else", old, new, WINDOWS) == b"Z:\\else"


@given(names=st.lists(st.sampled_from([b"a", b"b", b"..", b"c\\d"]), min_size=1, max_size=4))
def test_the_style_of_posix_agrees_with_posixpath(names: list[bytes]) -> None:
    path = posixpath.normpath(b"/root/" + b"/".join(names))
    assert POSIX.is_within(path, b"/root") == (posixpath.commonpath([path, b"/root"]) == b"/root")
