"""One folder is one folder, however it is reached; one with rules of its own keeps them; one that moved is found."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, IndexOptions
from lookalike.errors import UsageError
from lookalike.images.walk import Rules
from lookalike.indexing.folders import canonical_path
from lookalike.store import Space, open_store
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lookalike.indexing.update import Report


class House:
    """Eight pictures in `real`, two of them in `real/sub`, and a link to it; the gallery is elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.real, self.link = folder / "real", folder / "link"
        (self.real / "sub").mkdir(parents=True)
        for seed in range(8):
            make_picture(seed, (20, 16)).save(self.real / ("sub" if seed > 5 else ".") / f"{seed}.png")
        self.link.symlink_to(self.real)
        self.encoder = TilesEncoder()
        self.gallery = self.open(folder / "elsewhere" / "gallery")

    def open(self, location: Path) -> Gallery:
        space = Space("tiles", self.encoder.fingerprint, self.encoder.dim, self.encoder.metric, "tiles")
        return Gallery(open_store(location, create=space), self.encoder)

    def index(self, *paths: Path, exclude: tuple[str, ...] = (), dry_run: bool = False) -> Report:
        options = IndexOptions(workers=1, rules=Rules(exclude=exclude), dry_run=dry_run)
        return self.gallery.index(*paths, options=options)

    @property
    def names(self) -> list[str]:
        return [os.path.relpath(os.fsdecode(record.path), self.folder) for record in self.gallery.pictures()]

    @property
    def roots(self) -> list[str]:
        return [os.path.relpath(os.fsdecode(root.path), self.folder) for root in self.gallery.roots]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    assert house.gallery.verify() == []
    house.gallery.close()


class TestLinks:
    @pytest.mark.parametrize("first", ["real", "link", "real/sub", "link/sub"])
    @pytest.mark.parametrize("then", ["real", "link", "real/sub", "link/sub"])
    def test_a_folder_and_a_link_to_it_are_one_folder_in_any_order(self, house: House, first: str, then: str) -> None:
        house.index(house.folder / first)
        house.index(house.folder / then)
        assert len(house.names) == (2 if first.endswith("sub") and then.endswith("sub") else 8)
        assert len(house.roots) == 1
        assert house.encoder.encoded == len(house.names)
        report = house.index()
        assert (report.added, report.renamed, report.removed) == (0, 0, 0)

    def test_both_at_once_are_one_folder(self, house: House) -> None:
        assert house.index(house.link, house.real, house.link / "sub").added == 8
        assert len(house.roots) == 1

    def test_folders_side_by_side_meet_in_the_folder_around_them(self, house: House) -> None:
        (house.real / "other").mkdir()
        make_picture(50, (20, 16)).save(house.real / "other" / "x.png")
        house.index(house.link / "sub")
        house.index(house.real / "other")
        house.index(house.link)
        assert (len(house.names), house.roots) == (9, ["link"])
        assert house.encoder.encoded == 9

    def test_a_link_inside_a_folder_to_another_part_of_it_adds_nothing(self, house: House) -> None:
        (house.real / "again").symlink_to(house.real / "sub")
        house.index(house.real)
        assert house.index(house.real / "again").unchanged == 2
        assert (len(house.names), house.roots) == (8, ["real"])

    def test_a_link_out_of_a_folder_that_is_named_stays_when_the_folder_is_indexed(self, house: House) -> None:
        (house.folder / "album").mkdir()
        make_picture(60, (20, 16)).save(house.folder / "album" / "x.png")
        (house.real / "album").symlink_to(house.folder / "album")
        house.index(house.real)
        assert house.index(house.real / "album").added == 1
        assert house.index(house.real).removed == 0
        assert house.index().unchanged == 9

    def test_a_gallery_that_an_older_version_doubled_is_brought_together(self, house: House) -> None:
        house.index(house.real)
        store = house.gallery.store
        with store.writing():
            twice = [record._replace(path=record.path.replace(b"/real/", b"/link/"), id=0) for record in store.scan()]
            store.put(twice, {})
            store.set_roots({os.fsencode(path): {} for path in (house.real, house.link)})
        assert len(house.names) == 16
        assert house.index().unchanged == 8
        assert (len(house.names), len(house.roots)) == (8, 1)
        assert house.encoder.encoded == 8

    def test_the_folder_of_the_gallery_has_one_name(self, house: House) -> None:
        house.gallery.close()
        house.gallery = house.open(house.real / ".lookalike")
        house.index(house.link)
        assert house.roots == ["real"]
        assert canonical_path(house.link / "new.png", house.gallery.store) == os.fsencode(house.real / "new.png")

    def test_all_that_take_a_path_take_either_name(self, house: House) -> None:
        (house.real / "bad.png").write_bytes(b"no picture")
        house.index(house.real)
        assert house.link / "3.png" in house.gallery
        assert house.gallery.knows(os.fsencode(house.link / "bad.png"))
        assert len(house.gallery.retry(house.link).skipped) == 1
        assert house.gallery.remove(house.link / "3.png") == 1
        assert house.gallery.relocate(house.link / "sub", house.link / "moved") == 2
        assert "real/moved/6.png" in house.names
        assert house.gallery.remove(house.link) == 8
        assert house.gallery.roots == []

    def test_a_link_to_a_picture_stays_a_link(self, house: House) -> None:
        (house.folder / "3.png").symlink_to(house.real / "3.png")
        house.index(house.real)
        path = canonical_path(house.folder / "3.png", house.gallery.store)
        assert path == os.fsencode(house.folder / "3.png")

    def test_a_new_folder_keeps_the_name_that_it_was_given(self, house: House) -> None:
        house.index(house.link)
        assert house.names[0] == "link/0.png"

    def test_a_wrong_name_makes_nothing(self, house: House) -> None:
        house.index(house.real)
        before = house.names, house.roots, house.gallery.store.generation
        for wrong in (house.index, house.gallery.remove, house.gallery.retry):
            with pytest.raises(UsageError, match="nowhere"):
                wrong(house.link / "nowhere")
        with pytest.raises(UsageError, match="nowhere"):
            house.gallery.relocate(house.link / "nowhere", house.folder)
        assert (house.names, house.roots, house.gallery.store.generation) == before


