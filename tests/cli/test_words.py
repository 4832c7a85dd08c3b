"""`lookalike words`, `teach`, `forget`, and searching by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pairs import paint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def painted(run: Run, tmp_path: Path) -> Path:
    """Pictures of five colours with their own gallery, by the default encoder."""
    assert run("index", paint(tmp_path / "painted")).status == 0
    return tmp_path / "painted"


def test_words_are_listed_searched_for_and_suggested(run: Run, painted: Path) -> None:
    listed = run("words", "--json", "-i", painted).json
    assert {"dog", "church", "seashore", "animal"} <= set(listed["words"])
    assert listed["taught"] == []
    assert "boathouse" in run("words", "boat", "-i", painted).out
    found = run("search", "--text", "Dogs", "-k", 3, "--json", "-i", painted)
    assert found.json["query"] == {"text": "Dogs"}
    assert len(found.json["hits"]) == 3
    some = run("search", "--text", "vehicle", "--threshold", "0.0001", "--json", "-i", painted)
    assert some.json["hits"] == []
    unknown = run("search", "--text", "red boat", "-i", painted)
    assert unknown.status == 2
    assert "boat" in unknown.err
    assert "encoders adopt" in unknown.err


def test_a_name_is_taught_searched_for_filtered_by_listed_and_forgotten(run: Run, painted: Path) -> None:
    taught = run("teach", "our boat", painted / "red-0.png", painted / "red-1.png", "-i", painted, "--json").json
    assert (taught["name"], taught["like"], taught["hides_word"]) == ("our boat", 2, False)
    hits = run("search", "--text", "Our boat", "-k", 4, "--json", "-i", painted).json["hits"]
    assert all("red-" in hit["path"] for hit in hits)
    tagged = run("search", painted / "blue-0.png", "--filter", 'tag:"our boat"', "--json", "-i", painted).json["hits"]
    assert tagged
    assert all("red-" in hit["path"] for hit in tagged)
    assert run("words", "--json", "-i", painted).json["taught"] == ["our boat"]
    assert run("words", "-i", painted).out.splitlines()[1].split() == ["our", "boat", "taught"]
    more = run("teach", "our boat", painted / "red-2.png", "--not", painted / "yellow-0.png", "-i", painted)
    assert "3 examples and 1 picture" in more.err
    assert run("forget", "our baot", "-i", painted).status == 2
    assert run("forget", "OUR BOAT", "-i", painted, "--json").json == {"forgotten": "OUR BOAT"}
    assert run("words", "--json", "-i", painted).json["taught"] == []


def test_a_taught_name_that_hides_a_word_says_so(run: Run, painted: Path) -> None:
    assert "also a word that the encoder knows" in run("teach", "dog", painted / "red-0.png", "-i", painted).err
    assert "as it was taught here" in run("search", "--text", "Dog", "-i", painted).err


@pytest.mark.parametrize("arguments", [("our boat",), ("", "red-0.png"), ("boat", "missing.png"), ()])
def test_what_cannot_be_taught_is_the_users_mistake(run: Run, painted: Path, arguments: tuple[str, ...]) -> None:
    words = [painted / word if word.endswith(".png") else word for word in arguments]
    assert run("teach", *words, "-i", painted).status == 2
