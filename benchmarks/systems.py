"""Whole systems on the same pictures: how many a second they take in, and how well the nearest ten show the same.

    python benchmarks/systems.py FOLDER [SYSTEM...]

FOLDER has a folder for each class. Every system indexes all pictures and gives the ten nearest others of each; P@10
is how many of them are of the picture's own class (for all pictures, so other figures than those of `evaluate`).
`lookalike` is the command as it is, adapted, with neighbours of all pictures; `lookalike-160` and `lookalike-128` are
the same with the encoders that look at as many pixels. fastdup runs in an environment of its own, with its telemetry
off; its licence (CC BY-NC-ND) is not for commercial use: it is run here, never shipped. imagededup's hashes get their
environment without torch, and a stub for the torchvision they import and never call.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

K = 10
INSTALLED = {  # by one call of the installer after another
    "fastdup": [["fastdup", "setuptools<81"]],
    "imagededup": [
        ["numpy<2", "pillow", "PyWavelets", "scipy", "tqdm", "matplotlib", "scikit-learn"],
        ["--no-deps", "imagededup"],
    ],
}


class Class(type):
    """A class that has every attribute: itself."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return cls


class Stub(ModuleType):
    """A module of classes that do nothing: what imagededup imports for its networks, and its hashes never call."""

    def __init__(self, name):
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name.islower():
            return import_module(f"{self.__name__}.{name}")
        return Class(name, (), {"__init__": lambda *_, **__: None, "__call__": lambda _, given: given})

    def __call__(self, *_, **__):
        return lambda given: given


class Stubs(Loader):
    """Provides stand-ins for torch and torchvision where they are not installed."""

    @staticmethod
    def find_spec(name, *_):
        return ModuleSpec(name, Stubs()) if name.split(".")[0] in {"torch", "torchvision"} else None

    @staticmethod
    def create_module(spec):
        return Stub(spec.name)

    @staticmethod
    def exec_module(module): ...


def lookalike(folder, place, *, encoder=None):
    options = ["-e", encoder] if encoder else []
    command = [sys.executable, "-m", "lookalike"]
    start = time.perf_counter()
    subprocess.run([*command, "index", folder, "-i", f"{place}/gallery", *options], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    said = subprocess.run(
        [*command, "neighbours", "-i", f"{place}/gallery", "-k", str(K)], check=True, capture_output=True, text=True
    )
    joined = time.perf_counter() - start - seconds
    lines = map(json.loads, said.stdout.splitlines())
    return seconds, joined, {line["path"]: [near["path"] for near in line["neighbours"]] for line in lines}


def fastdup(folder, place):
    import fastdup as engine

    start = time.perf_counter()
    run = engine.create(work_dir=f"{place}/work", input_dir=folder)
    run.run(nearest_neighbors_k=K + 1, threshold=-1.0, ccthreshold=0.99, verbose=False, overwrite=True)
    seconds = time.perf_counter() - start
    near = defaultdict(list)
    pairs = run.similarity()
    for row in pairs.sort_values("distance", ascending=False).itertuples():
        if row.filename_from != row.filename_to:
            near[row.filename_from].append(row.filename_to)
    return seconds, 0.0, near


def imagededup(folder, _):
    sys.meta_path.append(Stubs)
    from imagededup.methods import PHash

    start = time.perf_counter()
    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(image_dir=folder, recursive=True, num_enc_workers=os.cpu_count())
    seconds = time.perf_counter() - start
    found = hasher.find_duplicates(
        encoding_map=encodings, max_distance_threshold=32, scores=True, search_method="brute_force_cython"
    )
    joined = time.perf_counter() - start - seconds
    return (
        seconds,
        joined,
        {one: [other for other, _ in sorted(near, key=lambda p: p[1])] for one, near in found.items()},
    )


SYSTEMS: dict[str, Any] = {
    "lookalike": lookalike,
    **{
        f"lookalike-{pixels}": partial(lookalike, encoder=f"efficientnet-lite0-layers-int8-{pixels}")
        for pixels in (160, 128)
    },
    "fastdup": fastdup,
    "imagededup": imagededup,
}


def measure(name, folder):
    """One system, in this process."""
    with tempfile.TemporaryDirectory() as place:
        seconds, joined, near = SYSTEMS[name](folder, place)
    label = lambda path: Path(path).parent.name  # noqa: E731
    right = [sum(label(other) == label(one) for other in others[:K]) / K for one, others in near.items()]
    return {"pictures": len(near), "rate": len(near) / seconds, "join_seconds": joined, "p10": sum(right) / len(right)}


def python_for(name, home):
    """A Python that has the system: our own, or one made with uv."""
    if name.startswith("lookalike"):
        return sys.executable
    place = home / name
    python = place / "bin" / "python"
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else ["uv"]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, place], check=True)
    for packages in INSTALLED[name]:
        subprocess.run([*uv, "pip", "install", "-q", "-p", python, *packages], check=True, capture_output=True)
    return str(python)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, str(options.folder.resolve()))))
        return
    print(f"{'system':<13} {'pictures':>8} {'a second':>9} {'join s':>7} {'P@10':>6}", flush=True)
    with tempfile.TemporaryDirectory() as home:
        for name in options.systems or SYSTEMS:
            try:
                command = [python_for(name, Path(home)), __file__, str(options.folder), "--measure", name]
                environment = {**os.environ, "SENTRY_OPT_OUT": "1"}
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            except (subprocess.CalledProcessError, OSError) as error:
                said = getattr(error, "stderr", None) or str(error)
                text = said.decode(errors="replace") if isinstance(said, bytes) else said
                print(f"{name:<13} skipped: {' '.join(text.strip().splitlines()[-1:])}", flush=True)
                continue
            row = json.loads(done.stdout.strip().splitlines()[-1])
            figures = f"{row['pictures']:>8,} {row['rate']:>9,.1f} {row['join_seconds']:>7.1f} {row['p10']:>6.3f}"
            print(f"{name:<13} {figures}", flush=True)


if __name__ == "__main__":
    main()
