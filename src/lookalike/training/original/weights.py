"""The arrays of a Keras 2 file (HDF5), read in a child process and without Keras.

Keras's `load_model` builds whatever the file describes, code included; this reads arrays only. The HDF5 library is
large and written in C, so it runs in a process with limits on memory and time: a file that crashes it or exhausts its
memory ends only that process. Links, data in other files, filters and sizes that the file does not contain are refused
before anything is read.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import EncoderError, MissingExtra, UntrustedModel, how_to_install
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
    """Arrays with their layers and names, in the order of the file, and the file's description of the layers.

    config: Keras's JSON, which must be read as data; empty for a file with weights only.
    """

    names: list[tuple[str, str]]
    arrays: list[NDArray[Any]]
    config: str


def read_weights(path: Path, scratch: Path) -> Weights:
    """Read the arrays of a file, with a temporary file in the folder `scratch`.

    Raises UntrustedModel for links and data in other files; EncoderError for a file of another kind, one that is
    damaged or declares more than it contains, and one that makes the child crash, exceed its memory or its time.
    """
    target = scratch / "weights.npz"
    try:
        answer = ask("lookalike.training.original.weights:serve", str(path.absolute()), str(target), seconds=_SECONDS)
    except TimeoutError:
        raise EncoderError(f"{path}: reading it takes longer than {_SECONDS} s") from None
    except ChildProcessError as error:
        raise EncoderError(f"{path}: reading it crashed ({error})") from None
    if "error" in answer:
        kind = {"UntrustedModel": UntrustedModel, "MissingExtra": MissingExtra}.get(answer["kind"], EncoderError)
        raise kind(f"{path}: {answer['error']}", hint=answer["hint"])
    with np.load(target, allow_pickle=False) as saved:
        arrays = [saved[f"{number:04}"] for number in range(len(answer["names"]))]
    return Weights([(layer, name) for layer, name in answer["names"]], arrays, answer["config"])


def serve(path: str, target: str) -> None:
    """In the child: read the file at `path`, write the arrays to `target`, and print the rest as JSON."""
    bound_memory(_MIB)
    try:
        answer = _extract(path, target)
    except (EncoderError, MissingExtra) as error:
        answer = {"error": str(error), "kind": type(error).__name__, "hint": error.hint}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, AttributeError) as error:
        answer = {"error": f"it cannot be read: {' '.join(str(error).split())[:300]}", "kind": "", "hint": ""}
    sys.stdout.write(json.dumps(answer))


def _extract(path: str, target: str) -> dict[str, Any]:
    h5py = _h5py()
    with open(path, "rb") as file:
        if file.seek(0, 2) > _MAX_BYTES:
            raise EncoderError("it is larger than such a file can be")
    with h5py.File(path, "r") as file:
        config = "".join(_read_texts(h5py, file, "model_config")) if "model_config" in file.attrs else ""
        root = _find(h5py, file, "model_weights") if "model_weights" in file else file
        if "layer_names" not in root.attrs:
            raise EncoderError("it has no layers as Keras 2 writes them", hint="model.save('model.h5') of Keras 2")
        found = [
            (layer, name, _find(h5py, _find(h5py, root, layer), name))
            for layer in _read_texts(h5py, root, "layer_names")
            for name in _read_texts(h5py, _find(h5py, root, layer), "weight_names")
        ]
        _check(h5py, [data for _, _, data in found])
        write_arrays(target, ((f"{number:04}", data[()]) for number, (_, _, data) in enumerate(found)))
    return {"names": [(layer, name) for layer, name, _ in found], "config": config}


def _find(h5py: Any, group: Any, name: str) -> Any:  # noqa: ANN401  (h5py has no types)
    """Follow a path, every step of which must be in this file."""
    for part in name.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) and part in group.keys() else None  # noqa: SIM118
        if link is None:
            raise EncoderError(f"{name} is not in it")
        if not isinstance(link, h5py.HardLink):
            raise UntrustedModel(f"{name} is a link to elsewhere; only data in the file itself is read")
        group = group[part]
    return group


def _read_texts(h5py: Any, group: Any, name: str) -> list[str]:  # noqa: ANN401
    """Read an attribute with one text or several."""
    attribute = h5py.h5a.open(group.id, name.encode())
    count = math.prod(attribute.shape)
    if not count:  # a layer without weights, whose attribute has no text type
        return []
    if count > _MOST_NAMES or (h5py.check_string_dtype(attribute.dtype) is None and attribute.dtype.kind != "S"):
        raise EncoderError(f"its {name} are not names")
    if attribute.dtype.itemsize * count > _MOST_TEXT:
        raise EncoderError(f"its {name} are longer than they can be")
    values = np.atleast_1d(np.asarray(group.attrs[name], object)).ravel()
    texts = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
    if sum(map(len, texts)) > _MOST_TEXT:
        raise EncoderError(f"its {name} are longer than they can be")
    return texts


def _check(h5py: Any, found: list[Any]) -> None:  # noqa: ANN401
    """Check everything that can be wrong with arrays before they are read."""
    if len(found) > _MOST_NAMES:
        raise EncoderError("it has more arrays than such a model can have")
    numbers = 0
    for data in found:
        if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.shape is None or data.ndim > 4:
            raise EncoderError("it has something that is not an array of numbers")
        if data.external or data.is_virtual:
            raise UntrustedModel("it keeps data in other files; only data in the file itself is read")
        numbers += math.prod(data.shape)
        stored = data.id.get_storage_size()
        if data.id.get_create_plist().get_nfilters() or stored != math.prod(data.shape) * data.dtype.itemsize:
            raise EncoderError(f"an array of the shape {data.shape} is stored in {stored:,} bytes")
    if numbers > _MOST_NUMBERS:
        raise EncoderError(f"it declares {numbers:,} numbers, more than such a model can have")


def _h5py() -> Any:  # noqa: ANN401
    try:
        import h5py  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtra("reading HDF5 needs the package h5py", hint=how_to_install("lookalike[train]")) from None
    return h5py
