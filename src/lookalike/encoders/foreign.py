"""Model files that may be anybody's: looked into before anything of them is run, then tried out in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.trial import try_in_child
from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_model", "load_onnx"]

_CONTROL_FLOW = frozenset(("Loop", "If", "Scan", "SequenceMap"))
_MAX_BYTES = 2 << 30  # what one protobuf message may have


def load_onnx(path: Path, *, again: bool = False) -> OnnxEncoder:
    """Load a model file with its card; the first time it is tried out in a process of its own, or `again`.

    Raises EncoderError, UntrustedModel.
    """
    card = Card.read(path.with_suffix(".json"))
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise EncoderError(f"{path} is larger than an ONNX file can be")
        model = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}") from None
    check_model(model, path)
    return OnnxEncoder(model, card, dim=try_in_child(model, card, again=again))


def check_model(model: bytes, path: Path) -> None:
    """Raises UntrustedModel for files outside the file, control flow and operators that are not ONNX's own."""
    from onnx import ModelProto, TensorProto  # noqa: PLC0415  (heavy, and only for files that are not ours)

    try:
        proto = ModelProto.FromString(model)
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises classes of its own extension module)
        raise EncoderError(f"{path} is no ONNX file: {error}") from None
    graphs = [proto.graph]
    nodes = [node for graph in graphs for node in graph.node] + [n for f in proto.functions for n in f.node]
    for node in nodes:
        if node.op_type in _CONTROL_FLOW or any(a.HasField("g") or a.graphs for a in node.attribute):
            raise UntrustedModel(f"{path} has control flow ({node.op_type}), which could run for ever")
        if node.domain not in {"", "ai.onnx", "ai.onnx.ml"} and not proto.functions:
            raise UntrustedModel(f"{path} uses operators of {node.domain}")
    tensors = [*proto.graph.initializer, *(a.t for node in nodes for a in node.attribute if a.HasField("t"))]
    if any(t.data_location == TensorProto.EXTERNAL or t.external_data for t in tensors):
        raise UntrustedModel(f"{path} keeps numbers in other files; only single-file models are taken")
