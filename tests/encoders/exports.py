"""What other tools export, in Hugging Face's layout: small networks for colours, of pictures and named by texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from tests.pairs import model, text_model, tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SIDE = 8
PLAIN: dict[str, Any] = {"size": {"height": SIDE, "width": SIDE}, "do_normalize": False, "rescale_factor": 1 / 255}


def write_export(
    folder: Path, outputs: Sequence[str], *, kind: str = "", file: str = "onnx/model.onnx", **pictures: Any
) -> Path:
    """A network that gives these outputs; `pictures` is how they are cut and scaled, PLAIN otherwise."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(image_model(outputs))
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures or PLAIN))
    (folder / "config.json").write_text(json.dumps({"model_type": kind} if kind else {}))
    return folder


def write_pair_export(folder: Path, *, kind: str = "clip", output: str = "text_embeds", **texts: Any) -> Path:
    """An image encoder, a text encoder and a tokenizer. texts: the settings of the text encoder."""
    seen = "image_embeds" if kind == "clip" else "pooler_output"
    write_export(folder, [seen], kind=kind, file="onnx/vision_model.onnx")
    (folder / "onnx" / "text_model.onnx").write_bytes(renamed(text_model(), output))
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "text_config": texts}))
    (folder / "tokenizer.json").write_text(tokenizer().to_str())
    return folder


def image_model(outputs: Sequence[str]) -> bytes:
    """From pixel_values (n, 3, 8, 8) to the mean colour, as each output of these names has it.

    last_hidden_state: (n, 3, 3), the mean, then what is brighter and what is darker; maps: (n, 3, 8, 8), the pixels.
    """
    nodes = [helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0)]
    made = []
    for name in outputs:
        if name == "last_hidden_state":
            nodes += [
                helper.make_node("Unsqueeze", ["mean", "one"], ["first"]),
                helper.make_node("Add", ["first", "step"], ["second"]),
                helper.make_node("Sub", ["first", "twice"], ["third"]),
                helper.make_node("Concat", ["first", "second", "third"], [name], axis=1),
            ]
            made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 3]))
        elif name == "maps":
            nodes.append(helper.make_node("Identity", ["pixel_values"], ["last_hidden_state"]))
            made.append(helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", 3, SIDE, SIDE]))
        else:
            nodes.append(helper.make_node("Identity", ["mean"], [name]))
            made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]))
    pictures = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    constants = {"one": np.array([1]), "step": np.float32(0.3), "twice": np.float32(0.6)}
    return model(nodes, [pictures], constants, made)


def renamed(content: bytes, output: str) -> bytes:
    """A model with another name for its output."""
    proto = ModelProto.FromString(content)
    old = proto.graph.output[0].name
    proto.graph.output[0].name = output
    for node in proto.graph.node:
        node.output[:] = [output if name == old else name for name in node.output]
    return bytes(proto.SerializeToString())


def split(path: Path, changes: Mapping[str, str] | None = None, *, least: int = 0) -> None:
    """Move the weights of a model into a second file, as exporters do for large ones; `changes` falsify the entries."""
    proto, data = ModelProto.FromString(path.read_bytes()), path.with_name(f"{path.name}_data")
    with data.open("wb") as file:
        for tensor in proto.graph.initializer:
            if len(tensor.raw_data) > least:
                known = {"location": data.name, "offset": str(file.tell()), "length": str(len(tensor.raw_data))}
                file.write(tensor.raw_data)
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                for key, value in {**known, **(changes or {})}.items():
                    tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
