"""Read the tensors of a PyTorch weights file with numpy alone, running nothing that the file says.

Pickle runs code by naming functions. This reader knows three names: an ordered dict, "a tensor of this
storage" and the kinds of storage; any other name ends the reading.
"""

from __future__ import annotations

import collections
import pickle
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_tensors"]

_MAGIC = 0x1950A86A20F9469CFC6C  # of the format that PyTorch wrote before 1.6
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


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
    """Every tensor of the file by its name, float32 or int64.

    Raises UntrustedModel when the file names anything else, EncoderError when it is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, EOFError, ValueError, pickle.UnpicklingError, TypeError, KeyError, IndexError) as error:
        raise EncoderError(f"{path} is no weights file that can be read: {error}") from error


def _read(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    if _RestrictedUnpickler(file).load() != _MAGIC:
        raise ValueError("wrong magic number")
    _version, _system = _RestrictedUnpickler(file).load(), _RestrictedUnpickler(file).load()
    tensors: dict[str, _Tensor] = _RestrictedUnpickler(file).load()
    keys: list[str] = _RestrictedUnpickler(file).load()
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    data = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _strided(data[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _read_storage(file: IO[bytes], storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    if count != storage.length:
        raise ValueError(f"storage {storage.key} has {count} numbers, expected {storage.length}")
    raw = file.read(count * storage.dtype.itemsize)
    return np.frombuffer(raw, storage.dtype, count)


def _strided(data: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min(tensor.strides, default=0) < 0 or last >= len(data):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [stride * data.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, steps).copy()


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (pickle's own signature)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise UntrustedModel(f"the weights file asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401
        _kind, dtype, key, _device, count, _view = pid
        return _Storage(dtype, key, count)
