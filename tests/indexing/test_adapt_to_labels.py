from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery
from lookalike.datasets.labelled import Dataset, load_labelled, read_split, split_by_content
from lookalike.datasets.labels import read_labels
from lookalike.errors import DatasetError, UsageError
from lookalike.evaluation.retrieval import evaluate_retrieval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """Two classes that differ by a little green; whatever else their colours are says nothing."""
    rng = np.random.default_rng(0)
    for label, extra in (("more", 24), ("less", 0)):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(0, 200, (4, 4, 3)) + rng.integers(0, 2, (4, 4, 1)) * 20
            pixels[..., 1] = np.clip(60 + extra + rng.normal(0, 5, (4, 4)), 0, 255)
            picture = Image.fromarray(pixels.astype(np.uint8)).resize((48, 48), Image.Resampling.BICUBIC)
            picture.save(tmp_path / "set" / label / f"{number}.png")
    return tmp_path / "set"


@pytest.fixture
def gallery(shades: Path, tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as opened:
        opened.index(shades)
        yield opened


def same_class(gallery: Gallery, folder: Path) -> float:
    queries = sorted(folder.glob("*/*.png"))[::7]
    return float(np.mean([hit.path.parent == query.parent for query in queries for hit in gallery.search(query, 10)]))


def test_a_gallery_learns_the_classes_of_its_pictures(gallery: Gallery, shades: Path) -> None:
    before = same_class(gallery, shades)
    choice = gallery.adapt_to_labels(read_labels(shades))
    assert choice.is_better
    assert gallery.info()["classes"] == 2
    assert same_class(gallery, shades) > 0.9
    assert same_class(gallery, shades) >= before


def test_it_stays_so_when_the_gallery_grows_and_until_it_is_adapted_without(
    gallery: Gallery, shades: Path, make_photos: Callable[..., Path]
) -> None:
    gallery.adapt_to_labels(read_labels(shades))
    gallery.index(make_photos(100))
    assert gallery.info()["classes"] == 2
    assert gallery.verify() == []
    gallery.adapt()
    assert gallery.info()["classes"] == 0


def test_a_gallery_that_is_opened_again_still_knows_them(gallery: Gallery, shades: Path, tmp_path: Path) -> None:
    gallery.adapt_to_labels(read_labels(shades))
    query = shades / "more" / "3.png"
    before = [(hit.path, hit.distance) for hit in gallery.search(query, 5, include_self=True)]
    assert before[0][0] == query
    assert before[0][1] < 1e-9
    gallery.close()
    with Gallery.open(tmp_path / "gallery") as again:
        assert [(hit.path, hit.distance) for hit in again.search(query, 5, include_self=True)] == before


def test_labels_that_do_not_help_are_not_kept(gallery: Gallery, shades: Path) -> None:
    labels = read_labels(shades)
    before = gallery.search(shades / "more" / "3.png", 5).rows()
    rng = np.random.default_rng(1)
    nonsense = dict(zip(labels, rng.permutation(list(labels.values())).tolist(), strict=True))
    if not gallery.adapt_to_labels(nonsense).is_better:
        assert gallery.search(shades / "more" / "3.png", 5).rows() == before


def test_pictures_without_labels_and_small_classes_stay(gallery: Gallery, shades: Path) -> None:
    labels = read_labels(shades)
    few = {path: label for path, label in labels.items() if not path.endswith(b"9.png")}
    odd = dict.fromkeys(list(labels)[:3], "odd")
    gallery.adapt_to_labels(few | odd)
    assert (len(gallery), gallery.info()["classes"]) == (48, 2)


def test_fewer_than_two_classes_are_an_error(gallery: Gallery, shades: Path) -> None:
    for labels in ({}, dict.fromkeys(read_labels(shades), "one"), {b"/nowhere.png": "a"}):
        with pytest.raises(UsageError, match="adapting takes two classes"):
            gallery.adapt_to_labels(labels)


def test_labels_are_read_from_a_file_without_those_of_the_test(shades: Path) -> None:
    file = shades / "labels.csv"
    file.write_text("file,class,split\nmore/1.png,m,train\nless/2.png,l,test\n./less/../less/3.png,l,train\n")
    root = bytes(shades)
    assert read_labels(file) == {root + b"/more/1.png": "m", root + b"/less/3.png": "l"}
    file.write_text("file,kind\nmore/1.png,m\n")
    with pytest.raises(DatasetError, match="no column class"):
        read_labels(file)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_labels(shades / "none.csv")


def test_the_evaluation_reports_labels_apart(shades: Path) -> None:
    dataset = split_by_content(load_labelled(shades))
    plain = evaluate_retrieval(dataset, "histogram")
    both = evaluate_retrieval(dataset, "histogram", also=["labels"])
    with_labels = both.pop("with_labels")
    assert both == plain
    assert with_labels["adapted"]
    assert with_labels["mAP"] > plain["mAP"]


def test_scenes_are_found_by_their_classes(scenes8: Path) -> None:
    """A twin of the full measurement: every sixth picture of the gallery."""
    whole = read_split(scenes8 / "mit_split.csv", scenes8)
    dataset = Dataset(whole.gallery[::6], whole.queries[::8])
    figures = evaluate_retrieval(dataset, "efficientnet-lite0-layers", also=["labels"])
    assert figures["with_labels"]["mAP"] > max(0.9, figures["mAP"])


def test_an_encoder_that_is_learned_with_labels_is_reported_apart(scenes8: Path, few_patches: None) -> None:
    whole = read_split(scenes8 / "mit_split.csv", scenes8)
    dataset = Dataset(whole.gallery[::10], whole.queries[::12])
    figures = evaluate_retrieval(dataset, "selfsup", also=["labels"])
    assert figures["learned_with_labels"]["mAP"] > figures["mAP"] + 0.05
    assert "learned_with_labels" not in evaluate_retrieval(dataset, "patches", also=["labels"])
