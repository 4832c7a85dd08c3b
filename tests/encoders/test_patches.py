"""Patches learned from generated pictures: textures at random places, in random colours."""

from __future__ import annotations

import csv
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from PIL import Image

from lookalike import load_encoder
from lookalike.encoders.histogram import HistogramEncoder
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.patches import VIEW, fit_patches, save_model
from lookalike.encoders.patches.dictionary import CONTRAST, Bank, Grain, learn_bank
from lookalike.encoders.patches.graph import EPSILON, build_graph, cell_weights
from lookalike.encoders.patches.projection import learn_projection
from lookalike.encoders.untrusted import check_model
from lookalike.errors import EncoderError
from lookalike.images.decode import fit
from lookalike.metrics import average_precision
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIDE = VIEW.size

pytestmark = pytest.mark.usefixtures("few_patches")


def texture(kind: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes of one of three directions, or finer ones, with any phase, any two colours, and noise.

    No kind is another mirrored: those are not to be told apart.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE]
    along = (rows, columns, rows + columns, 2 * rows)[kind]
    wave = (np.sin(along * 1.1 + rng.uniform(0, 6.3)) > 0)[..., None]
    first, second = rng.integers(0, 256, (2, 3))
    noisy = np.where(wave, first, second) + rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def textures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 4
    return np.stack([texture(int(kind), rng) for kind in kinds]), kinds


def mean_precision(gallery: np.ndarray, queries: np.ndarray, kinds: tuple[np.ndarray, np.ndarray]) -> float:
    order = np.argsort(-(unit(queries) @ unit(gallery).T), axis=1)
    return float(average_precision(kinds[0][order] == kinds[1][:, None]).mean())


@pytest.fixture(scope="module")
def learned(few_patches: None) -> tuple[bytes, Card]:
    return fit_patches(textures(60)[0], seed=3)


def answers_by_numpy(image: np.ndarray, bank: Bank) -> np.ndarray:
    """(side, side, atoms): straight from the definition, patch by patch."""
    grain = bank.grain
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (grain.patch,) * 2, axis=(0, 1))
    patches = windows[:: grain.stride, :: grain.stride].reshape(-1, 3 * grain.patch**2)
    centred = patches - patches.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST)
    answers = np.maximum(normal @ bank.filters.reshape(grain.atoms, -1).T - bank.offsets, 0)
    side = (SIDE - grain.patch) // grain.stride + 1
    return np.asarray(answers.reshape(side, side, -1))


def features_by_numpy(image: np.ndarray, banks: list[Bank]) -> np.ndarray:
    parts = []
    for bank in banks:
        answers = answers_by_numpy(image, bank)
        weights = cell_weights(len(answers)).astype(np.float64)
        cells = np.einsum("ijk,ia,jb->kab", answers, weights, weights)
        parts.append(np.sqrt(cells / (cells.sum(axis=0) + EPSILON)).ravel())
    return np.concatenate(parts)


def test_the_graph_is_what_the_definition_says() -> None:
    pictures, _ = textures(30)
    banks = [
        learn_bank(pictures, grain, np.random.default_rng(0)) for grain in (Grain(6, 1, 20, 1), Grain(9, 2, 12, 1))
    ]
    expected = np.stack([features_by_numpy(picture, banks) for picture in pictures])
    card = Card("patches", VIEW)
    features = OnnxEncoder(build_graph(banks, SIDE), card).encode(pictures)
    np.testing.assert_allclose(features, expected, atol=2e-4)
    mean, directions = learn_projection(features, 8)
    projected = OnnxEncoder(build_graph(banks, SIDE, (mean, directions)), card).encode(pictures)
    np.testing.assert_allclose(projected, (expected - mean) @ directions, atol=1e-3)


def test_what_altered_pictures_differ_in_counts_for_little() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (200, 6)).astype(np.float32)
    twins = features + rng.normal(0, 1, (200, 1)).astype(np.float32) * np.eye(6, dtype=np.float32)[2]
    plain, wise = (learn_projection(features, 6, twins=other)[1] for other in (None, twins))
    weights = [np.square(directions).sum(axis=1) for directions in (plain, wise)]
    assert weights[1][2] < 0.5 * weights[0][2]
    assert weights[1][2] < 0.5 * weights[1].mean()
    np.testing.assert_allclose(learn_projection(features, 6, twins=features)[1], plain, atol=1e-5)


def test_the_same_pictures_and_seed_give_the_same_model(learned: tuple[bytes, Card]) -> None:
    assert fit_patches(textures(60)[0], seed=3) == learned
    assert fit_patches(textures(60)[0], seed=4)[0] != learned[0]


