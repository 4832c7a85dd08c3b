from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, View, load_encoder
from lookalike.encoders.hybrid import HybridEncoder, Part, balance, parse_hybrid, parts_of
from lookalike.errors import EncoderMismatch, UsageError
from lookalike.images.decode import fit
from lookalike.vectors.metric import distances, unit
from tests.encoders.test_onnx import means, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike import Hits

NAME = "hybrid:efficientnet-lite0=0.6+histogram=0.4"


def pictures(count: int, side: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in small])


def test_its_product_is_the_weighted_mean_of_its_parts_similarities() -> None:
    hybrid = load_encoder(NAME)
    images = pictures(4, hybrid.view.size)
    expected = np.zeros((4, 4))
    for name, share in (("efficientnet-lite0", 0.6), ("histogram", 0.4)):
        part = load_encoder(name)
        rows = unit(part.encode(np.stack([np.asarray(fit(Image.fromarray(image), part.view)) for image in images])))
        expected += share * rows @ rows.T
    rows = hybrid.encode(images)
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-5)
    assert hybrid.dim == rows.shape[1] == 1280 + 1440


def test_every_part_sees_the_view_it_sees_alone() -> None:
    assert load_encoder(NAME).view == View(256)
    assert load_encoder("hybrid:efficientnet-lite0+efficientnet-lite0-layers").view == View(224, 0.875)


def test_only_the_ratio_of_the_weights_counts() -> None:
    one, same = load_encoder(NAME), load_encoder("hybrid:efficientnet-lite0=3+histogram=2")
    assert same.fingerprint == one.fingerprint != load_encoder("hybrid:efficientnet-lite0+histogram").fingerprint
    assert [part.share for part in parts_of(one)] == [0.6, 0.4]
    assert parts_of(load_encoder("histogram")) == ()


def test_a_hybrid_may_have_hybrids_of_any_encoders_but_no_part_twice() -> None:
    assert parse_hybrid("hybrid:a+b=2+c.onnx=0.5") == [("a", 1), ("b", 2), ("c.onnx", 0.5)]
    assert parse_hybrid("histogram") == []
    for wrong in (
        "hybrid:",
        "hybrid:a",
        "hybrid:a+a",
        "hybrid:a+b=0",
        "hybrid:a+b=-1",
        "hybrid:a+b=x",
        "hybrid:a+b=nan",
    ):
        with pytest.raises(UsageError):
            parse_hybrid(wrong)


