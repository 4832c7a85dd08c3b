"""Teaching a gallery names by examples, with a real encoder and real stores."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions, Query
from lookalike.errors import ClosedGallery, NoTextEncoder, UnknownWord, UnreadableImage, UsageError
from tests.pairs import COLOURS, paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lookalike import Hits

ONE = IndexOptions(workers=1)


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    return paint(tmp_path / "painted")


@pytest.fixture(params=["folder", "memory:"])
def gallery(request: pytest.FixtureRequest, painted: Path, tmp_path: Path) -> Iterator[Gallery]:
    """Of twenty pictures, four of each colour."""
    location = tmp_path / "gallery" if request.param == "folder" else request.param
    with Gallery.open(location, encoder="histogram", create=True) as gallery:
        gallery.index(painted, options=ONE)
        yield gallery


def colours(hits: Hits) -> set[str]:
    return {hit.path.name.split("-")[0] for hit in hits}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_taught_name_finds_its_like_from_one_example_or_three(gallery: Gallery, painted: Path, colour: str) -> None:
    for count in (1, 3):
        gallery.teach("our boat", [painted / f"{colour}-{n}.png" for n in range(count)])
        hits = gallery.search(Query.text("Our Boat"), 4)
        assert colours(hits) == {colour}
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        gallery.forget("our boat")


def test_examples_may_lie_anywhere_and_need_not_be_files(gallery: Gallery, painted: Path, tmp_path: Path) -> None:
    outside = Image.open(painted / "red-0.png").resize((90, 70))
    outside.save(tmp_path / "outside.png")
    stored = next(record.id for record in gallery.pictures() if record.path.endswith(b"red-1.png"))
    for like in (tmp_path / "outside.png", outside, np.asarray(outside.convert("RGB")), Query.stored(stored)):
        gallery.teach("red", like)
        assert colours(gallery.search(Query.text("red"), 4)) == {"red"}
        gallery.forget("red")


def test_a_tag_selects_the_like_and_its_opposite_the_others(gallery: Gallery, painted: Path) -> None:
    taught = gallery.teach("rot, hell", [painted / f"red-{n}.png" for n in range(3)])
    tagged = gallery.search(painted / "blue-0.png", 20, where=['tag:"rot, hell"'])
    assert {"red-0.png", "red-1.png", "red-2.png"} <= {hit.path.name for hit in tagged}
    assert colours(tagged) == {"red"}
    assert len(tagged) == taught.tagged
    others = gallery.search(painted / "blue-0.png", 20, where=['-tag:"ROT,  hell"'])
    assert len(others) == len(gallery) - 1 - taught.tagged
    within = gallery.search(Query.text("rot, hell"), 20).within(taught.threshold + 1e-6)
    assert {hit.id for hit in within} == {hit.id for hit in tagged}
    assert gallery.explain_filters(['tag:"rot, hell"']) == []


def test_a_tag_that_was_not_taught_is_an_error_that_names_the_nearest(gallery: Gallery, painted: Path) -> None:
    gallery.teach("our boat", painted / "red-0.png")
    for where in (["tag:our boot"], ["-tag:our boot"], ["tag:our boat,our boot"], ["tag:our boot", "name:red*"]):
        with pytest.raises(UnknownWord, match="our boat"):
            gallery.search(painted / "blue-0.png", where=where)
    with pytest.raises(UnknownWord, match="our boat"):
        gallery.explain_filters(["tag:our boot"])


def test_pictures_added_later_are_found_and_carry_the_tag(gallery: Gallery, painted: Path, tmp_path: Path) -> None:
    before = gallery.teach("red", [painted / f"red-{n}.png" for n in range(3)]).tagged
    (tmp_path / "later").mkdir()
    Image.open(painted / "red-0.png").transpose(Image.Transpose.ROTATE_90).save(tmp_path / "later" / "red-new.png")
    gallery.index(tmp_path / "later", options=ONE)
    tagged = gallery.search(painted / "red-0.png", 30, where=["tag:red"], include_self=True)
    assert "red-new.png" in {hit.path.name for hit in tagged}
    assert len(tagged) == before + 1


def test_adapting_again_and_removing_the_examples_leave_a_concept_as_it_is(painted: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "g", encoder=write_pair(tmp_path / "pair"), create=True) as gallery:
        gallery.index(painted, options=ONE)
        gallery.teach("our red", [painted / f"red-{n}.png" for n in range(2)])
        for dim, blend in ((12, False), (24, True), (24, False)):
            gallery.adapt(dim=dim, blend=blend)
            assert colours(gallery.search(Query.text("our red"), 4)) == {"red"}
        gallery.remove(painted / "red-0.png")
        gallery.remove(painted / "red-1.png")
        assert colours(gallery.search(Query.text("our red"), 2)) == {"red"}


def test_what_it_is_not_goes_away_from_it(gallery: Gallery, painted: Path) -> None:
    like, unlike = painted / "yellow-0.png", painted / "red-0.png"
    gallery.teach("warm", like)
    before = {hit.path.name: hit.distance for hit in gallery.search(Query.text("warm"), 20)}
    taught = gallery.teach("warm", (), unlike=unlike)
    assert (taught.like, taught.unlike) == (1, 1)
    after = {hit.path.name: hit.distance for hit in gallery.search(Query.text("warm"), 20)}
    assert after["red-0.png"] > before["red-0.png"]
    assert "red-0.png" not in {hit.path.name for hit in gallery.search(like, 20, where=["tag:warm"])}


def test_teaching_a_name_again_adds_examples_each_of_them_once(gallery: Gallery, painted: Path) -> None:
    assert gallery.teach("red", painted / "red-0.png").like == 1
    assert gallery.teach("RED", [painted / "red-0.png", painted / "red-1.png"]).like == 2
    assert [word for word in gallery.words() if word.is_taught] == ["RED"]


def test_names_are_the_same_in_any_case_spacing_and_composition(gallery: Gallery, painted: Path) -> None:
    gallery.teach("  Café  Zoé ", painted / "red-0.png")
    apart = unicodedata.normalize("NFD", "café ZOÉ")
    assert colours(gallery.search(Query.text(apart), 1)) == {"red"}
    assert "Café Zoé" in gallery.words()
    gallery.forget(apart)
    assert gallery.words() == []


def test_what_cannot_be_taught_is_an_error_and_changes_nothing(gallery: Gallery, painted: Path, tmp_path: Path) -> None:
    good = painted / "red-0.png"
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    for name, like, unlike in (
        ("", [good], ()),
        (" \n", [good], ()),
        ("a\x00b", [good], ()),
        ("\udcff", [good], ()),
        ("x" * 300, [good], ()),
        ("boat", [], ()),
        ("boat", [], [good]),
        ("boat", [good], [good]),
        ("boat", [Query.text("red")], ()),
    ):
        with pytest.raises(UsageError):
            gallery.teach(name, like, unlike=unlike)
    for like, unlike in (([good, tmp_path / "no.jpg"], ()), ([good], [tmp_path / "gone.jpg"])):
        with pytest.raises(UnreadableImage, match=r"no\.jpg|gone\.jpg"):
            gallery.teach("boat", like, unlike=unlike)
    assert gallery.words() == []


def test_an_unknown_text_names_what_was_taught_if_that_may_have_been_meant(gallery: Gallery, painted: Path) -> None:
    gallery.teach("our boat", painted / "red-0.png")
    with pytest.raises(NoTextEncoder, match=r"taught: our boat$"):
        gallery.search(Query.text("our boot"))
    with pytest.raises(NoTextEncoder, match=r"only pictures$"):
        gallery.search(Query.text("a spoon"))
    assert gallery.suggest_words("our boot") == ["our boat"]
    assert gallery.suggest_words("a spoon") == []


def test_forgetting_a_name_that_was_not_taught_names_the_nearest(gallery: Gallery, painted: Path) -> None:
    gallery.teach("our boat", painted / "red-0.png")
    with pytest.raises(UnknownWord, match="our boat"):
        gallery.forget("our boot")
    gallery.forget("OUR boat")
    with pytest.raises(UnknownWord):
        gallery.forget("our boat")


def test_a_closed_gallery_neither_learns_nor_forgets(gallery: Gallery, painted: Path) -> None:
    gallery.close()
    for use in (lambda: gallery.teach("red", painted / "red-0.png"), lambda: gallery.forget("red"), gallery.words):
        with pytest.raises(ClosedGallery):
            use()


def test_an_empty_gallery_learns_too(tmp_path: Path, painted: Path) -> None:
    with Gallery.open(tmp_path / "empty", encoder="histogram", create=True) as gallery:
        assert gallery.teach("red", painted / "red-0.png").tagged == 0
        assert not gallery.search(Query.text("red"))
        gallery.index(painted, options=ONE)
        assert colours(gallery.search(Query.text("red"), 4)) == {"red"}


def test_embeddings_that_are_compared_by_their_differences_learn_too(painted: Path, tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair")
    card = pair / "encoder.json"
    card.write_text(card.read_text().replace('"size": 8', '"size": 8, "metric": "euclidean"'))
    with Gallery.open(tmp_path / "g", encoder=pair, create=True) as gallery:
        gallery.index(painted, options=ONE)
        taught = gallery.teach("mine", [painted / f"green-{n}.png" for n in range(3)])
        assert colours(gallery.search(Query.text("mine"), 4)) == {"green"}
        assert taught.tagged >= 3


def test_a_taught_name_wins_over_a_text_encoder_and_over_a_known_word_and_says_so(
    painted: Path, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "pair-gallery", encoder=write_pair(tmp_path / "pair"), create=True) as gallery:
        gallery.index(painted, options=ONE)
        assert not gallery.teach("blue", [painted / f"red-{n}.png" for n in range(3)]).hides_word
        assert colours(gallery.search(Query.text("blue"), 4)) == {"red"}
        assert gallery.words() == ["blue"]
    with Gallery.open(tmp_path / "default", create=True) as gallery:
        gallery.index(painted, options=ONE)
        assert gallery.explain_text("banana") == []
        assert gallery.teach("Banana", painted / "yellow-0.png").hides_word
        assert colours(gallery.search(Query.text("banana"), 1)) == {"yellow"}
        assert "taught" in gallery.explain_text("banana")[0]
        assert [word for word in gallery.words() if word.casefold() == "banana"] == ["Banana"]


def test_a_taught_name_goes_with_a_picture(gallery: Gallery, painted: Path) -> None:
    gallery.teach("red", painted / "red-0.png")
    for weight, colour in ((20, "red"), (0.05, "blue")):
        hits = gallery.search(weight * Query.text("red") + Query.picture(painted / "blue-0.png"), 3)
        assert colours(hits) == {colour}


def test_what_a_taught_name_cannot_do_is_an_error(gallery: Gallery, painted: Path) -> None:
    gallery.teach("red", painted / "red-0.png")
    with pytest.raises(UsageError):
        gallery.search(Query.text("red") + Query.picture(painted / "blue-0.png"), weights={"histogram": 0.5})
    with pytest.raises(UsageError):
        gallery.search(Query.text("red"), weights={"histogram": 0.5})
    with pytest.raises(UsageError, match="only pictures"):
        gallery.explain(Query.text("red"), painted / "red-0.png")


def test_taught_names_go_together_with_other_queries_orders_and_copies(gallery: Gallery, painted: Path) -> None:
    gallery.teach("red", painted / "red-0.png")
    alone = [gallery.search(query, 3) for query in (Query.text("red"), Query.picture(painted / "blue-0.png"))]
    both = gallery.search_many([Query.text("red"), Query.picture(painted / "blue-0.png")], 3)
    assert [hits.rows() for hits in both] == [hits.rows() for hits in alone]
    for hits in (
        gallery.search(Query.text("red"), 4, unique=True),
        gallery.search(Query.text("red"), 4, order="diffusion"),
        gallery.search(Query.text("red"), 4, exact=True),
    ):
        assert colours(hits) == {"red"}