def test_textures_are_told_apart_without_labels_whatever_their_colours(learned: tuple[bytes, Card]) -> None:
    (pictures, kinds), (queries, wanted) = textures(60), textures(40, seed=1)
    encoder = OnnxEncoder(*learned)
    found = mean_precision(encoder.encode(pictures), encoder.encode(queries), (kinds, wanted))
    pixels = [batch.reshape(len(batch), -1) - np.float32(127.5) for batch in (pictures, queries)]
    histogram = HistogramEncoder()
    colours = [
        histogram.encode(np.stack([np.asarray(fit(Image.fromarray(p), histogram.view)) for p in batch]))
        for batch in (pictures, queries)
    ]
    assert found > 0.9
    assert found > mean_precision(pixels[0], pixels[1], (kinds, wanted)) + 0.3
    assert found > mean_precision(colours[0], colours[1], (kinds, wanted)) + 0.3


@pytest.mark.parametrize("pictures", [
    np.full((20, SIDE, SIDE, 3), 128, np.uint8),
    np.arange(20, dtype=np.uint8).repeat(SIDE * SIDE * 3).reshape(20, SIDE, SIDE, 3) * 12,
    np.repeat(textures(20)[0][..., :1], 3, axis=3),
    np.repeat(textures(1)[0], 20, axis=0),
    textures(2)[0],
], ids=["one grey", "flat", "no colours", "copies", "two"])  # fmt: skip
def test_poor_collections_give_finite_embeddings(pictures: np.ndarray) -> None:
    encoder = OnnxEncoder(*fit_patches(pictures))
    odd = np.stack([np.zeros_like(pictures[0]), np.full_like(pictures[0], 255), textures(1, seed=9)[0][0]])
    for batch in (pictures, odd):
        embeddings = encoder.encode(batch)
        assert np.isfinite(embeddings).all()
        assert np.abs(embeddings).max() < np.finfo(np.float16).max


def test_fewer_than_two_pictures_are_an_error() -> None:
    for pictures in ([], [textures(1)[0][0]]):
        with pytest.raises(EncoderError, match="at least two"):
            fit_patches(pictures)


def test_pictures_may_have_any_size_or_be_grey() -> None:
    rng = np.random.default_rng(0)
    sizes = [(5, 300, 3), (64, 64, 3), (100, 80), (1, 1, 3), (64, 64)]
    encoder = OnnxEncoder(*fit_patches([rng.integers(0, 256, size, np.uint8) for size in sizes]))
    assert np.isfinite(encoder.encode(textures(3)[0])).all()


def test_a_picture_has_the_same_embedding_alone_and_among_others(learned: tuple[bytes, Card]) -> None:
    encoder, (pictures, _) = OnnxEncoder(*learned), textures(7)
    alone = np.concatenate([encoder.encode(picture[None]) for picture in pictures])
    np.testing.assert_allclose(encoder.encode(pictures), alone, atol=1e-4)


def test_what_is_saved_is_loaded_as_the_same_encoder(learned: tuple[bytes, Card], tmp_path: Path) -> None:
    save_model(tmp_path / "new" / "patches", *learned)
    loaded, encoder = load_encoder(tmp_path / "new" / "patches"), OnnxEncoder(*learned)
    assert (loaded.name, loaded.view, loaded.dim, loaded.metric) == ("patches", VIEW, encoder.dim, "cosine")
    assert loaded.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(loaded.encode(textures(5)[0]), encoder.encode(textures(5)[0]))


def test_the_model_passes_the_check_for_foreign_ones(learned: tuple[bytes, Card], tmp_path: Path) -> None:
    check_model(learned[0], tmp_path)
    proto = onnx.ModelProto.FromString(learned[0])
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 17)]


def test_a_large_collection_is_sampled_and_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.encoders.reservoir.MOST", 20)
    seen = 0

    def many() -> Iterator[np.ndarray]:
        nonlocal seen
        few, _ = textures(10)
        for seen in range(1, 3001):
            yield few[seen % 10] ^ np.uint8(seen % 4)

    tracemalloc.start()
    fit_patches(many())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == 3000
    assert most < 300e6


def test_scenes_are_found_better_than_by_the_reference_recipe_of_its_size(scenes8: Path) -> None:
    """A small twin of the figures in docs/decisions.md: 400 gallery pictures, 100 others of the gallery as queries."""
    with (scenes8 / "mit_split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    chosen = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:500]]
    kinds = np.array([row["class"] for row in chosen])
    pictures = np.stack([np.asarray(fit(Image.open(scenes8 / row["file"]), VIEW)) for row in chosen])
    encoder = OnnxEncoder(*fit_patches(pictures[:400]))
    gallery, queries = encoder.encode(pictures[:400]), encoder.encode(pictures[400:])
    assert mean_precision(gallery, queries, (kinds[:400], kinds[400:])) > 0.45