def test_weights_that_are_not_named_share_the_rest_as_they_did() -> None:
    parts = [Part("a", 3, 0.5), Part("b", 4, 0.3), Part("c", 5, 0.2)]
    shares = np.square(balance(parts, {"a": 0.2})) * [0.5, 0.3, 0.2]
    np.testing.assert_allclose(shares, [0.2, 0.48, 0.32])
    np.testing.assert_allclose(np.square(balance(parts, {"a": 2, "b": 1, "c": 1})) * [0.5, 0.3, 0.2], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(balance(parts, {}), 1)
    for wrong in ({"d": 0.1}, {"a": -0.1}, {"a": 0.7, "b": 0.4}, {"a": float("nan")}, {"a": 0, "b": 0, "c": 0}):
        with pytest.raises(UsageError):
            balance(parts, wrong)
    with pytest.raises(UsageError, match="hybrid"):
        balance([], {"a": 1})


BESIDE = 0.05 + 1e-6  # the share of the whole picture in the similarity


@pytest.fixture
def cheap(tmp_path: Path) -> str:
    """Colours beside a model of next to no cost: the means of eight columns, 24 numbers."""
    (tmp_path / "model").mkdir()
    return f"hybrid:{save(tmp_path / 'model', means([2]))}=0.6+histogram=0.4"


@pytest.fixture(params=["as it is", "adapted", "blended"])
def gallery(
    request: pytest.FixtureRequest, make_photos: Callable[..., Path], cheap: str, tmp_path: Path
) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", encoder=cheap, create=True) as made:
        made.index(make_photos(20 if request.param == "as it is" else 60))
        assert bool(made.info()["adapted_on"]) == (request.param != "as it is")
        if request.param == "blended":
            made.adapt(blend=True)
        yield made


def ranked(hits: Hits) -> dict[str, float]:
    return {hit.path.name: hit.distance for hit in hits}


def blocks(gallery: Gallery) -> list[np.ndarray]:
    """The rows of the store as they are compared, by their ids, part by part."""
    projection = gallery.store.projection
    stored = np.concatenate([rows for _, rows in gallery.store.embeddings()])
    rows = unit(projection.apply(stored) if projection else stored)
    ends = np.cumsum(projection.widths)[:2] if projection else [24, 24 + 1440]
    return np.split(rows, ends, axis=1)


def test_a_weight_moved_at_the_search_is_exact(gallery: Gallery, tmp_path: Path) -> None:
    query = tmp_path / "photos" / "007.jpg"
    ids = [int(id_) for some, _ in gallery.store.embeddings() for id_ in some]
    own = ids.index(next(item.id for item in gallery.pictures() if item.path.endswith(b"007.jpg")))
    for share in (0.0, 0.1, 0.4, 0.75, 1.0):
        hits = gallery.search(query, len(gallery), include_self=True, weights={"histogram": share})
        rest = 1 - BESIDE
        expected = sum(
            weight * distances(rows[own], rows, "cosine")
            for weight, rows in zip((rest * (1 - share), rest * share, BESIDE), blocks(gallery), strict=True)
        )
        np.testing.assert_allclose([hit.distance for hit in hits], np.sort(expected), atol=1e-3)
        assert (hits[0].path.name, hits[0].distance < 1e-12) == ("007.jpg", True)


def test_its_own_weights_change_nothing(gallery: Gallery, tmp_path: Path) -> None:
    query = tmp_path / "photos" / "003.jpg"
    plain, same = gallery.search(query, 9), gallery.search(query, 9, weights={"histogram": 0.4})
    np.testing.assert_allclose([hit.distance for hit in same], [hit.distance for hit in plain], atol=1e-6)
    assert [hit.path for hit in same] == [hit.path for hit in plain]


def test_a_part_with_all_the_weight_ranks_as_it_does_alone(
    make_photos: Callable[..., Path], cheap: str, tmp_path: Path
) -> None:
    photos = make_photos(60)
    with (
        Gallery.open(tmp_path / "both", encoder=cheap, create=True) as both,
        Gallery.open(tmp_path / "alone", encoder="histogram", create=True) as alone,
    ):
        for gallery in (both, alone):
            gallery.index(photos)
        for query in sorted(photos.iterdir())[:5]:
            first, second = both.search(query, 10, weights={"histogram": 1}), ranked(alone.search(query, 60))
            assert all(abs(hit.distance - second[hit.path.name]) < 2e-3 for hit in first)  # it is stored as float16


def test_model_files_of_a_hybrid_are_found_from_elsewhere(
    make_photos: Callable[..., Path], cheap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Gallery.open("g", encoder=cheap.replace(f"{tmp_path}/", ""), create=True) as gallery:
        gallery.index(make_photos(3))
    monkeypatch.chdir("/")
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.encoder.name == "hybrid:means+histogram"


def test_a_gallery_of_a_hybrid_is_opened_again_without_naming_it(
    make_photos: Callable[..., Path], cheap: str, tmp_path: Path
) -> None:
    photos = make_photos(60)
    with Gallery.open(tmp_path / "g", encoder=cheap, create=True) as gallery:
        gallery.index(photos)
        before = gallery.search(photos / "001.jpg", 5)
    with Gallery.open(tmp_path / "g") as gallery:
        assert isinstance(gallery.encoder, HybridEncoder)
        assert ranked(gallery.search(photos / "001.jpg", 5)) == ranked(before)
        assert gallery.verify() == []
    with pytest.raises(EncoderMismatch):
        Gallery.open(tmp_path / "g", encoder=cheap.replace("0.6", "0.7"))
