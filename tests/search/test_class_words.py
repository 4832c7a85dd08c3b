"""Searching by the words that the default encoder knows, in galleries of real and of made-up embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions, Query, load_encoder
from lookalike.adaptation.projection import Projection
from lookalike.encoders.composition import composed_dim
from lookalike.encoders.efficientnet.words import load_vocabulary
from lookalike.errors import NoTextEncoder, UnknownWord
from lookalike.store import Record, Space, open_store
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lookalike import Hits

ONE = IndexOptions(workers=1)
SHOWN = ["daisy", "banana", "zebra", "collie", "airliner"]


def fill(name: str, *, whole: bool, before: int = 0) -> Gallery:
    """Twenty embeddings, four that show each thing; with the dimensions of the whole picture or without.

    before: dimensions of another encoder, with which an embedding begins.
    """
    encoder = load_encoder(name)
    dim = composed_dim(encoder) if whole else encoder.dim
    store = open_store("memory:", create=Space(encoder.name, encoder.fingerprint, dim, "cosine", name))
    rng = np.random.default_rng(0)
    records, embeddings = [], {}
    for number, word in enumerate(SHOWN * 4):
        direction = load_vocabulary().find(word)
        assert direction is not None
        row = rng.normal(0, 0.01, dim).astype(np.float32)
        row[before : before + 1280] += direction[0]
        digest = b"%032d" % number
        records.append(Record(b"/p/%s/%d.jpg" % (word.encode(), number), 1, 1, digest))
        embeddings[digest] = unit(row)
    with store.writing():
        store.put(records, embeddings)
    return Gallery(store, encoder)


@pytest.fixture(params=[("efficientnet-lite0-layers-int8", True), ("efficientnet-lite0-layers-int8", False)])
def gallery(request: pytest.FixtureRequest) -> Iterator[Gallery]:
    name, whole = request.param
    with fill(name, whole=whole) as gallery:
        yield gallery


def labels(hits: Hits) -> set[str]:
    return {hit.path.parent.name for hit in hits}


@pytest.mark.parametrize("word", SHOWN)
def test_a_word_finds_what_it_names(gallery: Gallery, word: str) -> None:
    hits = gallery.search(Query.text(f"a {word}"), 4)
    assert labels(hits) == {word}
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    assert hits[0].distance < 0.5 < gallery.search(Query.text(word), 20)[-1].distance


def test_a_kind_of_things_finds_all_of_them_and_filters_hold(gallery: Gallery) -> None:
    assert labels(gallery.search(Query.text("animals"), 8)) == {"zebra", "collie"}
    assert labels(gallery.search(Query.text("dog"), 4)) == {"collie"}
    assert labels(gallery.search(Query.text("animal"), 4, where=["label:daisy"])) == {"daisy"}


def test_adapting_the_gallery_changes_no_answer_to_a_word(gallery: Gallery) -> None:
    before = gallery.search(Query.text("fruit"), 20).rows()
    dim = gallery.store.space.dim
    with gallery.store.writing():
        gallery.store.set_projection(Projection(np.full(dim, 0.1, np.float32), np.eye(dim, 4, dtype=np.float32), 20))
    assert gallery.search(Query.text("fruit"), 20).rows() == before


def test_an_unknown_word_names_the_nearest_and_what_would_know_it(gallery: Gallery) -> None:
    with pytest.raises(UnknownWord, match=r"'zeebra'.*zebra") as raised:
        gallery.search(Query.text("zeebra"))
    assert "encoders adopt" in raised.value.hint
    assert "teach" in raised.value.hint


def test_an_unknown_word_names_taught_ones_before_others(gallery: Gallery) -> None:
    gallery.teach("our striped one", Query.stored(1))
    try:
        with pytest.raises(UnknownWord, match="nearest known words: our striped one, zebra"):
            gallery.search(Query.text("our striped zebra"))
        with pytest.raises(UnknownWord, match="nearest known words: zebra"):
            gallery.search(Query.text("zeebra"))
    finally:
        gallery.forget("our striped one")


def test_words_lists_what_is_known(gallery: Gallery) -> None:
    words = gallery.words()
    assert {"dog", "church", "seashore", "animal", "vehicle", "fruit"} <= set(words)
    assert not any(word.is_taught for word in words)


def test_of_a_hybrid_the_part_that_knows_words_answers() -> None:
    with fill(
        "hybrid:histogram=0.3+efficientnet-lite0=0.7", whole=True, before=load_encoder("histogram").dim
    ) as gallery:
        assert labels(gallery.search(Query.text("zebra"), 4)) == {"zebra"}
        assert "zebra" in gallery.words()


def test_an_encoder_without_words_says_what_to_do(tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "g", encoder="histogram", create=True) as gallery:
        assert gallery.words() == []
        with pytest.raises(NoTextEncoder) as raised:
            gallery.search(Query.text("dog"))
        assert "teach" in raised.value.hint


def test_photographs_of_the_sea_are_found_by_their_word(scenes8: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "g", create=True) as gallery:
        for label in ("coast", "street", "forest"):
            gallery.index(*sorted((scenes8 / label).glob("*.jpg"))[:8], options=ONE)
        assert labels(gallery.search(Query.text("seashore"), 6)) == {"coast"}
