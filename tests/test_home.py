"""`~` is the home folder wherever Python is given a path, and a path may be text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, IndexOptions, Query, find_gallery, training
from lookalike.datasets.labelled import load_labelled, read_split
from lookalike.datasets.labels import read_labels
from lookalike.errors import LookalikeError
from lookalike.evaluation.scaling import load_embeddings
from lookalike.files import expands_home, write_output
from lookalike.training.experiments import write_page
from lookalike.training.original import read_features
from lookalike.training.presets import find_preset, vary
from tests.conftest import make_picture, make_two_classes

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = IndexOptions(workers=1)


def test_every_method_of_a_gallery_takes_a_tilde(home: Path, make_photos: Callable[..., Path]) -> None:
    shutil.copytree(make_photos(6), home / "photos")
    with Gallery.open("~/photos/.lookalike", encoder="histogram", create=True, learn_from=["~/photos"]) as gallery:
        assert gallery.index("~/photos", options=ONE).added == 6
        assert len(gallery.search("~/photos/000.jpg", 2)) == 2
        assert len(gallery.search(Query.picture("~/photos/000.jpg"), 2)) == 2
        assert gallery.explain("~/photos/000.jpg", Path("~/photos/001.jpg")).distance > 0
        assert "~/photos/000.jpg" in gallery
        assert gallery.protects("~/photos/000.jpg")
        gallery.search("~/photos/000.jpg").montage().save("~/hits.png")
        gallery.export("~/copy.gallery")
        assert gallery.relocate("~/photos", "~/elsewhere", dry_run=True) == 6
        assert gallery.remove("~/photos/005.jpg") == 1
    assert find_gallery("~/photos") == home / "photos" / ".lookalike"
    assert Gallery.restore("~/copy.gallery", "~/restored") == 6
    assert {path.name for path in home.iterdir()} == {"photos", "hits.png", "copy.gallery", "restored"}
    assert list(Path.cwd().iterdir()) == []


def test_so_does_every_function_that_reads_a_collection(home: Path) -> None:
    make_two_classes(home / "set", 8)
    (home / "set.csv").write_text("file,class,split\na/01.png,a,train\nb/00.png,b,test\n")
    assert len(load_labelled(Path("~/set"))) == 8
    assert len(load_labelled("~/set")) == 8  # type: ignore[arg-type]
    assert set(read_labels(Path("~/set")).values()) == {"a", "b"}
    assert read_labels(Path("~/set.csv")) == {bytes(home / "a" / "01.png"): "a"}
    assert len(read_split(Path("~/set.csv"), folder=Path("~/set")).queries) == 1


def test_so_does_every_function_that_trains_or_reports(home: Path) -> None:
    make_two_classes(home / "set", 20)
    preset = vary(find_preset("linear"), {"size": "8", "latent_dim": "2", "batch_size": "4"})
    training.train(Path("~/set"), Path("~/run"), preset)
    assert (home / "run" / "encoder.onnx").exists()
    pictures = load_labelled(Path("~/set"))
    assert training.own_split(Path("~/run"), pictures).queries
    assert training.measure(Path("~/run"), Path("~/set")).ranked
    training.start_afresh(Path("~/run"))
    assert not (home / "run" / "encoder.onnx").exists()
    for missing in (
        lambda: write_page(Path("~/none"), Path("~/page.md")),
        lambda: read_features(Path("~/none.pkl")),
        lambda: load_embeddings(Path("~/none.npy"), 3),
    ):
        with pytest.raises(LookalikeError, match=str(home)):
            missing()
    assert list(Path.cwd().iterdir()) == []


def test_drawings_and_documents_are_written_into_the_home_folder(home: Path) -> None:
    with write_output(Path("~/a.png")) as part:
        make_picture(1).save(part)
    assert (home / "a.png").exists()


def test_only_arguments_that_are_paths_are_expanded(home: Path) -> None:
    @expands_home
    def combine(text: str, path: Path, other: Path | None = None, *, last: Path = Path("x")) -> list[object]:
        return [text, path, other, last]

    assert combine("~/a", Path("~/b")) == ["~/a", home / "b", None, Path("x")]
    assert combine(path="~/b", text="~", other="~/c", last="~") == ["~", home / "b", home / "c", home]  # type: ignore[arg-type]
