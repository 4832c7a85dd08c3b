"""What a training costs beyond the bare model: time of a step, rate of the pictures, memory.

The same model learns the same pictures in turns: by a training's own stream from the disk, and by Keras's `fit` on an
array in memory. Memory is what a process of its own has at the most, to which the file of pictures does not belong.

    python benchmarks/training.py FOLDER [--preset exp6d] [--size 256] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookalike.training.data import Pictures, gather
from lookalike.training.models.autoencoder import build
from lookalike.training.models.backend import load_keras
from lookalike.training.models.fitting import Fit, feed
from lookalike.training.models.network import Network
from lookalike.training.presets import Preset, find_preset, vary

FEW = 256  # pictures of a small collection
STEPS = 3  # that memory is watched for


now = time.monotonic


def step_times(preset: Preset, pictures: Pictures, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each step, the training's own and plain Keras's, without the first of each round."""
    network = Network(preset)
    model = network._fit.model
    some = pictures.pixels[pictures.train].astype(np.float32) / 255
    ours: list[float] = []
    plain: list[float] = []
    for number in range(rounds):
        at = [now()]
        network.learn(pictures, number, lambda *_, at=at: at.append(now()))
        ours += np.diff(at)[1:].tolist()
        at = [now()]
        tell = load_keras().callbacks.LambdaCallback(on_train_batch_end=lambda step, logs, at=at: at.append(now()))
        model.fit(some, some, batch_size=preset.batch_size, epochs=1, verbose=0, callbacks=[tell])
        plain += np.diff(at)[1:].tolist()
    return ours, plain


def pictures_a_second(preset: Preset, pictures: Pictures) -> float:
    """How many the stream alone gives, shuffled, as the device takes them."""
    network = Network(vary(preset, {"filters": "1", "latent_dim": "1"}))
    order = np.random.default_rng(1).permutation(pictures.train)
    stream = feed(lambda: network._read(pictures, order))
    start = time.monotonic()
    count = sum(int(batch.shape[0]) for batch, _ in stream)
    return count / (time.monotonic() - start)


def peak_memory(kind: str, preset: Preset, folder: Path, count: int) -> float:
    """GiB that a process needs for some steps: "ours" of a collection of `count`, "plain" of one batch in memory."""
    command = [sys.executable, __file__, str(folder), "--size", str(preset.size), "--preset", preset.name]
    done = subprocess.run([*command, "--memory", kind, "--count", str(count)], check=True, stdout=subprocess.PIPE)
    return int(done.stdout) / (1 << 20)


def measure_memory(kind: str, preset: Preset, pictures: Pictures, count: int) -> int:
    """KiB of anonymous memory at the most, of this process."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    learn = learn_some if kind == "ours" else learn_one_batch
    learn(preset, pictures, count)
    done.set()
    thread.join()
    return peak[0]


def learn_some(preset: Preset, pictures: Pictures, count: int) -> None:
    few = np.zeros(len(pictures.is_train), bool)
    few[pictures.train[:count]] = True

    def told(step: int, *_: object) -> None:
        if step == STEPS:
            raise InterruptedError

    with contextlib.suppress(InterruptedError):
        Network(preset).learn(replace(pictures, is_train=few), 0, told)


def learn_one_batch(preset: Preset, pictures: Pictures, _: int) -> None:
    batch = pictures.pixels[pictures.train[: preset.batch_size]].astype(np.float32) / 255
    fit = Fit(preset, lambda: build(preset))
    for _step in range(STEPS):
        fit.model.train_on_batch(batch, batch)


def anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def report(preset: Preset, folder: Path, home: Path, arguments: argparse.Namespace) -> dict[str, object]:
    pictures = gather(folder, home, preset)
    some = np.isin(np.arange(len(pictures.is_train)), pictures.train[: arguments.pictures])
    short = replace(pictures, is_train=some)
    ours, plain = step_times(preset, short, arguments.rounds)
    rate = pictures_a_second(preset, pictures)
    consumed = preset.batch_size / statistics.median(ours)
    bare = peak_memory("plain", preset, home, 0)
    grown = {count: round(peak_memory("ours", preset, home, count) - bare, 3) for count in (FEW, len(pictures.train))}
    return {
        "preset": preset.name,
        "size": preset.size,
        "step_seconds": statistics.median(ours),
        "step_ratio": statistics.median(ours) / statistics.median(plain),
        "pictures_a_second": rate,
        "stream_ratio": rate / consumed,
        "bare_model_GiB": bare,
        "GiB_beyond_it_by_pictures": grown,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="exp6d")
    parser.add_argument("--size", default="256")
    parser.add_argument("--pictures", type=int, default=192, help="that the steps are timed with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    preset = vary(find_preset(arguments.preset), {"size": arguments.size})
    if arguments.memory:  # a child: the folder is one that pictures were gathered in
        pictures = gather(arguments.folder, arguments.folder, preset)
        print(measure_memory(arguments.memory, preset, pictures, arguments.count))
        return
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(report(preset, arguments.folder, Path(home), arguments), indent=2))


if __name__ == "__main__":
    main()
