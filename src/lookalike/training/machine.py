"""What a training ran on: so that its seconds mean something elsewhere."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["describe_machine"]


def describe_machine() -> dict[str, Any]:
    """Processor, the cores that this process may use, memory in GiB, system, and what TensorFlow sees besides.

    Nothing that names the machine or its owner.
    """
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "accelerators": _accelerators(),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    with suppress(AttributeError, ValueError, OSError):  # Windows has no such question
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    return None


def _accelerators() -> list[str]:
    """Their names if TensorFlow is at work; it is not loaded to be asked."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return []
    config = tensorflow.config
    devices = [device for device in config.list_physical_devices() if device.device_type != "CPU"]
    found = [(device, config.experimental.get_device_details(device)) for device in devices]
    return [str(details.get("device_name", device.device_type)) for device, details in found]
