"""A small but real pair of encoders: pictures by their mean colour, texts by the colours that they name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}
CARD = {"name": "colours", "size": 8, "trained_on": "nothing"}
WORDS = ["[PAD]", "[UNK]", *COLOURS]


def write_pair(folder: Path, tower: bytes | None = None, **text: Any) -> Path:
    """The folder of a pair, with this text encoder; `text` goes into its card."""
    folder.mkdir(parents=True, exist_ok=True)
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)
    pictures = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 8, 3])
    (folder / "encoder.onnx").write_bytes(model([mean], [pictures]))
    (folder / "encoder.json").write_text(json.dumps({**CARD, "text": text}))
    (folder / "text.onnx").write_bytes(text_model() if tower is None else tower)
    (folder / "tokenizer.json").write_text(tokenizer().to_str())
    return folder


def tokenizer() -> Tokenizer:
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = Lowercase(), Whitespace()
    return made


def text_model(
    tokens: int | str = "tokens", *, kind: int = TensorProto.INT64, masked: bool = True, types: bool = False
) -> bytes:
    """The mean of the tokens' rows; with a mask of those that it does not hide, else of all."""
    table = np.array([(0, 0, 0), (0, 0, 0), *COLOURS.values()], np.float32)
    inputs = [helper.make_tensor_value_info("input_ids", kind, ["n", tokens])]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    if types:
        inputs.append(helper.make_tensor_value_info("token_type_ids", kind, ["n", tokens]))
    if masked:
        inputs.append(helper.make_tensor_value_info("attention_mask", kind, ["n", tokens]))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["numbers", "last"], ["mask"]),
            helper.make_node("Mul", ["rows", "mask"], ["shown"]),
            helper.make_node("ReduceSum", ["shown", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["mask", "tokens"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["y"]),
        ]
    else:
        nodes.append(helper.make_node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0))
    constants = {"table": table, "last": np.array([2]), "tokens": np.array([1])}
    return model(nodes, inputs, constants)


def model(
    nodes: list[Any], inputs: list[Any], constants: dict[str, Any] | None = None, outputs: Sequence[Any] = ("y",)
) -> bytes:
    """A model that gives float32. outputs: names, or what is known of them."""
    made = [
        helper.make_tensor_value_info(output, TensorProto.FLOAT, None) if isinstance(output, str) else output
        for output in outputs
    ]
    kept = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "pair", inputs, made, kept)
    made_of = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made_of.SerializeToString())


def paint(folder: Path, count: int = 4) -> Path:
    """Pictures of each colour but for their noise, red-0.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name, colour in COLOURS.items():
        for number in range(count):
            pixels = np.array(colour) * 180 + rng.integers(0, 60, (32, 32, 3)) + rng.integers(0, 15, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}-{number}.png")
    return folder
