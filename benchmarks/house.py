"""Two checkouts of Lookalike against each other: what people wait for, and the memory it takes, as ratios.

    python benchmarks/house.py --before OLD/.venv/bin/python --after NEW/.venv/bin/python [--sizes 2688,10000] \
        [--files 10000] [--pictures 500] [--rounds 7] [--only warm,cold] [--json FILE]

Each interpreter has its own checkout installed. Every figure is taken in rounds, the two sides in turn, and the ratio
is the median of the rounds' ratios (after / before): the machine's speed drifts less within a round. Embeddings are
made up, in clusters of unequal sizes. What is measured (a name for --only, then what it is):

    warm     one search after another in a process that has the gallery open, k = 10
    cold     a new process that opens the gallery and searches once; also the same without the imports, opening alone,
             and the memory that is the process's own afterwards
    filter   the first search with a filter: with the files that an earlier one left, and without them
    write    putting 10,000 records into a new gallery
    help     `lookalike --help`
    index    indexing generated pictures with the histogram encoder
    again    a second index of files that have not changed
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRIVER = Path(__file__).with_name("house_driver.py")
SECTIONS = ("warm", "cold", "filter", "write", "help", "index", "again")
SIDES = ("before", "after")
QUERIES = 200
WRITTEN = 10_000  # records
SEARCHES = 100  # of a round, per side
FOLDER = 1_000  # files


class Figure(NamedTuple):
    """One thing of both sides: a value for each round, in seconds or MiB."""

    name: str
    unit: str
    before: list[float]
    after: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(b / a if a else float("nan") for a, b in zip(self.before, self.after, strict=True))

    def to_dict(self) -> dict[str, Any]:
        before, after = statistics.median(self.before), statistics.median(self.after)
        return {"name": self.name, "unit": self.unit, "before": before, "after": after, "ratio": self.ratio}


class Checkout:
    """One side: its interpreter, and a folder for its galleries."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python.absolute()  # not resolved: the interpreter of an environment is a link
        self.folder = folder
        folder.mkdir()

    def call(self, action: str, *arguments: object) -> dict[str, float]:
        """What an action of the driver says, in a new process; with `process_seconds` of all of it."""
        command = self._command(action, *arguments)
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
        return {**json.loads(done.stdout), "process_seconds": time.perf_counter() - start}

    def serve(self, *arguments: object) -> Session:
        return Session(self._command("serve", *arguments))

    def run(self, *arguments: object) -> dict[str, float]:
        """The command line, and the most memory of its first process, in MiB."""
        command = [str(self.python), "-m", "lookalike", *map(str, arguments)]
        with tempfile.TemporaryFile() as said:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=said, stderr=said, env=environment(), cwd=self.folder)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise SystemExit(f"{' '.join(command)}: {said.read().decode(errors='replace')}")
        return {"seconds": seconds, "peak_mib": usage.ru_maxrss / 1024}

    def _command(self, action: str, *arguments: object) -> list[str]:
        return [str(self.python), "-I", str(DRIVER), action, *map(str, arguments)]


