"""The numbers of a Keras 2 file (HDF5), read in a process of its own and without Keras.

Keras's `load_model` builds whatever the file describes, code included; this reads arrays. The library that reads HDF5
is large and written in C, so it works in a process with a bound on its memory and its time: a file that crashes or
floods it costs that process. Links, numbers in other files, filters and sizes that the file does not hold are refused
before anything is read.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import EncoderError, MissingExtra, UntrustedModel
from lookalike.sandbox import ask, bound_memory
from lookalike.training.folder import write_arrays

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Weights", "read_weights", "serve"]

_MAX_BYTES = 4 << 30  # of the file: the described model with its optimiser has 1.2 GB
_MOST_NUMBERS = 1 << 28  # in all arrays together: the described model has 1.0e8
_MOST_NAMES = 4096
_MOST_TEXT = 1 << 22  # bytes of an attribute
_SECONDS, _MIB = 300, 6144


@dataclass(frozen=True, slots=True)
class Weights:
    """Arrays with their layer and their name, in the order of the file; and what the file says of the layers.

    config: Keras's JSON, to be read as data; empty in a file of weights alone.
    """

    names: list[tuple[str, str]]
    arrays: list[NDArray[Any]]
    config: str


def read_weights(path: Path, scratch: Path) -> Weights:
    """The arrays of a file, by way of a file in the folder `scratch`.

    Raises UntrustedModel for links and numbers in other files; EncoderError for what is no such file, is damaged,
    says more than it holds, or makes the reading process crash, flood its memory or run for ever.
    """
    target = scratch / "weights.npz"
    try:
        told = ask("lookalike.training.original.weights:serve", str(path.absolute()), str(target), seconds=_SECONDS)
    except TimeoutError:
        raise EncoderError(f"{path}: reading it takes longer than {_SECONDS} s") from None
    except ChildProcessError as error:
        raise EncoderError(f"{path}: reading it crashed ({error})") from None
    if "error" in told:
        kind = {"UntrustedModel": UntrustedModel, "MissingExtra": MissingExtra}.get(told["kind"], EncoderError)
        raise kind(f"{path}: {told['error']}", hint=told["hint"])
    with np.load(target, allow_pickle=False) as saved:
        arrays = [saved[f"{number:04}"] for number in range(len(told["names"]))]
    return Weights([(layer, name) for layer, name in told["names"]], arrays, told["config"])


def serve(path: str, target: str) -> None:
    """The other process: read the file at `path`, write the arrays to `target`, print the rest as JSON."""
    bound_memory(_MIB)
    try:
        told = _extract(path, target)
    except (EncoderError, MissingExtra) as error:
        told = {"error": str(error), "kind": type(error).__name__, "hint": error.hint}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, AttributeError) as error:
        told = {"error": f"it cannot be read: {' '.join(str(error).split())[:300]}", "kind": "", "hint": ""}
    sys.stdout.write(json.dumps(told))


def _extract(path: str, target: str) -> dict[str, Any]:
    h5py = _h5py()
    with open(path, "rb") as file:
        if file.seek(0, 2) > _MAX_BYTES:
            raise EncoderError("it is larger than such a file can be")
    with h5py.File(path, "r") as file:
        config = "".join(_texts(h5py, file, "model_config")) if "model_config" in file.attrs else ""
        root = _below(h5py, file, "model_weights") if "model_weights" in file else file
        if "layer_names" not in root.attrs:
            raise EncoderError("it has no layers as Keras 2 writes them", hint="model.save('model.h5') of Keras 2")
        found = [
            (layer, name, _below(h5py, _below(h5py, root, layer), name))
            for layer in _texts(h5py, root, "layer_names")
            for name in _texts(h5py, _below(h5py, root, layer), "weight_names")
        ]
        _check(h5py, [data for _, _, data in found])
        write_arrays(target, ((f"{number:04}", data[()]) for number, (_, _, data) in enumerate(found)))
    return {"names": [(layer, name) for layer, name, _ in found], "config": config}


def _below(h5py: Any, group: Any, name: str) -> Any:  # noqa: ANN401  (h5py has no types)
    """What lies at a path, every step of it in this file."""
    for part in name.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) and part in group.keys() else None  # noqa: SIM118
        if link is None:
            raise EncoderError(f"{name} is not in it")
        if not isinstance(link, h5py.HardLink):
            raise UntrustedModel(f"{name} is a link to elsewhere; only what is in the file is read")
        group = group[part]
    return group


def _texts(h5py: Any, group: Any, name: str) -> list[str]:  # noqa: ANN401
    """An attribute of texts, one or many."""
    attribute = h5py.h5a.open(group.id, name.encode())
    count = math.prod(attribute.shape)
    if not count:  # of a layer without weights, and then of no type of text
        return []
    if count > _MOST_NAMES or (h5py.check_string_dtype(attribute.dtype) is None and attribute.dtype.kind != "S"):
        raise EncoderError(f"its {name} are no names")
    if attribute.dtype.itemsize * count > _MOST_TEXT:
        raise EncoderError(f"its {name} are longer than they can be")
    values = np.atleast_1d(np.asarray(group.attrs[name], object)).ravel()
    texts = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
    if sum(map(len, texts)) > _MOST_TEXT:
        raise EncoderError(f"its {name} are longer than they can be")
    return texts


def _check(h5py: Any, found: list[Any]) -> None:  # noqa: ANN401
    """Everything that can be wrong with arrays before they are read."""
    if len(found) > _MOST_NAMES:
        raise EncoderError("it has more arrays than such a model can have")
    numbers = 0
    for data in found:
        if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.shape is None or data.ndim > 4:
            raise EncoderError("it holds something that is no array of numbers")
        if data.external or data.is_virtual:
            raise UntrustedModel("it keeps numbers in other files; only what is in the file is read")
        numbers += math.prod(data.shape)
        stored = data.id.get_storage_size()
        if data.id.get_create_plist().get_nfilters() or stored != math.prod(data.shape) * data.dtype.itemsize:
            raise EncoderError(f"an array of {data.shape} is stored in {stored:,} bytes")
    if numbers > _MOST_NUMBERS:
        raise EncoderError(f"it claims {numbers:,} numbers, more than such a model can have")


def _h5py() -> Any:  # noqa: ANN401
    try:
        import h5py  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtra("reading HDF5 needs h5py", hint='pip install "lookalike[train]"') from None
    return h5py
