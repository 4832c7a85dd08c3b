"""Duplicates are found and told apart by kind, and each pair says what was found."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike import Gallery, IndexOptions
from lookalike.errors import UsageError
from lookalike.explore.duplicates import Group, Pair, Picture, find_duplicates
from lookalike.explore.duplicates.candidates import near_by_hash
from lookalike.explore.duplicates.groups import Duplicates, make_groups
from lookalike.explore.duplicates.proof import Evidence
from lookalike.store import Record, Space, open_store
from tests.explore.duplicates.conftest import EDITS, crop
from tests.scenery import draw_scene


def named(group: Group) -> set[str]:
    return {picture.path.stem for picture in group.pictures}


def test_every_edit_is_found_and_proven_and_nothing_else(gallery: Gallery) -> None:
    found = gallery.duplicates(options=IndexOptions(workers=1))
    copies = [group for group in found.groups if group.kind == "same picture"]
    wanted = [{f"scene-{seed:02}", name.replace(" ", "-")} for seed, name in enumerate(EDITS)]
    assert sorted(map(sorted, map(named, copies))) == sorted(map(sorted, wanted))
    assert all(group.proven for group in found.groups)
    assert [named(group) for group in found.groups if group.kind == "identical"] == [{"scene-09", "again"}]
    assert not [group for group in found.groups if group.kind == "same scene"]
    assert (found.left, found.undescribed, found.unreadable) == (0, 0, ())


WORDS = {
    "rescaled": {"resized"},
    "recompressed": {"recompressed"},
    "cropped": {"cropped"},
    "turned": {"turned left"},
    "mirrored": {"mirrored"},
    "toned": {"toned"},
    "grey": {"grey"},
    "text": {"text"},
    "turned-and-toned": {"turned upside down", "toned"},
}


def test_the_evidence_says_what_was_done(gallery: Gallery) -> None:
    groups = gallery.duplicates(options=IndexOptions(workers=1)).groups
    evidence = {each.path.stem: group.pairs[0].evidence for group in groups for each in group.pictures}
    for group in groups:
        for each in group.pictures:
            other = next(picture for picture in group.pictures if picture != each)
            found = group.explain(each, other)
            assert all(word in found for word in WORDS.get(each.path.stem, set())), (each.path.stem, found)
    assert all(evidence[name].sure > 0.8 for name in WORDS)
    assert evidence["cropped"].crop == pytest.approx((0.1, 0.15, 0.9, 0.95), abs=0.02)
    scale = evidence["rescaled"].scale or 0
    assert min(scale, 1 / scale) == pytest.approx(0.25, rel=0.02)


def test_the_document_has_the_shape_that_scripts_rely_on(gallery: Gallery) -> None:
    document = gallery.duplicates(options=IndexOptions(workers=1)).to_dict()
    for group in document["groups"]:
        assert group["kind"] in {"identical", "same picture", "same scene"}
        assert group["proven"] is True
        ids = {picture["id"] for picture in group["pictures"]}
        for picture in group["pictures"]:
            assert {"path", "display", "id", "size", "width", "height"} <= picture.keys()
        for pair in group["pairs"]:
            assert {pair["a"], pair["b"]} <= ids
            assert {"found", "sure"} <= pair["evidence"].keys()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"colour": "green"}, {"colour": "red"}),
        ({"colour": "green", "outline": 2}, {"colour": "purple", "outline": 2}),
        ({"colour": "#4e695a", "outline": 3}, {"colour": "#695772", "outline": 3}),
        ({"colour": "green"}, {"colour": "green", "outline": 8, "stripes": 2}),
    ],
    ids=["two colours", "outlines", "pale outlines", "striped"],
)
def test_drawings_that_differ_in_little_are_not_the_same_picture(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_card(**one).save(folder / "one.png")
    draw_card(**other).save(folder / "other.png")
    assert_nothing_is_a_copy(folder)


def draw_card(colour: str, outline: int = 0, stripes: int = 0) -> Image.Image:
    """Three shapes on a grey card: full, or outlines of some width with stripes so many pixels apart."""
    drawn = Image.new("RGB", (240, 320), "#c8c8c8")
    draw = ImageDraw.Draw(drawn)
    for top in (40, 130, 220):
        corners = [(40, top), (200, top + 20), (180, top + 60), (60, top + 70)]
        draw.polygon(corners, outline=colour, width=outline, fill=None if outline else colour)
        for x in range(64, 180, stripes) if stripes else ():
            draw.line([(x, top + 4), (x, top + 62)], fill=colour)
    return drawn


def assert_nothing_is_a_copy(folder: Path) -> None:
    with Gallery.open(folder, encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        found = gallery.duplicates(options=IndexOptions(workers=1))
        assert found.compared
        assert not [group for group in found.groups if group.kind == "same picture" and group.proven]
        assert gallery.plan_moves(found).moves == ()


def test_different_crops_of_a_wider_view_are_one_scene_and_no_copies(tmp_path: Path) -> None:
    view = draw_scene(70, (480, 360))
    folder = tmp_path / "photos"
    folder.mkdir()
    crop(view, 0, 0, 0.75, 0.9).save(folder / "left.jpg", quality=92)
    crop(view, 0.25, 0.1, 1, 1).save(folder / "right.jpg", quality=92)
    with Gallery.open(folder, encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        (group,) = gallery.duplicates(options=IndexOptions(workers=1)).groups
        assert (group.kind, group.proven) == ("same scene", True)
        assert not gallery.plan_moves(gallery.duplicates(options=IndexOptions(workers=1))).moves


def test_pairs_beyond_the_budget_are_listed_as_not_proven_if_they_are_obvious(gallery: Gallery) -> None:
    found = gallery.duplicates(budget=0)
    assert found.compared == 0
    assert found.left > 0
    guessed = [group for group in found.groups if not group.proven]
    assert {"scene-01", "recompressed"} in [named(group) for group in guessed]
    assert all(group.kind == "same picture" for group in guessed)
    assert {named.copy.path.stem for named in gallery.plan_moves(found).moves} <= {"scene-09", "again"}
    with pytest.raises(UsageError, match="-1"):
        gallery.duplicates(budget=-1)


def test_a_picture_that_has_changed_or_gone_is_named_and_not_proven(gallery: Gallery, photos: Path) -> None:
    draw_scene(99, (320, 240)).save(photos / "grey.jpg")
    (photos / "toned.jpg").unlink()
    found = gallery.duplicates(options=IndexOptions(workers=1))
    reasons = {path.stem: reason for path, reason in found.unreadable}
    assert reasons.keys() == {"grey", "toned"}
    assert reasons["grey"] == "changed since it was indexed"
    assert not [group for group in found.groups if named(group) & {"grey", "toned"} and group.proven]


def test_what_a_person_calls_distinct_is_not_listed_again(gallery: Gallery, photos: Path) -> None:
    gallery.mark_distinct(photos / "scene-01.jpg", photos / "recompressed.jpg")
    gallery.mark_distinct(photos / "scene-09.jpg", photos / "again.jpg")
    groups = gallery.duplicates(options=IndexOptions(workers=1)).groups
    assert not [group for group in groups if named(group) & {"recompressed", "again"}]
    assert len(groups) == len(EDITS) - 1
    with pytest.raises(UsageError, match="not in the gallery"):
        gallery.mark_distinct(photos / "scene-01.jpg", photos / "none.jpg")
    with pytest.raises(UsageError, match="twice"):
        gallery.mark_distinct(photos / "scene-01.jpg", photos / "scene-01.jpg")


def test_only_pairs_across_are_found_against_a_folder(gallery: Gallery, photos: Path) -> None:
    archive = photos / "archive"
    archive.mkdir()
    for name in ("scene-00", "scene-09"):
        shutil.move(photos / f"{name}.jpg", archive / f"{name}.jpg")
    gallery.index(photos, options=IndexOptions(workers=1))
    found = gallery.duplicates(against=archive, options=IndexOptions(workers=1))
    assert sorted(sorted(named(group)) for group in found.groups) == [["again", "scene-09"], ["rescaled", "scene-00"]]
    plan = gallery.plan_moves(found, "path order")
    assert {move.copy.path.stem for move in plan.moves} == {"again", "rescaled"}


def test_only_pairs_across_are_found_against_another_gallery(gallery: Gallery, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    draw_scene(0, (320, 240)).save(archive / "old.jpg", quality=80)
    shutil.copy(tmp_path / "photos" / "scene-12.jpg", archive / "same.jpg")
    with Gallery.open(archive, encoder="histogram", create=True) as other:
        other.index(archive, options=IndexOptions(workers=1))
        found = gallery.duplicates(against=other, options=IndexOptions(workers=1))
        assert {"same", "scene-12"} in [named(group) for group in found.groups]
        assert any("old" in named(group) and "scene-00" in named(group) for group in found.groups)
        plan = gallery.plan_moves(found)
        assert {move.kept.path.parent.name for move in plan.moves} == {"archive"}
        assert {"scene-00", "scene-12"} <= {move.copy.path.stem for move in plan.moves}


def test_an_empty_gallery_and_one_of_a_single_picture_have_no_duplicates() -> None:
    with closing(open_store("memory:", create=Space("e", "e", 4, "cosine", "e"))) as store:
        assert find_duplicates(store).groups == ()
        with store.writing():
            store.put([Record(b"/1.jpg", 1, 1, b"1" * 32, 9, 9)], {b"1" * 32: np.ones(4, np.float32)})
        assert find_duplicates(store).groups == ()


def test_turned_hashes_are_found_among_many() -> None:
    random = np.random.default_rng(3)
    hashes = random.integers(0, 256, (300, 32), np.uint8)
    everything = np.arange(300)
    assert near_by_hash(hashes, everything, everything) == []
    hashes[7] = hashes[123] ^ np.packbits(random.random(256) < 0.05)
    (found,) = near_by_hash(hashes, everything, everything)
    assert (found.a, found.b) == (7, 123)
    assert found.is_obvious


def picture(number: int) -> Picture:
    return Picture(Path(f"/p/{number}.jpg"), number, bytes([number]) * 32, 1, 10 + number, 10)


def pair(a: int, b: int, kind: str, sure: float = 1.0) -> Pair:
    return Pair(picture(a), picture(b), kind, proven=True, evidence=Evidence(sure=sure))  # type: ignore[arg-type]


def never(_one: Picture, _other: Picture) -> bool:
    return False


def test_a_chain_of_scenes_does_not_swallow_everything() -> None:
    chain = [pair(number, number + 1, "same scene") for number in range(1, 9)]
    groups = make_groups(chain, never)
    assert max(len(group.pictures) for group in groups) <= 3
    everyone = [pair(a, b, "same scene") for a in range(1, 5) for b in range(a + 1, 5)]
    assert [len(group.pictures) for group in make_groups(everyone, never)] == [4]


def test_copies_are_joined_by_proven_pairs_and_scenes_are_apart() -> None:
    groups = make_groups([pair(1, 2, "same picture"), pair(2, 3, "identical"), pair(3, 4, "same scene")], never)
    assert [(group.kind, sorted(each.id for each in group.pictures)) for group in groups] == [
        ("same picture", [1, 2, 3]),
        ("same scene", [3, 4]),
    ]


def test_distinct_pictures_are_never_joined_by_a_third() -> None:
    pairs = [pair(1, 2, "same picture", 0.99), pair(2, 3, "same picture", 0.9)]
    groups = make_groups(pairs, lambda a, b: {a.id, b.id} == {1, 3})
    assert [sorted(each.id for each in group.pictures) for group in groups] == [[1, 2]]


def test_what_is_called_distinct_changes_only_its_own_group() -> None:
    pairs = [pair(1, 2, "same picture", 0.99), pair(2, 3, "same picture", 0.9), pair(7, 8, "identical")]
    found = Duplicates(make_groups(pairs, never))
    one, other = (next(each for group in found.groups for each in group.pictures if each.id == id_) for id_ in (1, 3))
    distinct = frozenset((one.digest, other.digest))
    after = found.without(distinct)
    assert after.groups == make_groups(pairs, lambda a, b: frozenset((a.digest, b.digest)) == distinct)
    assert [sorted(each.id for each in group.pictures) for group in after.groups] == [[7, 8], [1, 2]]
    assert after.without(frozenset((b"another", one.digest))) == after
