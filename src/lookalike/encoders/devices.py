"""Where encoders run: on the processor, or on another device that ONNX Runtime offers.

Nothing heavy is imported here; `lookalike.encoders.sessions` opens models on a device.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, get_args

from lookalike.errors import UsageError, how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DEVICES",
    "PROVIDERS",
    "Device",
    "check_device",
    "count_threads",
    "limit_threads",
    "on_device",
    "wanted_device",
]

Device = Literal["auto", "cpu", "cuda", "coreml", "directml"]
"""auto: the best that ONNX Runtime offers on this machine."""
DEVICES: tuple[str, ...] = get_args(Device)

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What ONNX Runtime calls each device, the best first; every installation has the last."""
_PACKAGES = {
    "cuda": ("onnxruntime-gpu", "needs an NVIDIA GPU with CUDA"),
    "coreml": ("onnxruntime", "offers it on macOS only"),
    "directml": ("onnxruntime-directml", "needs Windows"),
}
_wanted: ContextVar[str | None] = ContextVar("device", default=None)
_limit: list[int] = []  # threads in which this process encodes, if that was said


@contextmanager
def on_device(device: str | None) -> Iterator[None]:
    """Let encoders that this thread loads inside the context run on a device. None: as around this call, or auto.

    Raises UsageError for an unknown device, and for one that this installation of ONNX Runtime lacks.
    """
    if device is not None:
        check_device(device)
    token = _wanted.set(device or _wanted.get() or "auto")
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_device(default: str = "cpu") -> str:
    """The device of the `on_device` around this call; `default` outside of any."""
    return _wanted.get() or default


def limit_threads(count: int) -> None:
    """Let encoders of this process that have not encoded yet use this many threads: by default, one for each core."""
    _limit[:] = [count]


def count_threads() -> int:
    """How many threads an encoder uses."""
    return _limit[0] if _limit else os.cpu_count() or 1


def check_device(device: str) -> None:
    """Raise UsageError unless this is one of `DEVICES` that ONNX Runtime offers here."""
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", hint=f"one of {', '.join(DEVICES)}")
    if device in {"auto", "cpu"}:
        return
    from lookalike.encoders.sessions import offered_devices  # noqa: PLC0415  (onnxruntime, 90 ms)

    offered = offered_devices()
    if device not in offered:
        package, condition = _PACKAGES[device]
        raise UsageError(
            f"ONNX Runtime has no device {device!r} on this machine; it offers {', '.join(offered)}",
            hint=f"the package {package} {condition}: {how_to_install(package)}{_instead_of(package)}",
        )


def _instead_of(package: str) -> str:
    return "" if package == "onnxruntime" else " (uninstall onnxruntime first: both have the same files)"
