"""Adapting embeddings to one gallery."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.adaptation.projection import fit_projection


def _rows(count: int = 200, dim: int = 12) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Far from zero, and spread less in every next direction."""
    rng = np.random.default_rng(1)
    return (100 + rng.standard_normal((count, dim)) * np.arange(dim, 0, -1)).astype(np.float32)


def test_it_is_the_principal_component_analysis() -> None:
    rows = _rows()
    projection = fit_projection([rows], 12, 4)
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    assert projection.components.shape == (12, 4)
    assert np.abs(np.einsum("ij,ji->i", directions[:4], projection.components)) == pytest.approx(np.ones(4), abs=1e-4)
    assert projection.mean == pytest.approx(rows.mean(axis=0), abs=1e-3)
    assert projection.fitted_on == 200


def test_chunks_make_no_difference() -> None:
    rows = _rows()
    whole, parts = fit_projection([rows], 12, 4), fit_projection([rows[:0], rows[:7], rows[7:]], 12, 4)
    assert whole.components == pytest.approx(parts.components, abs=1e-4)
    assert parts.fitted_on == 200


def test_all_directions_keep_all_distances() -> None:
    rows = _rows(20)
    projected = fit_projection([rows], 12, 12).apply(rows)
    assert np.linalg.norm(projected[3] - projected[8]) == pytest.approx(np.linalg.norm(rows[3] - rows[8]), rel=1e-5)


@pytest.mark.parametrize(("count", "kept"), [(2, 1), (3, 2), (5, 4)])
def test_no_more_directions_are_kept_than_there_are(count: int, kept: int) -> None:
    assert fit_projection([_rows(count)], 12, 12).components.shape == (12, kept)


def test_little_spread_far_from_zero_is_found_all_the_same() -> None:
    rows = np.full((50, 6), 1000, np.float32)
    rows[::2, 2] += 0.01
    projection = fit_projection([rows], 6, 3)
    assert projection.components.shape == (6, 1)
    assert projection.components[:, 0].tolist() == pytest.approx([0, 0, 1, 0, 0, 0], abs=1e-3)


@pytest.mark.parametrize("rows", [_rows(0), _rows(1)], ids=["none", "one"])
def test_fewer_than_two_embeddings_are_refused(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    with pytest.raises(ValueError, match="two"):
        fit_projection([rows], 12, 4)


def test_embeddings_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="same"):
        fit_projection([np.repeat(_rows(1), 3000, axis=0)], 12, 4)


@pytest.mark.parametrize("dim", [48, 1280])
def test_equal_embeddings_are_projected_equally_wherever_they_stand(dim: int) -> None:
    rng = np.random.default_rng(dim)
    rows = rng.standard_normal((130, dim)).astype(np.float32)
    projection = fit_projection([rows], dim, 9)
    alone = projection.apply(rows[:1])[0]
    for count in (1, 2, 3, 17, 129):
        rows[:count] = rows[0]
        for projected in projection.apply(rows[: count + 1])[:count]:
            assert projected.tolist() == alone.tolist()