class Session:
    """A process that has a gallery open and searches when it is asked to."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        self._read()  # it is warm

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def search(self, count: int) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a search exited with {self._process.wait()}")
        return dict(json.loads(line))


class House:
    """Both sides, and how they are compared."""

    def __init__(self, before: Path, after: Path, folder: Path, rounds: int) -> None:
        self.sides = [Checkout(python, folder / side) for side, python in zip(SIDES, (before, after), strict=True)]
        self.folder, self.rounds = folder, rounds

    def compare(
        self, name: str, work: Callable[[Checkout], dict[str, float]], fields: dict[str, str]
    ) -> Iterator[Figure]:
        """Figures of `work`, whose sides take turns at being first; a first run of each does not count.

        fields: which of the values that it returns are reported, and as what.
        """
        found: list[list[dict[str, float]]] = [[], []]
        for turn in range(self.rounds + 1):
            for side in (0, 1) if turn % 2 else (1, 0):
                found[side].append(work(self.sides[side]))
        for field, label in fields.items():
            before, after = ([one[field] for one in some[1:] if field in one] for some in found)
            if before and after:
                yield Figure(f"{name}{label}", "MiB" if field.endswith("mib") else "s", before, after)

    def measure_size(self, size: int, dim: int, only: set[str]) -> Iterator[Figure]:
        """What depends on how many pictures a gallery holds."""
        rows, queries = self.folder / "rows.npy", self.folder / "queries.npy"
        made = make_clustered(size + QUERIES, dim)
        np.save(rows, made[:size])
        np.save(queries, made[size:])
        del made
        built = [side.call("build", gallery_of(side, size), rows, size) for side in self.sides]
        for field, label in {"seconds": "written", "prepare_seconds": "made ready", "peak_mib": "peak memory"}.items():
            before, after = ([one[field]] for one in built)
            unit = "MiB" if field.endswith("mib") else "s"
            yield Figure(f"building {size:,}, once: {label}", unit, before, after)
        for side in self.sides:
            copy_anew(gallery_of(side, size))
        if "warm" in only:
            yield from self.measure_warm(size, queries)
        if "cold" in only:
            fields = {
                "process_seconds": ", a process",
                "seconds": ", without imports",
                "open_seconds": ", opening alone",
                "own_mib": ", memory",
            }
            work = lambda side: side.call("start", gallery_of(side, size), queries)  # noqa: E731
            yield from self.compare(f"cold search in {size:,}", work, fields)
        if "filter" in only:
            yield from self.measure_filter(size, queries)
        for side in self.sides:
            shutil.rmtree(gallery_of(side, size).parent)

    def measure_warm(self, size: int, queries: Path) -> Iterator[Figure]:
        with ExitStack() as stack:
            sessions = {
                side.folder: stack.enter_context(side.serve(gallery_of(side, size), queries)) for side in self.sides
            }
            fields = {"seconds": "", "own_mib": ", memory"}
            search = lambda side: sessions[side.folder].search(SEARCHES)  # noqa: E731
            yield from self.compare(f"warm search in {size:,}", search, fields)

    def measure_filter(self, size: int, queries: Path) -> Iterator[Figure]:
        files = {side.folder: set(gallery_of(side, size).iterdir()) for side in self.sides}

        def search_without_files(side: Checkout) -> dict[str, float]:
            for path in set(gallery_of(side, size).iterdir()) - files[side.folder]:
                path.unlink()
            return side.call("first_filter", gallery_of(side, size), queries)

        fields = {"seconds": "", "peak_mib": ", peak memory"}
        yield from self.compare(f"first filter in {size:,}, without files", search_without_files, fields)
        search = lambda side: side.call("first_filter", gallery_of(side, size), queries)  # noqa: E731
        yield from self.compare(f"first filter in {size:,}, with files", search, fields)

    def measure_write(self, dim: int) -> Iterator[Figure]:
        rows = self.folder / "written.npy"
        np.save(rows, make_clustered(WRITTEN, dim))

        def write(side: Checkout) -> dict[str, float]:
            gallery = side.folder / "written" / "gallery"
            shutil.rmtree(gallery.parent, ignore_errors=True)
            gallery.parent.mkdir()
            return side.call("write", gallery, rows, WRITTEN)

        yield from self.compare(f"writing {WRITTEN:,}", write, {"seconds": "", "peak_mib": ", peak memory"})

    def measure_index(self, count: int) -> Iterator[Figure]:
        pictures = self.folder / "pictures"
        make_pictures(pictures, count)

        def index(side: Checkout) -> dict[str, float]:
            gallery = side.folder / "indexed"
            shutil.rmtree(gallery, ignore_errors=True)
            return side.run("index", pictures, "-e", "histogram", "-i", gallery, "--no-progress")

        fields = {"seconds": "", "peak_mib": ", peak memory"}
        yield from self.compare(f"indexing {count:,} pictures", index, fields)
        shutil.rmtree(pictures)

    def measure_again(self, count: int) -> Iterator[Figure]:
        """Files of different content, one pixel each: as many records as there are files."""
        files = self.folder / "files"
        make_files(files, count)

        def index(side: Checkout) -> dict[str, float]:
            return side.run("index", files, "-e", "histogram", "-i", side.folder / "again", "--no-progress")

        for side in self.sides:
            index(side)
        fields = {"seconds": "", "peak_mib": ", peak memory"}
        yield from self.compare(f"a second index of {count:,} files", index, fields)
        for folder in (files, *(side.folder / "again" for side in self.sides)):
            shutil.rmtree(folder)


def gallery_of(side: Checkout, size: int) -> Path:
    """Where a side has its gallery of this size; its pictures would lie beside it."""
    folder = side.folder / str(size)
    folder.mkdir(exist_ok=True)
    return folder / "gallery"


def copy_anew(gallery: Path) -> None:
    """Write a gallery's files again, each in one go.

    How much of a mapped file becomes resident depends on how its pages came into the system's cache: at a million
    records the same search had 516 or 1,130 MiB of the same file.
    """
    copy = gallery.with_name("copy")
    shutil.copytree(gallery, copy)
    shutil.rmtree(gallery)
    copy.rename(gallery)


def environment() -> dict[str, str]:
    """Without what would let one checkout find the modules of another."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}


