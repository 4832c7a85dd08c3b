"""How an encoder's embedding is divided: by a member of the encoder, and as one group without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.encoders import DEFAULT, EncoderGroup, encoder_names, load_encoder
from lookalike.encoders.composition import compose, composed_dim, divide
from lookalike.encoders.groups import groups_of
from lookalike.encoders.histogram import HistogramEncoder
from lookalike.errors import EncoderError
from lookalike.images import whole
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.encoders import Encoder


class Halves(HistogramEncoder):
    """An encoder of another package, which divides its embedding."""

    def __init__(self, groups: Sequence[EncoderGroup]) -> None:
        super().__init__()
        self.groups = groups


def test_an_encoder_that_does_not_divide_its_embedding_has_one_group() -> None:
    assert groups_of(HistogramEncoder()) == [EncoderGroup(1440, 1.0, 1.0)]


@pytest.mark.parametrize("name", [name for name in encoder_names() if "int8" in name or name == "histogram"])
def test_the_groups_of_every_encoder_make_its_embedding(name: str) -> None:
    encoder = load_encoder(name)
    assert sum(group.dim for group in groups_of(encoder)) == encoder.dim


def test_the_default_divides_features_from_earlier_stages() -> None:
    assert [group.dim for group in groups_of(load_encoder(DEFAULT))] == [1280, 624]


def test_a_gallery_divides_embeddings_by_the_groups_of_the_encoder() -> None:
    encoder: Encoder = Halves([EncoderGroup(1000, 0.8, 0.5), EncoderGroup(440, 0.2)])
    dim = composed_dim(encoder)
    assert [group.dim for group in divide(encoder, dim)][:2] == [1000, 440]
    rows = np.abs(np.random.default_rng(0).standard_normal((2, encoder.dim))).astype(np.float32)
    first, second, *_ = np.split(compose(encoder, rows, [bytes(whole.SIZE)] * 2, dim), [1000, 1440], axis=1)
    np.testing.assert_allclose(unit(first), unit(rows[:, :1000] ** 0.5), rtol=1e-5)
    np.testing.assert_allclose(unit(second), unit(rows[:, 1000:]), rtol=1e-5)
    lengths = np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    np.testing.assert_allclose(lengths, 2.0, rtol=1e-5)


@pytest.mark.parametrize("groups", [[], [EncoderGroup(1000)], [EncoderGroup(1440, 1.0), EncoderGroup(0, 0.0)]])
def test_groups_that_do_not_make_the_embedding_are_an_error_that_names_the_encoder(groups: list[EncoderGroup]) -> None:
    with pytest.raises(EncoderError, match=r"groups of the encoder histogram .* do not make 1440 dimensions"):
        groups_of(Halves(groups))


@pytest.mark.parametrize("shares", [(0.6, 0.6), (1.0, 0.0), (1.5, -0.5)])
def test_shares_that_are_not_positive_or_not_together_1_are_an_error(shares: tuple[float, float]) -> None:
    with pytest.raises(EncoderError, match="not positive or not together 1"):
        groups_of(Halves([EncoderGroup(720, share) for share in shares]))
