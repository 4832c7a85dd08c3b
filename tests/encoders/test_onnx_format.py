"""Our reading and writing of ONNX files, against the format's own library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lookalike.encoders.onnx_format import parse_model
from lookalike.encoders.onnx_graph import FLOAT, IMAGES, Graph
from lookalike.encoders.untrusted import check_model
from lookalike.errors import EncoderError, UntrustedModel
from tests.pairs import model, text_model


def written() -> bytes:
    """A graph with every kind of constant and of setting."""
    graph = Graph()
    value = graph.add("Transpose", graph.add("Cast", IMAGES, to=FLOAT), perm=[0, 3, 1, 2])
    kernel = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)
    value = graph.add("LeakyRelu", graph.add("Conv", value, kernel, auto_pad="SAME_UPPER"), alpha=0.25)
    value = graph.add("ReduceSum", value, np.array([2, 3], np.int64), keepdims=0)
    return graph.model("test", graph.rename(graph.add("Mul", value, 0.5), "out"), size="side", dim=1)


def test_what_is_written_is_what_the_formats_own_library_reads() -> None:
    proto = ModelProto.FromString(written())
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == [
        *("Cast", "Transpose", "Conv", "LeakyRelu", "ReduceSum", "Mul")
    ]
    settings_of = {
        node.op_type: {a.name: helper.get_attribute_value(a) for a in node.attribute} for node in proto.graph.node
    }
    assert settings_of["Transpose"] == {"perm": [0, 3, 1, 2]}
    assert settings_of["Conv"] == {"auto_pad": b"SAME_UPPER"}
    assert settings_of["LeakyRelu"] == {"alpha": 0.25}
    kernel, axes, half = map(numpy_helper.to_array, proto.graph.initializer)
    assert [c.tolist() for c in (kernel, axes, half)] == [[[[[0]], [[1]], [[2]]]], [2, 3], 0.5]
    sides = [side.dim_param or side.dim_value for side in proto.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["n", "side", "side", 3]
    assert [output.name for output in proto.graph.output] == ["out"]


def test_what_the_library_writes_is_read_and_written_again_without_a_change() -> None:
    content = text_model()
    assert parse_model(content).SerializeToString(deterministic=True) == content


def external(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.array([1.0], np.float32), name)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def test_a_file_named_anywhere_in_a_model_is_refused() -> None:
    plain = numpy_helper.from_array(np.array([0], np.int64), "where")
    sparse = helper.make_sparse_tensor(external("w"), plain, [4])
    constants = [
        helper.make_attribute("value", external("w")),
        helper.make_attribute("tensors", [external("w")]),
        helper.make_attribute("sparse_value", sparse),
        helper.make_attribute("sparse", [sparse]),
    ]
    node = helper.make_node("Constant", [], ["y"])
    models = []
    for constant in constants:
        proto = ModelProto.FromString(model([node], []))
        proto.graph.node[0].attribute.append(constant)
        models.append(proto)
    models.append(ModelProto.FromString(model([node], [])))
    models[-1].graph.sparse_initializer.append(sparse)
    models.append(ModelProto.FromString(model([node], [])))
    models[-1].graph.initializer.append(external("w"))
    for proto in models:
        with pytest.raises(UntrustedModel, match="keeps weights in other files"):
            check_model(proto.SerializeToString(), Path("model.onnx"))


def test_a_second_graph_behind_the_first_is_looked_into_as_onnx_runtime_joins_them() -> None:
    harmless = model([helper.make_node("Identity", ["x"], ["y"])], [])
    loop = model([helper.make_node("Loop", [], ["z"])], [])
    with pytest.raises(UntrustedModel, match="control flow"):
        check_model(harmless + loop, Path("model.onnx"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_any_damage_is_an_error_or_a_model(at: int, damage: bytes) -> None:
    content = text_model()
    at %= len(content)
    content = content[:at] + damage + content[at + len(damage) :]
    try:
        check_model(content, Path("model.onnx"))
    except EncoderError as error:
        assert "model.onnx" in str(error)  # noqa: PT017