class TestRules:
    def test_a_folder_inside_a_known_one_keeps_rules_of_its_own(self, house: House) -> None:
        house.index(house.real)
        assert house.index(house.real / "sub", exclude=("6.png",)).removed == 1
        report = house.index()
        assert (report.added, report.unchanged, report.removed) == (0, 7, 0)
        assert house.roots == ["real", "real/sub"]
        assert house.index(house.real / "sub").added == 1
        assert house.roots == ["real"]

    def test_naming_the_folder_around_it_replaces_them(self, house: House) -> None:
        house.index(house.real)
        house.index(house.real / "sub", exclude=("6.png",))
        assert house.index(house.real).added == 1
        assert house.roots == ["real"]

    def keep(self, house: House, *paths: Path) -> Report:
        """Index as `lookalike index` does without --exclude: the rules of before stay."""
        return house.gallery.index(*paths, options=IndexOptions(workers=1))

    def test_rules_stay_until_others_are_given(self, house: House) -> None:
        house.index(house.real)
        house.index(house.real / "sub", exclude=("6.png",))
        for paths in ([], [house.real], [house.real / "sub"], [house.link], [house.real, house.real / "sub"]):
            assert self.keep(house, *paths).added == 0
            assert (len(house.names), house.roots) == (7, ["real", "real/sub"])
        assert house.index(house.real / "sub", exclude=("7.png",)).excluded == 1
        assert self.keep(house).excluded == 1
        assert house.names[-1] == "real/sub/6.png"
        assert house.index(house.real / "sub").added == 1
        assert house.roots == ["real"]

    def test_rules_of_the_folder_around_it_hold_inside_as_well(self, house: House) -> None:
        house.index(house.real, exclude=("sub/6.png", "0.png"))
        assert len(house.names) == 6
        for path in (house.real / "sub", house.real, house.link / "sub"):
            assert self.keep(house, path).added == 0
            assert (len(house.names), house.roots) == (6, ["real"])

    def test_other_rules_for_the_folder_around_it_leave_its_own(self, house: House) -> None:
        house.index(house.real)
        house.index(house.real / "sub", exclude=("6.png",))
        assert house.index(house.real, exclude=("0.png",)).removed == 1
        assert (len(house.names), house.roots) == (6, ["real", "real/sub"])

    def test_new_rules_for_the_folder_around_it_hold_in_one_that_has_none(self, house: House) -> None:
        house.index(house.real / "sub")
        house.index(house.real, exclude=("7.png",))
        assert (len(house.names), house.roots) == (7, ["real"])

    def test_an_excluded_folder_that_is_named_comes_in_and_stays(self, house: House) -> None:
        house.index(house.real, exclude=("sub",))
        assert len(house.names) == 6
        assert self.keep(house, house.real / "sub").added == 2
        assert self.keep(house, house.real).removed == 0
        assert len(house.names) == 8

    def test_a_folder_around_a_known_one_keeps_the_rules_inside(self, house: House) -> None:
        house.index(house.real, exclude=("0.png",))
        self.keep(house, house.folder)
        assert "real/0.png" not in house.names
        assert "real" in house.roots

    def test_a_hidden_folder_that_was_named_stays_when_the_one_around_it_is_indexed(self, house: House) -> None:
        (house.real / ".private").mkdir()
        make_picture(50, (20, 16)).save(house.real / ".private" / "x.png")
        house.index(house.real / ".private")
        assert house.index(house.real, dry_run=True).removed == 0
        report = house.index(house.real)
        assert (report.added, report.unchanged, report.removed) == (8, 1, 0)
        assert house.roots == ["real", "real/.private"]
        assert house.index().unchanged == 9
        assert house.gallery.remove(house.real / ".private") == 1
        assert house.roots == ["real"]

    def test_one_that_is_unplugged_keeps_its_pictures(self, house: House) -> None:
        house.index(house.real)
        house.index(house.real / "sub", exclude=("*.gif",))
        (house.real / "sub").rename(house.folder / "away")
        report = house.index()
        assert (report.missing, report.removed) == ([house.real / "sub"], 0)


