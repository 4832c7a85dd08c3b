"""Models opened by ONNX Runtime, on the processor or on another device."""

from __future__ import annotations

from typing import Any

import onnxruntime

from lookalike.encoders.devices import PROVIDERS
from lookalike.errors import EncoderError

__all__ = ["find_output", "offered_devices", "open_session", "runtime_version"]

# Besides the environment variable that `lookalike` sets, for programs that imported onnxruntime before it.
onnxruntime.disable_telemetry_events()

# Without the first, CUDA rounds factors to 10 bits, and embeddings differ from the processor's in the third digit.
_OPTIONS: dict[str, dict[str, str]] = {"cuda": {"use_tf32": "0"}}


def open_session(model: bytes, what: str, device: str = "cpu") -> onnxruntime.InferenceSession:
    """Open a model for runs of one thread each: several runs in parallel are faster than one run on all cores.

    what: what to call the model in the EncoderError that is raised when it cannot be loaded, or not on this device.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_mem_pattern = device != "directml"  # which refuses models otherwise
    provider = PROVIDERS[device]
    providers: list[Any] = [(provider, _OPTIONS.get(device, {})), *([] if device == "cpu" else [PROVIDERS["cpu"]])]
    try:
        if device not in offered_devices():
            raise EncoderError(f"ONNX Runtime has no {provider}")  # noqa: TRY301  (it would warn, and use another)
        # Its own fallback would print to stdout.
        session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
        if provider not in session.get_providers():
            raise EncoderError(f"{provider} could not be started")  # noqa: TRY301  (it has said why on stderr)
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises classes of its own extension module)
        raise EncoderError(f"the {what} cannot be loaded: {error}") from None
    return session


def find_output(session: onnxruntime.InferenceSession, wanted: str, what: str) -> str:
    """Return the name of the wanted output of a model, or of its first. Raises EncoderError for an unknown one."""
    names = [output.name for output in session.get_outputs()]
    if wanted and wanted not in names:
        raise EncoderError(f"the {what} has no output {wanted!r}, but {', '.join(names)}")
    return wanted or str(names[0])


def offered_devices() -> list[str]:
    """The devices that this installation of ONNX Runtime has, the best first; the last is `cpu`."""
    found = set(onnxruntime.get_available_providers())
    return [device for device, provider in PROVIDERS.items() if provider in found]


def runtime_version() -> str:
    """The version of ONNX Runtime, whichever of its packages it came in."""
    return str(onnxruntime.__version__)
