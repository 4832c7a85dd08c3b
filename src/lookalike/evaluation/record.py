"""Circumstances of a measurement: when, by which command, with which versions, on which machine.

Nothing in them names the machine, its owner or a folder.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.files import write_output
from lookalike.gallery import protected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MARK", "describe_machine", "find_versions", "write_record"]

MARK = '"recorded_by": "lookalike evaluate"'
"""What a recorded file says of itself, so that the next measurement may replace it."""

_PACKAGES = ("lookalike", "numpy", "onnxruntime", "pillow")
_PRIVATE = ("path", "display", "reason")  # they may name folders of the machine that measured


def write_record(document: Mapping[str, Any], command: str, file: Path, *, force: bool = False) -> None:
    """Write the document of an evaluation with its circumstances as JSON, without the paths of its folders.

    An existing file is replaced only if this wrote it before, or with `force`. Raises UsageError for a file that cannot
    be written.
    """
    recorded = {
        "recorded_by": "lookalike evaluate",
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": find_versions(_PACKAGES),
        "machine": describe_machine(),
        **_without_paths(document),
    }
    with write_output(file, force=force, protects=protected, mark=MARK) as part:
        part.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


def find_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those of these packages that are installed."""
    versions = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):  # TensorFlow goes by two names
            versions[package] = version(package)
    return versions


def describe_machine() -> dict[str, Any]:
    """The processor, the usable cores, the memory in GiB, the system, and the accelerators that are known."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "accelerators": _accelerators(),
    }


def _without_paths(value: Any) -> Any:  # noqa: ANN401  (a document)
    if isinstance(value, dict):
        return {name: _without_paths(part) for name, part in value.items() if name not in _PRIVATE}
    return [_without_paths(part) for part in value] if isinstance(value, list) else value


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    return None


def _accelerators() -> list[str]:
    """Names of the accelerators that the libraries find which are loaded already; none is loaded for this."""
    found: list[str] = []
    if (tensorflow := sys.modules.get("tensorflow")) is not None:
        config = tensorflow.config
        devices = [device for device in config.list_physical_devices() if device.device_type != "CPU"]
        details = [(device, config.experimental.get_device_details(device)) for device in devices]
        found += [str(known.get("device_name", device.device_type)) for device, known in details]
    if (jax := sys.modules.get("jax")) is not None:
        found += [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if (torch := sys.modules.get("torch")) is not None:
        found += [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return list(dict.fromkeys(found))
