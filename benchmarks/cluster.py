"""Indexing on a Ray cluster of two one-core nodes against one process on two cores, on the same pictures.

    python benchmarks/cluster.py /path/to/scenes8 [--times 4] [--output docs/results/cluster.json]

Every picture is read `--times` times, from as many folders and with a byte behind its end, so that no two files have
the same content. Rates are those after start-up: of what comes after the first tenth of the files. CPU time is that of
all processes together, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import psutil

from lookalike import __version__
from lookalike.encoders import load_encoder
from lookalike.encoders.composition import composed_dim
from lookalike.evaluation.record import describe_machine
from lookalike.images.walk import walk
from lookalike.indexing.encode import LocalEmbedder
from lookalike.indexing.ray import RayEmbedder


def copy_pictures(source: Path, times: int, target: Path) -> list[bytes]:
    for number in range(times):
        for path in sorted(source.rglob("*.jpg")):
            copy = target / str(number) / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() + b"%d" % number)
    return [entry.path for entry in walk(os.fsencode(target))]


def count_cpu() -> float:
    """CPU seconds of this process and of all below it, those that have ended included."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def measure(embedder, files):
    """Seconds until the first result, pictures a second and CPU milliseconds a picture after a tenth; embeddings."""
    start = time.monotonic()
    first = tenth = before = seconds = cpu = 0.0
    found = {}
    for entry, result in embedder.embed(iter(files), lambda _: set()):
        found[entry.path] = result.embedding
        first = first or time.monotonic()
        if len(found) == len(files) // 10:
            tenth, before = time.monotonic(), count_cpu()
        if len(found) == len(files):
            seconds, cpu = time.monotonic() - tenth, count_cpu() - before
    rest = len(files) - len(files) // 10
    return first - start, rest / seconds, cpu / rest * 1000, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    import ray
    from ray.cluster_utils import Cluster

    folder = Path(tempfile.mkdtemp(prefix="lookalike-cluster-"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False, namespace="lookalike")
        copy_pictures(arguments.pictures, arguments.times, folder)
        files = list(walk(os.fsencode(folder)))
        encoder = load_encoder()
        dim = composed_dim(encoder)
        rows = []
        for _ in range(arguments.rounds):
            start, rate, cpu, here = measure(LocalEmbedder(encoder, dim), files)
            on_ray = RayEmbedder(load_encoder, encoder, dim, address=cluster.address)
            ray_start, ray_rate, ray_cpu, there = measure(on_ray, files)
            same = all(np.array_equal(here[path], there[path]) for path in here) and here.keys() == there.keys()
            rows.append(
                {
                    "one_process": round(rate, 1),
                    "ray": round(ray_rate, 1),
                    "ratio": round(ray_rate / rate, 3),
                    "one_process_cpu_ms": round(cpu, 2),
                    "ray_cpu_ms": round(ray_cpu, 2),
                    "first_result_here_s": round(start, 2),
                    "first_result_ray_s": round(ray_start, 2),
                    "bit_equal": bool(same),
                }
            )
            print(rows[-1], flush=True)
        record = {"files": len(files), "rounds": rows, "lookalike": __version__, "ray": ray.__version__}
        record["machine"] = describe_machine()
        if arguments.output:
            arguments.output.write_text(json.dumps(record, indent=1) + "\n")
        print(json.dumps(record))
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
