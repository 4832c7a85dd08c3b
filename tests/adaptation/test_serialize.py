"""Blends as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.adaptation.expansion import fit_blend
from lookalike.adaptation.serialize import pack_blends, unpack_blends


def test_they_come_back_as_they_were() -> None:
    rows = np.random.default_rng(1).normal(size=(90, 12)).astype(np.float32)
    one, other = fit_blend(rows, smoothed=5, whitened=12), fit_blend(rows, smoothed=12, whitened=3)
    shapes, content = pack_blends([one, None, other])
    assert shapes == ((90, 5, 12), None, (90, 12, 3))
    again = unpack_blends(content, shapes)
    assert again[1] is None
    for blend, wanted in ((again[0], one), (again[2], other)):
        assert blend is not None
        np.testing.assert_array_equal(blend.anchors, wanted.anchors)
        np.testing.assert_array_equal(blend.deviations, wanted.deviations)


def test_none_are_nothing() -> None:
    assert pack_blends([]) == ((), b"")
    assert unpack_blends(b"", ()) == ()
    assert unpack_blends(b"", (None,)) == (None,)


@pytest.mark.parametrize(
    ("content", "shapes"),
    [(bytes(15), ((1, 2, 2),)), (bytes(20), ((1, 2, 2),)), (bytes(16), ((-1, -2, 2),)), (bytes(16), ((4,),))],
    ids=["too little", "too much", "less than none", "no shape"],
)
def test_other_shapes_are_refused(content: bytes, shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpack_blends(content, shapes)
