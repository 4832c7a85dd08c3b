from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lookalike.datasets.digests import file_digest
from lookalike.datasets.labelled import Dataset, load_labelled, read_split, split_again, split_by_content
from lookalike.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike.datasets.labelled import LabelledPicture

    MakePhotos = Callable[..., Path]

HEADING = "file,class,split\n"


@pytest.fixture
def animals(make_photos: MakePhotos, tmp_path: Path) -> Path:
    make_photos(6, "animals/cat")
    make_photos(4, "animals/dog/old", first=6)
    (tmp_path / "animals" / "notes.txt").write_text("no picture")
    return tmp_path / "animals"


def split_file(animals: Path, text: str) -> Path:
    file = animals.parent / "split.csv"
    file.write_text(text)
    return file


def test_a_pictures_class_is_the_first_folder_on_the_way_to_it(animals: Path) -> None:
    pictures = load_labelled(animals)
    assert [picture.label for picture in pictures] == ["cat"] * 6 + ["dog"] * 4
    assert [picture.path for picture in pictures] == sorted(picture.path for picture in pictures)


def test_a_folder_of_one_class_is_refused_with_an_example(make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos(3, "animals/cat")
    with pytest.raises(DatasetError, match="not a labelled folder") as raised:
        load_labelled(tmp_path / "animals")
    assert "animals/cat/1.jpg" in raised.value.hint


def test_a_split_file_says_what_is_searched_and_with_what(animals: Path) -> None:
    rows = "cat/000.jpg,cat,train\ndog/old/006.jpg,dog,train\ncat/001.jpg,cat,test\n"
    dataset = read_split(split_file(animals, HEADING + rows), animals)
    assert [picture.label for picture in dataset.gallery] == ["cat", "dog"]
    assert [os.path.basename(picture.path) for picture in dataset.queries] == [b"001.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column file, class, split"),
        ("file,class\na,b\n", "no column split"),
        (HEADING, "no train picture"),
        (HEADING + "cat/000.jpg,cat,train\n", "no test picture"),
        (HEADING + "cat/999.jpg,cat,train\n", r"line 2: cat/999\.jpg is not in"),
        (HEADING + "cat/000.jpg,cat,both\n", "split is 'both'"),
        (HEADING + "cat/000.jpg,cat,train\ncat/000.jpg,cat,test\n", "line 3: .* named twice"),
        (HEADING + "cat/000.jpg,cat,train\ncat/./000.jpg,cat,test\n", "line 3: .* named twice"),
        (HEADING + "\n\ncat/000.jpg,cat,both\n", "line 4: split is 'both'"),
        (HEADING + "cat/000.jpg\n", "line 2: split is ''"),
        (HEADING + "cat/000.jpg,,train\n", r"line 2: cat/000\.jpg has no class"),
        (HEADING + "../split.csv,cat,train\n", r"line 2: \.\./split\.csv is outside"),
        (HEADING + "/etc/hostname,cat,train\n", "line 2: /etc/hostname is outside"),
        (HEADING + f"{'x' * 400}.jpg,cat,train\n", "line 2: x+.jpg is not in"),
    ],
)
def test_a_split_file_with_a_mistake_is_refused_and_the_line_named(animals: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        read_split(split_file(animals, text), animals)


def test_a_split_file_may_come_from_a_spreadsheet(animals: Path) -> None:
    rows = "file,class,split,note\r\ncat/000.jpg,cat,train,\r\ncat/001.jpg,cat,test,blurred\r\n"
    file = split_file(animals, "")
    file.write_bytes(b"\xef\xbb\xbf" + rows.encode())
    assert len(read_split(file, animals).queries) == 1


def test_a_split_file_that_is_none_is_refused(animals: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_split(animals / "nowhere.csv", animals)
    (animals / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a CSV file"):
        read_split(animals / "binary.csv", animals)


def test_a_labelled_folder_without_a_split_is_split_by_content(animals: Path) -> None:
    dataset = split_by_content(load_labelled(animals))
    assert (len(dataset.gallery), len(dataset.queries)) == (8, 2)


def test_other_splits_have_the_same_share_of_every_class_in_the_gallery(animals: Path) -> None:
    pictures = load_labelled(animals)
    whole = Dataset(tuple(pictures[:3] + pictures[6:8]), tuple(pictures[3:6] + pictures[8:]))
    splits = split_again(whole, range(1, 6))
    for split in splits:
        assert [picture.label for picture in split.gallery] == ["cat"] * 3 + ["dog"] * 2
        assert sorted([*split.gallery, *split.queries], key=lambda picture: picture.path) == pictures
    assert len({split.gallery for split in splits}) > 1
    assert split_again(whole, [3]) == [splits[2]]


def test_every_class_of_two_pictures_is_on_both_sides_of_other_splits(make_photos: MakePhotos, tmp_path: Path) -> None:
    for number in range(5):
        make_photos(2, f"animals/{number}", first=2 * number)
    make_photos(1, "animals/alone", first=20)
    for split in split_again(split_by_content(load_labelled(tmp_path / "animals")), range(4)):
        assert {picture.label for picture in split.gallery} == {"0", "1", "2", "3", "4", "alone"}
        assert {picture.label for picture in split.queries} == {"0", "1", "2", "3", "4"}


def test_copies_are_on_the_same_side_of_other_splits_and_names_do_not_matter(animals: Path) -> None:
    def digests(pictures: tuple[LabelledPicture, ...]) -> set[bytes]:
        return {file_digest(picture.path) for picture in pictures}

    before = split_again(split_by_content(load_labelled(animals)), range(8))
    for number, picture in enumerate(load_labelled(animals)):
        copy = os.path.join(os.path.dirname(picture.path), b"z%03d.jpg" % (99 - number))
        with open(copy, "wb") as file, open(picture.path, "rb") as original:
            file.write(original.read())
    after = split_again(split_by_content(load_labelled(animals)), range(8))
    for one, other in zip(before, after, strict=True):
        assert not digests(other.gallery) & digests(other.queries)
        assert digests(one.gallery) == digests(other.gallery)
