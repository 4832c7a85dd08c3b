"""Model files that may be anybody's: looked into before anything of them is run, then tried out in another process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders import CARD, MODEL, TEXT, TOKENIZER
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.text import TextCard, TextTower
from lookalike.encoders.text.tokens import tokenize
from lookalike.encoders.untrusted.trial import try_in_child
from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from lookalike.encoders.onnx import EncodeTexts

__all__ = ["JSON_BYTES", "MOST_BYTES", "check_model", "load_onnx", "load_text", "read_model"]

_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml"))
_CONTROL_FLOW = frozenset(("Loop", "If", "Scan", "SequenceMap"))
_PROTOBUF = 2 << 30  # what one message may have
JSON_BYTES = 1 << 20  # what a card or another description may have
# Bytes of each file of a model; the largest tokenizers in use, of 256,000 words, have 34 MB.
MOST_BYTES = {MODEL: _PROTOBUF, CARD: JSON_BYTES, TEXT: _PROTOBUF, TOKENIZER: 64 << 20}


def load_onnx(path: Path, *, again: bool = False) -> OnnxEncoder:
    """Load a model file with its card; the first time it is tried out in a process of its own, or `again`.

    The text tower that may lie beside it is loaded when it is first used. Raises EncoderError, UntrustedModel.
    """
    card = Card.read(path.with_suffix(".json"))
    model = _checked(path)
    dim = try_in_child(model, card, again=again)
    return OnnxEncoder(model, card, dim=dim, encode_texts=_beside(path, dim))


def load_text(home: Path, dim: int, *, again: bool = False) -> EncodeTexts:
    """Load the text tower of the pair in a folder, whose image tower gives `dim` numbers; tried out as in `load_onnx`.

    Its tokenizer is first used by the first text. Raises EncoderError, UntrustedModel.
    """
    card = TextCard.read(home / CARD)
    model = _checked(home / TEXT)
    tower = TextTower(model, card, dim=try_in_child(model, card, again=again))
    if tower.dim != dim:
        raise EncoderError(f"the text tower of {card.name} gives {tower.dim} numbers, its image tower {dim}")
    tokenizer = _content(home / TOKENIZER, MOST_BYTES[TOKENIZER])
    return lambda texts: np.stack([tower.encode(tokens) for tokens in tokenize(tokenizer, texts, tower.frame)])


def _beside(path: Path, dim: int) -> EncodeTexts | None:
    """The text tower of the pair that a model belongs to, by the names of the files in its folder; None if to none."""
    if path.name != MODEL or not path.with_name(TEXT).is_file():
        return None
    loaded = cache(load_text)

    def encode_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        return loaded(path.parent, dim)(texts)

    return encode_texts


def read_model(path: Path) -> ModelProto:
    """What a model file says; nothing of it is run. Raises EncoderError, UntrustedModel."""
    return check_model(_content(path, _PROTOBUF), path)


def _checked(path: Path) -> bytes:
    model = _content(path, _PROTOBUF)
    check_model(model, path)
    return model


def _content(path: Path, most: int) -> bytes:
    """The content of a file, no pipe and no device. Raises EncoderError."""
    try:
        if not path.is_file():
            raise EncoderError(f"the model is not whole: {path} is missing")
        if path.stat().st_size > most:
            raise EncoderError(f"{path} is larger than the {most >> 20:,} MiB that it may have")
        return path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}") from None


def check_model(model: bytes, path: Path) -> ModelProto:
    """What a model says of itself.

    Raises UntrustedModel for files outside the file, control flow and operators that are not ONNX's own.
    """
    from onnx import ModelProto, TensorProto  # noqa: PLC0415  (heavy, and only for files that are not ours)

    try:
        proto: ModelProto = ModelProto.FromString(model)
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises classes of its own extension module)
        raise EncoderError(f"{path} is no ONNX file: {error}") from None
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    own = {(function.domain, function.name) for function in proto.functions}
    for node in nodes:
        if node.op_type in _CONTROL_FLOW or any(a.HasField("g") or a.graphs for a in node.attribute):
            raise UntrustedModel(f"{path} has control flow ({node.op_type}), which could run for ever")
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise UntrustedModel(f"{path} uses operators of {node.domain}")
    tensors = [*proto.graph.initializer, *(a.t for node in nodes for a in node.attribute if a.HasField("t"))]
    if any(t.data_location == TensorProto.EXTERNAL or t.external_data for t in tensors):
        raise UntrustedModel(f"{path} keeps numbers in other files; only single-file models are taken")
    return proto
