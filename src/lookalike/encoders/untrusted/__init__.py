"""Model files from anywhere: inspected before anything in them is run, then tried in another process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders import CARD, MODEL, TEXT, TOKENIZER
from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.onnx_format import is_external, list_nodes, list_tensors, parse_model
from lookalike.encoders.text import TextCard, TextEncoder
from lookalike.encoders.text.tokens import tokenize
from lookalike.encoders.untrusted.trial import try_in_child
from lookalike.errors import EncoderError, UntrustedModel
from lookalike.files import expands_home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders.onnx import EncodeTexts

__all__ = ["JSON_BYTES", "MODEL_BYTES", "MOST_BYTES", "check_model", "load_onnx", "load_text", "output_names"]

_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml"))
_CONTROL_FLOW = frozenset(("Loop", "If", "Scan", "SequenceMap"))
MODEL_BYTES = 2 << 30  # that one message of protobuf may have
JSON_BYTES = 1 << 20  # that a card or another description may have
# The largest size of each file of a model; the largest tokenizers in use, with 256,000 words, have 34 MB.
MOST_BYTES = {MODEL: MODEL_BYTES, CARD: JSON_BYTES, TEXT: MODEL_BYTES, TOKENIZER: 64 << 20}


@expands_home
def load_onnx(path: Path, *, again: bool = False) -> OnnxEncoder:
    """Load a model file with its card; the first time, or if `again`, it is tried in a child process.

    If there is a text encoder in the same folder, it is loaded at its first use. Raises EncoderError, UntrustedModel.
    """
    card = Card.read(path.with_suffix(".json"))
    model = _read_checked(path)
    dim = try_in_child(model, card, again=again)
    return OnnxEncoder(model, card, dim=dim, encode_texts=_find_text_encoder(path, dim))


@expands_home
def load_text(folder: Path, dim: int, *, again: bool = False) -> EncodeTexts:
    """Load the text encoder of the pair in a folder, whose image encoder has `dim` dimensions; tried as in `load_onnx`.

    Its tokenizer is first used by the first text. Raises EncoderError, UntrustedModel.
    """
    card = TextCard.read(folder / CARD)
    model = _read_checked(folder / TEXT)
    encoder = TextEncoder(model, card, dim=try_in_child(model, card, again=again))
    if encoder.dim != dim:
        raise EncoderError(
            f"the text encoder of {card.name} has {encoder.dim} dimensions, but its image encoder has {dim}"
        )
    tokenizer = _read_file(folder / TOKENIZER, MOST_BYTES[TOKENIZER])
    return lambda texts: np.stack([encoder.encode(tokens) for tokens in tokenize(tokenizer, texts, encoder.frame)])


def _find_text_encoder(path: Path, dim: int) -> EncodeTexts | None:
    """The text encoder in the same folder, loaded at its first use; None if the model is not part of a pair."""
    if path.name != MODEL or not path.with_name(TEXT).is_file():
        return None
    loaded = cache(load_text)

    def encode_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        return loaded(path.parent, dim)(texts)

    return encode_texts


def output_names(path: Path) -> list[str]:
    """The names of a model's outputs, without running anything in it. Raises EncoderError, UntrustedModel."""
    return [output.name for output in check_model(_read_file(path, MODEL_BYTES), path).graph.output]


def _read_checked(path: Path) -> bytes:
    model = _read_file(path, MODEL_BYTES)
    check_model(model, path)
    return model


def _read_file(path: Path, most: int) -> bytes:
    """The content of a regular file, not of a pipe or a device. Raises EncoderError."""
    try:
        if not path.is_file():
            raise EncoderError(f"the model is incomplete: {path} is missing")
        if path.stat().st_size > most:
            raise EncoderError(f"{path} is larger than {most >> 20:,} MiB, the most that such a file may have")
        return path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}") from None


def check_model(model: bytes, path: Path) -> Any:  # noqa: ANN401  (a message: ModelProto)
    """Parse a model and look for what only a program needs.

    Raises UntrustedModel for external files, control flow and operators outside the ONNX standard.
    """
    try:
        proto = parse_model(model)
    except Exception as error:  # noqa: BLE001  (protobuf raises classes of its own extension module)
        raise EncoderError(f"{path} is not an ONNX file: {error}") from None
    nodes = list_nodes(proto)
    own = {(function.domain, function.name) for function in proto.functions}
    for node in nodes:
        if node.op_type in _CONTROL_FLOW or any(a.HasField("g") or a.graphs for a in node.attribute):
            raise UntrustedModel(f"{path} has control flow ({node.op_type}), which could run for ever")
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise UntrustedModel(f"{path} uses operators of {node.domain}")
    if any(is_external(tensor) for tensor in list_tensors(proto)):
        raise UntrustedModel(f"{path} keeps weights in other files; only single-file models are accepted")
    return proto
