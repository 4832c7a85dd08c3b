"""Models whose weights are in a second file, `model.onnx_data` beside `model.onnx`: put together into one.

Exporters write large models so. Lookalike runs models of one file only, because a model could name any file there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.encoders.onnx_format import is_external, list_tensors, parse_model
from lookalike.encoders.untrusted import MODEL_BYTES
from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["has_data", "inline_data", "name_data"]


def name_data(file: str) -> str:
    """Return the name of the second file of a model."""
    return f"{file}_data"


def has_data(path: Path) -> bool:
    """Whether weights of the model in a file are in another one. Raises EncoderError if it is not a model."""
    return any(is_external(tensor) for tensor in list_tensors(_parse(path)))


def inline_data(path: Path, data: Path) -> None:
    """Put the weights in a file `model.onnx_data` into the model at `path`, which is rewritten.

    Raises UntrustedModel if the model names any other file, EncoderError if a weight is not within the file, or all of
    them are more than one file may have.
    """
    model = _parse(path)
    try:
        content = memoryview(data.read_bytes())
    except OSError as error:
        raise EncoderError(
            f"{path} keeps weights in other files, and {data} cannot be read: {error.strerror}"
        ) from None
    if len(content) + path.stat().st_size > MODEL_BYTES:
        raise EncoderError(f"{path} and {data} have more than {MODEL_BYTES >> 20:,} MiB together")
    for tensor in list_tensors(model):
        if is_external(tensor):
            tensor.raw_data = bytes(_find(tensor, content, data))
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    path.write_bytes(model.SerializeToString(deterministic=True))


def _parse(path: Path) -> Any:  # noqa: ANN401  (a message: ModelProto)
    try:
        return parse_model(path.read_bytes())
    except Exception as error:  # noqa: BLE001  (protobuf raises classes of its own extension module)
        raise EncoderError(f"{path} is not an ONNX file: {error}") from None


def _find(tensor: Any, content: memoryview, data: Path) -> memoryview:  # noqa: ANN401  (a message: TensorProto)
    """The part of the second file that a tensor names."""
    named = {entry.key: entry.value for entry in tensor.external_data}
    if named.get("location") != data.name:
        raise UntrustedModel(f"the weights {tensor.name} are in {named.get('location')!r}, not in {data.name}")
    try:
        start = int(named.get("offset", 0))
        stop = start + int(named["length"]) if "length" in named else len(content)
    except ValueError:
        start, stop = -1, -1
    if not 0 <= start <= stop <= len(content):
        raise EncoderError(f"the weights {tensor.name} are not within {data}, which has {len(content):,} bytes")
    return content[start:stop]
