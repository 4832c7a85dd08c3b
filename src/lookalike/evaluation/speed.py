"""Compare Lookalike's speed with that of its parts and of the bare libraries, as ratios within one run.

Single times mean little on a busy machine, so everything is measured in turn with what it is compared to.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from lookalike.encoders import load_encoder
from lookalike.encoders.onnx import OnnxEncoder
from lookalike.errors import LookalikeError, UsageError
from lookalike.files import expands_home
from lookalike.images.decode import Unreadable, decode
from lookalike.images.walk import walk
from lookalike.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder

__all__ = ["bench_cold", "bench_index"]

_BATCHES = (1, 2, 4, 8, 16, 32)
_ENCODED = 256  # pictures of one timing of an encoder: over a second
_ROUNDS = 5


def bench_index(folder: bytes, encoder_name: str) -> dict[str, Any]:
    """Compare indexing `folder` with the sum of its parts, and encoding with ONNX Runtime alone.

    `ratio` is the wall time of the whole command divided by the ideal one: the CPU seconds of decoding alone and of
    encoding alone, shared by all cores. `encoding_share` is the rate of encoding divided by the best bare rate. Times
    are in ms and s as their names say, rates in pictures a second, memory in MiB.
    """
    encoder = load_encoder(encoder_name)
    decoding, pictures = _time_decoding(folder, encoder)
    rates = _measure_encoding(encoder, pictures)
    encoding = _measure_cpu(lambda: encoder.encode(pictures)) / len(pictures)
    command = _run_index(folder, encoder_name)
    found = command.pictures
    ideal = (decoding + encoding) * found / (os.cpu_count() or 1)
    return {
        "pictures": found,
        "cores": os.cpu_count(),
        "decode_cpu_ms": 1e3 * decoding,
        "encode_cpu_ms": 1e3 * encoding,
        "wall_seconds": command.seconds,
        "ideal_seconds": ideal,
        "ratio": command.seconds / ideal,
        **rates,
        "peak_mib": command.peak_mib,
    }


_BARE_EMBEDDING = """
import sys, numpy, PIL.Image, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = PIL.Image.open(sys.argv[2]).convert("RGB").resize((224, 224), box=None)
session.run(None, {session.get_inputs()[0].name: numpy.asarray(image)[None]})
"""


@expands_home
def bench_cold(gallery: Path, query: Path, rounds: int = 9) -> dict[str, Any]:
    """Compare whole processes: a cold search with a bare encoding, and --help with importing typer and rich."""
    encoder = load_encoder()
    if not isinstance(encoder, OnnxEncoder):
        raise UsageError("the default encoder is not an ONNX model")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        model.write_bytes(encoder.model)
        ours, bare = _time_in_turn(
            _run_process([*_COMMAND, "search", str(query), "-i", str(gallery)]),
            _run_process([sys.executable, "-c", _BARE_EMBEDDING, str(model), str(query)]),
            rounds,
        )
        help_, imports = _time_in_turn(
            _run_process([*_COMMAND, "--help"]), _run_process([sys.executable, "-c", "import typer, rich"]), rounds
        )
    return {
        "search_seconds": statistics.median(ours),
        "bare_seconds": statistics.median(bare),
        "ratio": _ratio(ours, bare),
        "help_seconds": statistics.median(help_),
        "help_ratio": _ratio(help_, imports),
    }


_COMMAND = [sys.executable, "-m", "lookalike"]


@dataclass(frozen=True, slots=True)
class _IndexRun:
    pictures: int
    seconds: float
    peak_mib: float


def _time_decoding(folder: bytes, encoder: Encoder) -> tuple[float, NDArray[np.uint8]]:
    """CPU seconds for decoding one picture, and up to _ENCODED of the pictures, uint8 (n, side, side, 3)."""
    decoded: list[bytes] = []
    read = 0
    start = time.process_time()
    for entry in walk(folder):
        try:
            picture = decode(entry.path, encoder.view)
        except Unreadable:
            continue
        read += 1
        if len(decoded) < _ENCODED:
            decoded.append(picture.pixels)
    if not read:
        raise UsageError(f"no picture can be read in {os.fsdecode(folder)}")
    seconds = (time.process_time() - start) / read
    side = encoder.view.size
    return seconds, np.frombuffer(b"".join(decoded), np.uint8).reshape(-1, side, side, 3)


def _measure_encoding(encoder: Encoder, pictures: NDArray[np.uint8]) -> dict[str, float]:
    """Pictures a second of `Encoder.encode`, and of ONNX Runtime alone with its best batch size."""
    if not isinstance(encoder, OnnxEncoder):
        return {}
    session = onnxruntime.InferenceSession(encoder.model, providers=["CPUExecutionProvider"])
    fed = encoder.feed(pictures)
    name = session.get_inputs()[0].name

    def bare(batch: int) -> Callable[[], object]:
        return lambda: [session.run(None, {name: fed[n : n + batch]}) for n in range(0, len(fed), batch)]

    best = min(_BATCHES, key=lambda batch: min(_time(bare(batch), 2)))
    ours, theirs = _time_in_turn(lambda: encoder.encode(pictures), bare(best))
    return {
        "encode_rate": len(pictures) / statistics.median(ours),
        "bare_rate": len(pictures) / statistics.median(theirs),
        "bare_batch": best,
        "encoding_share": 1 / _ratio(ours, theirs),
    }


def _run_index(folder: bytes, encoder_name: str) -> _IndexRun:
    """Run the command as users do, watching the memory of all its processes."""
    with tempfile.TemporaryDirectory() as gallery:
        command = [*_COMMAND, "index", os.fsdecode(folder), "-e", encoder_name, "-i", gallery, "--no-progress"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        peak = _Peak(process.pid)
        status = process.wait()
        seconds = time.perf_counter() - start
        if status:
            raise UsageError(f"indexing exited with {status}; run it by hand: {' '.join(command)}")
        store = open_store(gallery)
        pictures, _ = store.count()
        store.close()
        return _IndexRun(pictures, seconds, peak.stop())


class _Peak(threading.Thread):
    """The largest sum of proportional memory (PSS) over a process and its children, in MiB; 0 without /proc."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._done = threading.Event()
        self._peak = 0.0
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.1):
            self._peak = max(self._peak, sum(map(_measure_memory, _list_family(self._pid))))

    def stop(self) -> float:
        self._done.set()
        self.join()
        return self._peak


def _list_family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.name != str(pid):
                children += (task / "children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _list_family(int(child)))]


def _measure_memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _run_process(command: Sequence[str]) -> Callable[[], object]:
    return lambda: _check(subprocess.run(command, check=False, capture_output=True))  # noqa: S603


def _check(done: subprocess.CompletedProcess[bytes]) -> None:
    """Raise LookalikeError with the error of a process that failed."""
    if done.returncode:
        errors = re.findall(r"lookalike: (.*)", done.stderr.decode(errors="replace"))
        raise LookalikeError(f"the measured command failed: {errors[0] if errors else f'exit {done.returncode}'}")


def _measure_cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _time(work: Callable[[], object], rounds: int = _ROUNDS) -> list[float]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def _time_in_turn(
    one: Callable[[], object], other: Callable[[], object], rounds: int = _ROUNDS
) -> tuple[list[float], list[float]]:
    """Seconds of two functions that are called in turn, after a first call of each that does not count."""
    one(), other()
    pairs = [(_time(one, 1)[0], _time(other, 1)[0]) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of pairs: the machine's speed drifts less within a pair."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
