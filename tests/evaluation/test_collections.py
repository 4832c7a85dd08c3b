from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike.errors import UnknownEncoder, UsageError
from lookalike.evaluation.collections import evaluate_collections, name_collections
from lookalike.evaluation.record import write_record
from lookalike.evaluation.retrieval import Method, evaluate_retrieval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.images.pool import OnProgress


@pytest.fixture
def folders(make_photos: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """Two collections of two classes, and a folder without classes."""
    for number, name in enumerate(("sea/calm", "sea/rough", "land/flat", "land/steep")):
        make_photos(8, name, first=8 * number)
    make_photos(2, "plain")
    return [tmp_path / name for name in ("sea", "plain", "land")]


@contextmanager
def silent(_work: str) -> Iterator[OnProgress | None]:
    yield None


def test_each_collection_has_the_figures_that_it_has_alone(folders: list[Path]) -> None:
    collections = name_collections([folders[0], folders[2]])
    found = evaluate_collections(collections, "histogram", open_progress=silent).to_dict()
    for collection, document in zip(collections, found["collections"], strict=True):
        alone = evaluate_retrieval(collection.load(), "histogram")
        assert {name: document[name] for name in alone} == alone
    assert [document["collection"] for document in found["collections"]] == ["sea", "land"]
    assert found["mean"]["mAP"] == pytest.approx(sum(each["mAP"] for each in found["collections"]) / 2)


def test_a_collection_that_fails_leaves_the_others_as_they_are(folders: list[Path]) -> None:
    said: list[str] = []

    @contextmanager
    def noting(work: str) -> Iterator[OnProgress | None]:
        said.append(work)
        yield None

    found = evaluate_collections(name_collections(folders), "histogram", open_progress=noting)
    assert [collection.name for collection, _ in found.measured] == ["sea", "land"]
    assert [collection.name for collection, _ in found.failed] == ["plain"]
    document = found.to_dict()
    assert document["mean"]["n_collections"] == 2
    assert "not a labelled folder" in document["failed"][0]["reason"]
    assert said == ["sea (1 of 3)", "plain (2 of 3)", "land (3 of 3)"]


def test_an_unknown_encoder_is_an_error_before_anything_is_measured(folders: list[Path]) -> None:
    with pytest.raises(UnknownEncoder):
        evaluate_collections(name_collections(folders), "nonsense", open_progress=silent)


def test_raw_embeddings_labels_and_repeats_apply_to_every_collection(folders: list[Path]) -> None:
    collections = name_collections([folders[0], folders[2]])
    method = Method(adaptation="none", repeats=2)
    found = evaluate_collections(collections, "histogram", method, open_progress=silent).to_dict()
    assert [each["adapted"] for each in found["collections"]] == [False, False]
    assert [each["repeats"]["n"] for each in found["collections"]] == [2, 2]
    assert found["mean"]["repeats"]["n"] == 2


def test_collections_are_named_after_their_folders_and_by_path_if_two_have_the_same_name(tmp_path: Path) -> None:
    names = [each.name for each in name_collections([tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "y"])]
    assert names == [str(tmp_path / "a" / "x"), str(tmp_path / "b" / "x"), "y"]


def test_a_folder_that_is_given_twice_is_an_error(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folders[0])
    for again in (folders[0], tmp_path / "link", folders[0] / ".." / "sea"):
        with pytest.raises(UsageError, match="given twice"):
            name_collections([folders[0], again])


def test_a_split_belongs_to_the_folder_that_it_names() -> None:
    folders = [Path("sets/sea"), Path("sets/a=b"), Path("land")]
    found = name_collections(folders, ["sets/sea/=one.csv", "a=b=x=y.csv", "land=~"])
    assert [each.split for each in found] == [Path("one.csv"), Path("x=y.csv"), Path("~")]
    assert name_collections([Path("sea")], ["odd=name.csv"])[0].split == Path("odd=name.csv")
    assert name_collections([Path("sea")], ["sea=one.csv"])[0].split == Path("one.csv")
    assert name_collections([Path("sea")])[0].split is None


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (["one.csv"], "does not say which of the 2 folders"),
        (["lake=one.csv"], "does not say which of the 2 folders"),
        (["sea=one.csv", "sea=two.csv"], "has two splits"),
    ],
)
def test_a_split_for_no_folder_or_a_second_one_is_an_error(splits: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        name_collections([Path("sea"), Path("land")], splits)


def test_a_record_says_when_how_and_where_and_names_no_folder(folders: list[Path], tmp_path: Path) -> None:
    found = evaluate_collections(name_collections(folders), "histogram", open_progress=silent).to_dict()
    file = tmp_path / "record.json"
    write_record(found, "lookalike evaluate sea land", file)
    recorded = json.loads(file.read_text())
    assert recorded["command"] == "lookalike evaluate sea land"
    assert {"date", "versions", "machine", "collections", "mean"} <= set(recorded)
    assert recorded["mean"] == json.loads(json.dumps(found["mean"]))
    assert str(tmp_path) not in file.read_text()
    write_record(found, "again", file)  # its own file is replaced
    file.write_text("a person's own notes")
    with pytest.raises(UsageError, match="already exists"):
        write_record(found, "again", file)
