"""Models that pass every look at their nodes, and still ask for too much."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from onnx import helper, numpy_helper

from lookalike import load_encoder
from lookalike.errors import EncoderError
from tests.encoders.test_onnx import means, save


def endless(folder: Path) -> Path:
    """Products of large matrices, one after the other: hours."""
    ones = numpy_helper.from_array(np.array([3000, 3000], np.int64), "shape")
    nodes = [*means([1, 2]), helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes[0].output[0] = "mean"
    nodes.append(helper.make_node("ReduceSum", ["mean"], ["sum"], keepdims=0))
    nodes.append(helper.make_node("Add", ["m0", "sum"], ["p0"]))  # depends on the picture: not folded beforehand
    nodes += [helper.make_node("MatMul", [f"p{n}", f"p{n}"], [f"p{n + 1}"]) for n in range(3000)]
    nodes += [
        helper.make_node("ReduceMean", ["p3000"], ["last"], keepdims=0),
        helper.make_node("Add", ["mean", "last"], ["y"]),
    ]
    return save(folder, nodes, [ones])


def hungry(folder: Path) -> Path:
    """64 GiB that many a machine would promise."""
    shape = numpy_helper.from_array(np.array([1 << 34], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    return save(folder, nodes, [shape])


def test_a_model_that_takes_too_long_is_stopped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.encoders.untrusted.trial.SECONDS", 8.0)
    start = time.monotonic()
    with pytest.raises(EncoderError, match="means took longer than 8 s"):
        load_encoder(endless(tmp_path))
    assert time.monotonic() - start < 60


def test_a_model_that_takes_too_much_memory_is_an_error_here_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(EncoderError):
        load_encoder(hungry(tmp_path))


def test_a_model_is_tried_once_and_again_when_it_or_its_card_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Path(platformdirs.user_cache_dir("lookalike")) / "checked"
    model = save(tmp_path, means([1, 2]), name="only once")
    before = set(kept.iterdir()) if kept.exists() else set()
    load_encoder(model)
    (new,) = set(kept.iterdir()) - before
    assert json.loads(new.read_text()) == {"dim": 3}
    with monkeypatch.context() as patch:
        patch.setattr("lookalike.encoders.untrusted.trial._try", lambda model, card: pytest.fail("tried again"))
        assert load_encoder(model).dim == 3
    new.write_text("nonsense")
    assert load_encoder(model).dim == 3
    load_encoder(save(tmp_path, means([1]), name="only once"))
    assert len(set(kept.iterdir()) - before) == 2


def test_where_nothing_can_be_kept_it_is_tried_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_encoder(save(tmp_path, means([1, 2]))).dim == 3
