"""The words of ImageNet's classes: read from the shipped file, found in many spellings, suggested where unknown."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.encoders.efficientnet.shipped import FOLDER, WORDS, read_shipped
from lookalike.encoders.efficientnet.words import load_vocabulary
from lookalike.encoders.words import Vocabulary, read_kinds
from lookalike.vectors.metric import unit


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


def test_every_class_has_one_line_and_all_lines_hang_together() -> None:
    kinds = read_kinds(read_shipped(WORDS).decode())
    classes = [kind for kind in kinds if kind.number is not None]
    assert [kind.number for kind in classes] == list(range(1000))
    assert [kind.id for kind in classes] == sorted(kind.id for kind in classes)
    assert {one for kind in kinds for one in kind.above} <= {kind.id for kind in kinds}
    assert all(kind.names and all(kind.names) for kind in kinds)


def test_the_file_of_words_names_its_source_and_comes_with_its_licence() -> None:
    assert "WordNet 3.0" in read_shipped(WORDS).decode().splitlines()[1]
    assert "Princeton University" in (FOLDER / "LICENSE-WORDNET").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("daisy", 1),
        ("Daisies", 1),
        ("a daisy", 1),
        ("a photo of a daisy", 1),
        ("the pictures of dogs", 118),
        ("pictures of dogs", 118),
        ("T-SHIRT", 1),
        ("sea coast", 1),
        ("beach", 1),
        ("wolves", 4),
        ("geese", 1),
        ("crane", 2),  # the bird and the machine
        ("animal", 398),
        ("vehicle", 67),
        ("fruit", 16),
        ("church", 1),
        ("object", 0),
        ("unicorn", 0),
    ],
)
def test_a_word_means_all_classes_of_its_name_or_kind(vocabulary: Vocabulary, text: str, count: int) -> None:
    assert vocabulary.count_classes(text) == count
    found = vocabulary.find(text)
    assert (0 if found is None else len(found)) == count


def test_every_listed_word_is_found(vocabulary: Vocabulary) -> None:
    words = vocabulary.words
    assert len(words) == len(set(words)) > 3000
    assert all(vocabulary.count_classes(word) for word in words)
    assert [word.casefold() for word in words] == sorted(word.casefold() for word in words)


def test_a_direction_is_the_weight_of_its_class_without_what_all_share(vocabulary: Vocabulary) -> None:
    weights, _ = load_classifier()
    found = vocabulary.find("daisy")
    assert found is not None
    assert found.shape == (1, 1280)
    np.testing.assert_allclose(found[0], unit(weights - weights.mean(axis=0))[985], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "near"),
    [("zeebra", "zebra"), ("a red boat", "boat"), ("brown dog in the snow", "dog"), ("bananna", "banana")],
)
def test_an_unknown_text_suggests_what_it_contains_or_is_spelt_like(
    vocabulary: Vocabulary, text: str, near: str
) -> None:
    assert vocabulary.suggest(text)[0] == near


def test_whatever_is_unknown_something_is_suggested(vocabulary: Vocabulary) -> None:
    assert vocabulary.suggest("qqqq") != []


def test_words_that_are_spelt_quite_differently_can_be_left_out(vocabulary: Vocabulary) -> None:
    assert vocabulary.suggest("sunset", only_close=True) == []
    assert vocabulary.suggest("a zeebra at sunset", only_close=True) == []
    assert vocabulary.suggest("zeebra", only_close=True) == ["zebra"]
    assert vocabulary.suggest("red boats", only_close=True)[0] == "boat"


def test_words_with_a_broken_line_are_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        read_kinds("12\tn1\tonly three columns")
