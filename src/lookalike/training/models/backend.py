"""Keras and the library that computes for it: TensorFlow, or another that `KERAS_BACKEND` names.

TensorFlow comes with the extra `train`. Where a machine has JAX or PyTorch for its GPU already, Keras runs on those as
well; every experiment learns the same way on each, from other random weights.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import MissingExtra, UsageError, how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "PACKAGES",
    "backend",
    "full_precision",
    "has_gpu",
    "load_keras",
    "load_tensorflow",
    "on_all_devices",
    "to_numpy",
]

PACKAGES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
"""The packages of each backend, whose versions are recorded with a training."""


def backend() -> str:
    """The name of the library that computes: `KERAS_BACKEND`, or TensorFlow whatever Keras's own settings say.

    Raises UsageError for one that Keras cannot train with.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in PACKAGES:
        raise UsageError(f"KERAS_BACKEND is {name!r}", hint=f"set it to one of {', '.join(PACKAGES)}, or not at all")
    return name


def load_keras() -> Any:  # noqa: ANN401  (a module)
    """Import Keras 3 on the backend. Raises MissingExtra, UsageError."""
    name = os.environ["KERAS_BACKEND"] = backend()
    if name == "tensorflow":
        load_tensorflow()
    else:
        _load(name, name)
    return _load("keras", "lookalike[train]")


def load_tensorflow() -> Any:  # noqa: ANN401  (a module)
    """Import TensorFlow without what it says about itself. Raises MissingExtra."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its log about the processor is of no use to users
    with _silence():
        tensorflow = _load("tensorflow", "lookalike[train]")
        tensorflow.get_logger().setLevel("ERROR")  # it warns about several models in one process
        return tensorflow


def has_gpu() -> bool:
    """Whether the backend computes on a GPU."""
    if backend() == "torch":
        return bool(importlib.import_module("torch").cuda.is_available())
    return bool(load_keras().distribution.list_devices("gpu"))


def to_numpy(tensor: Any) -> NDArray[Any]:  # noqa: ANN401
    """Copy a tensor or a variable of the backend into an array, from whichever device it is on."""
    return np.asarray(load_keras().ops.convert_to_numpy(tensor))


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Compute products of float32 in float32 inside: GPUs otherwise round the factors to 11 significant bits."""
    match backend():
        case "tensorflow":
            settings = load_tensorflow().config.experimental
            before = settings.tensor_float_32_execution_enabled()
            settings.enable_tensor_float_32_execution(enabled=False)
            try:
                yield
            finally:
                settings.enable_tensor_float_32_execution(enabled=before)
        case "jax":
            with importlib.import_module("jax").default_matmul_precision("float32"):
                yield
        case _:
            with importlib.import_module("torch").backends.cudnn.flags(enabled=True, allow_tf32=False):
                yield


def on_all_devices() -> contextlib.AbstractContextManager[Any]:
    """Split each batch among the GPUs if there are several (Keras's own scheme); with TensorFlow only."""
    if backend() != "tensorflow":
        return contextlib.nullcontext()
    tensorflow = load_tensorflow()
    several = len(tensorflow.config.list_logical_devices("GPU")) > 1
    return tensorflow.distribute.MirroredStrategy().scope() if several else contextlib.nullcontext()


def _load(name: str, requirement: str) -> Any:  # noqa: ANN401  (a module)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"training needs a package that is missing: {error.name}", hint=how_to_install(requirement)
        ) from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Close stderr meanwhile: TensorFlow writes two lines there when it is imported, whatever its log level."""
    if "tensorflow" in sys.modules:
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
