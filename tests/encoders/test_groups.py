"""How an encoder's embedding is divided, by a member of the encoder or as one group, and how much each group counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.encoders import DEFAULT, EncoderGroup, encoder_names, load_encoder
from lookalike.encoders.composition import choose_shares, compose, composed_dim, divide
from lookalike.encoders.efficientnet.classifier import load_classifier, measure_confidence
from lookalike.encoders.groups import groups_of
from lookalike.encoders.histogram import HistogramEncoder
from lookalike.errors import EncoderError
from lookalike.images import whole
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder

    Rows = NDArray[np.float32]


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
    with pytest.raises(EncoderError, match=r"groups of the encoder histogram .* do not add up to 1440 dimensions"):
        groups_of(Halves(groups))


@pytest.mark.parametrize("shares", [(0.6, 0.6), (1.0, 0.0), (1.5, -0.5)])
def test_shares_that_are_not_positive_or_not_together_1_are_an_error(shares: tuple[float, float]) -> None:
    with pytest.raises(EncoderError, match="not positive, or do not add up to 1"):
        groups_of(Halves([EncoderGroup(720, share) for share in shares]))


def features_of(classes: Sequence[int], *, surely: bool) -> Rows:
    """Embeddings of the default that the network takes for these classes, or for none."""
    weights, _ = load_classifier()
    rng = np.random.default_rng(0)
    features = weights[list(classes)] if surely else np.abs(rng.standard_normal((len(classes), 1280)))
    return np.concatenate([unit(np.maximum(features, 0)), unit(np.ones((len(classes), 624)))], axis=1, dtype=np.float32)


def test_last_features_count_more_in_a_gallery_of_things_that_the_network_knows() -> None:
    encoder = load_encoder(DEFAULT)
    dim = composed_dim(encoder)
    usual = [group.share for group in divide(encoder, dim)]
    for surely in (True, False):
        rows = compose(encoder, features_of(range(0, 500, 50), surely=surely), [bytes(whole.SIZE)] * 10, dim)
        shares = choose_shares(encoder, rows)
        assert sum(shares) == pytest.approx(1)
        assert shares[2:] == usual[2:]
        assert shares[:2] == pytest.approx([0.9 * 0.95, 0.1 * 0.95] if surely else usual[:2], abs=1e-5)


def test_confidence_does_not_depend_on_the_length_of_features() -> None:
    features = features_of([1, 20, 300], surely=True)[:, :1280]
    assert measure_confidence(7 * features) == pytest.approx(measure_confidence(features), rel=1e-4)
    assert 0 < measure_confidence(features) <= 1


def test_an_encoder_that_chooses_nothing_keeps_its_shares() -> None:
    encoder = Halves([EncoderGroup(1000, 0.8, 0.5), EncoderGroup(440, 0.2)])
    rows = np.ones((3, composed_dim(encoder)), np.float32)
    assert choose_shares(encoder, rows) == [group.share for group in divide(encoder, rows.shape[1])]
    empty = np.empty((0, composed_dim(load_encoder(DEFAULT))), np.float32)
    assert choose_shares(load_encoder(DEFAULT), empty)[:2] == pytest.approx([0.57, 0.38], abs=1e-5)