class TestMoved:
    def pair(self, house: House, old: str, new: str) -> list[tuple[Path, Path]]:
        return [(house.folder / old, house.folder / new)]

    def test_a_renamed_folder_is_recognized_and_left_alone(self, house: House) -> None:
        house.index(house.real)
        house.real.rename(house.folder / "holiday")
        report = house.index()
        assert report.moved == self.pair(house, "real", "holiday")
        assert (report.missing, len(house.names)) == ([house.real], 8)
        assert house.names[0] == "real/0.png"
        ((old, new),) = report.moved
        assert house.gallery.relocate(old, new) == 8
        report = house.index()
        assert (report.unchanged, report.missing, report.moved) == (8, [], [])

    def test_a_renamed_folder_above_it_is_recognized(self, house: House) -> None:
        house.index(house.real / "sub")
        house.real.rename(house.folder / "disk2")
        assert house.index().moved == self.pair(house, "real/sub", "disk2/sub")

    def test_one_that_moved_into_another_known_folder_is_recognized(self, house: House) -> None:
        (house.folder / "all" / "x").mkdir(parents=True)
        make_picture(50, (20, 16)).save(house.folder / "all" / "50.png")
        house.index(house.real, house.folder / "all")
        house.real.rename(house.folder / "all" / "x" / "real")
        (house.folder / "all" / "x" / "real").rename(house.folder / "all" / "holiday")
        report = house.index()
        assert report.moved == self.pair(house, "real", "all/holiday")
        assert house.gallery.relocate(*report.moved[0]) == 8  # also now that it was indexed in its new place
        assert (len(house.names), house.roots) == (9, ["all"])
        assert house.index().unchanged == 9

    def test_indexing_the_new_name_first_can_still_be_mended(self, house: House) -> None:
        house.index(house.real)
        house.real.rename(house.folder / "holiday")
        house.index(house.folder / "holiday")
        assert len(house.names) == 16
        assert house.encoder.encoded == 8
        ((old, new),) = house.index().moved
        assert house.gallery.relocate(old, new, dry_run=True) == 8
        assert house.gallery.relocate(old, new) == 8
        assert (len(house.names), house.roots) == (8, ["holiday"])

    def test_a_folder_with_other_files_of_those_names_is_not_it(self, house: House) -> None:
        house.index(house.real)
        house.real.rename(house.folder / "away")
        shutil.move(house.folder / "away", house.folder / "elsewhere" / "deep")
        (house.folder / "other").mkdir()
        for seed in range(8):
            (house.folder / "other" / f"{seed}.png").write_bytes(b"x")
        assert house.index().moved == []

    def test_a_gallery_that_moved_with_its_pictures_needs_nothing(self, house: House) -> None:
        house.gallery.close()
        house.link.unlink()
        with house.open(house.real / ".lookalike") as gallery:
            gallery.index(house.real, options=IndexOptions(workers=1))
        house.real.rename(house.folder / "holiday")
        house.gallery = house.open(house.folder / "holiday" / ".lookalike")
        report = house.index()
        assert (report.unchanged, report.missing, report.moved) == (8, [], [])
