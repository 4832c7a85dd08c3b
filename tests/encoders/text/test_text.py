"""Text encoders and their tokenizers, good and evil, built here."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from lookalike import load_encoder
from lookalike.encoders.onnx import OnnxEncoder
from lookalike.encoders.text.tokens import Frame, Tokens, tokenize
from lookalike.encoders.untrusted import load_text
from lookalike.errors import EncoderError, MissingExtra, UntrustedModel, UsageError, how_to_install
from tests.pairs import model, text_model, tokenizer, write_pair

if TYPE_CHECKING:
    from pathlib import Path

FREE = Frame(None, None, is_full=False)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write_pair(tmp_path / "pair")


def embeddings(pair: Path, *texts: str) -> np.ndarray:
    return load_text(pair, 3)(texts)


def graph(*nodes: Any, shape: tuple[str | int, ...] = ("n", "tokens"), **constants: Any) -> bytes:
    """A text model from int64 `t`, which stands as float32 `x`, to `y`."""
    given = helper.make_tensor_value_info("t", TensorProto.INT64, shape)
    return model([helper.make_node("Cast", ["t"], ["x"], to=TensorProto.FLOAT), *nodes], [given], constants)


class TestTextEncoders:
    def test_a_text_lies_where_the_pictures_lie_that_it_describes(self, pair: Path) -> None:
        encoder = load_encoder(pair)
        assert isinstance(encoder, OnnxEncoder)
        assert encoder.encode_texts is not None
        pictures = np.zeros((1, 8, 8, 3), np.uint8)
        pictures[..., :2] = 255
        texts = encoder.encode_texts(["yellow", "a RED boat"])
        np.testing.assert_allclose(texts, np.array([[1, 1, 0], [1 / 3, 0, 0]]), rtol=1e-6)
        np.testing.assert_allclose(encoder.encode(pictures), texts[:1])

    def test_the_fingerprint_is_that_of_the_image_encoder_alone(self, pair: Path) -> None:
        both = load_encoder(pair).fingerprint
        write_pair(pair, length=12)
        (pair / "tokenizer.json").unlink()
        (pair / "text.onnx").unlink()
        assert load_encoder(pair).fingerprint == both

    def test_a_model_of_another_name_has_no_text_encoder_beside_it(self, pair: Path) -> None:
        for ending in ("onnx", "json"):
            (pair / f"encoder.{ending}").rename(pair / f"mine.{ending}")
        encoder = load_encoder(pair / "mine.onnx")
        assert isinstance(encoder, OnnxEncoder)
        assert encoder.encode_texts is None

    def test_a_text_encoder_that_cannot_be_used_keeps_no_picture_from_being_encoded(self, pair: Path) -> None:
        (pair / "text.onnx").write_bytes(b"nonsense")
        encoder = load_encoder(pair)
        assert isinstance(encoder, OnnxEncoder)
        assert encoder.encode(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 3)
        assert encoder.encode_texts is not None
        with pytest.raises(EncoderError, match=r"text\.onnx is not an ONNX file"):
            encoder.encode_texts(["red"])

    @pytest.mark.parametrize(
        "made",
        [
            text_model(5), text_model(5, masked=False), text_model(kind=TensorProto.INT32), text_model(types=True),
            text_model(masked=False), text_model("n"),
        ],
    )  # fmt: skip
    def test_inputs_of_every_usual_kind_are_filled(self, pair: Path, made: bytes) -> None:
        write_pair(pair, made)
        (red, long) = embeddings(pair, "red", "blue red green red yellow white white white")
        assert red[0] > 0
        assert red[1] == red[2] == 0
        assert np.isfinite(long).all()

    def test_what_a_model_has_room_for_is_told_by_its_input_or_its_card(self, pair: Path) -> None:
        write_pair(pair, text_model(2))
        np.testing.assert_allclose(embeddings(pair, "red green blue"), [[0.5, 0.5, 0]])
        write_pair(pair, text_model())
        np.testing.assert_allclose(embeddings(pair, "red green blue"), [[1 / 3] * 3], rtol=1e-6)
        write_pair(pair, length=2)
        np.testing.assert_allclose(embeddings(pair, "red green blue"), [[0.5, 0.5, 0]])

    def test_a_text_is_filled_up_with_what_the_card_says(self, pair: Path) -> None:
        write_pair(pair, text_model(masked=False), length=4, pad=4)
        np.testing.assert_allclose(embeddings(pair, "red"), [[0.25, 0, 0.75]])

    def test_the_output_is_the_one_that_the_card_names(self, pair: Path) -> None:
        given = helper.make_tensor_value_info("t", TensorProto.INT64, ["n", 3])
        nodes = [
            helper.make_node("Cast", ["t"], ["all"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["all", "two"], ["pooled"]),
        ]
        made = model(nodes, [given], {"two": np.array(2, np.float32)}, ("all", "pooled"))
        np.testing.assert_allclose(embeddings(write_pair(pair, made, output="pooled"), "red"), [[4, 0, 0]])
        np.testing.assert_allclose(embeddings(write_pair(pair, made), "red"), [[2, 0, 0]])
        with pytest.raises(EncoderError, match="no output 'nothing', but all, pooled"):
            embeddings(write_pair(pair, made, output="nothing"), "red")


class TestTextEncodersThatAreRefused:
    """As image encoders are: rows 40 to 43 of what Lookalike promises."""

    @pytest.mark.parametrize(
        ("made", "why"),
        [
            (b"", "no numbers|cannot be loaded|no output|no graph|text encoder"),
            (text_model()[:-30], r"text\.onnx is not an ONNX file"),
            (graph(helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])), "1 dimensions, but its image encoder"),
            (graph(helper.make_node("Identity", ["x"], ["y"]), shape=("n", 8, 2)), "not take tokens, a mask and types"),
            (graph(helper.make_node("Identity", ["x"], ["y"]), shape=("n", 9999)), "takes 9999 tokens"),
            (graph(helper.make_node("Unsqueeze", ["x", "one"], ["y"]), one=np.array([1])), r"of the shape \(1, 1, 8\)"),
            (graph(helper.make_node("Div", ["x", "x"], ["y"])), "not finite"),
            (graph(helper.make_node("RandomNormalLike", ["x"], ["y"])), "not repeatable"),
            (graph(helper.make_node("Run", ["x"], ["y"], domain="com.evil")), r"operators of com\.evil"),
        ],
    )  # fmt: skip
    def test_what_is_no_text_tower_is_an_error_that_says_why(self, pair: Path, made: bytes, why: str) -> None:
        write_pair(pair, made)
        with pytest.raises(EncoderError, match=why):
            embeddings(pair, "red")

    def test_numbers_kept_in_another_file_are_refused(self, pair: Path) -> None:
        outside = numpy_helper.from_array(np.zeros((8, 3), np.float32), "w")
        outside.ClearField("raw_data")
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="../secret")
        constant = helper.make_node("Constant", [], ["w"], value=outside)
        write_pair(pair, graph(constant, helper.make_node("MatMul", ["x", "w"], ["y"])))
        with pytest.raises(UntrustedModel, match="other files"):
            embeddings(pair, "red")

    def test_one_that_takes_too_long_is_stopped(self, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lookalike.encoders.untrusted.trial.SECONDS", 6.0)
        side = np.array([3000, 3000])
        nodes = [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)]
        nodes += [helper.make_node("ConstantOfShape", ["side"], ["m"]), helper.make_node("Add", ["m", "sum"], ["p0"])]
        nodes += [helper.make_node("MatMul", [f"p{n}", f"p{n}"], [f"p{n + 1}"]) for n in range(3000)]
        nodes += [helper.make_node("ReduceMean", ["p3000"], ["last"]), helper.make_node("Add", ["x", "last"], ["y"])]
        write_pair(pair, graph(*nodes, side=side))
        with pytest.raises(EncoderError, match="colours took longer than 6 s"):
            embeddings(pair, "red")

    def test_numbers_that_are_only_finite_for_some_texts_are_refused_with_the_others(self, pair: Path) -> None:
        logarithm = [helper.make_node("Sub", ["two", "x"], ["z"]), helper.make_node("Log", ["z"], ["y"])]
        write_pair(pair, graph(*logarithm, shape=("n", 3), two=np.array(2, np.float32)))
        with pytest.raises(EncoderError, match="not finite"):
            embeddings(pair, "red")  # token 2; what it was tried with is 0

    @pytest.mark.parametrize(
        "text",
        [{"length": 0}, {"length": 10**6}, {"length": "many"}, {"length": True}, {"pad": -1}, {"pad": 2**31},
         {"output": 1}, {"lenght": 77}],
    )  # fmt: skip
    def test_a_card_with_a_number_out_of_range_is_refused(self, pair: Path, text: dict[str, Any]) -> None:
        with pytest.raises(EncoderError, match=r"encoder\.json"):
            embeddings(write_pair(pair, **text), "red")

    def test_a_card_that_contradicts_its_model_is_refused(self, pair: Path) -> None:
        with pytest.raises(EncoderError, match="takes 5 tokens; at most 7"):
            embeddings(write_pair(pair, text_model(5), length=7), "red")


class TestTokenizers:
    def test_a_text_is_cut_to_the_file_s_own_length_and_filled_up_to_it(self) -> None:
        made = tokenizer()
        made.enable_padding(length=4, pad_id=6)
        assert tokenize(made.to_str().encode(), ["red"], FREE) == [Tokens([2, 6, 6, 6], [1, 0, 0, 0])]
        made.no_padding()
        made.enable_truncation(2)
        assert tokenize(made.to_str().encode(), ["red blue red"], FREE) == [Tokens([2, 4], [1, 1])]

    def test_what_ends_a_text_is_never_cut_off(self) -> None:
        made = Tokenizer(BPE({"<s>": 0, "</s>": 1, "r": 2, "e": 3, "d": 4}, []))
        made.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
        (tokens,) = tokenize(made.to_str().encode(), ["red" * 50], Frame(6, None, is_full=True))
        assert tokens.ids == [0, 2, 3, 4, 2, 1]
        (tokens,) = tokenize(made.to_str().encode(), ["red"], Frame(8, 1, is_full=True))
        assert tokens == Tokens([0, 2, 3, 4, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0])

    def test_without_any_length_it_is_that_of_clip(self) -> None:
        (tokens,) = tokenize(tokenizer().to_str().encode(), ["red " * 100], FREE)
        assert tokens.ids == [2] * 77

    @pytest.mark.parametrize("frame", [FREE, Frame(5, 1, is_full=True)])
    def test_a_text_without_a_known_word_is_an_error(self, frame: Frame) -> None:
        letters = Tokenizer(BPE({"r": 0, "e": 1, "d": 2}, [])).to_str().encode()
        assert tokenize(letters, ["red"], frame)[0].ids[:3] == [0, 1, 2]
        with pytest.raises(UsageError, match="no word of 'つき'"):
            tokenize(letters, ["つき"], frame)

    def test_one_that_is_missing_is_named(self, pair: Path) -> None:
        (pair / "tokenizer.json").unlink()
        with pytest.raises(EncoderError, match=r"tokenizer\.json is missing"):
            embeddings(pair, "red")

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 1000, b'{"a":' * 100_000, b"{}", b"[1]"])
    def test_one_that_is_none_is_an_error(self, content: bytes) -> None:
        with pytest.raises(EncoderError, match="tokenizer cannot be used"):
            tokenize(content, ["red"], FREE)

    def test_no_cut_of_the_file_is_taken_for_a_whole_one(self) -> None:
        whole = tokenizer().to_str().encode()
        for length in range(1, len(whole), 61):
            with pytest.raises(EncoderError, match="tokenizer cannot be used"):
                tokenize(whole[:length], ["red"], FREE)

    def test_one_that_asks_for_all_memory_is_an_error_here_and_no_more(self) -> None:
        grow = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 1000}
        fields = json.loads(tokenizer().to_str()) | {"normalizer": {"type": "Sequence", "normalizers": [grow] * 5}}
        with pytest.raises(EncoderError, match="crashed the process"):
            tokenize(json.dumps(fields).encode(), ["red"], FREE)

    def test_an_expression_that_never_ends_is_an_error(self) -> None:
        split = {"type": "Split", "pattern": {"Regex": "^(a|a|aa)+$"}, "behavior": "Isolated", "invert": False}
        fields = json.loads(tokenizer().to_str()) | {"pre_tokenizer": split}
        with pytest.raises(EncoderError, match="tokenizer"):
            tokenize(json.dumps(fields).encode(), ["a" * 40 + "b"], FREE)

    def test_one_that_takes_too_long_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lookalike.encoders.text.tokens.SECONDS", 0.001)
        with pytest.raises(EncoderError, match=r"took longer than 0\.001 s"):
            tokenize(tokenizer().to_str().encode(), ["red"], FREE)

    @pytest.mark.parametrize("length", [-1, 10**12])
    def test_lengths_that_no_text_has_are_refused(self, length: int) -> None:
        padding: dict[str, Any] = {"strategy": {"Fixed": length}, "direction": "Right", "pad_to_multiple_of": None}
        padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
        fields = json.loads(tokenizer().to_str()) | {"padding": padding}
        with pytest.raises(EncoderError, match="tokenizer cannot be used"):
            tokenize(json.dumps(fields).encode(), ["red"], FREE)

    def test_one_that_is_too_large_is_not_read(self, pair: Path) -> None:
        os.truncate(pair / "tokenizer.json", 1 << 40)
        with pytest.raises(EncoderError, match="larger than 64 MiB"):
            embeddings(pair, "red")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
    def test_a_pipe_is_not_waited_for(self, pair: Path) -> None:
        for name in ("tokenizer.json", "text.onnx"):
            (pair / name).unlink()
            os.mkfifo(pair / name)
            with pytest.raises(EncoderError, match="is missing"):
                embeddings(pair, "red")

    def test_a_text_that_is_no_text_is_an_error(self) -> None:
        with pytest.raises(EncoderError, match="tokenizer"):
            tokenize(tokenizer().to_str().encode(), ["red \udcff"], FREE)

    def test_without_the_extra_it_says_what_to_install(self, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(MissingExtra) as raised:
            embeddings(pair, "red")
        assert raised.value.hint == how_to_install("lookalike[text]")
