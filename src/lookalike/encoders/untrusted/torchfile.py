"""Read the tensors of a PyTorch weights file with numpy alone, running nothing that the file says.

The format is the one that PyTorch wrote before 1.6: five pickles, and after them the numbers of each storage. The
pickles may use three names: an ordered dict, "a tensor of this storage" and the kinds of storage (`pickles`).
"""

from __future__ import annotations

import io
import math
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.encoders.untrusted.pickles import Name, Vocabulary, expect, read_pickle
from lookalike.errors import EncoderError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_tensors"]

_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_BYTES = 1 << 30  # of a file: that of the default encoder has 19 MB
_DTYPES: dict[str, np.dtype[Any]] = {"torch.FloatStorage": np.dtype("<f4"), "torch.LongStorage": np.dtype("<i8")}


class _Storage(NamedTuple):
    dtype: np.dtype[Any]
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return every tensor of the file by its name, float32 or int64.

    Raises UntrustedModel when the file names anything else, EncoderError when it is damaged.
    """
    try:
        return _read(io.BytesIO(_content(path)))
    except EncoderError as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise EncoderError(f"{path} is not a weights file that can be read: {error}") from error


def _content(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BYTES:
        raise EncoderError(f"it is larger than the {_MAX_BYTES >> 20:,} MiB that a weights file may have")
    return path.read_bytes()


def _read(stream: IO[bytes]) -> dict[str, NDArray[Any]]:
    if read_pickle(stream, _VOCABULARY) != _MAGIC:
        raise ValueError("wrong magic number")
    _version, _system = read_pickle(stream, _VOCABULARY), read_pickle(stream, _VOCABULARY)
    tensors: dict[str, _Tensor] = read_pickle(stream, _VOCABULARY)
    keys: list[str] = read_pickle(stream, _VOCABULARY)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    data = {key: _read_storage(stream, storages[key]) for key in keys}
    return {name: _strided(data[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _read_storage(stream: IO[bytes], storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little")
    if count != storage.length:
        raise ValueError(f"storage {storage.key} has {count} numbers, expected {storage.length}")
    raw = stream.read(count * storage.dtype.itemsize)
    return np.frombuffer(raw, storage.dtype, count)


def _strided(data: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min(tensor.strides, default=0) < 0 or last >= len(data):
        raise ValueError("a tensor reaches beyond its storage")
    if min(tensor.shape, default=0) < 0 or math.prod(tensor.shape) > len(data):  # strides of zero repeat numbers
        raise ValueError(f"a tensor of shape {tensor.shape} in {len(data):,} numbers")
    steps = [stride * data.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, steps).copy()


def _make_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    return _Tensor(expect(_Storage, storage), expect(int, offset), expect(tuple, shape), expect(tuple, strides))


def _make_storage(number: object) -> _Storage:
    _kind, name, key, _device, count, _view = expect(tuple, number)
    return _Storage(_DTYPES[expect(Name, name).name], expect(str, key), expect(int, count))


def _ignore_state(target: object, _state: object) -> None:
    """Let an ordered dict carry attributes, the versions of PyTorch's layers, and leave them out."""
    expect(dict, target)


_VOCABULARY = Vocabulary(
    what="part of a tensor",
    calls={"collections.OrderedDict": dict, "torch._utils._rebuild_tensor_v2": _make_tensor},
    types=frozenset(_DTYPES),
    build=_ignore_state,
    load_persistent=_make_storage,
)
