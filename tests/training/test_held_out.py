from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery
from lookalike.errors import TrainingError, UsageError
from lookalike.training import train
from lookalike.training.held_out import search_sample
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINEAR = vary(find_preset("linear"), {"size": "16", "latent_dim": "6", "epochs": "1", "batch_size": "8"})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(24):
        make_picture(seed, (20, 16)).save(folder / f"{seed:02}.png")
    return folder


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    return train(photos, tmp_path / "run", LINEAR).folder


@pytest.fixture
def gallery(photos: Path, run: Path, tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", encoder=run, create=True) as opened:
        opened.index(photos)
        yield opened


def held_out(run: Path) -> list[str]:
    rows = csv.DictReader((run / "split.csv").read_text().splitlines())
    return [row["file"] for row in rows if row["split"] == "test"]


def test_queries_are_held_out_and_no_hit_is(gallery: Gallery, run: Path) -> None:
    names = held_out(run)
    sample = search_sample(gallery, run, 4, k=18)
    assert (sample.kind, sample.missing, len(sample.answers)) == ("held out", 0, 4)
    for answer in sample.answers:
        assert names[answer.number] == answer.path.name
        assert [hit.rank for hit in answer.hits] == list(range(1, 19))  # all eighteen that were trained on
        assert not {hit.path.name for hit in answer.hits} & set(names)
        distances = [hit.distance for hit in answer.hits]
        assert distances == sorted(distances)
        assert distances[0] > 0


def test_a_seed_draws_the_same_and_another_draws_others(gallery: Gallery, run: Path) -> None:
    def numbers(seed: int) -> list[int]:
        return [answer.number for answer in search_sample(gallery, run, 2, seed=seed).answers]

    assert numbers(1) == numbers(1)
    assert len({tuple(numbers(seed)) for seed in range(8)}) > 3


def test_there_are_no_more_queries_than_pictures_held_out(gallery: Gallery, run: Path) -> None:
    assert [answer.number for answer in search_sample(gallery, run, 100).answers] == list(range(6))


def test_a_training_on_all_pictures_is_asked_with_some_of_them(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "00.png", photos / "a copy.png")
    run = train(photos, tmp_path / "all", vary(LINEAR, {"fraction": "1"})).folder
    with Gallery.open(tmp_path / "gallery", encoder=run, create=True) as gallery:
        gallery.index(photos)
        sample = search_sample(gallery, run, 30, k=30)
    assert (sample.kind, len(sample.answers)) == ("trained on", 24)
    for answer in sample.answers:  # neither itself nor its copy
        assert len(answer.hits) == (23 if answer.path.name in {"00.png", "a copy.png"} else 24)
        assert answer.hits[0].distance > 0


def test_pictures_that_were_moved_are_found_by_their_content(photos: Path, run: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "moved")
    with Gallery.open(tmp_path / "gallery", encoder=run, create=True) as gallery:
        gallery.index(tmp_path / "moved")
        sample = search_sample(gallery, run, 6)
    assert {answer.path.parent.name for answer in sample.answers} == {"moved"}


def test_held_out_pictures_need_not_be_in_the_gallery(photos: Path, run: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "gallery", encoder=run, create=True) as gallery:
        gallery.index(*(path for path in photos.iterdir() if path.name not in held_out(run)))
        assert len(search_sample(gallery, run, 6).answers) == 6


def test_pictures_that_are_gone_or_changed_are_counted_and_not_asked_with(gallery: Gallery, run: Path) -> None:
    first, second, *_ = held_out(run)
    (run.parent / "photos" / first).unlink()
    make_picture(77).save(run.parent / "photos" / second)
    sample = search_sample(gallery, run, 6)
    assert (sample.missing, len(sample.answers)) == (2, 4)
    assert [answer.number for answer in sample.answers] == [2, 3, 4, 5]


def test_a_gallery_of_nothing_but_held_out_pictures_has_nothing_to_find(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "gallery", encoder=run, create=True) as gallery:
        gallery.index(*(photos / name for name in held_out(run)))
        with pytest.raises(UsageError, match="nothing to find"):
            search_sample(gallery, run, 2)


def test_pictures_that_are_all_gone_are_an_error(gallery: Gallery, run: Path) -> None:
    shutil.rmtree(run.parent / "photos")
    with pytest.raises(UsageError, match="none of 6 pictures held out can be found"):
        search_sample(gallery, run, 2)


def test_a_folder_without_a_training_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no training"):
        search_sample(gallery, tmp_path, 2)
