"""What every encoder of the table must do; a new one is found here by itself."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from lookalike import Encoder, encoder_names, load_encoder
from lookalike.errors import UnknownEncoder

HEAVY = {"tensorflow", "torch", "keras", "matplotlib", "ray", "sklearn", "pandas"}


@pytest.fixture(scope="module", params=encoder_names())
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return load_encoder(request.param)


def pictures(encoder: Encoder, count: int) -> np.ndarray:
    side = encoder.view.size
    rng = np.random.default_rng(1)
    return np.repeat(np.repeat(rng.integers(0, 256, (count, 8, 8, 3), np.uint8), side // 8 + 1, 1), side // 8 + 1, 2)[
        :, :side, :side
    ]


def test_embeddings_are_finite_float32_rows_of_its_dimension(encoder: Encoder) -> None:
    embeddings = encoder.encode(pictures(encoder, 3))
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (3, encoder.dim)
    assert np.isfinite(embeddings).all()


def test_embeddings_fit_into_float16(encoder: Encoder) -> None:
    assert np.abs(encoder.encode(pictures(encoder, 3))).max() < np.finfo(np.float16).max


def test_a_picture_has_the_same_embedding_alone_and_among_others(encoder: Encoder) -> None:
    many = pictures(encoder, 11)
    together = encoder.encode(many)
    alone = np.concatenate([encoder.encode(many[n : n + 1]) for n in range(len(many))])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_different_pictures_have_different_embeddings(encoder: Encoder) -> None:
    first, second = encoder.encode(pictures(encoder, 2))
    assert np.abs(first - second).max() > 1e-3


def test_no_pictures_give_no_embeddings(encoder: Encoder) -> None:
    side = encoder.view.size
    assert encoder.encode(np.empty((0, side, side, 3), np.uint8)).shape == (0, encoder.dim)


def test_the_input_is_left_as_it_was(encoder: Encoder) -> None:
    given = pictures(encoder, 2)
    given.flags.writeable = False
    before = given.copy()
    encoder.encode(given)
    np.testing.assert_array_equal(given, before)


def test_a_fingerprint_is_the_same_each_time_and_no_others(encoder: Encoder) -> None:
    assert load_encoder(encoder.name).fingerprint == encoder.fingerprint
    others = [load_encoder(name) for name in encoder_names() if name != encoder.name]
    assert encoder.fingerprint not in {other.fingerprint for other in others}


def test_loading_and_encoding_imports_nothing_heavy(encoder: Encoder) -> None:
    script = (
        "import sys, json, numpy, lookalike\n"
        f"encoder = lookalike.load_encoder({encoder.name!r})\n"
        "side = encoder.view.size\n"
        "encoder.encode(numpy.zeros((1, side, side, 3), numpy.uint8))\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not HEAVY & set(json.loads(done.stdout))


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownEncoder, match="unknown encoder 'nonsense'") as raised:
        load_encoder("nonsense")
    assert all(name in raised.value.hint for name in encoder_names())


def test_every_public_name_can_be_imported() -> None:
    package = importlib.import_module("lookalike")
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError):
        package.nonsense  # noqa: B018