def make_clustered(count: int, dim: int) -> np.ndarray:
    """Made-up embeddings, float32 (count, dim): clusters of unequal sizes, each next dimension less wide."""
    rng = np.random.default_rng(0)
    clusters = max(1, count // 50)
    width = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    centres = rng.standard_normal((clusters, dim), np.float32) * width
    share = np.arange(1, clusters + 1) ** -0.7
    rows = np.empty((count, dim), np.float32)
    for start in range(0, count, 100_000):
        part = rows[start : start + 100_000]
        chosen = rng.choice(clusters, len(part), p=share / share.sum())
        part[:] = centres[chosen] + 0.5 * width * rng.standard_normal(part.shape, np.float32)
    return rows


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of 640 x 480, smooth with some detail, all different."""
    rng = np.random.default_rng(0)
    for n in range(count):
        path = folder / f"{n // FOLDER:04}" / f"IMG_{n:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)


def make_files(folder: Path, count: int) -> None:
    """Pictures of one pixel, GIF, with a comment that makes each of them another file."""
    for n in range(count):
        path = folder / f"{n // FOLDER:04}" / f"IMG_{n:07}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1), n % 256).save(path, comment=str(n).encode())


def measure_all(house: House, options: argparse.Namespace) -> Iterator[Figure]:
    only = set(options.only)
    if "help" in only:
        yield from house.compare("lookalike --help", lambda side: side.run("--help"), {"seconds": ""})
    if "write" in only:
        yield from house.measure_write(options.dim)
    if only & {"warm", "cold", "filter"}:
        for size in options.sizes:
            yield from house.measure_size(size, options.dim, only)
    if "index" in only:
        yield from house.measure_index(options.pictures)
    if "again" in only:
        for count in options.files:
            yield from house.measure_again(count)


def show(figure: Figure) -> None:
    said, scale, unit = figure.to_dict(), 1.0, figure.unit
    if unit == "s" and said["before"] < 1:
        scale, unit = (1e3, "ms") if said["before"] >= 1e-3 else (1e6, "us")
    before, after = (f"{scale * said[side]:10,.1f}" for side in SIDES)
    print(f"{figure.name:52} {before} {after} {unit:4} {figure.ratio:6.3f}", flush=True)


def parse_sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--after", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--sizes", type=parse_sizes, default=[2_688, 10_000], metavar="N,N")
    parser.add_argument("--files", type=parse_sizes, default=[10_000], metavar="N,N")
    parser.add_argument("--pictures", type=int, default=500, metavar="N")
    parser.add_argument("--dim", type=int, default=256, metavar="N")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SECTIONS), metavar="NAME,NAME")
    parser.add_argument("--folder", type=Path, help="for galleries and files while this runs", metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.only) - set(SECTIONS):
        parser.error(f"--only knows {', '.join(SECTIONS)}; not {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    options = parse_options()
    print(f"{'':52} {'before':>10} {'after':>10} {'':4} {'ratio':>6}")
    figures = []
    with tempfile.TemporaryDirectory(prefix="lookalike-house-", dir=options.folder) as folder:
        house = House(options.before, options.after, Path(folder), options.rounds)
        for figure in measure_all(house, options):
            show(figure)
            figures.append(figure.to_dict())
            if options.json is not None:  # so that what was measured survives what comes later
                options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
