from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, load_encoder
from lookalike.errors import DatasetError, EncoderError, UntrustedModel, UsageError
from lookalike.training.original import Features, import_model, make_gallery, ordered_pictures, read_features
from tests.conftest import make_picture
from tests.training.original.keras2 import SMALL, write_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's own making


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_model(folder / "model.h5", SMALL)
    return import_model(folder / "model.h5", folder / "home").folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(9):
        folder = tmp_path / "photos" / ("b" if seed % 2 else "a")
        folder.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (16, 16)).save(folder / f"{seed}.png")
    return tmp_path / "photos"


def indexed(home: Path, photos: Path) -> Features:
    """What the described system would have kept of the pictures in their order."""
    pixels = [np.asarray(make_picture(seed, (16, 16))) for seed in (0, 2, 4, 6, 8, 1, 3, 5, 7)]
    return Features(np.arange(9), load_encoder(home).encode(np.stack(pixels)))


def test_an_index_is_read_and_kept_as_arrays(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((4, 3), np.float32)
    for form in (rows.astype(np.float64), list(rows), rows.tolist(), rows):
        (tmp_path / "features.pkl").write_bytes(pickle.dumps({"indexes": [0, 1, 2, 3], "features": form}))
        found = read_features(tmp_path / "features.pkl")
        np.testing.assert_array_equal(found.embeddings, rows)
        assert found.embeddings.dtype == np.float32
    read_features(tmp_path / "features.pkl").save(tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz", allow_pickle=False) as saved:
        assert saved["indexes"].tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(saved["features"], rows)


@pytest.mark.parametrize(
    "found",
    [
        [],
        {},
        {"indexes": [0]},
        {"indexes": [0], "features": []},
        {"indexes": [0, 1], "features": [[1.0, 2.0]]},
        {"indexes": [0, 1], "features": [[1.0, 2.0], [1.0]]},
        {"indexes": [0.5], "features": [[1.0]]},
        {"indexes": ["a"], "features": [[1.0]]},
        {"indexes": [0], "features": [["a"]]},
        {"indexes": [0], "features": [[float("nan")]]},
        {"indexes": [1 << 80], "features": [[1.0]]},
        {"indexes": [0], "features": np.zeros((1, 2, 3))},
        {"indexes": [[0]], "features": [[1.0]]},
        {"indexes": [0], "features": {"a": 1.0}},
    ],
    ids=range(14),
)
def test_what_is_no_index_is_an_error_that_names_the_file(tmp_path: Path, found: Any) -> None:
    (tmp_path / "odd.pkl").write_bytes(pickle.dumps(found))
    with pytest.raises(EncoderError, match=r"odd\.pkl"):
        read_features(tmp_path / "odd.pkl")


def test_a_file_of_keras_3_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(EncoderError, match=r"model\.keras: it is a zip file"):
        read_features(tmp_path / "model.keras")


def test_an_index_that_asks_for_code_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "canary") + b"'\ntR.")
    with pytest.raises(UntrustedModel, match=r"evil\.pkl: the pickle asks for os\.system"):
        read_features(tmp_path / "evil.pkl")
    assert not (tmp_path / "canary").exists()


def test_a_gallery_is_made_where_every_picture_comes_to_its_embedding(home: Path, photos: Path, tmp_path: Path) -> None:
    features = indexed(home, photos)
    assert make_gallery(tmp_path / "gallery", home, features, ordered_pictures(photos)) == 9
    with Gallery.open(tmp_path / "gallery", encoder=home) as gallery:
        assert gallery.verify() == []
        hits = gallery.search(photos / "a" / "4.png", k=9, include_self=True)
        assert hits[0].path.name == "4.png"
        assert hits[0].distance == pytest.approx(0, abs=1e-3)
        report = gallery.index(photos)  # what was made is what indexing would have made
        assert (report.added, report.unchanged) == (0, 9)


def test_a_list_says_another_order_and_fewer_pictures(home: Path, photos: Path, tmp_path: Path) -> None:
    whole = indexed(home, photos)
    (tmp_path / "list.txt").write_text("b/7.png\r\na/0.png\n\na/8.png\n")
    rows = whole.embeddings[[8, 0, 4]]
    pictures = ordered_pictures(photos, tmp_path / "list.txt")
    assert make_gallery(tmp_path / "gallery", home, Features(np.arange(3), rows), pictures) == 3
    (tmp_path / "list.txt").write_text("a/0.png\nb/99.png\n")
    with pytest.raises(DatasetError, match=r"b/99\.png"):
        ordered_pictures(photos, tmp_path / "list.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        ordered_pictures(photos, tmp_path / "no list")


@pytest.mark.parametrize("wrong", ["another order", "one picture replaced", "noise", "another model"])
def test_an_embedding_of_another_picture_makes_no_gallery(home: Path, photos: Path, tmp_path: Path, wrong: str) -> None:
    features = indexed(home, photos)
    rows = features.embeddings.copy()
    if wrong == "another order":
        rows = rows[::-1]
    elif wrong == "one picture replaced":
        make_picture(77, (16, 16)).save(photos / "b" / "7.png")
    elif wrong == "noise":
        rows[-1] += rows[-1].max() / 2
    else:
        rows = rows * 2
    with pytest.raises(DatasetError, match="does not have the embedding at its index"):
        make_gallery(tmp_path / "gallery", home, Features(features.indexes, rows), ordered_pictures(photos))
    assert not (tmp_path / "gallery").exists()


def test_a_picture_that_cannot_be_read_cannot_be_verified(home: Path, photos: Path, tmp_path: Path) -> None:
    features = indexed(home, photos)
    (photos / "b" / "7.png").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"7\.png cannot be verified: not an image"):
        make_gallery(tmp_path / "gallery", home, features, ordered_pictures(photos))


def test_features_and_pictures_and_model_have_to_fit(home: Path, photos: Path, tmp_path: Path) -> None:
    features, pictures = indexed(home, photos), ordered_pictures(photos)
    with pytest.raises(DatasetError, match="names picture 8, but the list has only 5"):
        make_gallery(tmp_path / "gallery", home, features, pictures[:5])
    with pytest.raises(DatasetError, match="the list has only"):
        make_gallery(tmp_path / "gallery", home, Features(features.indexes - 1, features.embeddings), pictures)
    with pytest.raises(UsageError, match="5 dimensions are not from a model with 6"):
        make_gallery(tmp_path / "gallery", home, Features(features.indexes, features.embeddings[:, :5]), pictures)
    make_gallery(tmp_path / "gallery", home, features, pictures)
    with pytest.raises(UsageError, match="already"):
        make_gallery(tmp_path / "gallery", home, features, pictures)
