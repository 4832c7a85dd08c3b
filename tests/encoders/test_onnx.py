"""Model files of all kinds, good and evil, built here."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lookalike import View, load_encoder
from lookalike.encoders.onnx import Card
from lookalike.errors import EncoderError, UnknownEncoder, UntrustedModel

if TYPE_CHECKING:
    from pathlib import Path

CARD = {"name": "means", "size": 8, "mean": [0, 0, 0], "std": [255, 255, 255], "layout": "NHWC"}


def save(folder: Path, nodes: list[Any], constants: list[Any] | None = None, **card: Any) -> Path:
    """A model from float32 `x` (n, 8, 8, 3) to `y`, and its card."""
    shape: list[str | int | None] = ["n", 3, 8, 8] if card.get("layout") == "NCHW" else ["n", 8, 8, 3]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants or [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    (folder / "model.json").write_text(json.dumps({**CARD, **card}))
    return path


def means(axes: list[int]) -> list[Any]:
    return [helper.make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=0)]


@pytest.mark.parametrize(("layout", "axes"), [("NHWC", [1, 2]), ("NCHW", [2, 3])])
def test_a_model_with_a_card_is_an_encoder(tmp_path: Path, layout: str, axes: list[int]) -> None:
    encoder = load_encoder(save(tmp_path, means(axes), layout=layout))
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    picture[..., 1] = 255
    assert (encoder.name, encoder.dim, encoder.view) == ("means", 3, View(8, 1.0))
    np.testing.assert_allclose(encoder.encode(picture), [[0, 1, 0]])


def test_mean_and_std_are_in_units_of_a_pixel(tmp_path: Path) -> None:
    encoder = load_encoder(save(tmp_path, means([1, 2]), mean=[127, 127, 127], std=[128, 128, 128]))
    np.testing.assert_allclose(encoder.encode(np.full((1, 8, 8, 3), 255, np.uint8)), [[1, 1, 1]])


def test_another_scale_is_another_fingerprint(tmp_path: Path) -> None:
    first = load_encoder(save(tmp_path, means([1, 2]))).fingerprint
    assert load_encoder(save(tmp_path, means([1, 2]), std=[128, 128, 128])).fingerprint != first
    assert load_encoder(save(tmp_path, means([1, 2]), name="another name")).fingerprint == first


def test_a_fingerprint_is_what_it_was_in_the_first_galleries(tmp_path: Path) -> None:
    path = save(tmp_path, means([1, 2]))
    known = {"view": {"size": 8, "crop": 1.0}, "mean": [0.0] * 3, "std": [255.0] * 3, "layout": "NHWC"}
    known |= {"metric": "cosine", "model": hashlib.sha256(path.read_bytes()).hexdigest()}
    expected = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    assert load_encoder(path).fingerprint == expected


def test_a_card_may_name_the_output(tmp_path: Path) -> None:
    nodes = [*means([1, 2]), helper.make_node("Neg", ["y"], ["z"])]
    model = ModelProto.FromString(save(tmp_path, nodes).read_bytes())
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    white = np.full((1, 8, 8, 3), 255, np.uint8)
    fingerprints = set()
    for output, sign in (({}, 1), ({"output": "y"}, 1), ({"output": "z"}, -1)):
        (tmp_path / "model.json").write_text(json.dumps({**CARD, **output}))
        encoder = load_encoder(path)
        np.testing.assert_allclose(encoder.encode(white), [[sign] * 3])
        fingerprints.add(encoder.fingerprint)
    assert len(fingerprints) == 3
    (tmp_path / "model.json").write_text(json.dumps({**CARD, "output": "w"}))
    with pytest.raises(EncoderError, match="no output 'w', but y, z"):
        load_encoder(path)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("pooling", "expected"), [("mean", 0.5), ("max", 1.0), ("first", 0.25)])
def test_a_card_says_how_places_become_a_row(tmp_path: Path, layout: str, pooling: str, expected: float) -> None:
    places = save(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], layout=layout, pooling=pooling)
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    picture[:, :, 4:, 1] = 255
    picture[:, 0, 0, 1] = 64
    found = load_encoder(places).encode(picture)
    assert found.shape == (1, 3)
    np.testing.assert_allclose(found[0], [0, expected, 0], atol=0.005)


def test_without_pooling_all_numbers_are_kept(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Identity", ["x"], ["y"])])
    assert load_encoder(path).dim == 192
    pooled = load_encoder(save(tmp_path, means([1, 2]), pooling="mean"))
    assert pooled.dim == 3  # there is nothing left to pool


def test_a_model_for_one_picture_at_a_time_is_given_one_at_a_time(tmp_path: Path) -> None:
    model = ModelProto.FromString(save(tmp_path, means([1, 2])).read_bytes())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    found = load_encoder(tmp_path / "model.onnx").encode(pictures)
    np.testing.assert_allclose(found, pictures.mean(axis=(1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_model_that_mixes_its_pictures_is_an_error(tmp_path: Path, keepdims: int) -> None:
    mixed = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 1, 2], keepdims=keepdims)]
    with pytest.raises(EncoderError, match="not one row for each picture"):
        load_encoder(save(tmp_path, mixed)).encode(np.zeros((4, 8, 8, 3), np.uint8))


def test_a_card_reads_what_it_wrote(tmp_path: Path) -> None:
    card = Card("a", View(96, 0.5), (1, 2, 3), (4, 5, 6), "NCHW", "euclidean", "paintings")
    card.write(tmp_path / "card.json")
    assert Card.read(tmp_path / "card.json") == card


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0}, {"size": 10**6}, {"size": "big"}, {"crop": 0}, {"crop": 1.5}, {"std": [0, 1, 1]},
        {"std": [1, 1]}, {"mean": [float("nan")] * 3}, {"layout": "HWCN"}, {"metric": "manhattan"}, {"mean": None},
        {"pooling": "median"}, {"detail": 0.5}, {"detail": 100},
    ],
)  # fmt: skip
def test_a_card_with_a_number_out_of_range_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(EncoderError, match=r"model\.json"):
        load_encoder(save(tmp_path, means([1, 2]), **change))


def test_how_much_is_decoded_is_part_of_the_fingerprint_unless_it_is_as_ever(tmp_path: Path) -> None:
    plain = load_encoder(save(tmp_path, means([1, 2])))
    assert load_encoder(save(tmp_path, means([1, 2]), detail=2)).fingerprint == plain.fingerprint
    less = load_encoder(save(tmp_path, means([1, 2]), detail=1))
    assert (less.view.short_side, plain.view.short_side) == (8, 16)
    assert less.fingerprint != plain.fingerprint
    Card.read(tmp_path / "model.json").write(tmp_path / "again.json")
    assert Card.read(tmp_path / "again.json").view == less.view


def test_encoders_of_our_own_may_stand_beside_a_model(tmp_path: Path) -> None:
    alone = load_encoder(save(tmp_path, means([1, 2])))
    both = load_encoder(save(tmp_path, means([1, 2]), beside={"histogram": 0.25}))
    picture = np.random.default_rng(1).integers(0, 256, (1, both.view.size, both.view.size, 3), np.uint8)
    row = both.encode(picture)[0]
    assert both.dim == alone.dim + 1440
    assert np.square(row[alone.dim :]).sum() == pytest.approx(0.25, rel=1e-4)
    assert both.fingerprint != alone.fingerprint


@pytest.mark.parametrize(
    "beside", [{"histogram": 1.0}, {"histogram": -0.1}, {"histogram": 0.6, "efficientnet-lite0": 0.6}]
)
def test_shares_that_leave_nothing_for_the_model_are_refused(tmp_path: Path, beside: dict[str, float]) -> None:
    with pytest.raises(EncoderError, match="out of range"):
        load_encoder(save(tmp_path, means([1, 2]), beside=beside))


def test_a_card_loads_no_other_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="not a built-in encoder"):
        load_encoder(save(tmp_path, means([1, 2]), beside={"/somewhere/else.onnx": 0.5}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"name": "x"}'])
def test_a_card_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = save(tmp_path, means([1, 2]))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(EncoderError, match=r"model\.json"):
        load_encoder(path)


def test_a_model_without_a_card_says_which_file_is_missing(tmp_path: Path) -> None:
    path = save(tmp_path, means([1, 2]))
    (tmp_path / "model.json").unlink()
    with pytest.raises(EncoderError, match=r"model\.json is missing"):
        load_encoder(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 1000, b"\x08\x08\x12"])
def test_a_model_that_is_none_is_an_error_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = save(tmp_path, means([1, 2]))
    path.write_bytes(content)
    with pytest.raises(EncoderError, match="model"):
        load_encoder(path)


def test_a_truncated_model_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, means([1, 2]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EncoderError):
        load_encoder(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sub/../../secret", "weights.bin"])
def test_numbers_kept_in_another_file_are_refused(tmp_path: Path, location: str) -> None:
    outside = numpy_helper.from_array(np.zeros((3, 2), np.float32), "w")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value=location)
    nodes = [*means([1, 2]), helper.make_node("MatMul", ["y", "w"], ["z"])]
    with pytest.raises(UntrustedModel, match="other files"):
        load_encoder(save(tmp_path, nodes, [outside]))


def test_numbers_in_another_file_are_refused_inside_a_sparse_tensor_or_a_node_too(tmp_path: Path) -> None:
    outside = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret")
    constant = helper.make_node("Constant", [], ["w"], value=outside)
    with pytest.raises(UntrustedModel, match="other files"):
        load_encoder(save(tmp_path, [constant, *means([1, 2])]))


def test_a_loop_is_refused_wherever_it_is(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    count = numpy_helper.from_array(np.array(2**62), "count")
    yes = numpy_helper.from_array(np.array(True), "yes")
    loop = helper.make_node("Loop", ["count", "yes"], [], body=body)
    with pytest.raises(UntrustedModel, match="control flow"):
        load_encoder(save(tmp_path, [*means([1, 2]), loop], [count, yes]))


def test_an_operator_of_another_maker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UntrustedModel, match=r"operators of com\.evil"):
        load_encoder(save(tmp_path, [helper.make_node("Run", ["x"], ["y"], domain="com.evil")]))


def with_function(path: Path, *nodes: Any) -> Path:
    """The model with a function `own.Mean` of these nodes, from `a` to `b`."""
    model = ModelProto.FromString(path.read_bytes())
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Mean", ["a"], ["b"], list(nodes), opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    path.write_bytes(model.SerializeToString())
    return path


def test_a_function_that_a_model_brings_itself_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Mean", ["x"], ["y"], domain="own")])
    mean = helper.make_node("ReduceMean", ["a"], ["b"], axes=[1, 2], keepdims=0)
    assert load_encoder(with_function(path, mean)).dim == 3


def test_a_function_of_its_own_lets_no_operator_of_another_maker_in(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Mean", ["x"], ["y"], domain="own")])
    with pytest.raises(UntrustedModel, match=r"operators of com\.evil"):
        load_encoder(with_function(path, helper.make_node("Run", ["a"], ["b"], domain="com.evil")))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0)]
    nodes.append(helper.make_node("Div", ["m", "zero"], ["y"]))
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    with pytest.raises(EncoderError, match="not finite"):
        load_encoder(save(tmp_path, nodes, [zero]))


def test_numbers_that_differ_from_run_to_run_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["r"]), helper.make_node("ReduceMean", ["r"], ["y"], axes=[1])]
    with pytest.raises(EncoderError, match="not repeatable"):
        load_encoder(save(tmp_path, nodes))


def test_a_model_that_asks_for_more_memory_than_there_is_is_an_error(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([2**40], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    with pytest.raises(EncoderError):
        load_encoder(save(tmp_path, nodes, [shape]))


def test_a_model_for_pictures_of_another_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="means"):
        load_encoder(save(tmp_path, means([1, 2]), size=16))
