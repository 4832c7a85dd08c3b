from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike.datasets.labelled import Dataset, load_labelled, read_split, split_again, split_by_content
from lookalike.encoders.histogram import HistogramEncoder
from lookalike.errors import DatasetError
from lookalike.evaluation.retrieval import evaluate_retrieval

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Four classes that differ in colour, and pictures in a class that differ in little."""
    rng = np.random.default_rng(0)
    for label, colour in {
        "red": (220, 40, 30),
        "green": (30, 200, 60),
        "blue": (40, 60, 220),
        "grey": (120,) * 3,
    }.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(12):
            noise = rng.integers(-25, 26, (32, 32, 3))
            picture = Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
            picture.save(tmp_path / "set" / label / f"{number}.png")
    return tmp_path / "set"


def test_classes_that_the_encoder_sees_are_found(colours: Path) -> None:
    figures = evaluate_retrieval(split_by_content(load_labelled(colours)), "histogram")
    assert (figures["n_gallery"], figures["n_queries"]) == (36, 12)
    assert figures["encoder"] == "histogram"
    assert figures["top_1"] == 1
    assert figures["mAP"] > 0.95


def test_classes_that_mean_nothing_are_found_by_chance(colours: Path) -> None:
    pictures = load_labelled(colours)
    labels = np.random.default_rng(1).permutation([picture.label for picture in pictures])
    shuffled = [type(picture)(picture.path, str(label)) for picture, label in zip(pictures, labels, strict=True)]
    assert evaluate_retrieval(split_by_content(shuffled), "histogram")["mAP"] < 0.5


def test_queries_that_cannot_be_read_do_not_count(colours: Path) -> None:
    dataset = split_by_content(load_labelled(colours))
    with open(dataset.queries[0].path, "wb") as file:
        file.write(b"broken")
    assert evaluate_retrieval(dataset, "histogram")["n_queries"] == 11
    with pytest.raises(DatasetError, match="can be read"):
        evaluate_retrieval(Dataset(dataset.gallery, dataset.queries[:1]), "histogram")


def test_the_default_encoder_keeps_its_promise_on_a_part_of_8_scenes(scenes8: Path) -> None:
    """A twin of the full measurement: every fourth picture of each side, so that it takes seconds."""
    whole = read_split(scenes8 / "mit_split.csv", scenes8)
    part = Dataset(whole.gallery[::4], whole.queries[::8])
    adapted, raw = evaluate_retrieval(part), evaluate_retrieval(part, adaptation="none")
    assert (adapted["adapted"], raw["adapted"]) == (True, False)
    assert adapted["dim"] == 256
    assert adapted["mAP"] > 0.83
    assert adapted["P@10"] > 0.88
    assert adapted["mAP"] > raw["mAP"] + 0.05


def test_every_way_of_comparing_is_told_and_the_gallerys_own_is_one_of_them(colours: Path) -> None:
    dataset = split_by_content(load_labelled(colours))
    figures = evaluate_retrieval(dataset, "histogram", adaptation="none", also=["ways"])
    assert list(figures["retrieval"]) == ["raw_euclidean", "raw_cosine", "adapted_euclidean", "adapted_cosine"]
    same = figures["retrieval"]["raw_cosine"]  # how a histogram is compared
    assert all(figures[name] == value for name, value in same.items())
    adapted = [figures["retrieval"][f"adapted_{metric}"] for metric in ("euclidean", "cosine")]
    assert all(found["dim"] == 35 + 16 + 8 and found["mAP"] > 0.9 for found in adapted)  # 36 pictures: 35 directions
    assert adapted[0] != figures["retrieval"]["raw_euclidean"]


def test_pictures_that_are_all_alike_are_compared_as_they_are(colours: Path) -> None:
    picture = (colours / "red" / "0.png").read_bytes()
    for path in colours.rglob("*.png"):
        path.write_bytes(picture)
    pictures = load_labelled(colours)
    dataset = Dataset(tuple(pictures[::2]), tuple(pictures[1::2]))
    assert list(evaluate_retrieval(dataset, "histogram", also=["ways"])["retrieval"]) == [
        "raw_euclidean",
        "raw_cosine",
    ]


@pytest.mark.parametrize("encoder", ["histogram", "patches"])
def test_a_repeat_has_the_figures_of_its_split_measured_alone(colours: Path, few_patches: None, encoder: str) -> None:
    dataset = split_by_content(load_labelled(colours))
    found = evaluate_retrieval(dataset, encoder, repeats=2)["repeats"]
    for number, other in enumerate(split_again(dataset, [1, 2])):
        alone = evaluate_retrieval(other, encoder)
        assert found["splits"][number]["seed"] == number + 1
        for name in ("n_gallery", "n_queries", "dim", "adapted", "P@10", "top_1"):
            assert found["splits"][number][name] == alone[name]
        assert found["splits"][number]["mAP"] == pytest.approx(alone["mAP"], abs=1e-3)


def test_repeats_leave_the_figures_of_the_first_split_as_they_are(colours: Path) -> None:
    dataset = split_by_content(load_labelled(colours))
    found = evaluate_retrieval(dataset, "histogram", repeats=2)
    assert found.pop("repeats")["n"] == 2
    assert found == evaluate_retrieval(dataset, "histogram")


def test_repeats_encode_each_view_of_a_picture_once(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = HistogramEncoder.encode

    def counting(self: HistogramEncoder, images: np.ndarray) -> np.ndarray:
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(HistogramEncoder, "encode", counting)
    evaluate_retrieval(split_by_content(load_labelled(colours)), "histogram", repeats=20)
    assert sum(encoded) == 48  # the encoder's own view is the whole picture: it needs no other


def test_pictures_that_cannot_be_read_are_on_no_side_of_a_repeat(colours: Path) -> None:
    dataset = split_by_content(load_labelled(colours))
    for picture in (dataset.gallery[0], dataset.queries[0]):
        with open(picture.path, "wb") as file:
            file.write(b"broken")
    splits = evaluate_retrieval(dataset, "histogram", repeats=3)["repeats"]["splits"]
    assert {each["n_gallery"] + each["n_queries"] for each in splits} <= {46}
